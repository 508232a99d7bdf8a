"""What a gate is: it looks at pictures, once for all stages."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmunlearn.lifelong.answers import Asking
from mmunlearn.lifelong.routing import GateReply
from mmunlearn.tasks import TaskQuestion


@dataclass(frozen=True)
class Sources:
    """What a gate may look at and ask.

    Attributes:
        rows: all questions of the model; names and pictures of what is forgotten are in them.
        questions: the file of these, which lists pictures' checksums.
        features: of all their pictures.
        asking: longest reply in tokens -> the loaded base, ready to be asked.
        endpoint: `base_url`, `model`, `key_env` and the rest of a vision model's address.
        output: where the replies go.
        work: where a killed job's are kept.
    """

    rows: Sequence[TaskQuestion]
    questions: Path
    features: Path
    asking: Callable[[int], Asking]
    endpoint: Mapping[str, Any]
    output: Path
    work: Path


class Gate(ABC):
    """One kind of gate.

    Args:
        settings: `lifelong.gates.<gate>` of the configuration.
    """

    def __init__(self, settings: Mapping[str, Any], sources: Sources) -> None:
        self.settings, self.sources = settings, sources

    @abstractmethod
    def replies(self, pictures: Sequence[TaskQuestion]) -> list[GateReply]:
        """One row a picture, in their order, whatever the order is.

        Args:
            pictures: any one question of each.
        """
