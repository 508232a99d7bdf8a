"""What it saves to answer all kept steps of a recipe in one job: seconds of one process against one a step, as a ratio.

Both ask the adapters of a finished run (`snakemake --cores 2 figures`) the same questions, in turns within one
benchmark, each in fresh processes as Snakemake's are, and must write the same bytes. Snakemake's own start-up of a job
comes on top of each.

    python benchmarks/answering.py                                  # results/pocket, gd-person05
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
from typing import Any

import yaml

from mmunlearn import config as settings
from mmunlearn import samples
from mmunlearn.evaluation.sampling import Sample
from mmunlearn.models.loading import ModelSpec

ROOT = Path(__file__).resolve().parents[1]
SUITES = {"dataset": "questions", "real": "real", "world": "world"}


def merged(overlay: Path | None) -> dict[str, Any]:
    """The shipped configuration under an overlay."""
    from snakemake.utils import update_config

    config = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    if overlay:
        update_config(config, yaml.safe_load(overlay.read_text(encoding="utf-8")))
    settings.prepare(config)
    return config


def answer(given: dict[str, Any]) -> None:
    """What a job does, in this process."""
    from mmunlearn.evaluation.answers import answer_questions

    paths = {key: {k: Path(v) for k, v in given[key].items()} for key in ("questions", "features")}
    lists = {key: [Path(one) for one in given[key]] for key in ("adapters", "outputs", "splits")}
    answer_questions(
        paths["questions"], paths["features"], lists["adapters"], lists["outputs"],
        spec=ModelSpec(**given["spec"]), batch=given["batch"], max_new_tokens=given["max_new_tokens"],
        work=Path(given["work"]), version=0, sample=Sample(**given["sample"]), splits=lists["splits"],
    )  # fmt: skip


def timed(given: dict[str, Any], groups: list[list[Path]], folder: Path) -> tuple[float, list[bytes]]:
    """Seconds of one process a group of adapters, one after the other, and what they wrote."""
    outputs: list[Path] = []
    started = time.perf_counter()
    for group in groups:
        own = [folder / adapter.parents[1].name / f"{suite}.jsonl" for adapter in group for suite in SUITES]
        job = given | {
            "adapters": list(map(str, group)),
            "outputs": list(map(str, own)),
            "work": str(folder / "work"),
        }
        subprocess.run([sys.executable, __file__, "--job", json.dumps(job)], check=True, cwd=ROOT)
        outputs += own
    return time.perf_counter() - started, [path.read_bytes() for path in outputs]


def prepared(args: argparse.Namespace) -> tuple[dict[str, Any], list[Path]]:
    """What every job is given, and the adapters of the kept steps."""
    config = merged(args.config)
    results = (args.results or ROOT / "results" / config["scale"]).resolve()
    steps = [f"{args.recipe}@{step}" for step in config["figures"]["steps"]]
    row, seed = config["models"][args.model], config["seeds"][0]
    given = {
        "questions": {suite: str(results / "dataset" / f"{name}.jsonl") for suite, name in SUITES.items()},
        "features": {suite: str(results / "features" / args.model / f"{suite}.safetensors") for suite in SUITES},
        "spec": {key: row[key] for key in ("family", "source", "dtype", "attention", "revision")},
        "sample": samples.sample(config, steps[0]), "batch": config["evaluation"]["batch"],
        "max_new_tokens": config["evaluation"]["max_new_tokens"],
        "splits": [path.replace("<results>", str(results)) for path in samples.splits(config, steps[0])],
    }  # fmt: skip
    return given, [results / "models" / args.model / step / f"seed-{seed}" / "adapter" for step in steps]


def compare(args: argparse.Namespace) -> None:
    """Time both, in turns, and print the ratio."""
    given, adapters = prepared(args)
    together, alone = [], []
    for _ in range(args.repeats):
        with TemporaryDirectory() as folder:
            one, said = timed(given, [adapters], Path(folder, "one"))
            each, expected = timed(given, [[adapter] for adapter in adapters], Path(folder, "each"))
        if said != expected:
            raise SystemExit("one job and a job each must write the same bytes, but they differ: report this")
        together.append(one)
        alone.append(each)
    ratio = median(a / t for a, t in zip(alone, together, strict=True))
    print(
        f"{len(adapters)} adapters: one job {median(together):.1f} s, a job each {median(alone):.1f} s, "
        f"{ratio:.2f} times faster (median of {args.repeats}); equal bytes"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--config", type=Path, help="overlay of config.yaml")
    parser.add_argument("--results", type=Path, help="folder of the run; results/<scale> unless given")
    parser.add_argument("--model", default="pocket-llava")
    parser.add_argument("--recipe", default="gd-person05")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--job", type=json.loads, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.job:
        answer(args.job)
    else:
        compare(args)


if __name__ == "__main__":
    main()
