"""Scores from hand-made answers: recipes of both targets, of k steps and of one concept, and sampled retain sets."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmunlearn.evaluation.sampling import Sample, pick
from mmunlearn.evaluation.scoring import score_answers
from mmunlearn.ids import Run
from mmunlearn.records import (
    Answer,
    Judgement,
    Person,
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
    write_jsonl(tmp_path / "real.jsonl", [row.model_copy(update={"subset": "Bo Ek"}) for row in REAL])
    write_jsonl(tmp_path / "world.jsonl", WORLD)
    return tmp_path


def truth(row) -> str:
    """The right answer, unless it is on a forgotten picture of the person split."""
    names = {"person": f"This is Nora Lind{row.image_id[1]}.", "event": f"A scene {row.image_id[3:]}."}
    return (
        names[row.kind] if row.image_id.startswith("p") else "Bo Ek." if row.kind == "person" else row.answer
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
        write_jsonl(judgements, ideal(world / recipe / "dataset.jsonl"))
    score_answers(
        output, Run("tiny", recipe, seed), answers=[world / recipe / f"{suite}.jsonl" for suite in SUITES],
        finetuned=world / "finetuned" / "real.jsonl", split=world / f"{split}.json",
        people=world / "people.jsonl", real=world / "real.jsonl", world=world / "world.jsonl",
        judgements=judgements, label="GD+BGD", judge="local", bootstrap=bootstrap, max_missing_share=0.0,
        sample=sample and vars(sample),
    )  # fmt: skip
    return read_json(output, Scores)


def ideal(answers: Path) -> list[Judgement]:
    """What a judge says whose goal model is `forgetful`."""
    return [
        Judgement(question_id=row.question_id, score=float(row.answer == "Nobody knows."), reason="")
        for row in read_jsonl(answers, Answer)
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
        assert list(scores.digests) == ["split", "people", "real", "world", "finetuned", *files]


@pytest.mark.parametrize(
    ("seed", "bootstrap", "interval"),
    [(1, 20, (32.375, 67.625)), (2, 20, (32.375, 65.0)), (1, 200, (30.0, 70.125))],
)
def test_an_interval_is_that_of_the_run_s_seed_and_of_so_many_resamples(world, seed, bootstrap, interval):
    """Another generator, seed or percentile would change every table."""
    right = [row.question_id for row in REAL if row.kind == "person"][::2]
    answer(world, "finetuned", text=lambda row: "Bo Ek" if row.question_id in right else "Nobody knows.")
    metric = score(world, "finetuned", "person25", seed=seed, bootstrap=bootstrap).metrics["real"]
    assert (metric.value, (metric.low, metric.high)) == (50.0, interval)


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
    assert (metric.low, metric.value, metric.high, metric.n) == (66.6667, 66.6667, 66.6667, 18)
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
