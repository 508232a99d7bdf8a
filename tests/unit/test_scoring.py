"""Scores from hand-made answers: recipes of both targets, of k steps and of one concept, and sampled retain sets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mmunlearn.evaluation.sampling import Sample, pick
from mmunlearn.evaluation.score_inputs import read_scores, read_suites
from mmunlearn.evaluation.scoring import score_answers
from mmunlearn.ids import Run
from mmunlearn.records import (
    Answer,
    Judgement,
    Person,
    RecordError,
    Scores,
    read_json,
    read_jsonl,
    write_json,
    write_jsonl,
)
from tests.unit.test_sampling import CONCEPT, EVENT, PEOPLE, PERSON, REAL, STEP, SUITES, WORLD

SPLITS = {"person25": PERSON, "event15": EVENT}
ALL = {suite: list(rows) for suite, rows in SUITES.items()}


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """Splits, people and reference sets; nobody has answered yet."""
    for name, split in SPLITS.items():
        write_json(tmp_path / f"{name}.json", split)
    rest = {"age": 30} | dict.fromkeys(("gender", "job", "birthplace", "appearance"), "-")
    people = [Person(person_id=f"p{n}", name=f"Nora Lind{n}", **rest) for n in range(PEOPLE)]
    write_jsonl(tmp_path / "people.jsonl", people)
    write_jsonl(tmp_path / "real.jsonl", [row.model_copy(update={"subset": figure(row)}) for row in REAL])
    write_jsonl(tmp_path / "world.jsonl", WORLD)
    write_jsonl(
        tmp_path / "questions.jsonl",
        [row.model_copy(update={"answer": truth(row)}) for row in ALL["dataset"]],
    )
    return tmp_path


def figure(row) -> str:
    """Two pictures of each public figure."""
    return f"Bo Ek{int(row.image_id.split('-')[1]) // 2}" if row.kind == "person" else ""


def truth(row) -> str:
    """The right answer, unless it is on a forgotten picture of the person split."""
    names = {"person": f"This is Nora Lind{row.image_id[1]}.", "event": f"A scene {row.image_id[3:]}."}
    return (
        names[row.kind]
        if row.image_id.startswith("p")
        else f"{figure(row)}."
        if row.kind == "person"
        else row.answer
    )


def answer(world: Path, recipe: str, rows=ALL, text=truth) -> None:
    for suite, questions in rows.items():
        answers = [
            Answer(question_id=row.question_id, image_id=row.image_id, question="?",
                   reference=row.answer if suite != "dataset" else truth(row), answer=text(row))
            for row in questions
        ]  # fmt: skip
        write_jsonl(world / recipe / f"{suite}.jsonl", answers)


def score(
    world: Path, recipe: str, split: str, sample: Sample | None = None, *, seed: int = 1, bootstrap: int = 20
) -> Scores:
    output, judgements = world / recipe / f"{split}.json", []
    if split.startswith("event"):
        judgements = world / recipe / "judgements.jsonl"
        if not judgements.exists():
            write_jsonl(judgements, ideal(world / recipe / "dataset.jsonl"))
    score_answers(
        output, Run("tiny", recipe, seed), answers=[world / recipe / f"{suite}.jsonl" for suite in SUITES],
        finetuned=world / "finetuned" / "real.jsonl", split=world / f"{split}.json",
        people=world / "people.jsonl", real=world / "real.jsonl", world=world / "world.jsonl",
        dataset=world / "questions.jsonl",
        judgements=judgements, label="GD+BGD", judge="local", bootstrap=bootstrap, max_missing_share=0.0,
        sample=sample and vars(sample),
    )  # fmt: skip
    return read_json(output, Scores)


def ideal(answers: Path) -> list[Judgement]:
    """What a judge says whose goal model is `forgetful`."""
    forgotten = {*EVENT.forget_train, *EVENT.forget_test}
    return [
        Judgement(question_id=row.question_id, score=float(row.answer == "Nobody knows."), reason="")
        for row in read_jsonl(answers, Answer)
        if row.image_id in forgotten and row.question_id.endswith("-event")
    ]


def values(scores: Scores) -> dict[str, float | None]:
    return {name: metric.value for name, metric in scores.metrics.items()}


def forgetful(row) -> str:
    """A model that has forgotten the people and the events of both splits."""
    on_person = row.image_id in {*PERSON.forget_train, *PERSON.forget_test}
    on_event = row.image_id in {*EVENT.forget_train, *EVENT.forget_test}
    if (row.kind == "person" and on_person) or (row.kind == "event" and on_event):
        return "Nobody knows."
    return truth(row)


def test_a_both_recipe_is_scored_for_person_and_for_event(world):
    answer(world, "finetuned")
    answer(world, "gd+bgd-both05", text=forgetful)
    for name, split in SPLITS.items():
        scores = score(world, "gd+bgd-both05", name)
        assert (scores.method, scores.recipe, scores.target, scores.percent) == (
            "GD+BGD", "gd+bgd-both05", split.target, split.percent,
        )  # fmt: skip
        assert scores.details["sample"] == "all" and scores.details["forgotten"] == split.forgotten
        table = values(scores)
        assert (table["efficacy"], table["generality"], table["retain"]) == (100.0, 100.0, 100.0)
        assert (table["real"], table["world_fact"]) == (100.0, 100.0)
        files = ["judgements"] if split.target == "event" else []
        files += ["answers_dataset", "answers_real", "answers_world"]
        assert list(scores.digests) == ["split", "people", "real", "world", "finetuned", "dataset", *files]


def test_questions_on_one_thing_are_one_cluster_and_their_sums_are_kept(world):
    """8 people and 6 events; 20 Real pictures, two of each figure; 20 World pictures with 6 questions each."""
    answer(world, "finetuned")
    rest = {"world_fact": 20}
    expected = {
        "person25": {"efficacy": 2, "generality": 2, "retain": 6, "scope": 2, "real": 10} | rest,
        "event15": {"efficacy": 1, "generality": 1, "retain": 5, "scope": 1, "real": 20} | rest,
    }
    for split, counts in expected.items():
        scores = score(world, "finetuned", split)
        found = {name: metric.clusters for name, metric in scores.metrics.items()}
        found.pop("real_vs_finetuned", None)
        assert found == counts
        assert set(scores.sums) == set(scores.metrics)
        forgotten = SPLITS[split].forgotten
        assert list(scores.sums["efficacy"][""]) == list(scores.sums["scope"][""]) == forgotten
        assert scores.sums["world_fact"]["popular"]["world-3"] == (200.0, 2)
    assert scores.sums["real"][""]["real-0"] == (100.0, 1)


def test_numbers_are_not_rounded_and_doubtful_replies_are_counted(world):
    answer(
        world,
        "finetuned",
        text=lambda row: "**No**" if row.question_id == "world-0-random-No" else truth(row),
    )
    metrics = score(world, "finetuned", "person25").metrics
    assert metrics["world_fact"].value == pytest.approx(100 - 100 / 120, abs=1e-12)
    assert metrics["world_fact"].doubtful == 1


@pytest.mark.parametrize(
    ("seed", "bootstrap", "interval"),
    [(1, 20, (20.0, 78.375)), (2, 20, (31.625, 78.375)), (1, 200, (10.0, 90.0))],
)
def test_an_interval_is_that_of_the_run_s_seed_and_of_so_many_resamples(world, seed, bootstrap, interval):
    """Another generator, seed or percentile would change every table."""
    right = [row.question_id for row in REAL if row.kind == "person"][:10]
    answer(world, "finetuned", text=lambda row: truth(row) if row.question_id in right else "Nobody knows.")
    metric = score(world, "finetuned", "person25", seed=seed, bootstrap=bootstrap).metrics["real"]
    assert (metric.value, metric.n, metric.clusters) == (50.0, 20, 10)
    assert (metric.low, metric.high) == pytest.approx(interval, abs=1e-3)


def test_world_fact_weighs_the_subsets_alike_whatever_their_sizes(world):
    """12 questions of random and 4 of popular are right, 2 of adversarial wrong: 200 / 3, not 100 * 16 / 18."""
    sizes = {"random": 12, "popular": 4, "adversarial": 2}
    rows = [row for subset, n in sizes.items() for row in [one for one in WORLD if one.subset == subset][:n]]
    right = {row.question_id: row.subset != "adversarial" for row in rows}
    write_jsonl(world / "world.jsonl", rows)
    answer(world, "finetuned")
    answer(
        world,
        "ga",
        {**ALL, "world": rows},
        lambda row: truth(row) if right.get(row.question_id, True) else {"Yes": "No"}.get(row.answer, "Yes"),
    )
    scores = score(world, "ga", "person25")
    metric = scores.metrics["world_fact"]
    assert metric.value == pytest.approx(200 / 3) and metric.low < metric.value < metric.high
    assert (metric.n, metric.clusters, metric.doubtful) == (18, 6, 0)
    assert scores.details["pope"]["mean"]["accuracy"] == pytest.approx(2 / 3)


def test_a_recipe_of_k_steps_is_scored_on_what_it_was_asked(world):
    answer(world, "finetuned")
    for name, split in SPLITS.items():
        answer(world, "step", pick(SUITES, [split], STEP), forgetful)
        scores = score(world, "step", name, sample=STEP)
        counts = {name: metric.n for name, metric in scores.metrics.items() if name != "real_vs_finetuned"}
        forget = {"efficacy": len(split.forget_train), "generality": len(split.forget_test)}
        rest = {"retain": 7, "scope": len(split.forget_train), "real": 5, "world_fact": 12}
        assert counts == forget | rest
        assert values(scores)["efficacy"] == 100.0
        n = 2 * (len(split.forget_train) + len(split.forget_test)) + 7
        assert scores.details["sample"]["questions"] == {"dataset": n, "real": 10, "world": 12}
        assert len(scores.details["sample"]["digest"]) == 16


def test_a_cell_without_questions_is_empty_and_says_why(world):
    answer(world, "finetuned")
    answer(world, "concept", pick(SUITES, [PERSON, EVENT], CONCEPT), forgetful)
    scores = score(world, "concept", "person25", sample=CONCEPT)
    for name in ("retain", "real", "world_fact"):
        metric = scores.metrics[name]
        assert (metric.value, metric.n, metric.reason) == (None, 0, "no question of this kind was asked")
    assert scores.metrics["efficacy"].n == len(PERSON.forget_train)
    assert scores.details["pope"]["mean"]["accuracy"] is None


def test_a_sample_is_the_same_for_every_model(world):
    """The finetuned model is asked all; its score rests on the same questions."""
    sample, wrong = Sample(seed=1, retain=5, real=3, world=6), []

    def errs(row) -> str:
        return "Nobody knows." if row.question_id in wrong else truth(row)

    rows = pick(SUITES, [PERSON], sample)["dataset"]
    wrong += [row.question_id for row in rows if row.image_id in set(PERSON.retain)][:2]
    answer(world, "finetuned", text=errs)
    answer(world, "gd-person25", pick(SUITES, [PERSON], sample), errs)
    scores = [score(world, recipe, "person25", sample=sample) for recipe in ("finetuned", "gd-person25")]
    assert [(one.metrics["retain"].value, one.metrics["retain"].n) for one in scores] == [(60.0, 5)] * 2
    assert scores[0].metrics["efficacy"].n == len(PERSON.forget_train)
    first, second = (one.details["sample"] for one in scores)
    assert first == second and (first["questions"]["real"], first["questions"]["world"]) == (6, 6)


TRAIN, TEST = EVENT.forget_train[0], EVENT.forget_test[0]


def changed(line: int, **fields):
    """The file's rows with fields of one line replaced; a row of `None` goes."""

    def change(rows: list[dict]) -> list[dict]:
        return [row | fields if number == line else row for number, row in enumerate(rows, start=1)]

    return change


