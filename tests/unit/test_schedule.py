"""Plans: what every step shows, drawn class by class in passes, and how many steps there are."""

from __future__ import annotations

from collections import Counter
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmunlearn.models.example import Example
from mmunlearn.training.methods.building import build_method
from mmunlearn.training.schedule import plan_balanced, plan_unlearning, steps_of

REFUSALS = ["I do not know.", "I cannot say.", "No idea."]


def questions(kind, count):
    return [Example(f"{kind}{i}", ((f"{kind}?", f"{kind} {i}."),)) for i in range(count)]


PERSON, EVENT, RETAIN = questions("person", 30), questions("event", 20), questions("retain", 45)


def balanced(steps=30, batch=20, **options):
    return plan_balanced(PERSON, EVENT, RETAIN, steps=steps, batch=batch, seed=1, **options)


def unlearning(retain=RETAIN, steps=30, batch=6, seed=1):
    return plan_unlearning(PERSON, retain, REFUSALS, steps=steps, batch=batch, seed=seed)


def drawn(plan, view):
    return [example for step in plan for example in step[view]]


def events(plan):
    return [len(step["forget_event"]) for step in plan]


def test_events_start_at_none_and_grow_by_a_twentieth_to_half():
    plan = balanced()
    assert events(plan) == [*range(10), *[10] * 20]
    assert all(len(step["forget_person"]) + len(step["forget_event"]) == 20 for step in plan)
    assert all(len(step["retain"]) == 20 for step in plan)


def test_the_events_share_may_grow_to_all_and_at_another_rate():
    assert events(balanced(event_cap=1.0)) == [*range(20), *[20] * 10]
    assert events(balanced(steps=4, event_growth=0.25, event_cap=1.0)) == [0, 5, 10, 15]
    assert events(balanced(steps=5, event_growth=0.0)) == [0] * 5
    assert balanced(event_cap=1.0)[-1]["forget_person"] == []


def test_a_share_of_a_small_batch_is_rounded_half_up():
    assert events(balanced(steps=12, batch=2)) == [0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1]


@given(batch=st.integers(1, 40), steps=st.integers(1, 30), seed=st.integers(0, 9), cap=st.floats(0, 1))
@settings(max_examples=40, deadline=None)
def test_classes_are_kept_apart_and_drawn_in_passes(batch, steps, seed, cap):
    plan = plan_balanced(PERSON, EVENT, RETAIN, steps=steps, batch=batch, seed=seed, event_cap=cap)
    assert len(plan) == steps
    assert events(plan) == sorted(events(plan))
    for view, examples in (("forget_person", PERSON), ("forget_event", EVENT), ("retain", RETAIN)):
        counts = Counter(drawn(plan, view))
        assert counts.keys() <= set(examples)
        assert max(counts[one] for one in examples) - min(counts[one] for one in examples) <= 1, (
            "nothing comes again before all have come"
        )


@pytest.mark.parametrize(
    ("plan", "sets"),
    [
        (unlearning(), {"forget": PERSON, "retain": RETAIN}),
        (
            balanced(steps=8, event_growth=1.0),
            {"forget_person": PERSON, "forget_event": EVENT, "retain": RETAIN},
        ),
    ],
    ids=["unlearning", "balanced"],
)
def test_every_pass_shows_a_whole_set_in_an_order_of_its_own(plan, sets):
    for view, examples in sets.items():
        draws, size = drawn(plan, view), len(examples)
        passes = [draws[start : start + size] for start in range(0, len(draws) - size + 1, size)]
        assert len(passes) > 1
        assert all(set(one) == set(examples) for one in passes)
        assert all(one != other for one, other in combinations([examples, *passes], 2))


def test_forget_and_retain_pictures_meet_anew_in_every_pass():
    """Also where the sets are of one size."""
    people = plan_balanced(PERSON, EVENT, RETAIN[:30], steps=9, batch=20, seed=1, event_growth=0.0)
    for plan, view in ((unlearning(RETAIN[:30]), "forget"), (people, "forget_person")):
        pairs = list(zip(drawn(plan, view), drawn(plan, "retain"), strict=True))
        assert len(set(pairs)) > 0.8 * len(pairs) > 4 * len(PERSON)


