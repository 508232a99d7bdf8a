"""Backend `files`: the Real and World sets from local copies of MIKE, LAION, POPE and COCO (PEBench, III-C1)."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mmunlearn import ids
from mmunlearn.dataset.event_pool import open_pool
from mmunlearn.dataset.pictures import EncodedPicture, Pictures
from mmunlearn.dataset.pope_files import choose_pictures, picture_ids, pope_file, read_pope
from mmunlearn.dataset.protocol import ReferenceSets, suite_question
from mmunlearn.dataset.real_people import MANIFEST, choose_people, person_answer, read_people
from mmunlearn.dataset.retrieval import Clip, Retrieved, cache_name, retrieve
from mmunlearn.records import POPE_SUBSETS, Event, RecordError, SuiteQuestion, read_jsonl, sha256_of
from mmunlearn.scorers.device import device_of
from mmunlearn.seeds import derive_seed

logger = logging.getLogger(__name__)
Set = tuple[Pictures, list[SuiteQuestion]]
REQUIRED = {  # by key of `dataset.files`: the files without which its folder is of no use
    "people": (MANIFEST,),
    "events": (),
    "clip": (),
    "pope": tuple(pope_file(subset) for subset in POPE_SUBSETS),
    "coco": (),
}


class FileReferenceSets(ReferenceSets):
    """Supplies reference sets from files."""

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
        """`options` are the keys of `dataset.files`; a set reads its own only:

        real: `people` (folder with manifest.csv), `events` (folder of images or Parquet of LAION rows),
        `real_reference` (description or caption), `clip` (weights folder of the retrieving CLIP), `quick_gelu`,
        `device` (auto, cuda or cpu);
        world: `pope`, `coco` (folders).

        Args:
            questions, answers: kind -> text and template, as of the benchmark's own people and events.
            size: longest side of a picture, pixels.
            events: events.jsonl of the curated events.
            work: where features of the events' pool are kept.
        """
        self._options, self._questions, self._answers = options, questions, answers
        self._size, self._events, self._work = size, events, work

    def real(self, n: int, seed: int) -> Set:
        """n pictures of public figures and n retrieved by the events' descriptions.

        `subset` of a person question holds the figure's name. The paper names no reference answer to a retrieved
        picture: it is the answer to the event that it was retrieved for, as in the data set; or, by
        `real_reference: caption`, the picture's own caption where it has one. The table retrieval.csv beside the
        pictures says which picture was retrieved for which event.
        """
        self._require("real", "people", "events", "clip")
        stored: dict[str, EncodedPicture] = {}
        rows, table = [], []
        people = read_people(self._path("people"))
        for i, person in enumerate(choose_people(people, n, derive_seed(seed, "real", "people"))):
            image_id = ids.set_image_id("real", i, "person")
            stored[image_id] = EncodedPicture(person.path.as_posix(), person.path)
            answer = person_answer(self._answers["person"], person.name)
            rows.append(suite_question(image_id, "person", self._questions["person"], answer, person.name))
        for i, one in enumerate(self._retrieved(n, derive_seed(seed, "real", "events"))):
            image_id = ids.set_image_id("real", i, "event")
            stored[image_id] = one.stored
            rows.append(suite_question(image_id, "event", self._questions["event"], self._reference(one)))
            match = {"event_id": one.event.event_id, "cosine": f"{one.cosine:.6f}", "source": one.source}
            table.append({"image_id": image_id, **match})
        return Pictures(stored, self._size, {"retrieval.csv": table}), rows

    def world(self, n: int, seed: int) -> Set:
        """n pictures with all their POPE questions: six in each subset."""
        self._require("world", "pope", "coco")
        coco = self._path("coco")
        questions = read_pope(self._path("pope"), coco)
        names = choose_pictures(questions, n, derive_seed(seed, "world"))
        image_ids = picture_ids(one.image for rows in questions.values() for one in rows)
        stored = {image_ids[name]: EncodedPicture((coco / name).as_posix(), coco / name) for name in names}
        rows = []
        for subset in POPE_SUBSETS:
            for one in questions[subset]:
                image_id = image_ids[one.image]
                if image_id in stored:
                    answer, name = one.label.capitalize(), f"{subset}-{one.question_id}"
                    rows.append(suite_question(image_id, "object", one.text, answer, subset, name))
        return Pictures(stored, self._size), rows

    def replay(self, n: int, seed: int) -> Set:
        """The empty set, as the paper trains without replay. Raises RecordError for n above 0."""
        if n:
            raise RecordError(
                f"{n} replay pictures are asked for, the backend 'files' has none: set dataset.n_replay: 0"
            )
        return Pictures({}, self._size), []

    def _retrieved(self, n: int, seed: int) -> list[Retrieved]:
        pool, weights = open_pool(self._path("events")), self._path("clip")
        quick_gelu, device = self._option("quick_gelu"), self._option("device")
        files = sorted(path for path in weights.rglob("*") if path.is_file())
        network = [[path.relative_to(weights).as_posix(), sha256_of(path)] for path in files]
        matches = retrieve(
            pool,
            read_jsonl(self._events, Event),
            n,
            seed,
            clip=load_clip(weights, device, quick_gelu),
            cache=self._work / "retrieval" / cache_name(pool, [network, bool(quick_gelu)]),
        )
        cosines = [one.cosine for one in matches]
        logger.info(
            "%d of %d pictures retrieved; cosine %.3f to %.3f, mean %.3f; %d have a caption",
            len(matches), sum(map(len, pool)), min(cosines), max(cosines), np.mean(cosines),
            sum(bool(one.caption) for one in matches),
        )  # fmt: skip
        return matches

    def _reference(self, one: Retrieved) -> str:
        """What an answer to a retrieved picture is compared with."""
        if one.caption and self._options.get("real_reference") == "caption":
            return one.caption
        return self._answers["event"].format(**one.event.model_dump())

    def _option(self, key: str) -> Any:
        if self._options.get(key) is None:
            raise RecordError(f"the reference sets of 'files' need dataset.files.{key}, found none: set it")
        return self._options[key]

    def _path(self, key: str) -> Path:
        return Path(self._option(key))

    def _require(self, name: str, *keys: str) -> None:
        """See that all folders and files of a set are there. Raises RecordError, which lists all that are not."""
        problems = [problem for key in keys if (problem := self._problem(key))]
        if problems:
            raise RecordError(
                f"the {name} set of 'files' needs {', '.join(f'dataset.files.{key}' for key in keys)}; found that "
                f"{'; '.join(problems)}: put the files there, or correct these paths in the configuration"
            )

    def _problem(self, key: str) -> str | None:
        """What is wrong with a key's folder, as a clause."""
        if self._options.get(key) is None:
            return f"dataset.files.{key} is not set"
        path = self._path(key)
        if not path.exists():
            return f"dataset.files.{key} names {path}, which does not exist"
        if not path.is_dir() and key != "events":  # they may be one Parquet file
            return f"dataset.files.{key} should name a folder, {path} is a file"
        missing = [name for name in REQUIRED[key] if not (path / name).is_file()]
        return f"dataset.files.{key} names {path}, which lacks {', '.join(missing)}" if missing else None


def load_clip(weights: Path, device: str, quick_gelu: bool) -> Clip:
    """The CLIP that retrieves: the scene scorer's network; `auto` is the GPU where there is one."""
    from mmunlearn.scorers.scene import SceneScorer

    return SceneScorer(weights, device_of(device), quick_gelu)
