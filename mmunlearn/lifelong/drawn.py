"""Whether drawn tasks (`draw.py`) are still what was drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter

from mmunlearn.files import RecordError, read_text
from mmunlearn.progress import progress
from mmunlearn.records import sha256_of
from mmunlearn.weights.errors import brief

AGAIN = "Run the rule again, with the same --configfile: snakemake --cores 2 lifelong --forcerun draw_tasks"


def require_drawn(manifest: Path) -> None:
    """See that the files of a drawn folder are those that its manifest lists.

    Raises:
        RecordError: one is missing or another; names the first, and how many. Or the manifest is damaged.
    """
    try:
        listed = TypeAdapter(Annotated[dict[str, str], Field(min_length=1)]).validate_json(
            read_text(manifest), strict=True
        )
    except ValueError as error:
        raise RecordError(f"{manifest} is not the list of drawn files ({brief(error)}). {AGAIN}") from error
    folder = manifest.parent
    others = [
        folder / name
        for name, digest in progress(listed.items(), "drawn files", unit="file")
        if not (folder / name).is_file() or sha256_of(folder / name) != digest
    ]
    if others:
        count = f"{len(others):,} such file{'s' if len(others) > 1 else ''}"
        raise RecordError(f"{others[0]} is not the file that was drawn ({count}). {AGAIN}")
