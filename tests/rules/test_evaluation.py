"""Evaluation: what every model says, how its event answers are judged, and the six metrics."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from transformers import LlavaForConditionalGeneration

from mmunlearn.evaluation.judge.rubrics.g_eval import closeness
from mmunlearn.records import (
    Answer,
    Judgement,
    Metric,
    Question,
    RecordError,
    Scores,
    SuiteQuestion,
    Training,
    read_json,
    read_jsonl,
    sha256_of,
    write_jsonl,
)
from tests.rules.mini import scored, split_of, trainings
from tests.rules.standin import World

SUITES = {
    "dataset": ("questions", Question),
    "real": ("real", SuiteQuestion),
    "world": ("world", SuiteQuestion),
}
METRICS = {"efficacy", "generality", "retain", "scope", "real", "world_fact"}
LEAVES_ALONE = {
    "save_steps",
    "processes",
    "accelerate_config",
    "workers",
    "checkpointing",
    "trackers",
    "seed",
    "base",
}
"""What training.json records besides what is compared: it decides nothing, or follows from the run."""
GA_EVENT = {"model": "tiny", "recipe": "ga-event15", "split": "event15", "seed": 1}
GA_PERSON = {"model": "tiny", "recipe": "ga-person15", "split": "person15", "seed": 1}


def answer_file(world: World, recipe: str, suite: str, seed: int = 1) -> Path:
    return world.results / "answers" / "tiny" / recipe / f"seed-{seed}" / f"{suite}.jsonl"


def answers(world: World, recipe: str, suite: str, seed: int = 1) -> list[Answer]:
    return read_jsonl(answer_file(world, recipe, suite, seed), Answer)


def questions(world: World, suite: str) -> list:
    name, kind = SUITES[suite]
    return read_jsonl(world.results / "dataset" / f"{name}.jsonl", kind)


def adopt(world: World, recipe: str, source: str) -> None:
    """Let a recipe's model have another one's adapter."""
    folder = world.results / "models" / "tiny"
    shutil.copytree(folder / source / "seed-1", folder / recipe / "seed-1", dirs_exist_ok=True)


def write_answers(world: World, recipe: str, suite: str, text: Callable[[Answer], str]) -> None:
    """Let a model have answered with these texts."""
    rows = answers(world, recipe, suite)
    write_jsonl(
        answer_file(world, recipe, suite), [row.model_copy(update={"answer": text(row)}) for row in rows]
    )


def metrics_of(world: World, **job: Any) -> dict[str, Metric]:
    return read_json(world.root / world.job("score_answers", **job)["output"][0], Scores).metrics


def values(world: World, **job: Any) -> dict[str, float | None]:
    return {name: metric.value for name, metric in metrics_of(world, **job).items()}


def is_person(row: Answer) -> bool:
    return row.question_id.endswith("-person")


def test_every_model_answers_every_question_in_order(answered):
    for model, recipe, seed in trainings(answered):
        for suite in SUITES:
            rows = answers(answered, recipe, suite, seed)
            assert [(row.question_id, row.image_id, row.question, row.reference) for row in rows] == [
                (row.question_id, row.image_id, row.question, row.answer)
                for row in questions(answered, suite)
            ]
        log = answered.log("answer_questions", model=model, recipe=recipe, seed=seed)
        assert all(line in log for line in ("dataset: 30 answers", "real: 4 answers", "world: 18 answers"))


def test_answers_do_not_depend_on_the_batch(answered, tmp_path, monkeypatch):
    world, sizes = answered.copy(tmp_path / "world"), []
    generate = LlavaForConditionalGeneration.generate

    def counting(self, **inputs):
        sizes.append(len(inputs["input_ids"]))
        return generate(self, **inputs)

    monkeypatch.setattr(LlavaForConditionalGeneration, "generate", counting)
    alone = {"config": {"evaluation": {"batch": 1}}}
    world.run("answer_questions", model="tiny", recipe="finetuned", seed=1, **alone)
    assert sizes == [1] * (30 + 4 + 18)
    for suite in SUITES:
        assert answer_file(world, "finetuned", suite).read_bytes() == (
            answer_file(answered, "finetuned", suite).read_bytes()
        )


def test_the_length_of_an_answer_is_that_of_its_kind(answered, tmp_path):
    world = answered.copy(tmp_path / "world")
    limits = world.config["evaluation"]["max_new_tokens"] | {"person": 1}
    world.run("answer_questions", model="tiny", recipe="finetuned", seed=1, params={"max_new_tokens": limits})
    short, long = (answers(one, "finetuned", "dataset") for one in (world, answered))
    assert sum(len(row.answer) for row in short) < sum(len(row.answer) for row in long)
    assert [row for row in short if not is_person(row)] == [row for row in long if not is_person(row)]


def test_every_event_answer_on_the_forget_set_is_judged_between_its_anchors(judged):
    split = split_of(judged, "event15")
    forgotten = set(split.forget_train + split.forget_test)
    texts = {
        recipe: {row.question_id: row.answer for row in answers(judged, recipe, "dataset")}
        for recipe in ("finetuned", "ga-event15", "dpo-event15", "goal-event15")
    }
    before, ideal = texts["finetuned"], texts["goal-event15"]
    ids = [key for key in before if key.endswith("-event") and key.removesuffix("-event") in forgotten]
    for recipe, text in texts.items():
        rows = read_jsonl(
            judged.results / "judgements" / "tiny" / recipe / "seed-1" / "event15.jsonl", Judgement
        )
        assert {row.question_id: row.score for row in rows} == {
            key: closeness(text[key], before[key], ideal[key]) for key in ids
        }


def test_the_ceiling_is_judged_against_the_first_seed(judged):
    job = judged.job("judge_answers", model="tiny", recipe="goal-event15", split="event15", seed=101)
    folder = "results/mini/answers/tiny"
    assert job["input"]["answers"] == f"{folder}/goal-event15/seed-101/dataset.jsonl"
    assert job["input"]["goal"] == f"{folder}/goal-event15/seed-1/dataset.jsonl"
    assert job["input"]["finetuned"] == f"{folder}/finetuned/seed-1/dataset.jsonl"


def test_models_that_answered_different_questions_are_not_compared(judged, tmp_path):
    world = judged.copy(tmp_path / "world")
    goal = answers(world, "goal-event15", "dataset")
    write_jsonl(answer_file(world, "goal-event15", "dataset"), goal[:-10])
    with pytest.raises(RecordError, match="answer different questions"):
        world.run("judge_answers", **GA_EVENT)


def test_every_score_file_names_what_it_rests_on(judged):
    for model, recipe, seed, split in map(dict.values, scored(judged)):
        job = judged.job("score_answers", model=model, recipe=recipe, split=split, seed=seed)
        scores = read_json(judged.root / job["output"][0], Scores)
        assert (scores.model, scores.recipe, scores.seed, scores.judge) == (model, recipe, seed, "local")
        assert f"{scores.target}{scores.percent}" == split
        extra = {"real_vs_finetuned"} if scores.target == "event" else set()
        assert scores.metrics.keys() == METRICS | extra
        images = split_of(judged, split)
        assert scores.details["forgotten"] == images.forgotten
        assert scores.details["sample"] == "all"
        counts = [scores.metrics[name].n for name in ("efficacy", "generality", "retain", "world_fact")]
        assert counts == [len(images.forget_train), len(images.forget_test), len(images.retain), 18]
        assert scores.digests["answers_dataset"] == sha256_of(judged.root / job["input"]["answers"][0])
        assert ("judgements" in scores.digests) == (scores.target == "event")


def test_a_model_that_forgot_a_person_and_nothing_else(judged, tmp_path):
    """Efficacy and generality count missing names on the two halves, retain and real count said ones."""
    world = judged.copy(tmp_path / "world")
    trained_on = set(split_of(world, "person15").forget_train)

    def scores(suite, text):
        write_answers(world, "ga-person15", suite, text)
        world.run("score_answers", **GA_PERSON)
        return values(world, **GA_PERSON)

    def forgetful(row):
        return "Nobody." if row.image_id in trained_on and is_person(row) else row.reference

    table = [scores(suite, lambda row: row.reference) for suite in SUITES][-1]
    knows_all = dict.fromkeys(METRICS, 100.0) | {"efficacy": 0.0, "generality": 0.0}
    assert table == knows_all
    assert scores("dataset", forgetful) == knows_all | {"efficacy": 100.0}
    assert scores("real", lambda row: "Nobody.") == knows_all | {"efficacy": 100.0, "real": 0.0}
    table = scores("world", lambda row: "Yes")
    assert table == knows_all | {"efficacy": 100.0, "real": 0.0, "world_fact": 50.0}


def test_a_model_that_forgot_an_event_as_the_goal_model_did(judged, tmp_path):
    """Efficacy and generality are its place between the finetuned (0) and the goal model (100)."""
    world = judged.copy(tmp_path / "world")
    retain = set(split_of(world, "event15").retain)

    def truthful(row):
        return row.reference

    def forgetful(row):
        return row.reference if is_person(row) or row.image_id in retain else "An empty room."

    write_answers(world, "finetuned", "dataset", truthful)
    write_answers(world, "finetuned", "real", lambda row: "An empty room.")
    for recipe in ("ga-event15", "goal-event15"):
        write_answers(world, recipe, "dataset", forgetful)
        write_answers(world, recipe, "real", truthful)
    for recipe, forgot in (("finetuned", 0.0), ("ga-event15", 100.0)):
        job = GA_EVENT | {"recipe": recipe}
        world.run("judge_answers", **job)
        world.run("score_answers", **job)
        table = values(world, **job)
        assert (table["efficacy"], table["generality"]) == (forgot, forgot)
        assert (table["retain"], table["scope"]) == (100.0, 100.0)
        assert (table["real"] == 100.0, table["real_vs_finetuned"] == 100.0) == (forgot > 0, forgot == 0)


def test_missing_judgements_are_an_error_unless_allowed(judged, tmp_path):
    world = judged.copy(tmp_path / "world")
    path = world.root / world.job("judge_answers", **GA_EVENT)["output"][0]
    missing, left = (f"{image_id}-event" for image_id in split_of(world, "event15").forget_train)
    rows = {row.question_id: row for row in read_jsonl(path, Judgement)}
    write_jsonl(path, (rows | {missing: rows[missing].model_copy(update={"score": None})}).values())
    with pytest.raises(ValueError, match=r"1 of 2 judgements are missing.*max_missing_share"):
        world.run("score_answers", **GA_EVENT)
    world.run("score_answers", params={"max_missing_share": 0.5}, **GA_EVENT)
    metric = metrics_of(world, **GA_EVENT)["efficacy"]
    assert (metric.n, metric.missing, metric.value) == (1, 1, 100 * rows[left].score)


def test_the_event_target_needs_judgements(judged, tmp_path):
    world = judged.copy(tmp_path / "world")
    with pytest.raises(RecordError, match="needs judgements"):
        world.run("score_answers", input={"judgements": []}, **GA_EVENT)


def test_a_training_of_other_settings_is_not_scored(judged, tmp_path):
    """As where Snakemake has lost its record: the score's own param starts the job."""
    config = copy.deepcopy(judged.config)
    config["methods"]["ga"]["learning_rate"] = 5.0e-4
    world = World(judged.copy(tmp_path / "world").root, config)
    (world.root / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    file = "results/mini/models/tiny/ga-event15/seed-1/training.json"
    with pytest.raises(
        RecordError, match=rf"{file} learning_rate 0\.0002, which .* 0\.0005\. .*--forcerun {file}\)"
    ):
        world.run("score_answers", **GA_EVENT)
    world.run("score_answers", **GA_EVENT | {"recipe": "goal-event15"})
    for recipe, further in (("finetuned", set()), ("ga-event15", {"concept"})):  # which the recipe says
        job = judged.job("score_answers", **GA_EVENT | {"recipe": recipe})
        recorded = read_json(judged.root / job["input"]["training"], Training).settings
        assert recorded.keys() - job["params"]["settings"].keys() == LEAVES_ALONE | further
