"""Questions in other words, as a file holds them. Imported by the Snakefile: nothing heavy here."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mmunlearn.files import RecordError, read_yaml


def read_paraphrases(path: Path) -> Mapping[str, list[str]]:
    """Kind of question -> questions. Raises RecordError where a kind has none, or the file is something else."""
    content = read_yaml(path)
    for kind in ("person", "event"):
        texts = content.get(kind) if isinstance(content, dict) else None
        if not (
            isinstance(texts, list) and texts and all(isinstance(one, str) and one.strip() for one in texts)
        ):
            raise RecordError(
                f"{path} is asked for questions of kind {kind}, but holds none; give a list of texts as `{kind}:`"
            )
    return content
