"""The Real set's events: pictures retrieved by CLIP with the events' descriptions (PEBench, III-C1).

The paper says no more than that. Here every event gets as many pictures as any other, give or take one; pairs of
event and picture are taken greedily by cosine, and no picture twice, nor a copy of it.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image

from mmunlearn.dataset.event_pool import BLOCK, PoolPart, PoolPicture
from mmunlearn.dataset.pictures import EncodedPicture
from mmunlearn.progress import progress
from mmunlearn.records import Event, RecordError, atomic_path, digest_of

logger = logging.getLogger(__name__)
BATCH = 32
VERSION = 2  # of cached features: 2, pictures as open_picture shows them


class Clip(Protocol):
    """Embeds texts and pictures in one space; rows need not have unit length."""

    def embed_texts(self, texts: list[str]) -> np.ndarray:
        """(N, D) of N texts, cut to the tokenizer's length."""
        ...

    def embed_images(self, images: list[Image.Image]) -> np.ndarray:
        """(N, D) of N RGB pictures."""
        ...


@dataclass(frozen=True)
class Embedded:
    """Readable pictures of a pool: their places in it (N,), SHA-256 (N,) and features (N, D), unit vectors."""

    places: np.ndarray
    digests: np.ndarray
    features: np.ndarray


@dataclass(frozen=True)
class Retrieved:
    """A picture of an event; `caption` is empty where the pool has none."""

    event: Event
    cosine: float
    source: str
    caption: str
    stored: EncodedPicture


