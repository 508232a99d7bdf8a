"""The grammar of ids: what is written is read back, and what is no id is refused with the form that is expected."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmunlearn import ids
from mmunlearn.ids import IdError, Recipe, Run, concepts_of, kind_of, parse_recipe, parse_split, split_parts

RECIPES = {
    "finetuned": Recipe("finetuned"),
    "goal-person05": Recipe("goal", "person", 5),
    "gd+bgd-both15": Recipe("gd+bgd", "both", 15),
    "ga-event05@32": Recipe("ga", "event", 5, step=32),
    "ga-event05@0": Recipe("ga", "event", 5, step=0),
    "gd-person05-0": Recipe("gd", "person", 5, concept=0),
}


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_read_and_written_alike(name):
    assert parse_recipe(name) == RECIPES[name] and RECIPES[name].name == name
    assert re.fullmatch(ids.RECIPE, name)


def test_patterns_tell_recipes_apart():
    unlearned = [name for name in RECIPES if re.fullmatch(ids.UNLEARNED, name)]
    assert unlearned == ["gd+bgd-both15", "gd-person05-0"]
    whole = [name for name in RECIPES if re.fullmatch(ids.WHOLE, name)]
    assert whole == ["finetuned", "goal-person05", "gd+bgd-both15"]
    assert parse_recipe("ga-event05@32").whole.name == "ga-event05"


@pytest.mark.parametrize(
    "wrong", ["", "goal", "ga-person5", "ga-people05", "ga-person05@", "ga-person05@1-2", "GA-person05"]
)
def test_what_is_no_recipe_is_refused(wrong):
    with pytest.raises(IdError, match="expected finetuned or <method>-<target><two digits>"):
        parse_recipe(wrong)


def test_splits():
    assert parse_split("person05") == ("person", 5) and ids.split_id("person", 5) == "person05"
    assert split_parts("both10") == ["person10", "event10"] and split_parts("event10") == ["event10"]
    for wrong in ("person5", "people05", "person", "person005"):
        with pytest.raises(IdError, match=r"e\.g\. person05"):
            parse_split(wrong)


@given(st.from_regex("[a-z0-9]{1,4}", fullmatch=True), st.from_regex("[a-z0-9]{1,4}", fullmatch=True))
def test_images_and_questions(person, event):
    image = ids.image_id(person, event)
    assert concepts_of(image) == (person, event)
    assert [kind_of(ids.question_id(image, kind)) for kind in ids.TARGETS] == list(ids.TARGETS)
    assert ids.candidate_id(image, 3) == f"{image}-a03"
    further = ids.image_id(person, event, 2)
    assert further == f"{image}_2" and ids.image_id(person, event, 1) == image
    assert concepts_of(further) == (person, event)
    assert [kind_of(ids.question_id(further, kind)) for kind in ids.TARGETS] == list(ids.TARGETS)


def test_other_pictures_and_questions_are_no_concepts_and_no_kinds():
    for wrong in ("p017", "real-person-001", "-e05", "p017-", "p017-e05_", "p017-e05_b", "p017-_2"):
        with pytest.raises(IdError, match="p017-e05"):
            concepts_of(wrong)
    assert kind_of("world-003-popular-2") == "object" and kind_of("real-event-003-event") == "event"


def test_a_run_is_found_in_the_path_of_each_of_its_files():
    run = Run("llava-1.5-7b", "ga-event05@2", 101)
    assert run.folder == "llava-1.5-7b/ga-event05@2/seed-101"
    for file in ("dataset.jsonl", "adapter/adapter_model.safetensors", "event05/membership.json"):
        assert Run.of(f"results/seed-1/answers/{run.folder}/{file}") == run
    with pytest.raises(IdError, match="belongs to no run"):
        Run.of("results/pocket/tables/table3.csv")
