"""Review pages: one HTML file a batch that needs no server, asks for verdicts and saves them as CSV.

A page holds groups (a person, a part of the sample, the people, the events) of items (pictures or texts). Pictures
are embedded reduced; the large view loads the file itself where the page still lies in its run, and says which of the
two it shows. Equal inputs give equal bytes.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmunlearn.ids import shard_id
from mmunlearn.records import (
    Candidate,
    Event,
    Person,
    RecordError,
    digest_of,
    read_jsonl,
    read_manifest,
    sha256_of,
    write_text,
)
from mmunlearn.review.audit import audit_item, draw_audit
from mmunlearn.review.templates import render
from mmunlearn.review.thumbnails import NORMAL, Size, embedded_size, full_size_url, probes, thumbnail_uri
from mmunlearn.synthesis.policy import AWAITING
from mmunlearn.verdicts import Kind, text_digest

PART = 20  # pictures in a group of the sample
Facts = list[tuple[str, str]]  # label, value

log = logging.getLogger(__name__)

TASKS = {
    "pictures": "Accept a picture when it shows this person as described (region, age, profession and features, and "
    "the same face as in the other pictures) at the event named below it (the large view describes it), and is "
    "technically sound. Reject it otherwise: it is then drawn anew.",
    "sample": "Accept a picture when it is good enough for the data set: it shows the person described beside it at "
    "the event named, whole, sharp and clean. Reject it otherwise. The pictures come in random order, good and bad "
    "ones mixed; how the automatic filters judged them is not shown. "
    "Rejecting a picture here draws nothing anew: it only tells how well the filters work.",
    "texts": "Accept a person or an event when the text is plausible, consistent in itself, unlike the others and "
    "about nobody real. Reject it otherwise. Only accepted texts go on.",
}


@dataclass(frozen=True)
class Item:
    """What gets one verdict, and the `facts` that are written beside it.

    `uri` is its embedded picture and `full` the address of the picture file, relative to the page; empty for a text.
    """

    kind: Kind
    item: str
    digest: str
    label: str
    facts: Facts
    uri: str = ""
    full: str = ""


@dataclass(frozen=True)
class Group:
    """Items that are looked at together, what is written beside them all, and the scenes that have no picture."""

    title: str
    items: list[Item]
    facts: Facts = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


def write_picture_page(
    output: Path,
    manifest: Path,
    people: Path,
    events: Path,
    *,
    shard: str,
    people_per_shard: int,
    shards: int,
) -> None:
    """Write the page of one block of people: their pictures that pass the filters, confirmed already or not.

    Pages of blocks that the run no longer has are removed.

    Args:
        shard: number of the block, as `ids.shard_id` writes it.
        shards: how many blocks there are.

    Raises:
        RecordError: a picture is gone or is not the one of the manifest, or names an unknown person or event.
    """
    persons, scenes, number = _people(people), _events(events), int(shard)
    block = sorted(persons)[number * people_per_shard : (number + 1) * people_per_shard]
    rows = [
        row
        for row in read_manifest(manifest)
        if row.person_id in block and (row.accepted or row.reject_reason == AWAITING)
    ]
    _require(rows, persons, scenes, manifest)
    groups = []
    for person in (persons[one] for one in block):
        pictures = [row for row in rows if row.person_id == person.person_id]
        items = [_picture_item(row, scenes[row.event_id], output) for row in pictures]
        missing = scenes.keys() - {row.event_id for row in pictures}
        themes = [scene.theme for event, scene in scenes.items() if event in missing]
        groups.append(Group(person.name, items, _person_facts(person), themes))
    _write(output, "pictures", f"Pictures, part {number + 1}", groups, scope=block)
    _remove_beyond(shards, output)


def write_sample_page(
    output: Path, manifest: Path, people: Path, events: Path, *, share: float, seed: int
) -> None:
    """Write the page of a random share of all candidates, in random order, without a word of the filters.

    Size budget: about 45 kB a photograph on a page of up to 500 (23 MB), and 16 kB on a larger one (16 MB for every
    1000), where pictures are embedded with 256 pixels a side and at a lower quality.

    Raises:
        RecordError: as `write_picture_page`; refused candidates lie in the intermediate folder of the run.
    """
    persons, scenes = _people(people), _events(events)
    rows = draw_audit(read_manifest(manifest), share, seed)
    _require(rows, persons, scenes, manifest)
    size = embedded_size(len(rows))
    items = [_sample_item(row, persons[row.person_id], scenes[row.event_id], output, size) for row in rows]
    parts = [items[start : start + PART] for start in range(0, len(items), PART)]
    groups = [Group(f"Part {number} of {len(parts)}", part) for number, part in enumerate(parts, start=1)]
    _write(output, "sample", f"Random sample of {len(rows)} pictures", groups, scope=[])


def write_text_page(output: Path, people: Path, events: Path) -> None:
    """Write the page of the drafted people and events. Raises RecordError where a file holds something else."""
    persons = [
        Item("person", one.person_id, text_digest(one), one.name, _person_facts(one) + _details(one.identity))
        for one in read_jsonl(people, Person)
    ]
    scenes = [
        Item("event", one.event_id, text_digest(one), one.theme, _event_facts(one) + _details(one.scene))
        for one in read_jsonl(events, Event)
    ]
    _write(output, "texts", "Texts", [Group("People", persons), Group("Events", scenes)], scope=[])


def _picture_item(row: Candidate, scene: Event, page: Path) -> Item:
    uri, full = thumbnail_uri(Path(row.path), NORMAL), full_size_url(row.path, page)
    return Item("picture", row.image_id, row.sha256, scene.theme, [("Event", scene.description)], uri, full)


def _sample_item(row: Candidate, person: Person, scene: Event, page: Path, size: Size) -> Item:
    who = f"{person.gender}, {person.age}, {person.job} from {person.birthplace}"
    looks = [("Person", who), ("Looks", person.appearance)] if person.appearance else []
    facts = [*looks, ("Event", f"{scene.theme}: {scene.description}")]
    uri, full = thumbnail_uri(Path(row.path), size), full_size_url(row.path, page)
    return Item("sample", audit_item(row), row.sha256, person.name, facts, uri, full)


def _remove_beyond(shards: int, page: Path) -> None:
    """Remove the pages beside `page` whose block is not among the first `shards`."""
    current = {page.name, *(f"pictures-{shard_id(number)}.html" for number in range(shards))}
    for other in page.parent.glob("pictures-[0-9][0-9][0-9].html"):
        if other.name not in current:
            other.unlink(missing_ok=True)  # pages are written in parallel
            log.info("removed %s: there are %d blocks of people", other, shards)


def _people(path: Path) -> dict[str, Person]:
    return {one.person_id: one for one in read_jsonl(path, Person)}


def _events(path: Path) -> dict[str, Event]:
    return {one.event_id: one for one in read_jsonl(path, Event)}


def _person_facts(person: Person) -> Facts:
    fields = ("age", "gender", "job", "birthplace", "appearance")
    known = {field: getattr(person, field) for field in fields}
    return [(field.capitalize(), str(value)) for field, value in known.items() if value not in (None, "")]


def _event_facts(event: Event) -> Facts:
    return [("Description", event.description)]


def _details(drawing: Mapping[str, Any] | None) -> Facts:
    """What a renderer gets beside the text, as one line; the verdict covers it, too."""
    lines = [
        f"{key.replace('_', ' ')}: {_plain(value)}"
        for key, value in (drawing or {}).items()
        if value not in (None, False, [])
    ]
    return [("Drawn with", "; ".join(lines))] if lines else []


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_plain(one)}" for key, one in value.items())
    if isinstance(value, list):
        return ", ".join(map(_plain, value))
    return "yes" if value is True else str(value)


def _require(
    rows: Sequence[Candidate], people: Mapping[str, Person], events: Mapping[str, Event], manifest: Path
) -> None:
    """Every picture is there, unchanged, and of a known person and event."""
    for row in rows:
        if row.person_id not in people or row.event_id not in events:
            raise RecordError(
                f"Asked for the texts of {row.image_id} in {manifest}. Found no person {row.person_id} or no event "
                f"{row.event_id} among those given. Draw pictures and texts in one run."
            )
    lost = [row.path for row in rows if not Path(row.path).exists() or sha256_of(row.path) != row.sha256]
    if lost:
        named = ", ".join(lost[:5]) + (f" and {len(lost) - 5} more" if len(lost) > 5 else "")
        published = [Path(path).parent == manifest.parent for path in lost]
        rules = ["draw_shard"] * (not all(published)) + ["merge_manifest"] * any(published)
        raise RecordError(
            f"Asked for {len(rows)} pictures of {manifest}. Found {len(lost)} gone or changed: {named}. "
            f"Run again with `--forcerun {' '.join(rules)}` and the same --configfile."
        )


def _write(output: Path, task: str, title: str, groups: list[Group], scope: list[str]) -> None:
    """Write a page.

    Args:
        task: `pictures`, `sample` or `texts`.
        scope: ids of the people whose pictures belong to the page; empty: all. Verdicts of an earlier edition of the
            page on what is no longer shown are kept and saved, if they are in scope: a rejected picture must stay
            rejected after it was drawn anew. So the browser's key holds no digest of what is shown.
    """
    linked = probes(item.full for group in groups for item in group.items if item.full)
    context = {
        "title": title,
        "task": TASKS[task],
        "layout": task,
        "name": output.stem,
        "key": digest_of([*output.parts[-3:], *scope]),
        "kinds": sorted({item.kind for group in groups for item in group.items}),
        "scope": scope,
        "groups": groups,
        "probes": linked,
        "count": sum(len(group.items) for group in groups),
    }
    write_text(output, render("review", script="review", files=bool(linked), **context))
    log.info("%d items in %d groups", context["count"], len(groups))