def retrieve(
    pool: Sequence[PoolPart], events: Sequence[Event], n: int, seed: int, *, clip: Clip, cache: Path
) -> list[Retrieved]:
    """`n` pictures of the pool for the events, by event and then by falling cosine.

    Args:
        seed: decides which events get one picture more where `n` is no multiple of their number.
        cache: folder of features; its name must change with pool and weights (see `cache_name`).
    Raises:
        RecordError: the pool holds fewer than `n` different, readable pictures, or there is no event.
    """
    if not events:
        raise RecordError(
            "events are to be retrieved, but the curated events are none: raise curation.n_events"
        )
    events = sorted(events, key=lambda event: event.event_id)
    texts = _finite(unit(clip.embed_texts([event.description for event in events])))
    _check_size(pool, n, sum(map(len, pool)), "listed")
    embedded = embed_pool(pool, clip, cache)
    _check_size(pool, n, len(embedded.places), "different readable")
    cosines = np.round(texts @ embedded.features.T, 6)
    extra = set(random.Random(seed).sample(range(len(events)), n % len(events)))
    columns = choose(cosines, [n // len(events) + (row in extra) for row in range(len(events))])
    pictures = _fetch(pool, {int(embedded.places[column]) for picks in columns for column in picks})
    return [
        _match(event, float(cosines[row, column]), pictures[int(embedded.places[column])])
        for row, event in enumerate(events)
        for column in columns[row]
    ]


def _check_size(pool: Sequence[PoolPart], n: int, found: int, what: str) -> None:
    if found < n:
        raise RecordError(
            f"{n} pictures of events are asked for (dataset.n_real), {', '.join(part.name for part in pool)} "
            f"holds {found} {what} ones: put more there, or lower dataset.n_real"
        )


def _match(event: Event, cosine: float, picture: PoolPicture) -> Retrieved:
    assert picture.stored is not None, "it was readable when it was embedded"
    return Retrieved(event, cosine, picture.source, picture.caption, picture.stored)


def choose(cosines: np.ndarray, quotas: Sequence[int]) -> list[list[int]]:
    """Columns for every row of `cosines` (E, N): as many as its quota, no column twice.

    The pair of highest cosine is taken first; equal ones by column, then by row. A row's columns are in the
    order taken.
    """
    total = sum(quotas)  # a row never has to look beyond its `total` best columns
    best = np.argsort(-cosines, axis=1, kind="stable")[:, :total]
    pairs = sorted((-cosines[row, column], column, row) for row, picks in enumerate(best) for column in picks)
    columns: list[list[int]] = [[] for _ in quotas]
    taken: set[int] = set()
    for _, column, row in pairs:
        if column not in taken and len(columns[row]) < quotas[row]:
            taken.add(column)
            columns[row].append(int(column))
    return columns


def cache_name(pool: Sequence[PoolPart], weights: object) -> str:
    """A name for the features of a pool: `weights` is plain data that names the network."""
    return digest_of([VERSION, BLOCK, weights, [part.stamp() for part in pool]])


def embed_pool(pool: Sequence[PoolPart], clip: Clip, cache: Path) -> Embedded:
    """The different, readable pictures of a pool, in its order; cached blocks are not embedded again."""
    total, start = sum(map(len, pool)), 0
    blocks = []
    with progress(None, "embed the events' pool", total=total, unit="picture") as bar:
        for number, part in enumerate(pool):
            for block in _part_blocks(part, clip, cache / f"{number:05d}"):
                blocks.append(replace(block, places=block.places + start))
                bar.update(min(BLOCK, total - bar.n))
            start += len(part)
    return _distinct(blocks, total)


def _part_blocks(part: PoolPart, clip: Clip, cache: Path) -> Iterator[Embedded]:
    files = [cache / f"{number:05d}.npz" for number in range(-(-len(part) // BLOCK))]
    known = [_read_block(file) for file in files]
    read = part.blocks() if any(block is None for block in known) else [[]] * len(files)
    for number, (file, block, pictures) in enumerate(zip(files, known, read, strict=True)):
        if block is None:
            block = _embed(pictures, number * BLOCK, clip)
            with atomic_path(file) as temporary, temporary.open("wb") as handle:
                np.savez(handle, **vars(block))
        yield block


def _read_block(file: Path) -> Embedded | None:
    try:
        with np.load(file, allow_pickle=False) as stored:
            return Embedded(**stored)
    except FileNotFoundError:
        return None
    except Exception as error:
        logger.warning("%s is damaged and made again (%s)", file, error)
        return None


def _embed(pictures: Sequence[PoolPicture], first: int, clip: Clip) -> Embedded:
    """The readable ones of a block. `first`: place of its first picture in the part."""
    places, digests, features = [], [], []
    for start in range(0, len(pictures), BATCH):
        opened = []
        for place, one in enumerate(pictures[start : start + BATCH], first + start):
            try:
                if one.stored is not None:
                    opened.append(one.stored.open())
                    digests.append(one.stored.sha256())
                    places.append(place)
            except RecordError as error:
                logger.warning("left out: %s", error)
        if opened:
            features.append(_finite(unit(clip.embed_images(opened))))
    return Embedded(
        np.array(places, np.int64),
        np.array(digests, "S64"),
        np.concatenate(features or [np.empty((0, 0), np.float32)]),
    )


def unit(features: np.ndarray) -> np.ndarray:
    """Rows (N, D) scaled to length 1, float32."""
    rows = np.asarray(features, np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def _finite(features: np.ndarray) -> np.ndarray:
    if not np.isfinite(features).all():
        raise RecordError("CLIP gave features that are not finite: check the weights in dataset.files.clip")
    return features


def _distinct(blocks: Sequence[Embedded], total: int) -> Embedded:
    """All blocks as one, without copies of an earlier picture. `total`: pictures listed."""
    filled = [vars(block) for block in blocks if len(block.places)] or [vars(block) for block in blocks[:1]]
    joined = {name: np.concatenate([block[name] for block in filled]) for name in filled[0]}
    first = np.sort(np.unique(joined["digests"], return_index=True)[1])
    readable = len(joined["places"])
    if len(first) < total:
        logger.warning(
            "pool of %d pictures: %d missing or damaged, %d copies of others, %d to choose from",
            total, total - readable, readable - len(first), len(first),
        )  # fmt: skip
    return Embedded(**{name: column[first] for name, column in joined.items()})


def _fetch(pool: Sequence[PoolPart], places: set[int]) -> dict[int, PoolPicture]:
    """The pictures at these places of the pool; a part is only read where it has one."""
    pictures: dict[int, PoolPicture] = {}
    start = 0
    for part in pool:
        if places & set(range(start, start + len(part))):
            every = (one for block in part.blocks() for one in block)
            pictures |= {place: one for place, one in enumerate(every, start) if place in places}
        start += len(part)
    return pictures
