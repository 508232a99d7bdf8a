"""The base class of attacks."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from mmunlearn.records import Finding

READS = ("adapter", "questions", "split", "people", "features")
"""Names of the files that every attack reads."""


class AttackMethod:
    """One attack.

    Attributes:
        reads: names of the files that its findings rest on.
        attack: takes a TargetModel and the attack's options by name; gives findings and details, which are plain data.
    """

    reads: ClassVar[tuple[str, ...]] = READS
    attack: ClassVar[Callable[..., tuple[list[Finding], dict[str, object]]]]
