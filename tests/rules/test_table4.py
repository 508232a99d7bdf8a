"""Table IV by its rules: recipes of both targets are scored for person and for event, beside their own goal."""

from __future__ import annotations

import pytest

from mmunlearn.evaluation.judge.rubrics.g_eval import closeness
from mmunlearn.records import Judgement, Scores, read_json, read_jsonl, sha256_of
from mmunlearn.reporting.layout import TABLE4, read_table
from tests.rules.mini import scored, split_of, train
from tests.rules.test_evaluation import answers

BOTH, GOAL = "gd+bgd-both15", "goal-both15"


@pytest.fixture(scope="module")
def both(judged, tmp_path_factory):
    """Goal and GD+BGD on both targets: trained, answered, judged and scored, and the table."""
    world = judged.copy(tmp_path_factory.mktemp("both") / "world")
    for recipe, seed in ((GOAL, 1), (GOAL, 101), (BOTH, 1)):
        train(world, recipe, seed)
        world.run("answer_questions", model="tiny", recipe=recipe, seed=seed)
    for model, recipe, seed, split in map(dict.values, scored(world, "table4")):
        if split.startswith("event"):
            world.run("judge_answers", model=model, recipe=recipe, split=split, seed=seed)
        world.run("score_answers", model=model, recipe=recipe, split=split, seed=seed)
    world.run("make_table4")
    return world


def test_a_recipe_of_both_targets_is_judged_beside_its_own_goal(both):
    job = both.job("judge_answers", model="tiny", recipe=BOTH, split="event15", seed=1)
    assert job["input"]["goal"] == f"results/mini/answers/tiny/{GOAL}/seed-1/dataset.jsonl"
    replies, before, ideal = (
        {row.question_id: row.answer for row in answers(both, recipe, "dataset")}
        for recipe in (BOTH, "finetuned", GOAL)
    )
    split = split_of(both, "event15")
    rows = read_jsonl(both.root / job["output"][0], Judgement)
    assert {row.question_id for row in rows} == {
        f"{image}-event" for image in (*split.forget_train, *split.forget_test)
    }
    for row in rows:
        key = row.question_id
        assert row.score == closeness(replies[key], before[key], ideal[key])


def test_it_has_a_score_for_each_target(both):
    for target in ("person", "event"):
        folder = both.results / "scores" / "tiny" / BOTH / "seed-1"
        scores = read_json(folder / f"{target}15.json", Scores)
        assert (scores.method, scores.target, scores.percent) == ("GD+BGD", target, 15)
        assert scores.details["forgotten"] == split_of(both, f"{target}15").forgotten


def test_table4_holds_the_scores_of_every_recipe(both):
    rows = read_table(both.results / "tables" / "table4.csv")
    methods = ("Finetune", "GD+BGD", "Goal")
    assert [(row["method"], row["target"]) for row in rows] == [
        (method, target) for method in methods for target in ("person", "event")
    ]
    recipes = dict(zip(methods, ("finetuned", BOTH, GOAL), strict=True))
    for row in rows:
        path = (
            both.results / "scores" / "tiny" / recipes[row["method"]] / "seed-1" / f"{row['target']}15.json"
        )
        scores = read_json(path, Scores)
        assert [row[name] for name in TABLE4.metrics] == [
            repr(scores.metrics[name].value) for name in TABLE4.metrics
        ]


def test_its_ceiling_is_the_goal_model_of_the_other_seed_before_the_same_judge(both):
    rows = read_table(both.results / "tables" / "table4_ceiling.csv")
    assert [(row["method"], row["target"], row["seed_list"]) for row in rows] == [
        ("Goal", "person", "101"), ("Goal", "event", "101"),
    ]  # fmt: skip
    job = both.job("judge_answers", model="tiny", recipe=GOAL, split="event15", seed=101)
    assert job["input"]["goal"] == f"results/mini/answers/tiny/{GOAL}/seed-1/dataset.jsonl"
    assert "| Goal, seed 101 |" in (both.results / "tables" / "table4.md").read_text(encoding="utf-8")


def test_table4_made_again_is_the_same_bytes(both, tmp_path):
    world = both.copy(tmp_path / "world")
    world.run("make_table4")
    for name in (
        "table4.csv",
        "table4.md",
        "table4.tex",
        "table4_vs_published.csv",
        "table4_differences.csv",
    ):
        assert sha256_of(world.results / "tables" / name) == sha256_of(both.results / "tables" / name), name
