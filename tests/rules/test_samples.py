"""Recipes after k steps and of one concept: asked a sample of the questions, judged and scored as any other."""

from __future__ import annotations

import copy
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from transformers import AutoModelForImageTextToText, LlavaForConditionalGeneration

from mmunlearn.evaluation.answer_store import AnswerStore, adapter_digests, identity
from mmunlearn.evaluation.sampling import Sample, pick
from mmunlearn.ids import Run
from mmunlearn.models.loading import ModelSpec
from mmunlearn.records import Scores, read_json
from mmunlearn.workflow.targets import Targets
from tests.rules.mini import split_of
from tests.rules.standin import World
from tests.rules.test_evaluation import SUITES, adopt, answer_file, answers, questions

STEP, CONCEPT = "ga-event15@2", "ga-event15-0"
WHOLE = {
    "ga-event15@1": "finetuned",
    STEP: "ga-event15",
    "ga-person15-0": "goal-person15",
    CONCEPT: "ga-event15",
}
STEPS = {"model": "tiny", "recipe": "ga-event15", "seed": 1}
SCORE = {"model": "tiny", "split": "event15", "seed": 1}


@pytest.fixture(scope="module")
def sampled(judged, tmp_path_factory):
    """The steps' and the concepts' models have the adapters of whole recipes, and answer in one job each."""
    world = judged.copy(tmp_path_factory.mktemp("samples") / "world")
    for recipe, source in WHOLE.items():
        adopt(world, recipe, source)
    world.run("answer_steps", **STEPS)
    world.run("answer_concepts", model="tiny", seed=1)
    return world


def counted(monkeypatch, owner: type, method: str) -> list[None]:
    """A list that grows with every call of a class's method."""
    calls, original = [], getattr(owner, method)
    monkeypatch.setattr(owner, method, lambda *a, **k: calls.append(None) or original(*a, **k))
    return calls


def files(world) -> dict[str, bytes]:
    """What the job of the steps makes."""
    return {name: (world.root / name).read_bytes() for name in world.job("answer_steps", **STEPS)["output"]}


def test_every_adapter_of_a_job_answers_as_in_a_job_of_its_own(sampled):
    datasets = set()
    for recipe, source in WHOLE.items():
        for suite in SUITES:
            whole = {row.question_id: row for row in answers(sampled, source, suite)}
            rows = answers(sampled, recipe, suite)
            assert rows == [whole[row.question_id] for row in rows]
        datasets.add(tuple(row.answer for row in answers(sampled, recipe, "dataset")))
    assert len(datasets) == len(WHOLE), "no two of the adapters say the same"
    log = sampled.log("answer_steps", **STEPS)
    assert [log.count(f"dataset, adapter {n} of 2: ") for n in (1, 2)] == [1, 1]
    assert "batches were answered before" not in log


def test_answers_go_by_the_names_of_files_not_by_their_place(sampled, tmp_path, monkeypatch):
    """A rule may list its outputs suite by suite, and its adapters backwards; the base is loaded once."""
    world, before, job = (
        sampled.copy(tmp_path / "world"),
        files(sampled),
        sampled.job("answer_steps", **STEPS),
    )
    loads = counted(monkeypatch, AutoModelForImageTextToText, "from_pretrained")
    for name in before:
        (world.root / name).unlink()
    world.run(
        "answer_steps",
        input={"adapters": job["input"]["adapters"][::-1]},
        output=sorted(before, key=lambda name: name.rpartition("/")[2]),
        **STEPS,
    )
    assert files(world) == before and len(loads) == 1
    with pytest.raises(ValueError, match=r"name answers/<run>/<suite>\.jsonl"):
        world.run("answer_steps", output=list(before)[1:], **STEPS)


def test_an_adapter_that_lies_there_twice_is_asked_once(sampled, tmp_path):
    """As where a training ended before the last of Figure 7's steps."""
    world = sampled.copy(tmp_path / "world")
    adopt(world, "ga-event15@1", "ga-event15")
    for name in files(world):
        (world.root / name).unlink()
    world.run("answer_steps", **STEPS)
    for suite in SUITES:
        first, second = (answer_file(world, recipe, suite).read_bytes() for recipe in ("ga-event15@1", STEP))
        assert first == second == answer_file(sampled, STEP, suite).read_bytes()
    log = world.log("answer_steps", **STEPS)
    assert log.count("dataset, adapter 1 of 1: ") == log.count("dataset, adapter") == 1


