"""What a job of the plan reads, and what it leaves on disk: megabytes by kind, counts times assumptions.

A job reads its networks once. Of a picture that a model is shown it reads the kept vision features, or, where the row
of `models` keeps none, the picture itself, which then passes through the tower. What is small is left out: answers,
scores, tables, the features that filters look at.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from stat import S_ISDIR
from typing import Any, Protocol

from mmunlearn.models.families import caches_features

PICTURES, FEATURES, ADAPTERS, EMBEDDINGS, WEIGHTS = (
    "pictures",
    "features",
    "adapters",
    "prompt embeddings",
    "weights",
)
"""Kinds of what is read or lies on disk."""
MB = {PICTURES: "picture_mb", FEATURES: "feature_mb", ADAPTERS: "adapter_mb", EMBEDDINGS: "embedding_mb"}
"""Kind -> the assumption that says the megabytes of one, of an adapter for each unit of LoRA's rank."""
CHECKPOINT = 3
"""Adapters that a checkpoint holds: the adapter and AdamW's two moments."""
AT_ONCE = 2
"""Checkpoints that a running training has at most: the older one goes when the newer is written."""


class Job(Protocol):
    """What is read of `work.Estimate`, which says what each means."""

    planned: Any
    sizes: Any
    params: Mapping[str, Any]

    def assume(self, name: str, key: str | None = None) -> float: ...


class Storage:
    """One job.

    Attributes:
        read, disk: kind -> MB; on disk the features of each model are a kind of their own.
        checkpoint: MB of checkpoints while it trains, which go with its end.
        towers: pictures that pass through the tower besides what the job is for.
        places: where what is on `disk` lies: files, patterns of files, folders. None of pictures and embeddings in
            `work/`, which are too many to look at.
    """

    def __init__(self, job: Job) -> None:
        self._job, self._config = job, job.sizes.config
        self.read: Counter[str] = Counter()
        self.disk: Counter[str] = Counter()
        self.checkpoint = self.towers = 0.0
        self.places: list[Path] = []

    def keep(self, kind: str, count: float, places: Iterable[Path] = ()) -> None:
        """So many pictures or embeddings of prompts stay."""
        if count:
            self.disk[kind] += count * self._job.assume(MB[kind])
        self.places += places

    def keep_features(self, pictures: float, files: Iterable[Path]) -> None:
        """A job encodes pictures, which it reads, into files."""
        self.read[PICTURES] += pictures * self._job.assume(MB[PICTURES])
        kind = f"{FEATURES} of {self._job.planned.wildcards['model']}"
        self.disk[kind] += pictures * self._job.assume(MB[FEATURES])
        self.places += files

    def keep_adapters(self, count: float, steps: float, files: Iterable[Path]) -> None:
        """A training of so many optimizer steps leaves adapters; references lie in `work/`."""
        lora = self._job.params.get("lora") or self._config["training"]["lora"]
        one = lora["rank"] * self._job.assume(MB[ADAPTERS])
        self.disk[ADAPTERS] += count * one
        if steps > self._config["training"]["save_steps"]:
            self.checkpoint = AT_ONCE * CHECKPOINT * one
        self.places += files

    def keep_weights(self, name: str) -> None:
        """A job fetches what resources/weights.yaml lists by this name."""
        self.disk[WEIGHTS] += self._job.assume("weights_mb", name)
        self.places.append(Path(self._config["weights"]["folder"], name))

    def show(self, pictures: float) -> None:
        """A model is shown pictures."""
        row = self._config["models"].get(self._job.planned.wildcards.get("model"))
        if row is None or caches_features(row):
            self.read[FEATURES] += pictures * self._job.assume(MB[FEATURES])
        else:
            self.read[PICTURES] += pictures * self._job.assume(MB[PICTURES])
            self.towers += pictures

    def load(self, *, base: bool = False, networks: bool = False) -> None:
        """The base model is read, or the fetched weights of generator and filters that the input `weights` names."""
        planned = self._job.planned
        names = [receipt.stem for receipt in planned.inputs.get("weights", ())] if networks else []
        if base:
            model = planned.wildcards["model"]
            source = Path(self._config["models"].get(model, {"source": ""})["source"])
            fetched = source.parent == Path(self._config["weights"]["folder"])
            names.append(source.name if fetched else model)
        for name in names:
            self.read[WEIGHTS] += self._job.assume("weights_mb", name)

    def gigabytes(self) -> dict[str, float]:
        """What it reads and leaves, for people."""
        amounts = {"GB read": self.read.total() / 1000, "GB on disk": self.disk.total() / 1000}
        return {unit: amount for unit, amount in amounts.items() if amount}

    def seconds(self, working: float, *, overlap: bool, at_once: int) -> float:
        """Working, reading and the towers; `training.workers` read beside the work of a training."""
        if self.towers:
            working += self.towers * self._job.assume("encode_seconds") / at_once
        if not (self.read[FEATURES] or self.read[WEIGHTS]):
            return working
        speed = self._job.assume("read_mb_second")
        features, weights = self.read[FEATURES] / speed, self.read[WEIGHTS] / speed
        return weights + (max(working, features) if overlap else working + features)


def bytes_of(places: Iterable[Path]) -> int:
    """What lies in files (patterns of names, too) and folders; a file with several names counts once."""
    sizes: dict[tuple[int, int], int] = {}
    pending = [path for place in places for path in place.parent.glob(place.name)]
    while pending:
        path = pending.pop()
        with suppress(OSError):  # a running job may take away what was there
            status = path.stat()
            if S_ISDIR(status.st_mode):
                pending += path.iterdir()
            else:
                sizes[status.st_dev, status.st_ino] = status.st_size
    return sum(sizes.values())
