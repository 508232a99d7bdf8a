"""`evaluation.recipes_per_job`: recipes that share an answering job say what they say alone, on one loaded base."""

from __future__ import annotations

import copy
import re
import shutil
from pathlib import Path

import pytest
import yaml
from transformers import AutoModelForImageTextToText, LlavaForConditionalGeneration

from mmunlearn.ids import Run
from mmunlearn.spool import finished, release
from mmunlearn.workflow.check import prepare
from mmunlearn.workflow.targets import SHARED, Targets
from tests.rules.mini import mini_config
from tests.rules.standin import Rules, World
from tests.rules.test_evaluation import adopt
from tests.rules.test_samples import counted

JOB = f"{SHARED}_goal-person15", {"model": "tiny", "seed": 1}
ASKED = ("goal-person15", "ga-person15", "ga-event15")


def groups(n: int, **changed) -> dict[str, tuple[str, ...]]:
    config = mini_config()
    for path, value in (("evaluation.recipes_per_job", n), *changed.items()):
        section, key = path.split(".")
        config[section][key] = value
    prepare(config)
    found = Targets(config).answering_groups
    assert {group.seeds for group in found} <= {"1"}, "the ceiling's seed has jobs of its own"
    return {group.name: group.recipes for group in found}


def test_recipes_share_a_job_that_the_same_outputs_ask_the_same_questions():
    """Robustness wants the mini world's goal and GA, Table IV both targets together, the ceiling another seed."""
    assert groups(1) == {}
    dpo = ("dpo-person15", "dpo-event15")
    assert groups(3) == {"goal-person15..ga-event15": ASKED, "dpo-person15..dpo-event15": dpo}
    assert groups(2)["goal-person15..ga-person15"] == ASKED[:2] and len(groups(2)) == 2, (
        "the third is left alone"
    )
    sampled = groups(9, **{"evaluation.retain_sample": 3})
    assert sampled == {"goal-person15..ga-person15": ASKED[:2]}, "a sample is drawn for a split"


@pytest.fixture(scope="module")
def shared(answered, tmp_path_factory) -> World:
    """The same world where three recipes share a job, and nothing is answered."""
    config = copy.deepcopy(answered.config)
    config["evaluation"]["recipes_per_job"] = 3
    world = World(answered.copy(tmp_path_factory.mktemp("shared") / "world").root, config)
    shutil.rmtree(
        world.root / "work" / "answers", ignore_errors=True
    )  # nobody has read yet what each said alone
    (world.root / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    return world


def outputs(world: World) -> dict[str, bytes]:
    rule, wildcards = JOB
    return {name: (world.root / name).read_bytes() for name in world.job(rule, **wildcards)["output"]}


def answer_again(world: World, monkeypatch) -> tuple[int, int]:
    """Ask as Snakemake does, which removes what was there. Returns loads of the base, and batches that it generates."""
    with monkeypatch.context() as patch:
        loads = counted(patch, AutoModelForImageTextToText, "from_pretrained")
        batches = counted(patch, LlavaForConditionalGeneration, "generate")
        for name in outputs(world):
            (world.root / name).unlink()
        world.run(JOB[0], **JOB[1])
    return len(loads), len(batches)


def test_they_say_what_they_say_alone_and_a_change_of_one_asks_it_alone(
    answered, shared, tmp_path, monkeypatch
):
    world, alone = shared.copy(tmp_path / "world"), outputs(shared)
    loads, batches = answer_again(world, monkeypatch)
    assert outputs(world) == alone and len(alone) == 9
    assert loads == 1 and batches % 3 == 0 < batches
    assert answer_again(world, monkeypatch) == (1, 0), "no model is asked again"
    adopt(world, "ga-event15", "dpo-event15")
    assert answer_again(world, monkeypatch) == (1, batches // 3)
    after = outputs(world)
    assert {Run.of(Path(name)).recipe for name in alone if after[name] != alone[name]} == {"ga-event15"}
    adapters = world.job(*JOB[:1], **JOB[1])["input"]
    release(finished(world.root / "work", [world.root / name for name in (*alone, *adapters)]))
    folders = list((world.root / "work" / "answers").glob("*/*"))
    assert len(folders) == 3, "of each model the latest batches alone, also when they are read"


def test_a_group_is_one_job_and_its_names_say_which(shared):
    wanted = [f"results/mini/answers/tiny/{recipe}/seed-1/real.jsonl" for recipe in (*ASKED, "finetuned")]
    wanted.append("results/mini/answers/tiny/goal-event15/seed-101/real.jsonl")
    for path in wanted:
        (shared.root / path).unlink()
    jobs = Rules.needed(shared.root, wanted)
    rules = [rule for rule, _ in jobs]
    assert sorted(rules) == ["answer_questions", "answer_questions", JOB[0]]
    job = jobs[rules.index(JOB[0])][1]
    assert job["log"] == ["logs/mini/answer_recipes/tiny/goal-person15..ga-event15/seed-1.log"]
    alone = jobs[rules.index("answer_questions")][1]
    assert job["params"] == alone["params"], "answers rest on the same"
    assert [re.search("tiny/(.*)/seed", path)[1] for path in job["input"]["adapters"]] == list(ASKED)