@pytest.mark.parametrize("killed_at", [0, 2, 9])
def test_a_killed_job_asks_only_what_is_left(sampled, tmp_path, monkeypatch, killed_at):
    """Five batches of either adapter; the rerun's files are those of an unbroken run to the byte."""
    world, unbroken, batches = unread(sampled, tmp_path), files(sampled), []
    generate = LlavaForConditionalGeneration.generate

    def dying(self, **inputs):
        if len(batches) == killed_at:
            raise KeyboardInterrupt
        batches.append(inputs["input_ids"].tolist())
        return generate(self, **inputs)

    monkeypatch.setattr(LlavaForConditionalGeneration, "generate", dying)
    for name in unbroken:
        (world.root / name).unlink()
    small = {"config": {"evaluation": {"batch": 4}}}
    with pytest.raises(KeyboardInterrupt):
        world.run("answer_steps", **small, **STEPS)
    for name in unbroken:
        (world.root / name).unlink(missing_ok=True)  # as Snakemake does after a failure
    assert batch_files(world) == killed_at
    killed_at = None
    world.run("answer_steps", **small, **STEPS)
    assert files(world) == unbroken and len(batches) == 10


def test_what_was_answered_stays_until_something_has_read_it(sampled, tmp_path, monkeypatch):
    """So a time limit between the last answer and Snakemake's record of it has nothing asked again."""
    world, unbroken = unread(sampled, tmp_path), files(sampled)
    batches = counted(monkeypatch, LlavaForConditionalGeneration, "generate")
    for _ in range(2):
        for name in unbroken:
            (world.root / name).unlink(missing_ok=True)
        world.run("answer_steps", **STEPS)
        asked = len(batches)
        assert files(world) == unbroken and batch_files(world) == asked > 0
    world.run("judge_answers", recipe=STEP, **SCORE)
    assert batch_files(world) == asked // 2, "those of the other step are still unread"


def unread(sampled: World, folder: Path) -> World:
    """The world without what waits to be read."""
    world = sampled.copy(folder / "world")
    shutil.rmtree(world.root / "work" / "answers", ignore_errors=True)
    return world


def batch_files(world: World) -> int:
    return len(list((world.root / "work" / "answers").rglob("0*.json")))


def test_a_damaged_or_foreign_batch_is_asked_again(tmp_path, caplog):
    store = AnswerStore(tmp_path / "store", [["a", "b"], ["c"]])
    store[0], store[1] = ["One.", "Two"], ["三"]
    again = AnswerStore(tmp_path / "store", [["a", "b"], ["c"]])
    assert [again.get(number) for number in (0, 1)] == [["One.", "Two"], ["三"]]
    path = tmp_path / "store" / "000000.json"
    path.write_text(path.read_text()[:-9])
    assert (again.get(0), again.get(1)) == (None, ["三"])
    assert AnswerStore(tmp_path / "store", [["a", "b"], ["d"]]).get(1) is None
    assert "is damaged" in caplog.text and "it holds other questions" in caplog.text


def test_another_version_batch_or_adapter_never_goes_on_with_the_answers(sampled, tmp_path):
    job = sampled.job("answer_questions", model="tiny", recipe="finetuned", seed=1)
    adapter, spec = (sampled.root / job["input"]["adapters"][0]).parent, ModelSpec(**job["params"]["spec"])
    spec = replace(spec, source=str(sampled.root / spec.source))

    def named(adapter=adapter, batch=4, **changed):
        features = [sampled.root / path for path in job["input"]["features"]]
        digests, settings = adapter_digests(adapter), {"batch": batch}
        return identity(
            digests,
            spec=replace(spec, **changed),
            features=features,
            settings=settings,
            work=sampled.root / "work",
        )

    other = sampled.results / "models" / "tiny" / "goal-person15" / "seed-1" / "adapter"
    variants = [named(), named(adapter=other), named(batch=5), named(attention="eager")]
    assert named() == variants[0] and len(set(variants)) == len(variants)
    before = named()
    moved = shutil.copytree(spec.source, tmp_path / "moved")
    assert named(source=str(moved)) == before
    (moved / "model.safetensors").write_bytes(b"other weights")
    assert named(source=str(moved)) != before
    os.utime(sampled.root / job["input"]["features"][0], (1, 1))
    assert named() != before, "written anew"


