"""How the pocket unlearning rates in config.yaml are chosen: by a rule written down before any result was seen.

The rule. For each method, take the smallest learning rate of the grid (1.0e-4 doubled up to 3.2e-3) with which
every selection run reaches its stopping bound within its step cap. A selection run is one of two base seeds (11
and 12: other pictures, other splits, other training seeds than any table reports) and one of the targets person and
event, or both together for the methods of that target alone. The bounds are fixed in advance: forget CE over
ln(vocabulary), chance level, for GA, GD, KL, NPO, SimNPO and BGD; refusal CE under 1.0 nats a token for PO and DPO.
Nothing else is looked at: no metric, no answer, no published number. A method without such a rate keeps the largest
of the grid, and the table says so.

What was changed on the way, before any metric was looked at: the first bound for refusals, 0.7 within 120 steps,
was reached at no rate. The choice among 105 refusals alone costs 0.35 nats a token, and learning them all takes
this model some 200 steps. Bound and cap became 1.0 and 160. The grid began at 2.5e-5; no method stopped under 2e-4.
When CE became a mean over samples (`training.average`), and when the base was pretrained anew, all were chosen again by
the same rule.

    python benchmarks/choose_rates.py                # writes benchmarks/chosen_rates.csv
    python benchmarks/choose_rates.py npo gd+bgd     # these only; the others' rows stay
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import yaml

SEEDS = (11, 12)
GRID = [1.0e-4 * 2**k for k in range(6)]
ROOT = Path(__file__).resolve().parents[1]
TABLE = ROOT / "benchmarks/chosen_rates.csv"


def prepare(seed: int) -> Path:
    """The data set and the finetuned model of a selection seed; gives its results folder."""
    scale = f"pocket-selection-{seed}"
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as overlay:
        yaml.safe_dump({"scale": scale, "seed": seed, "seeds": [seed], "ceiling_seed": None}, overlay)
        overlay.flush()
        results = Path("results") / scale
        finetuned = results / f"models/pocket-llava/finetuned/seed-{seed}/training.json"
        target = ["dataset", str(finetuned)]
        subprocess.run(
            [sys.executable, "-m", "snakemake", "--cores", "2", *target, "--configfile", overlay.name],
            cwd=ROOT, check=True,
        )  # fmt: skip
    return results


def try_rate(method: str, rate: float, split: str, seed: int, results: Path) -> dict:
    """One selection run: does it reach its bound?"""
    import torch

    from mmunlearn.ids import Run, split_parts
    from mmunlearn.records import Training, read_json
    from mmunlearn.training.run import UnlearningRun
    from mmunlearn.training.train import train
    from mmunlearn.workflow.params import Params

    torch.set_num_threads(1)
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    params, run = Params(config), Run("pocket-llava", f"{method}-{split}", seed)
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "training.json"
        description = UnlearningRun(
            run=run,
            spec=params.model(run),
            features=[results / "features/pocket-llava/dataset.safetensors"],
            questions=results / "dataset/questions.jsonl",
            splits=[results / f"dataset/splits/{part}.json" for part in split_parts(split)],
            loop=params.unlearning(run) | {"learning_rate": rate},
            work=Path(folder) / "work",
            version=1,
            save_steps=config["training"]["save_steps"],
            refusals=Path(config["training"]["unlearn"]["refusals"]),
            finetuned=results
            / f"models/pocket-llava/finetuned/seed-{seed}/adapter/adapter_model.safetensors",
            options=params.method_options(run),
            max_steps=params.max_steps(run),
            stopping=params.stopping,
        )
        train(description, output)
        training = read_json(output, Training)
    reached = training.stop_reason != "all planned steps done" and "not finite" not in training.stop_reason
    return {
        "method": method, "learning_rate": rate, "split": split, "seed": seed,
        "steps": training.steps, "reached": reached, "reason": training.stop_reason,
    }  # fmt: skip


def choose(method: str, runs: Sequence[tuple[str, int, Path]], pool: ProcessPoolExecutor) -> list[dict]:
    """The selection runs of a method, rate by rate, until all reach the bound."""
    rows: list[dict] = []
    half = len(runs) // 2
    for rate in GRID:
        for some in (runs[:half], runs[half:]):  # a rate that fails one run needs no other
            tried = [pool.submit(try_rate, method, rate, *run) for run in some]
            rows += [one.result() for one in tried]
            if not (reached := all(row["reached"] for row in rows[-len(some) :])):
                break
        if reached:
            break
    print(f"{method}: {rate:.1e}{'' if reached else '  (bound not reached by every run)'}", flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("methods", nargs="*", help="methods to choose for; default: all")
    os.chdir(ROOT)
    known = yaml.safe_load((ROOT / "config.yaml").read_text())["methods"]
    methods = parser.parse_args().methods or list(known)
    results = {seed: prepare(seed) for seed in SEEDS}
    with TABLE.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["method"] not in methods]
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        for method in methods:
            splits = ("both05",) if known[method]["targets"] == ["both"] else ("person05", "event05")
            rows += choose(method, [(split, seed, results[seed]) for seed in SEEDS for split in splits], pool)
    with TABLE.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
