"""What the jobs of a run need of a GPU: each model's and FLUX's memory by arithmetic, in a line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import ceil
from pathlib import Path
from typing import Any, NamedTuple

from mmunlearn.models.families import caches_features
from mmunlearn.workflow.memory import Batch, Shape, answering, at_hand, drawing, peak, read_shape, training
from mmunlearn.workflow.paths import checkpoint_folder
from mmunlearn.workflow.work import PlannedJob

GB = 1e9
QUESTION = 25
"""Assumed: tokens of a question in its chat template."""
SIDE = 1024
"""Assumed: pixels of a side of the pictures of released tasks."""


class GpuNeed(NamedTuple):
    """What of a run needs how much of one GPU; 0 bytes: not known. `todo`: what to do where that is too much."""

    what: str
    bytes: float
    found: str
    todo: str


def gpu_needs(config: Mapping[str, Any], jobs: Sequence[PlannedJob]) -> Iterator[GpuNeed]:
    """The needs of jobs that ask for GPUs."""
    if config["images"]["generator"] == "flux" and any("pictures" in job.params for job in jobs):
        parts = drawing(config["images"])
        todo = "lower images.flux.batch, or set images.flux.quantisation: int8 (other pictures)"
        yield GpuNeed("FLUX", peak(parts), _said("to draw", parts), todo)
    for name, row in config["models"].items():
        own = [job for job in jobs if job.wildcards.get("model") == name]
        if own:
            yield _of_model(config, name, row, own)


def _of_model(
    config: Mapping[str, Any], name: str, row: Mapping[str, Any], jobs: Sequence[PlannedJob]
) -> GpuNeed:
    lifelong = {"lifelong" in job.outputs[0].parts for job in jobs}
    side = max(config["images"]["size"], SIDE if True in lifelong else 0)
    folder = checkpoint_folder(row["source"], row["revision"])
    shape = read_shape(Path(row["source"]).name, folder, row["family"], side)
    if shape is None:
        found = f"no shape is known of family {row['family']} in {row['source']}"
        return GpuNeed(name, 0, found, "twice the bytes of its weights is a first guess")
    extra = {} if caches_features(row) else {"pictures at hand": at_hand(shape, row["dtype"])}
    needs = [(how, parts | extra) for job in jobs for how, parts in _of_job(config, shape, row, job)]
    worst = {
        how: max((parts for kind, parts in needs if kind == how), key=peak)
        for how in {how for how, _ in needs}
    }
    said = "; ".join(_said(how, worst[how]) for how in sorted(worst, reverse=True))
    todo = (
        f"lower models.{name}.batch, training.*.batch or robustness.relearn.batch, set training.checkpointing: true, "
        "lower evaluation.batch"
    )
    return GpuNeed(name, max(map(peak, worst.values())), said, todo)


def _said(how: str, parts: Mapping[str, float]) -> str:
    listed = ", ".join(f"{name} {size / GB:.1f}" for name, size in parts.items())
    return f"{peak(parts) / GB:.1f} GB {how} ({listed})"


def _of_job(
    config: Mapping[str, Any], shape: Shape, row: Mapping[str, Any], job: PlannedJob
) -> Iterator[tuple[str, dict[str, float]]]:
    """How a job uses the model, one way after the other, and the parts of what each takes."""
    lifelong = "lifelong" in job.outputs[0].parts
    settings = config["training"]
    lora, mixed = (config["lifelong"] if lifelong else settings)["lora"], settings["precision"] == "bf16"
    tokens = {key: config["plan"][f"{key}_tokens"]["value"] for key in ("person", "event", "task")}
    if loop := job.params.get("loop"):
        questions = config["plan"]["task_questions"]["value"] if lifelong else 2
        answers = questions * tokens["task"] if lifelong else tokens["person"] + tokens["event"]
        batch = Batch(loop["batch"] * _views(job), int(questions * QUESTION + answers), int(answers))
        checkpointing = settings["checkpointing"]
        yield (
            "to train",
            training(shape, batch, row["dtype"], lora, mixed=mixed, checkpointing=checkpointing),
        )
        return
    if attacks := job.params.get("attacks"):  # a question a sample, and all activations are kept
        relearning, longest = attacks["relearning"], max(tokens["person"], tokens["event"])
        size = relearning["batch"]
        passes = ceil(size / min(relearning["at_once"] or size, size))
        batch = Batch(ceil(size / passes), QUESTION + longest, longest)
        yield "to relearn", training(shape, batch, row["dtype"], lora, mixed=mixed, checkpointing=False)
    longest = (
        config["lifelong"]["max_new_tokens"]
        if lifelong
        else max(config["evaluation"]["max_new_tokens"].values())
    )
    batch = Batch(config["evaluation"]["batch"], QUESTION, longest)
    yield "to answer", answering(shape, batch, row["dtype"], lora["rank"], mixed=mixed)


def _views(job: PlannedJob) -> int:
    """Sets of rows that a pass holds at once, at most: of finetuned and goal one, with BGD three, else two."""
    recipe = job.wildcards.get("recipe", "")
    return 1 if recipe.startswith(("finetuned", "goal")) else 3 if "-both" in recipe else 2