def test_after_k_steps_a_sample_is_asked_and_answered_alike(sampled):
    n = sampled.config["figures"]["questions"]
    sample = Sample(seed=sampled.config["seed"], retain=n, real=n, world=n)
    rows = {suite: questions(sampled, suite) for suite in SUITES}
    picked = pick(rows, [split_of(sampled, "event15")], sample)
    assert 0 < len(picked["world"]) < len(rows["world"])
    for suite in SUITES:
        whole = {row.question_id: row for row in answers(sampled, "ga-event15", suite)}
        part = answers(sampled, STEP, suite)
        assert [row.question_id for row in part] == [row.question_id for row in picked[suite]]
        assert part == [whole[row.question_id] for row in part]


def test_scores_after_k_steps_are_those_of_the_sample(sampled):
    recipes = {STEP: "sample", "ga-event15": "whole"}
    for recipe in recipes:
        for rule in ("judge_answers", "score_answers"):
            sampled.run(rule, recipe=recipe, **SCORE)
    step, whole = (
        read_json(sampled.root / sampled.job("score_answers", recipe=recipe, **SCORE)["output"][0], Scores)
        for recipe in recipes
    )
    for name in ("efficacy", "generality", "scope"):
        assert step.metrics[name] == whole.metrics[name], "the forget set is asked in full"
    assert step.metrics["retain"].n == sampled.config["figures"]["questions"] < whole.metrics["retain"].n
    assert step.method == whole.method == "GA"
    counts = {suite: len(answers(sampled, STEP, suite)) for suite in SUITES}
    assert step.details["sample"]["questions"] == counts and whole.details["sample"] == "all"


def test_of_one_concept_the_forgotten_alone_are_asked(sampled):
    forgotten = {}
    for target in ("person", "event"):
        split = split_of(sampled, f"{target}15")
        forgotten[target] = {*split.forget_train, *split.forget_test}
    ids = {f"{image}-{kind}" for kind, images in forgotten.items() for image in images}
    assert {row.question_id for row in answers(sampled, CONCEPT, "dataset")} == ids
    assert answers(sampled, CONCEPT, "real") == answers(sampled, CONCEPT, "world") == []


def test_a_whole_recipe_needs_no_split_to_be_asked(sampled):
    job = sampled.job("answer_questions", model="tiny", recipe="ga-event15", seed=1)
    assert job["params"]["sample"] is None and job["input"]["splits"] == []


def test_a_whole_recipe_is_asked_a_sample_of_the_retain_set_where_the_configuration_says_so(judged, tmp_path):
    """Its digest is in the scores, is another one for another sample, and the same for the same."""
    digests = []
    for n in (3, 3, 5):
        copied = judged.copy(tmp_path / f"world-{len(digests)}")
        config = copy.deepcopy(judged.config)
        config["evaluation"]["retain_sample"] = n
        world = World(copied.root, config)
        (world.root / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
        job = world.job("answer_questions", model="tiny", recipe="ga-person15", seed=1)
        assert job["params"]["sample"] == {"seed": config["seed"], "retain": n}
        assert job["input"]["splits"] == ["results/mini/dataset/splits/person15.json"]
        world.run("answer_questions", model="tiny", recipe="ga-person15", seed=1)
        job = {"recipe": "ga-person15", "split": "person15", "model": "tiny", "seed": 1}
        world.run("score_answers", **job)
        scores = read_json(world.root / world.job("score_answers", **job)["output"][0], Scores)
        split = split_of(world, "person15")
        assert scores.metrics["retain"].n == n < len(split.retain)
        assert scores.metrics["efficacy"].n == len(split.forget_train)
        digests.append(scores.details["sample"]["digest"])
    assert digests[0] == digests[1] != digests[2]


def test_the_finetuned_model_is_asked_the_samples_of_all_splits_that_it_is_scored_on(judged):
    config = copy.deepcopy(judged.config)
    assert sample_splits(config, "finetuned") == ()
    config["evaluation"]["retain_sample"] = 3
    assert sample_splits(config, "finetuned") == ("event15", "person15")
    assert sample_splits(config, "gd+bgd-both15") == ("person15", "event15")
    assert sample_splits(config, "ga-event15@2") == ("event15",)
    assert sample_splits(config, "ga-event15-0") == ("person15", "event15")


def sample_splits(config, recipe):
    return Targets(config).row(Run("tiny", recipe, 1)).sample_splits
