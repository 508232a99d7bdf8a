"""What the planned judging jobs have cost so far, by the verdicts of their sentences that the judge's store keeps.

The store is opened read-only. Whatever keeps it or an answer file from being read is a reason for no actual value.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from mmunlearn.evaluation.g_eval import identity, verdict_key
from mmunlearn.evaluation.judge import cases_of
from mmunlearn.evaluation.verdict_store import Spending, StoreError, Usage, VerdictStore
from mmunlearn.records import RecordError
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
        keys = _keys(options, own)
        usage, ledger = VerdictStore(options["store"]).used(keys)
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
    return done, [_about(options["store"], len(keys), usage, ledger)]


def _keys(options: Mapping[str, Any], own: Iterable[Estimate]) -> set[str]:
    judge, keys = identity(options), set()
    events = lru_cache(maxsize=16)(_events)  # the anchors are those of many jobs

    def read(path: Path, images: set[str]) -> dict[str, str]:
        return {key: text for key, (image, text) in events(path).items() if image in images}

    for one in own:
        files = (one.job.inputs[name] for name in ("answers", "finetuned", "goal", "split"))
        keys |= {verdict_key(judge, case.test, case.finetuned, case.goal) for case in cases_of(*files, read)}
    return keys


def _events(path: Path) -> dict[str, tuple[str, str]]:
    """question_id -> (image_id, answer) of the event questions, without the checks of every row that take most of
    the time."""
    rows = {}
    with path.open(encoding="utf-8") as handle:
        for line in handle:
            if '-event"' in line:
                try:
                    row = json.loads(line)
                    rows[row["question_id"]] = row["image_id"], row["answer"]
                except (ValueError, KeyError, TypeError) as error:
                    raise RecordError(f"{path} holds a line that is no answer: {error!r}") from error
    return {key: row for key, row in rows.items() if key.endswith("-event")}


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
