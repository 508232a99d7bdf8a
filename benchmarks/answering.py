"""What it saves to answer with several adapters in one job: seconds of one process against one an adapter, as a ratio.
Either all traced steps of a recipe, or whole recipes, as `evaluation.recipes_per_job` has it.

Both ask the adapters of a finished run (of steps `snakemake --cores 2 figures`) the same questions, in turns within one
benchmark, each in fresh processes as Snakemake's are, and must write the same bytes. Snakemake's own start-up of a job
comes on top of each.

    python benchmarks/answering.py                                  # results/pocket, gd-person05
    python benchmarks/answering.py --recipes 3                      # of Table III, all questions
    python benchmarks/answering.py --config presets/paper.yaml --model llava-1.5-7b --repeats 1
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import yaml

from mmunlearn.ids import Run
from mmunlearn.workflow import check
from mmunlearn.workflow.params import SUITES, Params
from mmunlearn.workflow.targets import Targets

ROOT = Path(__file__).resolve().parents[1]


def merged(overlay: Path | None) -> dict[str, Any]:
    """The shipped configuration under an overlay."""
    from snakemake.utils import update_config

    config = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    if overlay:
        update_config(config, yaml.safe_load(overlay.read_text(encoding="utf-8")))
    check.prepare(config)
    return config


def answer(job: dict[str, Any]) -> None:
    """What a job does, in this process."""
    from mmunlearn.evaluation.answers import answer_questions

    files = {
        key: list(map(Path, job.pop(key)))
        for key in ("questions", "features", "splits", "adapters", "outputs")
    }
    answer_questions(**files, **job, work=Path(files["outputs"][0].parents[3], "work"), version=0)


def timed(job: dict[str, Any], groups: list[list[Path]], folder: Path) -> tuple[float, list[bytes]]:
    """Seconds of one process a group of adapters, one after the other, and what they wrote."""
    outputs: list[Path] = []
    started = time.perf_counter()
    for adapters in groups:
        names = [
            folder / Run.of(adapter).folder / f"{suite}.jsonl" for adapter in adapters for suite in SUITES
        ]
        files = {"adapters": list(map(str, adapters)), "outputs": list(map(str, names))}
        subprocess.run([sys.executable, __file__, "--job", json.dumps(job | files)], check=True, cwd=ROOT)
        outputs += names
    return time.perf_counter() - started, [path.read_bytes() for path in outputs]


def prepared(args: argparse.Namespace) -> tuple[dict[str, Any], list[Path]]:
    """What every job is given, and the adapters of the traced steps or of the first recipes that share a job."""
    config = merged(args.config)
    config["evaluation"]["recipes_per_job"] = args.recipes
    targets, params = Targets(config), Params(config)
    results = (args.results or ROOT / "results" / config["scale"]).resolve()
    wildcards = SimpleNamespace(model=args.model, recipe=args.recipe)
    sample, splits = targets.figure_sample, params.splits(wildcards)
    recipes = [f"{args.recipe}@{step}" for step in targets.steps]
    if args.recipes > 1:
        group = targets.answering_groups[0]
        sample, splits, recipes = group.sample, group.splits, group.recipes
    job = {
        "questions": [str(results / "dataset" / f"{name}.jsonl") for name in ("questions", "real", "world")],
        "features": [str(results / "features" / args.model / f"{suite}.safetensors") for suite in SUITES],
        "splits": [path.replace("<results>", str(results)) for path in splits],
        "spec": params.model(wildcards),
        "sample": sample,
        "batch": config["evaluation"]["batch"],
        "max_new_tokens": config["evaluation"]["max_new_tokens"],
    }
    runs = [Run(args.model, recipe, config["seeds"][0]) for recipe in recipes]
    return job, [results / "models" / run.folder / "adapter" / "adapter_model.safetensors" for run in runs]


def compare(args: argparse.Namespace) -> None:
    """Time both, in turns, and print the ratio."""
    job, adapters = prepared(args)
    together, alone = [], []
    for _ in range(args.repeats):
        with TemporaryDirectory() as folder:
            one, answers = timed(job, [adapters], Path(folder, "one"))
            each, expected = timed(job, [[adapter] for adapter in adapters], Path(folder, "each"))
        if answers != expected:
            raise SystemExit("one job and a job each must write the same bytes, but they differ: report this")
        together.append(one)
        alone.append(each)
    ratio = median(a / t for a, t in zip(alone, together, strict=True))
    print(
        f"{len(adapters)} adapters: one job {median(together):.1f} s, a job each {median(alone):.1f} s, "
        f"{ratio:.2f} times faster (median of {args.repeats}); equal bytes"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split(":")[0])
    parser.add_argument("--config", type=Path, help="overlay of config.yaml")
    parser.add_argument("--results", type=Path, help="folder of the run; results/<scale> unless given")
    parser.add_argument("--model", default="pocket-llava")
    parser.add_argument("--recipe", default="gd-person05")
    parser.add_argument("--recipes", type=int, default=1, help="so many whole recipes in place of its steps")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--job", type=json.loads, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.job:
        answer(args.job)
    else:
        compare(args)


if __name__ == "__main__":
    main()