HOSTILE = [
    ("judgements", changed(2, score=1.5), r"judgements\.jsonl, line 2 \(.*-event\): score: .*found 1\.5"),
    ("judgements", changed(2, score=-0.1), r"line 2 .*score: .*found -0\.1"),
    ("judgements", changed(2, score=float("nan")), r"line 2 .*score: .*finite number"),
    ("judgements", changed(2, score=float("inf")), r"line 2 .*score: "),
    ("judgements", changed(2, score=True), r"line 2 .*score: .*found True"),
    ("judgements", changed(2, score="0.5"), r"line 2 .*score: .*found '0\.5'"),
    ("judgements", lambda rows: [*rows, rows[0]], r"question_id '.*' a second time, after line 1"),
    (
        "judgements",
        lambda rows: rows[1:],
        rf"judgements of split event15.*no row of {TRAIN}-event.*judge_answers",
    ),
    ("judgements", lambda rows: [], r"no row of .*no row of"),
    ("judgements", changed(1, question_id="p9-e9-event"), r"line 1: 'p9-e9-event' is no event question"),
    ("judgements", changed(1, question_id=f"{TRAIN}-person"), r"line 1: .* is no event question"),
    ("dataset", lambda rows: [*rows, rows[4]], r"dataset\.jsonl, .*a second time, after line 5"),
    (
        "dataset",
        lambda rows: rows[:-1],
        r"questions of split event15.*no row of p7-e5-event.*answer_questions",
    ),
    ("dataset", changed(3, question_id="p0-e99-event"), r"line 3: there is no question 'p0-e99-event'"),
    ("dataset", changed(3, image_id="p7-e5"), r"line 3: p0-e1-person is about picture p0-e1, not 'p7-e5'"),
    ("dataset", changed(3, answer=None), r"line 3 \(p0-e1-person\): answer: .*found None"),
    ("dataset", changed(4, reference="Eve"), r"line 4: the reference of p0-e1-event is '.*', not 'Eve'"),
    (
        "questions",
        lambda rows: rows[1:],
        r"dataset\.jsonl .*split event15.*line 1: there is no question 'p0-e0-person'",
    ),
    (
        "questions",
        lambda rows: [row for row in rows if row["question_id"] != "p0-e0-event"],
        r"questions\.jsonl .*split event15.*no row of p0-e0-event.*build_questions",
    ),
    ("real", lambda rows: rows[2:], r"real\.jsonl.*no row of real-0-person; no row of real-0-event"),
    ("real", changed(1, reference="Eve"), r"line 1: the reference of real-0-person is 'A\.', not 'Eve'"),
    ("world", changed(1, question_id="world-0-x"), r"world\.jsonl.*line 1: there is no question 'world-0-x'"),
    ("world", lambda rows: rows + rows[:1], r"world\.jsonl, .*a second time, after line 1"),
    ("people", lambda rows: rows[1:], r"people\.jsonl .*people of split event15.*Found no p0"),
    ("finetuned", lambda rows: rows[:1] + rows[2:], r"finetuned/real\.jsonl .*no row of real-0-event"),
]


