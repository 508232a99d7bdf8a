"""What a data set holds, counted (PEBench, section III-B and Figure 4)."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmunlearn.curation.attributes import categories, continents
from mmunlearn.records import (
    Candidate,
    Event,
    Person,
    Question,
    Split,
    read_json,
    read_jsonl,
    read_manifest,
    write_json,
)

logger = logging.getLogger(__name__)

AGE_BIN = 10  # years


def count_dataset(
    output: Path, manifest: Path, people: Path, events: Path, questions: Path, splits: Sequence[Path]
) -> None:
    """Write the counts of `statistics` as JSON.

    Args:
        splits: files whose names without suffix name the splits, e.g. `person05.json`.

    Raises:
        RecordError: an input does not hold what its name promises.
    """
    counts = statistics(
        read_manifest(manifest),
        read_jsonl(people, Person),
        read_jsonl(events, Event),
        read_jsonl(questions, Question),
        {path.stem: read_json(path, Split) for path in splits},
    )
    write_json(output, counts)
    logger.info(
        "{people} people, {events} events, {pictures} pictures from {candidates} candidates".format(**counts)
    )


def statistics(
    candidates: Sequence[Candidate],
    people: Sequence[Person],
    events: Sequence[Event],
    questions: Sequence[Question],
    splits: Mapping[str, Split],
) -> dict[str, Any]:
    """Count a data set.

    A cell is a person at an event; `cells` are those that were drawn, and `pictures` those with a valid one.
    `attempts` says how many cells took how many candidates, `guidance_scales` and `generators` what candidates
    and pictures were drawn with. `professions` and `regions` are groups where these are known (see
    `by_group`); `jobs` and `birthplaces` are as written. What is not known of a person is not counted.

    Returns:
        Plain data. A mapping of counts has its most frequent key first, or ascending keys where keys are numbers.
    """
    pictures = [row for row in candidates if row.accepted]
    drawn = Counter(row.image_id for row in candidates)
    return {
        "people": len(people),
        "events": len(events),
        "cells": len(drawn),
        "pictures": len(pictures),
        "accepted_share": len(pictures) / len(drawn) if drawn else None,
        "candidates": len(candidates),
        "attempts": _ascending(drawn.values()),
        "guidance_scales": _drawn_with(candidates, "guidance_scale"),
        "generators": _drawn_with(candidates, "generator"),
        "questions": falling(question.kind for question in questions),
        "splits": {name: _sizes(splits[name]) for name in sorted(splits)},
        "ages": {f"{low}-{low + AGE_BIN - 1}": n for low, n in by_age(people).items()},
        "genders": falling(known(person.gender for person in people)),
        "professions": by_group(known(person.job for person in people), categories()),
        "regions": by_group(known(person.birthplace for person in people), continents()),
        "jobs": falling(known(person.job for person in people)),
        "birthplaces": falling(known(person.birthplace for person in people)),
    }


def known(texts: Iterable[str]) -> list[str]:
    """The texts that are not empty: of people on pictures that were found, nobody knows a job."""
    return [text for text in texts if text]


def by_group(values: Iterable[str], groups: Mapping[str, str]) -> dict[str, int]:
    """Counts by group, the most frequent first; `other` counts the values without one.

    A value's group is that of the whole text or else of what follows its last comma, without regard to
    case. Where most values have none, the groups say nothing: the values are counted as written.
    """
    values = list(values)
    known = {value.casefold(): group for value, group in groups.items()}
    matches = [_group(value, known) for value in values]
    others = matches.count(None)
    if others * 2 > len(matches):
        return falling(values)
    return falling(group for group in matches if group) | ({"other": others} if others else {})


def by_age(people: Iterable[Person]) -> dict[int, int]:
    """People of known age by its decade, from the youngest to the oldest decade without a gap: {20: 31, 30: ...}."""
    counted = Counter(person.age // AGE_BIN * AGE_BIN for person in people if person.age is not None)
    if not counted:
        return {}
    return {low: counted[low] for low in range(min(counted), max(counted) + 1, AGE_BIN)}


def falling(values: Iterable[str]) -> dict[str, int]:
    """Counts, the most frequent first and equally frequent ones by name."""
    return dict(sorted(Counter(values).items(), key=lambda item: (-item[1], item[0])))


def _group(value: str, known: Mapping[str, str]) -> str | None:
    whole = value.strip().casefold()
    return known.get(whole) or known.get(whole.rpartition(",")[2].strip())


def _ascending(values: Iterable[int]) -> dict[str, int]:
    return {str(value): count for value, count in sorted(Counter(values).items())}


def _drawn_with(candidates: Sequence[Candidate], field: str) -> dict[str, dict[str, int]]:
    """Candidates and pictures by the value of a field."""
    drawn = Counter(getattr(row, field) for row in candidates)
    accepted = Counter(getattr(row, field) for row in candidates if row.accepted)
    return {str(value): {"candidates": drawn[value], "pictures": accepted[value]} for value in sorted(drawn)}


def _sizes(split: Split) -> dict[str, int]:
    """Numbers of concepts to forget and of pictures in each part."""
    return {
        part: len(getattr(split, part)) for part in ("forgotten", "forget_train", "forget_test", "retain")
    }
