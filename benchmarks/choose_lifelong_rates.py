"""How the pocket rates of lifelong unlearning in config.yaml are chosen: by a rule written down before any result was
seen on this base.

The rule. Task A of the default task set is unlearned alone, from the base, on two selection seeds (201 and 202: other
entities, other pictures, other training seeds than any table reports).

- GA, GD, KL and NPO: the smallest learning rate of the grid (1.0e-4 doubled up to 1.6e-3) with which, after 60 steps
  without a stop, under 25% of the forgotten entities' test questions are known (all key words of the reference are in
  the answer), on both seeds. A sequence trains half of these steps a task, 30. The rows with a stop have the rate of
  their method, and the 60 steps.
- PO and the experts: the smallest rate of the grid (8.0e-4 doubled up to 6.4e-3) with which, after 60 steps without
  a stop, at least 90% of those questions are answered by one of the refusals, word for word, on both seeds. A sequence
  and every expert train these 60 steps.

Nothing else is looked at: no utility, no rating, no later task, no published number. A method without such a rate keeps
the largest of its grid, and the table says so.

The rule for GA, GD, KL and NPO comes from a trial on an older base and other seeds (7 to 10, 101), where the steps had
been halved after the matrices were seen. This base, these tasks and these seeds are new.

What was changed on the way. The first rule for PO, from the same trial, asked for a refusals' CE under 0.35 nats a
token within 120 steps, with 20 refusals. No rate of the grid met it: the CE ended at 0.4 to 0.6, of which the choice
among the refusals alone is 0.25. What was said then was looked at, on these two seeds: where a CE of 0.5 ended the
training, 6 to 46% of the answers were blends of refusals; with 8 refusals and a CE of 0.35 it was 2 to 13%. So the
first 8 of the refusals were taken, the steps fixed, as they are for the other methods (a stop that is asked before
step 1 could leave PO's later tasks untrained, too), and the answers themselves counted.

    python benchmarks/choose_lifelong_rates.py            # writes benchmarks/lifelong_rates.csv
    python benchmarks/choose_lifelong_rates.py npo po     # these only; the others' rows stay

(from the repository's root, on PYTHONPATH where the package is not installed)
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
import tempfile
from argparse import Namespace
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
TABLE = ROOT / "benchmarks/lifelong_rates.csv"
SEEDS, TASK, MODEL = (201, 202), "A", "pocket-llava"
FORGETTING, REFUSING = ("ga", "gd", "kl", "npo"), ("po",)
GRIDS = {
    **{method: [1.0e-4 * 2**k for k in range(5)] for method in FORGETTING},
    **{method: [8.0e-4 * 2**k for k in range(4)] for method in REFUSING},
}
STEPS, KNOWN, REFUSED = 60, 0.25, 0.9


def prepare(seed: int) -> Path:
    """The tasks of a selection seed and the base's features; gives their folder."""
    scale = f"lifelong-selection-{seed}"
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as overlay:
        changes = {"scale": scale, "seed": seed, "seeds": [seed], "ceiling_seed": None}
        yaml.safe_dump({**changes, "outputs": ["lifelong"]}, overlay)
        overlay.flush()
        folder = Path("results") / scale / "lifelong" / MODEL
        subprocess.run(
            [sys.executable, "-m", "snakemake", "--cores", "2", str(folder / "questions.jsonl"),
             "--configfile", overlay.name],
            cwd=ROOT, check=True,
        )  # fmt: skip
    return folder


def try_rate(method: str, rate: float, seed: int, folder: Path) -> dict:
    """One selection run: does it do what the rule asks?"""
    import torch

    from mmunlearn.evaluation.answers import Suite
    from mmunlearn.evaluation.key_words import knows
    from mmunlearn.files import read_refusals
    from mmunlearn.ids import Run
    from mmunlearn.lifelong.stages import first_adapter, stage_run
    from mmunlearn.models.feature_file import FeatureTable
    from mmunlearn.models.loading import adapted, load_base
    from mmunlearn.records import Training, read_json, read_jsonl
    from mmunlearn.tasks import TaskQuestion
    from mmunlearn.training.train import train
    from mmunlearn.workflow.identity import Contents
    from mmunlearn.workflow.lifelong import Lifelong
    from mmunlearn.workflow.params import Params

    torch.set_num_threads(1)
    config = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    own = Lifelong(config, Contents(Path("results"), "weights"))
    run, wildcards = Run(MODEL, method, seed), Namespace(model=MODEL, method=method)
    with tempfile.TemporaryDirectory() as work:
        settings = {
            "questions": folder / "questions.jsonl", "features": folder / "features.safetensors",
            "spec": Params(config).model(wildcards), "lora": config["lifelong"]["lora"], "lora_targets": None,
            "loop": own.loop(wildcards), "refusals": Path(own.refusals(wildcards)), "work": Path(work), "version": 1,
            "save_steps": config["training"]["save_steps"],
        }  # fmt: skip
        first = first_adapter(run, settings, "selection")
        stage = stage_run(
            run, [TASK], rate, **settings, start=first, reference=first, apart="selection", method_name=method,
            options=own.options(wildcards), method_code="", max_steps=STEPS,
        )  # fmt: skip
        train(stage, Path(work) / "stage/training.json")
        done = read_json(Path(work) / "stage/training.json", Training)
        rows = read_jsonl(folder / "questions.jsonl", TaskQuestion)
        rows = [row for row in rows if row.task == TASK and row.role == "forget" and row.asked]
        base, features = load_base(stage.model_spec), FeatureTable(folder / "features.safetensors")
        tokens = {"task": config["lifelong"]["max_new_tokens"]}
        suite = Suite.of(base, rows, features, tokens, config["evaluation"]["batch"])
        with adapted(base, Path(work) / "stage/adapter") as model:
            answers = suite.answers(model)
    known = sum(knows(one.answer, one.reference, one.question) for one in answers) / len(answers)
    refused = sum(one.answer in read_refusals(stage.refusals) for one in answers) / len(answers)
    return {
        "method": method, "learning_rate": rate, "seed": seed, "steps": done.steps, "questions": len(answers),
        "known": round(known, 4), "refused": round(refused, 4),
        "met": refused >= REFUSED if method in REFUSING else known < KNOWN,
    }  # fmt: skip


def choose(method: str, folders: dict[int, Path], pool: ProcessPoolExecutor) -> list[dict]:
    """The selection runs of a method, rate by rate, until one does on both seeds."""
    rows: list[dict] = []
    for rate in GRIDS[method]:
        rows += pool.map(partial(try_rate, method, rate), folders, folders.values())
        if met := all(row["met"] for row in rows[-len(folders) :]):
            break
    print(f"{method}: {rate:.1e}{'' if met else '  (the rule is not met on both seeds)'}", flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "methods", nargs="*", choices=[*GRIDS, []], help="methods to choose for; default: all"
    )
    os.chdir(ROOT)
    methods = parser.parse_args().methods or list(GRIDS)
    folders = {seed: prepare(seed) for seed in SEEDS}
    rows: list[dict] = []
    if TABLE.exists():
        with TABLE.open(newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["method"] not in methods]
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        for method in methods:
            rows += choose(method, folders, pool)
    with TABLE.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(sorted(rows, key=lambda row: list(GRIDS).index(row["method"])))


if __name__ == "__main__":
    main()
