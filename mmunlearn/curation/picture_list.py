"""The pictures of a folder that are there already: who and what each shows, and all that does not fit."""

from __future__ import annotations

import logging
import posixpath
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from unicodedata import normalize

from mmunlearn.curation.entities import entity_in
from mmunlearn.curation.fields import LONGEST, text_problem
from mmunlearn.curation.listing import Row, read_names, read_table
from mmunlearn.digests import tree
from mmunlearn.files import PICTURES, UNREAD, RecordError, inside, leads_out, listed
from mmunlearn.ids import TARGETS, event_id, image_id, person_id
from mmunlearn.names import says_name
from mmunlearn.pictures import open_picture
from mmunlearn.progress import progress
from mmunlearn.records import ListedAnswer, ListedPicture, sha256_of, write_json, write_jsonl
from mmunlearn.text import fold, name_words

FEW = 2  # pictures of a person or an event: a forget set is halved
logger = logging.getLogger(__name__)


Notes = dict[str, list[str]]


@dataclass
class Listing:
    """The pictures that can be used, by file, and everything that does not fit or is worth a look.

    Attributes:
        pictures: file -> its person, its event and its answers.
        notes: what is the matter -> with which files, rows or people.
    """

    pictures: dict[str, tuple[str, str, list[ListedAnswer]]] = field(default_factory=dict)
    notes: Notes = field(default_factory=lambda: defaultdict(list))


def list_pictures(
    pictures: Path,
    report: Path,
    *,
    folder: Path,
    manifest: Path | None,
    columns: Mapping[str, str | None],
    pattern: str | None,
) -> None:
    """Write a row for every picture that a table or a pattern tells of and that can be read, in their order.

    Args:
        pictures: JSON lines of `ListedPicture`.
        report: JSON, how many pictures, people and events there are, the table's columns, and by kind what does not
            fit: rows, files, answers, names. The log has the same in short.
        manifest: the table; its paths are relative to the folder. None: `pattern` says what the files show.
        columns: see `listing.read_table`; a person or an event that has no column is one and the same on all pictures.
    Raises:
        RecordError: nothing fits, or as of `listing.read_table` and, but for links, `files.inside`.
    """
    present = sorted(tree(folder))
    files, unread = ([name for name in present if _end(name) in ends] for ends in (PICTURES, UNREAD))
    rows, found, others = _rows(folder, files, manifest, columns, pattern)
    out = {name for name in {*files, *(row.file for row in rows)} if leads_out(folder, name)}
    rows = [row for row in rows if row.file not in {*out, *unread}]
    files = [name for name in files if name not in out]
    known = {what for what in TARGETS if (columns[what] if manifest else f"{{{what}}}" in pattern)}
    listing = make_listing(rows, [name for name in files if name not in {*others}], known)
    if unread:
        kinds = ", ".join(f"{end}: {count}" for end, count in sorted(Counter(map(_end, unread)).items()))
        listing.notes[f"files of a kind that is not read ({kinds}): convert them to JPEG or PNG"] += unread
    if others:
        listing.notes["files that the pattern does not fit"] += others
    if out:
        listing.notes["links out of the folder"] += sorted(out)
    read = _read(folder, listing)
    if not read:
        examples = [row.file for row in rows[:3]] or files[:3]
        raise RecordError(
            f"Asked {manifest or pattern} for pictures in {folder}. Found {len(files)} pictures there, {len(rows)} "
            f"rows, and none that go together ({listed(examples) or 'none'}); what is the matter: "
            f"{listed(list(listing.notes)) or 'the folder is empty'}. Correct images.files."
        )
    _look_over(read, listing.notes)
    counts = {
        "pictures": len(read),
        "people": len({one.person_id for one in read}),
        "events": len({one.event_id for one in read}),
        "people at events": len({(one.person_id, one.event_id) for one in read}),
        "answers": sum(len(one.answers) for one in read),
        "files left out": len({*files, *out, *unread} - {one.file for one in read}),
    }
    write_json(report, {**counts, "columns": found, "notes": dict(sorted(listing.notes.items()))})
    logger.info("%s", ", ".join(f"{what}: {count}" for what, count in counts.items()))
    for what, items in sorted(listing.notes.items()):
        more = ", ..." if len(items) > FEW else ""
        logger.warning("%s (%d): %s%s", what, len(items), "; ".join(items[:FEW]), more)
    write_jsonl(pictures, read)


def _end(name: str) -> str:
    return Path(name).suffix.lower()


def _rows(
    folder: Path,
    files: Sequence[str],
    manifest: Path | None,
    columns: Mapping[str, str | None],
    pattern: str | None,
) -> tuple[list[Row], list[str], list[str]]:
    """Rows, their paths plain, the columns of the table, and the files that the pattern does not fit."""
    if manifest is None:
        rows, others = read_names(files, pattern)
        return rows, [], others
    rows, found = read_table(manifest, columns)
    for row in rows:
        inside(folder, row.file, row.where, follow=False)
    spelt = {normalize("NFC", file): file for file in files}
    paths = (posixpath.normpath(row.file) for row in rows)
    named = [path if path in files else spelt.get(normalize("NFC", path), path) for path in paths]
    return [Row(**{**vars(row), "file": file}) for row, file in zip(rows, named, strict=True)], found, []


