"""What judged answers have cost so far, by the verdicts of their texts in the store, which is only read."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from mmunlearn.evaluation.judge.ledger import Spending
from mmunlearn.evaluation.judge.rubrics.g_eval import G_EVAL, cases_of
from mmunlearn.evaluation.judge.store import JudgeStore, Usage
from mmunlearn.ids import kind_of
from mmunlearn.records import RecordError


def usage_of(jobs: Iterable[Mapping[str, Path]], options: Mapping[str, Any]) -> tuple[int, Usage, Spending]:
    """How many different cases judging jobs have, what those with a verdict have used, and the ledger of all judges.

    Args:
        jobs: answers, finetuned, goal and split of each, as of `cases_of`.
        options: `evaluation.openai` of the configuration.
    Raises:
        StoreError: as of `JudgeStore.used`.
        RecordError, OSError: an answer file is damaged or absent.
    """
    identity = G_EVAL.identity(options)
    read = lru_cache(maxsize=16)(_event_answers)  # the anchors are those of many jobs
    keys = {G_EVAL.key(identity, case.texts) for files in jobs for case in cases_of(**files, read=read)}
    return len(keys), *JudgeStore(options["store"]).used(keys)


def _event_answers(path: Path) -> dict[str, tuple[str, str]]:
    """As of `g_eval.event_answers`, without the checks of every row that take most of the time."""
    rows = {}
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            try:
                row = json.loads(line)
                if kind_of(row["question_id"]) == "event":
                    rows[row["question_id"]] = row["image_id"], row["answer"]
            except (ValueError, LookupError, TypeError, AttributeError) as error:
                raise RecordError(f"{path} holds a line that is no answer: {error!r}") from error
    return rows
