"""What the plan says of reading and of disk, against numbers worked out by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mmunlearn.ids import Run
from mmunlearn.workflow.plan import make_plan
from mmunlearn.workflow.sizes import Sizes
from mmunlearn.workflow.storage import Storage
from mmunlearn.workflow.work import Estimate
from tests.unit.plan_fixtures import ADAPTER, PAPER, POCKET, Config, job, lines, write
from tests.unit.test_config_schema import ROOT, load, merged


def storage_of(config: Config, *outputs: str, model: str = "llava-1.5-7b", **fields: Any) -> Storage:
    return Estimate(job(*outputs, scale=config["scale"], model=model, **fields), Sizes(config)).storage


LOOP = {"batch": 4, "accumulation": 16}
FINETUNING = {"loop": LOOP, "epochs": 5, "lora": {"rank": 128}}
UNLEARNING = {"loop": LOOP, "epochs": 5, "max_steps": 500}


def test_a_training_reads_features_and_its_base_and_leaves_an_adapter():
    """LLaVA at the paper's: 8,000 pictures of 576 tokens in 5 epochs; LoRA of rank 128 on 32 layers' linears."""
    made = storage_of(PAPER, f"models/llava-1.5-7b/finetuned/seed-1/{ADAPTER}", params=FINETUNING)
    assert made.read == {"features": pytest.approx(40_000 * 4.72), "weights": 14_130}
    layer = 4 * (4096 + 4096) + 3 * (4096 + 11008)
    assert made.disk == {"adapters": pytest.approx(128 * 32 * layer * 4 / 1e6, rel=1e-3)}
    assert made.checkpoint == pytest.approx(2 * 3 * made.disk["adapters"])  # of 625 steps, after every 50
    small = storage_of(PAPER, f"models/llava-1.5-7b/ga-event05/seed-1/{ADAPTER}", params=UNLEARNING)
    assert small.checkpoint == 0, "16 steps"
    assert small.read["features"] == pytest.approx(16 * 64 * 4.72)
    kl = storage_of(PAPER, f"models/llava-1.5-7b/kl-event05/seed-1/{ADAPTER}", params=UNLEARNING)
    assert kl.read["features"] == pytest.approx(16 * 64 * 2 * 4.72), "what its reference sees is read already"
    refusals = UNLEARNING | {"options": {"reference": "refusals"}}
    dpo = storage_of(PAPER, f"models/llava-1.5-7b/dpo-event05/seed-1/{ADAPTER}", params=refusals)
    assert dpo.disk["adapters"] == pytest.approx(2 * 128 * 9.99), "with the reference in work/"
    assert dpo.read["weights"] == 2 * 14_130


def test_a_model_without_kept_features_opens_pictures_and_runs_its_tower():
    """Llama: 40 layers of which 8 look at the picture, all of the same shapes."""
    model = "llama-3.2-vision-11b"
    training = job(
        f"models/{model}/finetuned/seed-1/{ADAPTER}", scale="paper", model=model, params=FINETUNING
    )
    made = Estimate(training, Sizes(PAPER))
    assert made.storage.read == {"pictures": 40_000 * 1.5, "weights": 21_340}
    layer = 2 * (4096 + 4096) + 2 * (4096 + 1024) + 3 * (4096 + 14336)
    assert made.storage.disk == {"adapters": pytest.approx(128 * 40 * layer * 4 / 1e6, rel=1e-3)}
    assert made.seconds == pytest.approx(40_000 * (0.09 + 0.13) + 21.34 + 40)
    cached = merged(load(ROOT / "presets" / "paper.yaml"))
    cached["models"][model]["cache_features"] = True
    assert Estimate(training, Sizes(cached)).storage.read["features"] == 40_000 * 52.5


@pytest.mark.parametrize(
    ("workers", "speed", "seconds"),
    [(4, 1000, 4400), (0, 1000, 4400 + 188.8), (4, 10, 18_880)],  # 40,000 x 0.11 s of work, x 4.72 MB to read
)
def test_workers_read_beside_a_training(workers, speed, seconds):
    config = merged(load(ROOT / "presets" / "paper.yaml") | {"training": {"workers": workers}})
    config["plan"]["read_mb_second"]["value"] = speed
    files = [f"models/llava-1.5-7b/finetuned/seed-1/{ADAPTER}"]
    training = job(*files, scale="paper", model="llava-1.5-7b", params=FINETUNING)
    assert Estimate(training, Sizes(config)).seconds == pytest.approx(seconds + 14_130 / speed + 40)


def test_traced_steps_behind_a_training_s_end_are_no_further_adapters():
    files = [f"models/llava-1.5-7b/gd-event05@{step}/seed-1/{ADAPTER}" for step in (2, 4, 8, 16, 32)]
    assert storage_of(PAPER, *files, params=UNLEARNING).disk["adapters"] == pytest.approx(4 * 128 * 9.99)
    small = UNLEARNING | {"loop": {"batch": 2, "accumulation": 16}}  # Llama's 32 steps
    assert storage_of(PAPER, *files, params=small).disk["adapters"] == pytest.approx(5 * 128 * 9.99)


def test_drawing_reads_its_networks_and_leaves_every_picture():
    receipts = [Path(f"results/paper/weights/{name}.json") for name in ("flux-dev", "dino-vitb16")]
    shard = {"people_per_shard": 1, "batch": 5, "max_attempts": 25}
    draw = job("images/shards/000.parquet", scale="paper", params=shard, inputs={"weights": receipts})
    made = Estimate(draw, Sizes(PAPER))
    drawn = 40 * 5 * sum(1 / 32**k for k in range(5))
    assert made.storage.read == {"weights": 33_740 + 343}
    assert made.storage.disk == pytest.approx({"pictures": drawn * 1.5, "prompt embeddings": 40 * 4.19})
    assert made.seconds == pytest.approx(drawn * 6.8 + 34.083 + 80)
    copied = storage_of(PAPER, "images/manifest.parquet")
    assert copied.disk == {"pictures": 8000 * 1.5}
    encoded = storage_of(PAPER, "features/llava-1.5-7b/dataset.safetensors")
    assert (
        encoded.disk == {"features of llava-1.5-7b": pytest.approx(8000 * 4.72)}
        and encoded.read["pictures"] == 12_000
    )
    nothing = job("features/llava-1.5-7b/replay.safetensors", scale="paper", model="llava-1.5-7b")
    assert Estimate(nothing, Sizes(PAPER)).seconds == 5, "no picture: no model is loaded"
    assert storage_of(PAPER, "weights/flux-dev.json").disk == {"weights": 33_740}


@pytest.mark.parametrize(
    ("recipe", "suite", "pictures"),
    [("finetuned", "dataset", 400 + 400 + 2000), ("ga-person05", "dataset", 400 + 1000),
     ("ga-person05", "real", 400), ("ga-person05", "world", 500), ("ga-person05-1", "dataset", 800),
     ("ga-person05@8", "dataset", 400 + 500)],
)  # fmt: skip
def test_pictures_that_questions_are_on(recipe, suite, pictures):
    first = merged(load(ROOT / "presets" / "paper-first.yaml"))
    assert Sizes(first).asked(Run("llava-1.5-7b", recipe, 1), suite) == pictures
    assert Sizes(PAPER).asked(Run("llava-1.5-7b", "finetuned", 1), "dataset") == 8000


def test_what_is_read_and_kept_is_added_up_and_what_lies_there_stands_beside_it(run):
    model = run / "results/pocket/models/pocket-llava"
    params = {"loop": {"batch": 10, "accumulation": 1}, "max_steps": 60, "epochs": None}
    traced = [f"models/pocket-llava/gd-event05@{step}/seed-1/{ADAPTER}" for step in (2, 32)]
    first, last = (write(model / f"gd-event05@{step}/seed-1" / ADAPTER, "a" * 500_000) for step in (2, 32))
    write(model / f"finetuned/seed-1/{ADAPTER}", "another recipe's")
    for name in ("p000-e00.png", "p000-e01.png"):
        write(run / "results/pocket/images" / name, "b" * 20_000)
    write(run / "results/pocket/images/manifest.parquet", "no picture")
    jobs = [job(*traced, params=params), job("images/manifest.parquet"),
            job("features/pocket-llava/dataset.safetensors", rule="encode_images")]  # fmt: skip
    plan = make_plan(POCKET, jobs)
    adapters, copies, features = 2 * 16 * 0.031, 800 * 0.02, 800 * 0.019
    disk = lines(plan)["disk"]
    assert (disk.value, disk.unit) == (pytest.approx((adapters + copies + features) / 1000), "GB")
    assert disk.actual.value == pytest.approx((2 * 500_000 + 2 * 20_000) / 1e9)
    assert disk.actual.estimate == pytest.approx((adapters + copies) / 1000) and disk.actual.jobs == 2
    assert (
        disk.note
        == "pictures 0.016, features of pocket-llava 0.015, adapters 0.00099; so far: without pictures in work/"
    )
    read = lines(plan)["read"]
    shown = 32 * 10 * 2 * 0.019
    assert read.value == pytest.approx((shown + 2 * 4.3 + 800 * 0.02) / 1000) and read.actual is None
    of_rule = {row.rule: row.counts for row in plan.rules}["encode_images"]
    assert of_rule["GB on disk"] == pytest.approx(features / 1000)
    assert of_rule["GB read"] == pytest.approx((4.3 + 16) / 1000)
    last.unlink()
    last.symlink_to("gone")  # which a running job has taken away
    assert lines(make_plan(POCKET, jobs))["disk"].actual.value == pytest.approx(540_000 / 1e9)
    last.unlink()
    last.hardlink_to(first)
    write(run / "weights/flux-dev/transformer/model.safetensors", "w" * 1000)
    fetched = make_plan(PAPER, [job("weights/flux-dev.json", scale="paper")])
    assert lines(fetched)["disk"].actual.value == 1000 / 1e9, "a folder with all in it"
    assert lines(make_plan(POCKET, jobs))["disk"].actual.value == pytest.approx(540_000 / 1e9)


def test_a_base_that_is_fetched_under_another_name_is_looked_up_by_it():
    mlubench, model = merged(load(ROOT / "presets" / "mlubench.yaml")), "qwen3-vl-4b-instruct"
    assert storage_of(mlubench, f"features/{model}/real.safetensors", model=model).read["weights"] == 8_880


def test_checkpoints_are_those_of_one_training():
    jobs = [job(f"models/llava-1.5-7b/{recipe}/seed-1/{ADAPTER}", scale="paper", model="llava-1.5-7b",
                params=FINETUNING) for recipe in ("finetuned", "goal-event05")]  # fmt: skip
    disk = lines(make_plan(PAPER, jobs))["disk"]
    assert disk.value == pytest.approx((2 + 6) * 128 * 9.99 / 1000)
    assert "checkpoints of a running training 7.7" in disk.note