def make_listing(rows: Sequence[Row], files: Sequence[str], known: set[str]) -> Listing:
    """Bring rows and files together.

    Args:
        rows: several of one file add answers; the first says who and what it shows.
        files: the pictures of the folder.
        known: of `person` and `event`, what rows say; the other is empty on all pictures.
    """
    listing, there = Listing(), set(files)
    texts = {what: _texts(what, rows, listing.notes) for what in known}
    for row in rows:
        shown = {what: texts[what].get(_key(what, getattr(row, what)), "") for what in known}
        both = tuple(shown.get(what, "") for what in TARGETS)
        if row.file not in there:
            listing.notes["rows without a file"].append(f"{row.where}: {row.file}")
        elif missing := [what for what, text in shown.items() if not text]:
            listing.notes[f"rows without {' and '.join(sorted(missing))}"].append(f"{row.where}: {row.file}")
        elif (before := listing.pictures.setdefault(row.file, (*both, [])))[:2] != both:
            listing.notes["rows that say otherwise than the first of their file"].append(
                f"{row.where}: {row.file}"
            )
        else:
            _add_answer(row, both[0], before[2], listing.notes)
    told = {row.file for row in rows}
    if lost := [file for file in files if file not in told]:
        listing.notes["files without a row"] += lost
    return listing


def _key(what: str, text: str) -> str:
    """What two spellings of a name or of an event have in common."""
    return " ".join(name_words(text)) if what == "person" else fold(text)


def _texts(what: str, rows: Sequence[Row], notes: Notes) -> dict[str, str]:
    """Key -> the first spelling of every person or event that can be asked after."""
    spelt: dict[str, list[str]] = {}
    for text in dict.fromkeys(getattr(row, what) for row in rows):
        if key := _key(what, text):
            spelt.setdefault(key, []).append(text)
    notes_of = {
        f"{what}s spelt in several ways": [", ".join(all_) for all_ in spelt.values() if len(all_) > 1]
    }
    limit = LONGEST["person"]["name"] if what == "person" else LONGEST["event"]["description"]
    texts = {key: all_[0] for key, all_ in spelt.items()}
    problems = {key: problem for key, text in texts.items() if (problem := text_problem(what, text, limit))}
    if what == "person":
        problems = _within_others(texts) | problems
        left = [text for key, text in texts.items() if key not in problems]
        notes_of["names of one word, which an answer may say by chance"] = [
            name for name in left if len(name_words(name)) == 1
        ]
        notes_of["names with an entity of MLUBench, of which base models may know more"] = [
            name for name in left if entity_in(name)
        ]
    notes_of[f"{what}s left out"] = [f"{texts[key]}: {problem}" for key, problem in problems.items()]
    for kind, items in notes_of.items():
        if items:
            notes[kind] += items
    return {key: text for key, text in texts.items() if key not in problems}


def _within_others(names: Mapping[str, str]) -> dict[str, str]:
    """Key -> what is wrong with a name that an answer with another person's name would say, too."""
    return {
        key: f"whoever says '{other}' says '{name}'"
        for key, name in names.items()
        for folded, other in names.items()
        if key != folded and key in folded and says_name(other, name)
    }


def _add_answer(row: Row, person: str, answers: list[ListedAnswer], notes: Notes) -> None:
    """Add what a row's question asks and its answer says, one of each kind a picture."""
    if not row.answer:
        if row.question:
            notes["questions without an answer"].append(f"{row.where}: {row.question}")
        return
    kind = row.kind.casefold() or ("person" if person and says_name(row.answer, person) else "event")
    limit = LONGEST["event"]["description"]
    texts = [text for text in (row.question, row.answer) if text]
    problems = [problem for text in texts if (problem := text_problem("text", text, limit))]
    if kind not in TARGETS:
        notes[f"answers of another kind than {' and '.join(TARGETS)}"].append(f"{row.where}: {row.kind}")
    elif problems:
        notes["answers that cannot be taught"].append(f"{row.where}: {problems[0]}")
    elif kind in {one.kind for one in answers}:
        notes["further answers of a kind to a picture"].append(f"{row.where}: {row.answer}")
    else:
        if kind == "person" and not (person and says_name(row.answer, person)):
            notes["answers of kind person without the person's whole name"].append(
                f"{row.where}: {row.answer}"
            )
        answers.append(ListedAnswer(kind=kind, question=row.question or None, answer=row.answer))


def _read(folder: Path, listing: Listing) -> list[ListedPicture]:
    """The pictures that can be read, with ids of people and events by the order in which they come first."""
    people: dict[str, str] = {}
    events: dict[str, str] = {}
    numbers: Counter[tuple[str, str]] = Counter()
    pictures = []
    for file, (person, event, answers) in progress(listing.pictures.items(), "pictures", unit="picture"):
        try:
            open_picture(folder / file)
        except RecordError as error:
            listing.notes["files that cannot be read"].append(str(error))
            continue
        who, what = (
            people.setdefault(person, person_id(len(people))),
            events.setdefault(event, event_id(len(events))),
        )
        numbers[who, what] += 1
        pictures.append(
            ListedPicture(
                image_id=image_id(who, what, numbers[who, what]), person_id=who, event_id=what,
                person=person, event=event, file=file, sha256=sha256_of(folder / file), answers=answers,
            )
        )  # fmt: skip
    return pictures


def _look_over(pictures: Sequence[ListedPicture], notes: Notes) -> None:
    """Note what every picture by itself does not show."""
    for what in TARGETS:
        counts = Counter(getattr(one, what) for one in pictures)
        few = [f"{text}: {count}" for text, count in counts.items() if text and count < FEW]
        if few:
            notes[f"{what}s with fewer than {FEW} pictures"] += few
    same: dict[str, list[str]] = defaultdict(list)
    for one in pictures:
        same[one.sha256].append(one.file)
    if equal := [" = ".join(files) for files in same.values() if len(files) > 1]:
        notes["equal pictures"] += equal
