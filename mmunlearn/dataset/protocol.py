"""What reference sets are, and their questions: the base of those from files and of the pocket world's."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from mmunlearn.ids import question_id
from mmunlearn.records import SuiteQuestion


class ReferenceSets(ABC):
    """Supplies pictures and questions that are not about the benchmark's people and events.

    Pictures may be opened only when they are asked for; where they have `tables` (file name -> rows), as
    `mmunlearn.dataset.pictures.Pictures` does, those are written beside them as CSV.
    """

    @abstractmethod
    def __init__(
        self,
        options: Mapping[str, Any],
        *,
        questions: Mapping[str, str],
        answers: Mapping[str, str],
        size: int,
        events: Path,
        work: Path,
    ) -> None:
        """`options`: the backend's own keys (`dataset.<backend>`); `questions`, `answers`: kind -> text, template;
        `size`: longest side in pixels; `events`: the curated events.jsonl; `work`: folder of resumable files."""

    @abstractmethod
    def real(self, n: int, seed: int) -> tuple[Mapping[str, Image.Image], list[SuiteQuestion]]:
        """n pictures a target of known people and known events: pictures by image id, and questions."""

    @abstractmethod
    def world(self, n: int, seed: int) -> tuple[Mapping[str, Image.Image], list[SuiteQuestion]]:
        """n pictures with POPE questions (random, popular, adversarial)."""

    @abstractmethod
    def replay(self, n: int, seed: int) -> tuple[Mapping[str, Image.Image], list[SuiteQuestion]]:
        """n general pictures for training; none of them is in `real` or `world`."""


def suite_question(
    image_id: str, kind: str, question: str, answer: str, subset: str = "", name: str = ""
) -> SuiteQuestion:
    """A question of a reference set; its picture is not written yet.

    Args:
        name: what tells its id from others on the picture, where there are several of a kind.
    """
    return SuiteQuestion(
        question_id=question_id(image_id, name or kind),
        image_id=image_id,
        kind=kind,
        subset=subset,
        question=question,
        answer=answer,
        path="",
        sha256="",
    )
