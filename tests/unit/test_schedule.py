"""Plans: what every step shows, drawn class by class in passes, and how many steps there are."""

from __future__ import annotations

from collections import Counter
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


PERSON, EVENT, RETAIN = questions("person", 30), questions("event", 20), questions("retain", 25)


def balanced(steps=30, batch=20, **options):
    return plan_balanced(PERSON, EVENT, RETAIN, steps=steps, batch=batch, seed=1, **options)


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
    for view, own in (("forget_person", PERSON), ("forget_event", EVENT), ("retain", RETAIN)):
        drawn = [example for step in plan for example in step[view]]
        assert set(drawn) <= set(own)
        counts = [Counter(drawn)[example] for example in own]
        assert max(counts) - min(counts) <= 1, "nothing comes again before all have come"


def test_every_pass_has_its_own_order():
    drawn = [
        example for step in balanced(steps=6, batch=30, event_growth=0.0) for example in step["forget_person"]
    ]
    assert drawn[:30] != drawn[30:60]
    assert drawn[:30] != PERSON


@pytest.mark.parametrize("plan", ["unlearning", "balanced"])
def test_a_plan_follows_from_its_seed(plan):
    def drawn(seed, steps=8):
        if plan == "balanced":
            return plan_balanced(PERSON, EVENT, RETAIN, steps=steps, batch=7, seed=seed)
        return plan_unlearning(PERSON, RETAIN, REFUSALS, steps=steps, batch=7, seed=seed)

    assert drawn(1) == drawn(1) != drawn(2)
    assert drawn(1, 12)[:8] == drawn(1), "a longer plan begins like a shorter one"


def test_refusal_batches_hold_the_forget_questions_with_refusals():
    shipped = Path(__file__).resolve().parents[2] / "resources" / "refusals.txt"
    refusals = shipped.read_text(encoding="utf-8").splitlines()
    assert len(set(refusals)) == len(refusals) >= 100
    plan = plan_unlearning(PERSON, RETAIN, refusals, steps=20, batch=8, seed=1)
    for step in plan:
        assert [one.image_id for one in step["refusal"]] == [one.image_id for one in step["forget"]]
        for forget, refusal in zip(step["forget"], step["refusal"], strict=True):
            ((question, answer),) = refusal.turns
            assert question == forget.turns[0][0]
            assert answer in refusals
            assert answer != forget.turns[0][1]
    assert {one for step in plan for one in step["forget"]} == set(PERSON), (
        "the true answers are left as they were"
    )


def test_plain_methods_show_both_targets_in_one_view():
    plan = build_method("gd", {}).plan(PERSON, EVENT, RETAIN, REFUSALS, steps=10, batch=10, seed=3)
    assert plan == plan_unlearning([*PERSON, *EVENT], RETAIN, REFUSALS, steps=10, batch=10, seed=3)
    shown = [example for step in plan[:5] for example in step["forget"]]
    assert sorted(shown, key=str) == sorted([*PERSON, *EVENT], key=str)


def test_bgd_plans_with_its_own_options():
    method = build_method("kl+bgd", {"event_growth": 0.1, "event_cap": 0.3})
    plan = method.plan(PERSON, EVENT, RETAIN, REFUSALS, steps=6, batch=10, seed=3)
    assert events(plan) == [0, 1, 2, 3, 3, 3]
    assert set(plan[0]) == set(method.views)


@pytest.mark.parametrize(("person", "event"), [(PERSON, []), ([], EVENT)])
def test_bgd_needs_both_targets(person, event):
    with pytest.raises(ValueError, match=r"nothing to draw from: .* is empty"):
        build_method("gd+bgd", {}).plan(person, event, RETAIN, REFUSALS, steps=1, batch=1, seed=0)


@pytest.mark.parametrize("empty", range(3))
def test_unlearning_needs_its_sets(empty):
    sets = (
        [[], RETAIN, REFUSALS]
        if empty == 0
        else [PERSON, [], REFUSALS]
        if empty == 1
        else [PERSON, RETAIN, []]
    )
    with pytest.raises(ValueError, match="nothing to draw from"):
        plan_unlearning(*sets, steps=1, batch=1, seed=0)


def test_a_small_class_is_shown_once_a_step_at_most():
    plan = plan_balanced(PERSON[:3], EVENT[:2], RETAIN, steps=30, batch=20, seed=0)
    assert (len(plan[0]["forget_person"]), len(plan[0]["forget_event"]), len(plan[0]["retain"])) == (3, 0, 3)
    assert (len(plan[29]["forget_person"]), len(plan[29]["forget_event"]), len(plan[29]["retain"])) == (
        3,
        2,
        5,
    )


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
