"""Recipes after k steps and of one concept: asked a sample of the questions, judged and scored as any other."""

from __future__ import annotations

import pytest

from mmunlearn.evaluation.sampling import Sample, pick
from mmunlearn.records import Scores, read_json
from tests.rules.mini import split_of
from tests.rules.test_evaluation import SUITES, adopt, answers, questions

STEP, CONCEPT = "ga-event15@2", "ga-event15-0"
JOB = {"model": "tiny", "split": "event15", "seed": 1}


@pytest.fixture(scope="module")
def sampled(judged, tmp_path_factory):
    """The step's and the concept's model have the adapter of the whole recipe."""
    world = judged.copy(tmp_path_factory.mktemp("samples") / "world")
    for recipe in (STEP, CONCEPT):
        adopt(world, recipe, "ga-event15")
        world.run("answer_questions", model="tiny", recipe=recipe, seed=1)
    return world


def test_after_k_steps_a_sample_is_asked_and_answered_alike(sampled):
    n = sampled.config["figures"]["questions"]
    sample = Sample(seed=sampled.config["seed"], retain=n, real=n, world=n)
    asked = {suite: questions(sampled, suite) for suite in SUITES}
    chosen = pick(asked, [split_of(sampled, "event15")], sample)
    assert 0 < len(chosen["world"]) < len(asked["world"])
    for suite in SUITES:
        whole = {row.question_id: row for row in answers(sampled, "ga-event15", suite)}
        said = answers(sampled, STEP, suite)
        assert [row.question_id for row in said] == [row.question_id for row in chosen[suite]]
        assert said == [whole[row.question_id] for row in said]


def test_scores_after_k_steps_are_those_of_the_sample(sampled):
    recipes = {STEP: "sample", "ga-event15": "whole"}
    for recipe in recipes:
        for rule in ("judge_answers", "score_answers"):
            sampled.run(rule, recipe=recipe, **JOB)
    step, whole = (
        read_json(sampled.root / sampled.job("score_answers", recipe=recipe, **JOB)["output"][0], Scores)
        for recipe in recipes
    )
    for name in ("efficacy", "generality", "scope"):
        assert step.metrics[name] == whole.metrics[name], "the forget set is asked in full"
    assert step.metrics["retain"].n == sampled.config["figures"]["questions"] < whole.metrics["retain"].n
    assert step.method == whole.method == "GA"
    asked = {suite: len(answers(sampled, STEP, suite)) for suite in SUITES}
    assert step.details["sample"]["questions"] == asked and whole.details["sample"] == "all"


def test_of_one_concept_the_forgotten_alone_are_asked(sampled):
    gone = {}
    for target in ("person", "event"):
        split = split_of(sampled, f"{target}15")
        gone[target] = {*split.forget_train, *split.forget_test}
    wanted = {f"{image}-{kind}" for kind, images in gone.items() for image in images}
    assert {row.question_id for row in answers(sampled, CONCEPT, "dataset")} == wanted
    assert answers(sampled, CONCEPT, "real") == answers(sampled, CONCEPT, "world") == []


def test_a_whole_recipe_needs_no_split_to_be_asked(sampled):
    job = sampled.job("answer_questions", model="tiny", recipe="ga-event15", seed=1)
    assert job["params"]["sample"] is None and job["input"]["splits"] == []
    job = sampled.job("answer_questions", model="tiny", recipe="ga-both15@2", seed=1)
    assert job["input"]["splits"] == [
        f"results/mini/dataset/splits/{name}15.json" for name in ("person", "event")
    ]
