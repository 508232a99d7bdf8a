"""Answers of a job, batch by batch, so that a killed job goes on where it was; also one that had asked all.

A batch of answers is a file, written atomically. The batches of a rerun are the same as before and none is asked
twice, so the rerun leaves the bytes of an unbroken one. The folder is that of a spool, whose identity is a digest of
all that shapes the answers: it stays until they are judged or scored.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mmunlearn.models.identity import base_identity, stamps
from mmunlearn.models.loading import ADAPTER_FILES, ModelSpec
from mmunlearn.records import digest_of, sha256_of, write_json

logger = logging.getLogger(__name__)


def adapter_digests(folder: Path) -> tuple[str, ...]:
    """Checksums of an adapter's files: equal ones give equal answers."""
    return tuple(sha256_of(folder / name) for name in ADAPTER_FILES)


def identity(
    adapter: Sequence[str],
    *,
    spec: ModelSpec,
    features: Iterable[Path],
    settings: Mapping[str, Any],
    work: Path,
) -> str:
    """Digest of what shapes one adapter's answers.

    See `base_identity` and `stamps` for what stands for base and features.

    Args:
        adapter: its `adapter_digests`.
        settings: further plain data, such as the batch.
        work: where checksums are kept.
    """
    base = [{**asdict(spec), "source": ""}, base_identity(spec, work)]
    return digest_of([base, stamps(features), list(adapter), dict(settings)])


class AnswerStore:
    """The batches of one adapter and suite that are answered: number -> texts, in the batch's order."""

    def __init__(self, folder: Path, batches: Sequence[Sequence[str]]) -> None:
        """`batches`: question ids of each batch; a file of other ones does not count."""
        self._folder, self._batches = folder, batches
        before = sum(self._path(number).exists() for number in range(len(batches)))
        if before:
            logger.info("%d of %d batches were answered before", before, len(batches))

    def get(self, number: int) -> list[str] | None:
        """The texts of a batch; None where it is still to be asked, or where its file is damaged."""
        path, ids = self._path(number), list(self._batches[number])
        try:
            texts = json.loads(path.read_text(encoding="utf-8"))
            if list(texts) == ids and all(isinstance(text, str) for text in texts.values()):
                return list(texts.values())
            problem = "it holds other questions"
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, AttributeError) as error:
            problem = str(error)
        logger.warning("%s is damaged (%s): its questions are asked again", path, problem)
        return None

    def __setitem__(self, number: int, texts: Sequence[str]) -> None:
        write_json(self._path(number), dict(zip(self._batches[number], texts, strict=True)))

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:06d}.json"