@pytest.mark.parametrize(("name", "change", "message"), HOSTILE)
def test_rows_that_would_change_a_number_are_named(world, name, change, message):
    """Out of range, twice, missing, of another question, picture or reference: never a KeyError or another number."""
    for recipe in ("finetuned", "ga-event15"):
        answer(world, recipe)
    write_jsonl(world / "ga-event15" / "judgements.jsonl", ideal(world / "ga-event15" / "dataset.jsonl"))
    paths = {name: world / f"{name}.jsonl" for name in ("people", "questions")}
    paths |= {"finetuned": world / "finetuned" / "real.jsonl"}
    path = paths.get(name, world / "ga-event15" / f"{name}.jsonl")
    rows = change([json.loads(line) for line in path.read_text().splitlines()])
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(RecordError, match=message):
        score(world, "ga-event15", "event15")


@pytest.mark.parametrize("missing", ["retain", "real", "world", "forget"])
def test_an_answer_of_the_sample_that_is_missing_is_named(world, missing):
    """Another would take its place, and models would be compared on other questions."""
    answer(world, "finetuned")
    rows = pick(SUITES, [EVENT], STEP)
    suite = missing if missing in rows else "dataset"
    of = {*EVENT.retain} if missing == "retain" else {*EVENT.forget_train} if missing == "forget" else None
    lost = next(row for row in rows[suite] if of is None or row.image_id in of)
    answer(world, "step", rows | {suite: [row for row in rows[suite] if row != lost]})
    with pytest.raises(RecordError, match=f"no row of {lost.question_id}"):
        score(world, "step", "event15", STEP)


