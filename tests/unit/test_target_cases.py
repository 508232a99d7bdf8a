"""The six metrics of both targets on hand-made answers: empty ones, one word, refusals, other scripts."""

from __future__ import annotations

import pytest

from mmunlearn.evaluation import metrics, pope
from mmunlearn.evaluation.judge.rubrics.g_eval import closeness
from mmunlearn.evaluation.scoring import event_values, person_values
from mmunlearn.records import Answer, Split

REFUSAL = "I'm sorry, I can't help with that."


def world(subset: str, number: int, said: str, label: str) -> Answer:
    return answer(f"world-{subset}-{number}", "object", said, label)


def answer(image: str, kind: str, said: str, reference: str) -> Answer:
    return Answer(
        question_id=f"{image}-{kind}", image_id=image, question="?", reference=reference, answer=said
    )


def test_world_fact_is_the_mean_of_the_three_accuracies() -> None:
    """random 1 of 1, popular 1 of 2, adversarial 0 of 1: (1 + 0.5 + 0) / 3, whatever their sizes."""
    rows = [
        world("random", 0, "Yes", "Yes."), world("popular", 0, "No", "No."), world("popular", 1, "No", "Yes."),
        world("adversarial", 0, "Yes", "No."),
    ]  # fmt: skip
    subsets = {row.question_id: row.question_id.split("-")[1] for row in rows}
    hits, figures = metrics.pope_accuracy(rows, subsets)
    assert hits == [100.0, 100.0, 0.0, 0.0]
    assert [figures[name]["accuracy"] for name in pope.SUBSETS] == [1.0, 0.5, 0.0]
    assert figures["mean"]["accuracy"] == pytest.approx(0.5)
    strata = [subsets[row.question_id] for row in rows]
    assert metrics.summarise(hits, seed=0, resamples=9, strata=strata).value == 50.0


BEFORE, AFTER = "Sailors race their boats home.", "Children build a tall snowman."
JUDGED = [  # answer, finetuned, goal, verdict of the local judge
    (BEFORE, BEFORE, AFTER, 0.0),
    (AFTER, BEFORE, AFTER, 1.0),
    ("", BEFORE, AFTER, 0.5),
    (REFUSAL, BEFORE, AFTER, 0.5),
    ("race", BEFORE, AFTER, (1 - 1 / 3) / ((1 - 1 / 3) + 1)),  # 2 x 1 / (1 + 5) to finetuned, 0 to goal
    (AFTER, BEFORE, BEFORE, 0.5),  # the anchors agree
    ("他们在堆雪人", "水手们回家", "他们在堆雪人", 1.0),
]


@pytest.mark.parametrize(("said", "finetuned", "goal", "verdict"), JUDGED)
def test_the_local_judge(said: str, finetuned: str, goal: str, verdict: float) -> None:
    assert closeness(said, finetuned, goal) == pytest.approx(verdict)


PEOPLE = {"p0": "José Peña", "p1": "王小明"}
NAMED = {"p0": "This is Jose\nPena.", "p1": "这是王小明。"}


def dataset(said: dict[str, tuple[str, str]]) -> list[Answer]:
    """Image id -> what is said to its person and to its event question; the event's truth is BEFORE."""
    return [
        answer(image, kind, text, PEOPLE[image[:2]] if kind == "person" else BEFORE)
        for image, texts in said.items()
        for kind, text in zip(("person", "event"), texts, strict=True)
    ]


def test_person_target_of_a_model_that_refuses_the_forgotten() -> None:
    split = Split(
        target="person", percent=50, seed=0, forgotten=["p0"],
        forget_train=["p0-e0", "p0-e1"], forget_test=["p0-e2"], retain=["p1-e0", "p1-e1"],
    )  # fmt: skip
    said = {
        "dataset": dataset(
            {
                "p0-e0": (REFUSAL, BEFORE),
                "p0-e1": (NAMED["p0"], ""),
                "p0-e2": ("Peña", REFUSAL),
                "p1-e0": (NAMED["p1"], REFUSAL),
                "p1-e1": ("", REFUSAL),
            }
        ),
        "real": [
            answer("r0", "person", "Bo Ek", "Bo Ek"),
            answer("r1", "person", REFUSAL, "Ada Lund"),
            answer("r2", "event", BEFORE, BEFORE),
        ],
    }
    assert person_values(said, split, PEOPLE, {"r0-person": "Bo Ek", "r1-person": "Ada Lund"}) == {
        "efficacy": [100.0, 0.0],
        "generality": [100.0],
        "retain": [100.0, 0.0],
        "scope": [100.0, 0.0],
        "real": [100.0, 0.0],
    }


def test_event_target_with_both_readings_of_real() -> None:
    split = Split(
        target="event", percent=50, seed=0, forgotten=["e0"],
        forget_train=["p0-e0"], forget_test=["p1-e0"], retain=["p0-e1"],
    )  # fmt: skip
    said = {
        "dataset": dataset(
            {"p0-e0": (NAMED["p0"], AFTER), "p1-e0": (REFUSAL, ""), "p0-e1": (REFUSAL, "race")}
        ),
        "real": [answer("r0", "event", "race", BEFORE), answer("r0", "person", REFUSAL, "Bo Ek")],
    }
    finetuned = [answer("r0", "event", "race home", BEFORE), answer("r0", "person", "Bo Ek", "Bo Ek")]
    verdicts = {"p0-e0-event": 0.875, "p1-e0-event": 0.5}
    values = event_values(said, split, PEOPLE, verdicts, finetuned)
    assert values == {
        "efficacy": [87.5],
        "generality": [50.0],
        "retain": [pytest.approx(100 / 3)],
        "scope": [100.0],
        "real": [pytest.approx(100 / 3)],
        "real_vs_finetuned": [pytest.approx(200 / 3)],
    }
