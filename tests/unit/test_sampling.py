"""Samples of questions: which they are, how many, and that they never depend on what else is asked."""

from __future__ import annotations

import random
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from mmunlearn.dataset.splits import make_split
from mmunlearn.evaluation.sampling import Sample, balanced, lowest, pick, summary
from mmunlearn.records import Question, SuiteQuestion

PEOPLE, EVENTS = 8, 6
IMAGES = [f"p{person}-e{event}" for person in range(PEOPLE) for event in range(EVENTS)]
PERSON = make_split({image: image[:2] for image in IMAGES}, target="person", percent=25, seed=1)
EVENT = make_split({image: image[3:] for image in IMAGES}, target="event", percent=15, seed=1)
QUESTIONS = [
    Question(question_id=f"{image}-{kind}", image_id=image, kind=kind, question="?", answer="!")
    for image in IMAGES
    for kind in ("person", "event")
]


def suite_question(image: str, kind: str, subset: str = "", answer: str = "A.") -> SuiteQuestion:
    parts = (image, subset, answer) if subset else (image, kind)
    return SuiteQuestion(
        question_id="-".join(parts), image_id=image, kind=kind,
        subset=subset, question="?", answer=answer, path="x.png", sha256="0",
    )  # fmt: skip


REAL = [suite_question(f"real-{n}", kind) for n in range(20) for kind in ("person", "event")]
WORLD = [
    suite_question(f"world-{n}", "object", subset, answer)
    for n in range(20)
    for subset in ("random", "popular", "adversarial")
    for answer in ("Yes", "No")
]
SUITES = {"dataset": QUESTIONS, "real": REAL, "world": WORLD}
STEP = Sample(seed=1, retain=7, real=5, world=12)
CONCEPT = Sample(seed=1, retain=0, real=0, world=0, one_kind=True)


def ids(rows) -> list[str]:
    return [row.question_id for row in rows]


def test_all_questions_on_the_forget_set_and_some_others():
    for split, kind in ((PERSON, "person"), (EVENT, "event")):
        forgotten = {*split.forget_train, *split.forget_test}
        picked = pick(SUITES, [split], STEP)
        rows = [row for row in picked["dataset"] if row.image_id in forgotten]
        assert ids(rows) == [row.question_id for row in QUESTIONS if row.image_id in forgotten]
        others = [row for row in picked["dataset"] if row.image_id not in forgotten]
        assert Counter(row.kind for row in others) == {kind: 7}
        assert Counter(row.kind for row in picked["real"]) == {"person": 5, "event": 5}
        assert Counter((row.subset, row.answer) for row in picked["world"]) == {
            (subset, answer): 2 for subset in ("random", "popular", "adversarial") for answer in ("Yes", "No")
        }


def test_questions_keep_their_order():
    for suite, rows in pick(SUITES, [PERSON], STEP).items():
        places = {name: place for place, name in enumerate(ids(SUITES[suite]))}
        assert [places[name] for name in ids(rows)] == sorted(places[name] for name in ids(rows))


def test_a_both_recipe_is_asked_what_either_score_rests_on():
    both = set(ids(pick(SUITES, [PERSON, EVENT], STEP)["dataset"]))
    alone = [set(ids(pick(SUITES, [split], STEP)["dataset"])) for split in (PERSON, EVENT)]
    assert both == alone[0] | alone[1]


def test_a_concept_recipe_is_asked_for_the_forgotten_concepts_alone():
    picked = pick(SUITES, [PERSON, EVENT], CONCEPT)
    people, events = ({*split.forget_train, *split.forget_test} for split in (PERSON, EVENT))
    assert {row.image_id for row in picked["dataset"] if row.kind == "person"} == people
    assert {row.image_id for row in picked["dataset"] if row.kind == "event"} == events
    assert len(picked["dataset"]) == len(people) + len(events)
    assert picked["real"] == picked["world"] == []


def test_without_numbers_everything_is_asked():
    assert pick(SUITES, [PERSON], Sample(seed=1)) == SUITES


def test_only_the_retained_are_fewer_where_only_they_are_sampled():
    picked = pick(SUITES, [PERSON, EVENT], Sample(seed=1, retain=3))
    assert (picked["real"], picked["world"]) == (REAL, WORLD)
    assert len(picked["dataset"]) < len(QUESTIONS)


def test_more_than_there_are_is_all_of_them():
    assert pick(SUITES, [PERSON], Sample(seed=1, real=1000, world=1000))["world"] == WORLD
    assert lowest(REAL, 1000, 1) == REAL


@given(st.randoms(), st.integers(0, 20))
def test_a_sample_depends_neither_on_order_nor_on_the_other_questions(shuffler: random.Random, n: int):
    """What is drawn from all is drawn from any part that holds it, and a larger sample holds a smaller one."""
    sample = set(ids(lowest(QUESTIONS, n, 1)))
    assert len(sample) == n
    part = [row for row in QUESTIONS if row.question_id in sample or shuffler.random() < 0.5]
    shuffler.shuffle(part)
    assert set(ids(lowest(part, n, 1))) == sample <= set(ids(lowest(QUESTIONS, n + 1, 1)))


def test_another_seed_draws_others():
    assert ids(lowest(QUESTIONS, 10, 1)) == ids(lowest(QUESTIONS, 10, 1)) != ids(lowest(QUESTIONS, 10, 2))


@given(st.integers(0, 130))
def test_the_world_sample_is_balanced_to_one_question(n: int):
    sample = balanced(WORLD, n, 1)
    counts = Counter((row.subset, row.answer) for row in sample)
    assert len(sample) == min(n, len(WORLD))
    assert max(counts.values(), default=0) - min((counts[key] for key in counts), default=0) <= 1


def test_a_summary_names_counts_and_digest():
    picked = pick(SUITES, [PERSON], STEP)
    digested = summary(STEP, picked)
    forgotten = 2 * (len(PERSON.forget_train) + len(PERSON.forget_test))
    assert digested["questions"] == {"dataset": forgotten + 7, "real": 10, "world": 12}
    assert digested == summary(STEP, pick(SUITES, [PERSON], STEP))
    assert digested["digest"] != summary(STEP, pick(SUITES, [EVENT], STEP))["digest"]
    assert summary(None, SUITES) == "all"
