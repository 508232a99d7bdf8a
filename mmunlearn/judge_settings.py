"""What the rules need to know of the configured judge. Imported by the Snakefile: nothing heavy here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def judge_identity(config: Mapping[str, Any]) -> list[Any]:
    """What decides a verdict besides the sentences; the rest of `evaluation.openai` reruns nothing."""
    if config["evaluation"]["judge"] == "local":
        return []
    from mmunlearn.evaluation.g_eval import identity

    return list(identity(config["evaluation"]["openai"]).values())


def judge_name(config: Mapping[str, Any]) -> str:
    """The judge as tables name it: `local`, or `openai/` and the model."""
    judge = config["evaluation"]["judge"]
    return judge if judge == "local" else f"{judge}/{config['evaluation'][judge]['model']}"


def judge_resources(config: Mapping[str, Any]) -> dict[str, int]:
    """What a judging job asks of the run: profiles let one job with `judge: 1` run at a time, as one file keeps the
    verdicts; minutes enough for the calls, or for a batch of 24 hours."""
    evaluation = config["evaluation"]
    if evaluation["judge"] == "local":
        return {"judge": 0}
    return {"judge": 1, "runtime": 1560 if evaluation["openai"]["batch_api"] else 240}
