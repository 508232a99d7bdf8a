"""What judged answers have cost so far, by the verdicts of their texts in the store, which is only read."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from mmunlearn.evaluation.judge.ledger import Spending
from mmunlearn.evaluation.judge.rubrics import RUBRICS
from mmunlearn.evaluation.judge.store import JudgeStore, Usage
from mmunlearn.records import RecordError


def usage_of(
    jobs: Iterable[tuple[str, Mapping[str, Path | list[Path]]]], options: Mapping[str, Any]
) -> tuple[int, Usage, Spending]:
    """How many different cases judging jobs have, what those with a verdict have used, and the ledger of all judges.

    Args:
        jobs: rubric and files of each, as of the rubric's `cases`.
        options: `evaluation.openai` of the configuration.
    Raises:
        StoreError: as of `JudgeStore.used`.
        RecordError, OSError: an answer file is damaged or absent.
    """
    read = lru_cache(maxsize=16)(_answers)  # the anchors are those of many jobs
    keys = set()
    for name, files in jobs:
        rubric = RUBRICS.load(name)()
        identity = rubric.identity(options)
        keys |= {rubric.key(identity, case.texts) for case in rubric.cases(**files, read=read)}
    return len(keys), *JudgeStore(options["store"]).used(keys)


def _answers(path: Path) -> dict[str, tuple[str, str]]:
    """As of `read_answers`, without the checks of every row that take most of the time."""
    rows = {}
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            try:
                row = json.loads(line)
                rows[str(row["question_id"])] = str(row["image_id"]), str(row["answer"])
            except (ValueError, LookupError, TypeError) as error:
                raise RecordError(f"{path} holds a line that is no answer: {error!r}") from error
    return rows
