"""The World set: POPE's published questions on COCO val2014 (PEBench, III-C1).

Three files of JSON lines, 3,000 questions each: 500 pictures, six questions a picture, half of them yes.
Source: Li et al., Evaluating Object Hallucination in Large Vision-Language Models (2023), output/coco.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from mmunlearn.files import RecordError, inside, read_text
from mmunlearn.records import POPE_SUBSETS

QUESTIONS_PER_PICTURE = 6


class PopeQuestion(BaseModel):
    """A line of coco_pope_<subset>.json; further keys are ignored."""

    model_config = ConfigDict(frozen=True)

    question_id: int
    image: str
    text: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=1000)]
    label: Literal["yes", "no"]


def pope_file(subset: str) -> str:
    return f"coco_pope_{subset}.json"


def read_pope(folder: Path, pictures: Path) -> dict[str, list[PopeQuestion]]:
    """The questions of every subset, in the order of the files.

    Args:
        folder: holds coco_pope_random.json, coco_pope_popular.json and coco_pope_adversarial.json.
        pictures: the COCO val2014 images.
    Raises:
        RecordError: a file is missing; a line is no question, repeats one, or its picture is missing (names the
            line); or a file does not ask six questions on each picture of the others.
    """
    if not pictures.is_dir():
        raise RecordError(
            f"the World set's pictures are expected in the folder {pictures}, which does not exist: "
            f"put COCO's val2014 images there, or set dataset.files.coco to their folder"
        )
    files = {subset: folder / pope_file(subset) for subset in POPE_SUBSETS}
    there: set[str] = set()
    questions = {subset: _read(path, pictures, there) for subset, path in files.items()}
    images = {one.image for rows in questions.values() for one in rows}
    for subset, rows in questions.items():
        counts = Counter(one.image for one in rows)
        odd = sorted(image for image in images if counts[image] != QUESTIONS_PER_PICTURE)
        if odd:
            raise RecordError(
                f"{files[subset]} should ask {QUESTIONS_PER_PICTURE} questions on each of {len(images)} pictures, "
                f"{QUESTIONS_PER_PICTURE * len(images)} in all; it has {counts.total()}, and {counts[odd[0]]} on "
                f"{odd[0]}: fetch the file again (the one of before October 2023 has only 2910)"
            )
    return questions


def _read(path: Path, pictures: Path, there: set[str]) -> list[PopeQuestion]:
    """The questions of a file; `there` is filled with pictures that have been looked for."""
    try:
        text = read_text(path)
    except (OSError, RecordError) as error:
        raise RecordError(
            f"POPE's questions are expected in {path}, but it cannot be read ({error}): "
            f"put the published file there, or set dataset.files.pope to its folder"
        ) from error
    rows, seen = [], set()
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        row = _parse(line, f"{path}, line {number}")
        if row.question_id in seen:
            raise RecordError(
                f"{path}, line {number}: question_id {row.question_id} is there a second time: fetch the file again"
            )
        if row.image not in there and not inside(pictures, row.image, f"{path}, line {number}").is_file():
            raise RecordError(
                f"{path}, line {number}: its picture {row.image} is not in {pictures}: put COCO's val2014 "
                f"image there, or set dataset.files.coco to their folder"
            )
        there.add(row.image)
        seen.add(row.question_id)
        rows.append(row)
    return rows


def _parse(line: str, where: str) -> PopeQuestion:
    try:
        return PopeQuestion.model_validate_json(line)
    except ValidationError as error:
        first = error.errors()[0]
        raise RecordError(
            f"{where} should hold question_id, image, text and label (yes or no); "
            f"{'.'.join(map(str, first['loc'])) or 'it'}: {first['msg']}: fetch the file again"
        ) from error


def choose_pictures(questions: Mapping[str, Sequence[PopeQuestion]], n: int, seed: int) -> list[str]:
    """The file names of `n` pictures, sorted: all of them, or a seeded sample.

    Raises:
        RecordError: there are fewer.
    """
    images = sorted({one.image for rows in questions.values() for one in rows})
    if len(images) < n:
        raise RecordError(
            f"{n} pictures of POPE are asked for (dataset.n_world), the files of dataset.files.pope "
            f"have {len(images)}: lower dataset.n_world"
        )
    return sorted(random.Random(seed).sample(images, n))


def picture_ids(files: Iterable[str]) -> dict[str, str]:
    """The id of every picture by its file's name: the stem, or all of the name where two stems are the same.

    `a/7.jpg` and `b/7.png` are `a_7_jpg` and `b_7_png`.

    Raises:
        RecordError: two ids are the same even so.
    """
    names = sorted(set(files))
    stems = Counter(Path(name).stem.casefold() for name in names)
    ids = {
        name: Path(name).stem if stems[Path(name).stem.casefold()] == 1 else re.sub(r"\W", "_", name)
        for name in names
    }
    counts = Counter(one.casefold() for one in ids.values())
    if twice := [name for name in names if counts[ids[name].casefold()] > 1]:
        raise RecordError(
            f"POPE's pictures {' and '.join(twice[:2])} would both be called {ids[twice[0]]}: rename one of them"
        )
    return ids