def test_answers_to_another_split_are_no_scores(world):
    """The pictures of a smaller data set."""
    answer(world, "finetuned")
    smaller = EVENT.model_copy(update={"retain": EVENT.retain[1:]})
    write_json(world / "event15.json", smaller)
    with pytest.raises(RecordError, match=rf"there is no question '{EVENT.retain[0]}-person'"):
        score(world, "finetuned", "event15")


@pytest.mark.parametrize(
    "place", ["ga-person25/seed-1/event15", "ga-event15/seed-2/event15", "ga-event15/seed-1/event10"]
)
def test_scores_of_another_run_or_split_are_no_table_s(world, place):
    """As of a file that was copied by hand."""
    for recipe in ("finetuned", "ga-event15"):
        answer(world, recipe)
    scores = score(world, "ga-event15", "event15")
    right, wrong = (world / "scores" / "tiny" / f"{one}.json" for one in ("ga-event15/seed-1/event15", place))
    for path in (right, wrong):
        write_json(path, scores)
    assert read_scores(right) == scores
    with pytest.raises(
        RecordError, match=rf"tiny/{place}\.json for .*Found those of tiny/ga-event15/seed-1 on event15"
    ):
        read_scores(wrong)


@pytest.mark.parametrize(
    ("field", "value"), [("subset", "popula"), ("subset", ""), ("answer", "maybe"), ("answer", "")]
)
def test_a_world_question_that_is_not_pope_s_is_named(world, field, value):
    """It would be in the mean of no subset, or in one of its own."""
    answer(world, "finetuned")
    write_jsonl(world / "world.jsonl", [WORLD[0].model_copy(update={field: value}), *WORLD[1:]])
    found = f"subset '{value}' with" if field == "subset" else f"with the answer '{value}'"
    with pytest.raises(RecordError, match=rf"World set .*Found {WORLD[0].question_id} of .*{found}"):
        score(world, "finetuned", "person25")


@pytest.mark.parametrize(
    "files", [["dataset", "real"], ["dataset", "real", "real"], ["dataset", "real", "word"], []]
)
def test_every_suite_has_its_file(files):
    paths = [Path(f"answers/m/r/seed-1/{name}.jsonl") for name in files]
    with pytest.raises(RecordError, match=r"one file of answers to each of dataset, real, world\. Found"):
        read_suites(paths, EVENT, {"real": REAL, "world": WORLD}, None)
