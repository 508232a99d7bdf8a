"""Jobs as Snakemake plans them, and what the plan makes of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmunlearn.workflow.plan import Plan, Total
from mmunlearn.workflow.work import PlannedJob
from tests.unit.test_config_schema import ROOT, load, merged

Config = dict[str, Any]
POCKET = merged({})
PAPER = merged(load(ROOT / "presets" / "paper.yaml"))
ADAPTER = "adapter/adapter_model.safetensors"


def job(*outputs: str, scale: str = "pocket", model: str = "pocket-llava", **fields: Any) -> PlannedJob:
    """A job that makes files below the results."""
    files = tuple(Path("results", scale, output) for output in outputs)
    return PlannedJob(**{"rule": "a_rule", "wildcards": {"model": model}} | fields | {"outputs": files})


def lines(plan: Plan) -> dict[str, Total]:
    return {line.name: line for line in plan.totals}


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path
