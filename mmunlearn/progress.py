"""A progress bar that suits a terminal and a log file alike."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")


def progress(
    items: Iterable[Item] | None, what: str, total: int | None = None, unit: str = "it"
) -> tqdm[Item]:
    """Wrap `items` in a bar on stderr, drawn often on a terminal and every 10 seconds elsewhere.

    Without items, the caller moves the bar towards `total` itself.
    """
    interval = 0.5 if sys.stderr.isatty() else 10.0
    return tqdm(
        items, desc=what, total=total, unit=unit, mininterval=interval, leave=False, dynamic_ncols=True
    )
