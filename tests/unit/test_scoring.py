"""Scores from hand-made answers: recipes of both targets, of k steps and of one concept, and sampled retain sets."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmunlearn.evaluation.judge.judge_answers import judge_answers
from mmunlearn.evaluation.sampling import Sample, pick
from mmunlearn.evaluation.scoring import score_answers
from mmunlearn.records import Answer, Person, Scores, read_json, write_json, write_jsonl
from tests.unit.test_sampling import CONCEPT, EVENT, PEOPLE, PERSON, QUESTIONS, REAL, STEP, SUITES, WORLD

SPLITS = {"person25": PERSON, "event15": EVENT}
ALL = {suite: list(rows) for suite, rows in SUITES.items()}


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """Splits, people and reference sets; nobody has answered yet."""
    for name, split in SPLITS.items():
        write_json(tmp_path / f"{name}.json", split)
    people = [
        Person(
            person_id=f"p{n}",
            name=f"Nora Lind{n}",
            age=30,
            gender="-",
            job="-",
            birthplace="-",
            appearance="-",
        )
        for n in range(PEOPLE)
    ]
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


def answer(world: Path, recipe: str, asked=ALL, text=truth) -> None:
    for suite, rows in asked.items():
        said = [
            Answer(question_id=row.question_id, image_id=row.image_id, question="?",
                   reference=row.answer if suite != "dataset" else truth(row), answer=text(row))
            for row in rows
        ]  # fmt: skip
        write_jsonl(world / recipe / f"{suite}.jsonl", said)


def score(
    world: Path, recipe: str, split: str, *, goal: str = "goal", sample: Sample | None = None
) -> Scores:
    judgements, target = world / recipe / f"{split}.judged.jsonl", split[:-2]
    if target == "event":
        answers = [world / name / "dataset.jsonl" for name in (recipe, "finetuned", goal)]
        judge_answers(*answers, world / f"{split}.json", judgements, judge="local")
    output = world / recipe / f"{split}.json"
    score_answers(
        output, answers={suite: world / recipe / f"{suite}.jsonl" for suite in SUITES},
        finetuned=world / "finetuned" / "real.jsonl", split=world / f"{split}.json",
        people=world / "people.jsonl", real=world / "real.jsonl", world=world / "world.jsonl",
        judgements=judgements if target == "event" else None, model="tiny", recipe=recipe, label="GD+BGD", seed=1,
        judge="local", bootstrap=20, max_missing_share=0.0, sample=sample,
    )  # fmt: skip
    return read_json(output, Scores)


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
    for recipe in ("goal", "gd+bgd-both05"):
        answer(world, recipe, text=forgetful)
    for split, own in SPLITS.items():
        scores = score(world, "gd+bgd-both05", split)
        assert (scores.method, scores.recipe, scores.target, scores.percent) == (
            "GD+BGD", "gd+bgd-both05", own.target, own.percent,
        )  # fmt: skip
        assert scores.details["sample"] == "all" and scores.details["forgotten"] == own.forgotten
        found = values(scores)
        assert (found["efficacy"], found["generality"], found["retain"]) == (100.0, 100.0, 100.0)
        assert (found["real"], found["world_fact"]) == (100.0, 100.0)


def test_a_recipe_of_k_steps_is_scored_on_what_it_was_asked(world):
    answer(world, "finetuned")
    answer(world, "goal", text=forgetful)
    for split, own in SPLITS.items():
        answer(world, "step", asked=pick(SUITES, [own], STEP), text=forgetful)
        scores = score(world, "step", split, sample=STEP)
        counts = {name: metric.n for name, metric in scores.metrics.items() if name != "real_vs_finetuned"}
        forget = {"efficacy": len(own.forget_train), "generality": len(own.forget_test)}
        rest = {"retain": 7, "scope": len(own.forget_train), "real": 5, "world_fact": 12}
        assert counts == forget | rest
        assert values(scores)["efficacy"] == 100.0
        asked = 2 * (len(own.forget_train) + len(own.forget_test)) + 7
        assert scores.details["sample"]["questions"] == {"dataset": asked, "real": 10, "world": 12}
        assert len(scores.details["sample"]["digest"]) == 16


def test_a_cell_without_questions_is_empty_and_says_why(world):
    answer(world, "finetuned")
    answer(world, "concept", asked=pick(SUITES, [PERSON, EVENT], CONCEPT), text=forgetful)
    scores = score(world, "concept", "person25", sample=CONCEPT)
    for name in ("retain", "real", "world_fact"):
        metric = scores.metrics[name]
        assert (metric.value, metric.n, metric.reason) == (None, 0, "no question of this kind was asked")
    assert scores.metrics["efficacy"].n == len(PERSON.forget_train)
    assert scores.details["pope"]["mean"]["accuracy"] is None


def test_a_sampled_retain_set_is_the_same_for_every_model(world):
    """The finetuned model is scored on both splits, hence asked more; its score rests on the same questions."""
    sample, wrong = Sample(seed=1, retain=5), []

    def errs(row) -> str:
        return "Nobody knows." if row.question_id in wrong else truth(row)

    own = pick(SUITES, [PERSON], sample)["dataset"]
    wrong += [row.question_id for row in own if row.image_id in set(PERSON.retain)][:2]
    answer(world, "finetuned", asked=pick(SUITES, list(SPLITS.values()), sample), text=errs)
    answer(world, "gd-person25", asked=pick(SUITES, [PERSON], sample), text=errs)
    scores = [score(world, recipe, "person25", sample=sample) for recipe in ("finetuned", "gd-person25")]
    assert [(one.metrics["retain"].value, one.metrics["retain"].n) for one in scores] == [(60.0, 5)] * 2
    assert scores[0].metrics["efficacy"].n == len(PERSON.forget_train)
    assert scores[0].details["sample"]["questions"]["dataset"] < len(QUESTIONS)
