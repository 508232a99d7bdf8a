"""What the planned judging jobs have cost so far, by the verdicts of their sentences that the judge's store keeps.

The store is opened read-only. Whatever keeps it or an answer file from being read is a reason for no actual value.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mmunlearn.evaluation.judge.ledger import Spending
from mmunlearn.evaluation.judge.store import StoreError, Usage
from mmunlearn.evaluation.judge.usage import usage_of
from mmunlearn.workflow.planning.estimate import Estimate, cost_of

Done = dict[str, tuple[float, float]]


def judged(config: Mapping[str, Any], estimates: Sequence[Estimate]) -> tuple[Done, list[str]]:
    """Name of a summary line -> (actual, estimate of the same jobs), and what to say of them; both empty where no
    model judges, or nothing has been judged."""
    evaluation = config["evaluation"]
    judging = [one for one in estimates if one.job.rule == "judge_answers"]
    own = [one for one in judging if any(path.is_file() for path in one.job.outputs)]
    if evaluation["judge"] == "local" or not own:
        return {}, []
    options = evaluation[evaluation["judge"]]
    try:
        inputs = ("answers", "finetuned", "goal", "split")
        cases, usage, ledger = usage_of(
            [{name: one.job.inputs[name] for name in inputs} for one in own], options
        )
    except (StoreError, ValueError, OSError) as error:
        return {}, [f"What the judge has used so far cannot be told. {error}"]
    tokens = usage.prompt_tokens, usage.completion_tokens
    expected = {part: _sum(own, f"judge {part}") for part in ("calls", "prompt tokens", "reply tokens")}
    prompts, replies = expected["prompt tokens"], expected["reply tokens"]
    done = {
        "judge calls": (usage.verdicts, expected["calls"]),
        "judge tokens": (sum(tokens), prompts + replies),
        "judge cost": (cost_of(config, *tokens), cost_of(config, prompts, replies)),
    }
    return done, [_about(options["store"], cases, usage, ledger)]


def _sum(own: Iterable[Estimate], name: str) -> float:
    return sum(one.work.counts.get(name, 0.0) for one in own)


def _about(store: str, wanted: int, usage: Usage, ledger: Spending) -> str:
    text = (
        f"Judge so far: {store} keeps verdicts for {usage.verdicts:,} of the {wanted:,} different cases of the judged "
        "files; each counts one call, its tokens and their cost by the configured prices, whichever run paid for it."
    )
    if usage.unmetered:
        text += f" {usage.unmetered:,} of them came without token counts."
    return text + (
        f" The store's ledger (all runs and judges, failed attempts and what is set aside included, at the prices then,"
        f" batches in full): {ledger.calls:,} calls, {ledger.prompt_tokens + ledger.completion_tokens:,} tokens, "
        f"cost {ledger.cost:,.4f}."
    )