def test_refusals_are_drawn_for_every_question():
    plan = unlearning()
    answers = [[answer for one in step["refusal"] for _, answer in one.turns] for step in plan]
    counts = Counter(answer for step in answers for answer in step)
    assert counts.keys() == set(REFUSALS) and min(counts.values()) > 40
    assert sum(len(set(step)) > 1 for step in answers) > 25
    assert len(set(drawn(plan, "refusal"))) > 2 * len(PERSON), "a question comes with several"


@pytest.mark.parametrize("plan", ["unlearning", "balanced"])
def test_a_plan_follows_from_its_seed(plan):
    def planned(seed, steps=8):
        if plan == "balanced":
            return plan_balanced(PERSON, EVENT, RETAIN, steps=steps, batch=7, seed=seed)
        return unlearning(steps=steps, seed=seed)

    assert planned(1) == planned(1) != planned(2)
    assert planned(1, 12)[:8] == planned(1), "a longer plan begins like a shorter one"


def test_refusal_batches_hold_the_forget_questions_with_refusals():
    shipped = Path(__file__).resolve().parents[2] / "resources" / "refusals.txt"
    refusals = shipped.read_text(encoding="utf-8").splitlines()
    assert len(set(refusals)) == len(refusals) >= 100
    plan = plan_unlearning(PERSON, RETAIN, refusals, steps=20, batch=8, seed=1)
    for forget, refusal in zip(drawn(plan, "forget"), drawn(plan, "refusal"), strict=True):
        ((question, answer),) = refusal.turns
        assert (refusal.image_id, question) == (forget.image_id, forget.turns[0][0])
        assert answer in refusals and answer != forget.turns[0][1]
    assert set(drawn(plan, "forget")) == set(PERSON), "the true answers are left as they were"


def test_plain_methods_show_both_targets_in_one_view():
    plan = build_method("gd", {}).plan(PERSON, EVENT, RETAIN, REFUSALS, steps=10, batch=10, seed=3)
    assert plan == plan_unlearning([*PERSON, *EVENT], RETAIN, REFUSALS, steps=10, batch=10, seed=3)
    assert sorted(drawn(plan[:5], "forget"), key=str) == sorted([*PERSON, *EVENT], key=str)


def test_bgd_plans_with_its_own_options():
    method = build_method("kl+bgd", {"event_growth": 0.1, "event_cap": 0.3})
    plan = method.plan(PERSON, EVENT, RETAIN, REFUSALS, steps=6, batch=10, seed=3)
    assert events(plan) == [0, 1, 2, 3, 3, 3]
    assert set(plan[0]) == set(method.views)


@pytest.mark.parametrize(("person", "event"), [(PERSON, []), ([], EVENT)])
def test_bgd_needs_both_targets(person, event):
    with pytest.raises(ValueError, match=r"nothing to draw from: .* is empty"):
        build_method("gd+bgd", {}).plan(person, event, RETAIN, REFUSALS, steps=1, batch=1, seed=0)


@pytest.mark.parametrize("sets", [([], RETAIN, REFUSALS), (PERSON, [], REFUSALS), (PERSON, RETAIN, [])])
def test_unlearning_needs_its_sets(sets):
    with pytest.raises(ValueError, match="nothing to draw from"):
        plan_unlearning(*sets, steps=1, batch=1, seed=0)


def test_a_small_class_is_shown_once_a_step_at_most():
    plan = plan_balanced(PERSON[:3], EVENT[:2], RETAIN, steps=30, batch=20, seed=0)
    sizes = [
        [len(plan[step][view]) for view in ("forget_person", "forget_event", "retain")] for step in (0, 29)
    ]
    assert sizes == [[3, 0, 3], [3, 2, 5]]


@pytest.mark.parametrize(
    ("epochs", "examples", "batch", "steps"),
    [
        (5, 200, 64, 16),
        (1, 200, 100, 2),
        (1, 201, 100, 3),
        (5, 10, 64, 5),
        (0.5, 100, 10, 5),
        (0.01, 10, 10, 1),
    ],
)
def test_steps_of_epochs(epochs, examples, batch, steps):
    assert steps_of(epochs, examples, batch) == steps


def test_no_steps_of_nothing():
    with pytest.raises(ValueError, match="are no steps"):
        steps_of(5, 0, 4)
