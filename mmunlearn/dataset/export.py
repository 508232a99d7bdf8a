"""The data set in the form of Hugging Face's `datasets`: pictures with their questions in Parquet, and a data card.

Below the export folder:

    README.md, checksums.json             the data card; SHA-256 of every other file
    data/pictures-0000i-of-0000n.parquet  accepted pictures with person, event, scores and questions
    people.jsonl, events.jsonl, splits/   as curated and as split
    manifest.parquet, statistics.json     all candidates without their pictures; the counts
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmunlearn.dataset.card import data_card
from mmunlearn.records import (
    Candidate,
    Event,
    Person,
    Question,
    RecordError,
    Split,
    atomic_path,
    read_json,
    read_jsonl,
    read_manifest,
    sha256_of,
    write_json,
    write_manifest,
    write_text,
)

if TYPE_CHECKING:
    import pyarrow as pa

logger = logging.getLogger(__name__)

PEOPLE_PER_FILE = 8  # at 40 pictures of 1.5 MB each, a file has 480 MB
ROWS_PER_GROUP = 32  # so that readers, and the writer, hold so many pictures at a time
COLUMNS = {  # beside `image` and `questions`
    **dict.fromkeys(("image_id", "person_id", "event_id", "name", "job"), "string"),
    "age": "int64",
    **dict.fromkeys(("gender", "birthplace", "theme", "description", "prompt"), "string"),
    "seed": "int64",
    "guidance_scale": "float64",
    **dict.fromkeys(("sha256", "generator"), "string"),
    **dict.fromkeys(("identity_l2", "scene_cosine", "scene_pair", "subject_cosine"), "float64"),
    **dict.fromkeys(("distortion", "aesthetic"), "float64"),
}
QUESTION_COLUMNS = dict.fromkeys(("question_id", "kind", "question", "answer"), "string")
AGAIN = "with the same --configfile: snakemake --cores 2 --forcerun merge_manifest"


@dataclass(frozen=True)
class Contents:
    """What is exported: every candidate, the accepted ones in order, their people, events and questions."""

    candidates: list[Candidate]
    pictures: list[Candidate]
    people: dict[str, Person]
    events: dict[str, Event]
    questions: dict[str, list[Question]]


def export_dataset(
    *,
    manifest: Path,
    people: Path,
    events: Path,
    questions: Path,
    splits: Sequence[Path],
    statistics: Path,
    scale: str,
    settings: Mapping[str, Any],
    readme: Path,
    checksums: Path,
) -> None:
    """Write the data set around `readme`, whose folder is the export's; files of an earlier export are removed.

    Equal inputs give equal bytes.

    Args:
        manifest: its `path`s are read as they stand, from the working folder.
        statistics: of `dataset.statistics.count_dataset`.
        settings: of the run that the card tells, by section of its configuration.
        readme: the data card, written after all other files.
        checksums: JSON of file -> SHA-256, written last.

    Raises:
        RecordError: an accepted picture is missing or not the one that was judged, an input does not belong to the
            others, or there is no picture. The card and the checksums are gone then.
    """
    folder = readme.parent
    for old in (readme, checksums):
        old.unlink(missing_ok=True)
    contents = _read(manifest, people, events, questions, splits)
    files = [*_write_pictures(folder / "data", contents), _write_candidates(folder, contents.candidates)]
    files += [_copy(path, folder / path.name) for path in (people, events, statistics)]
    files += [_copy(path, folder / "splits" / path.name) for path in splits]
    _remove_stale(folder, files)
    digests = {path.relative_to(folder).as_posix(): sha256_of(path) for path in sorted(files)}
    sizes = {name: (folder / name).stat().st_size for name in digests}
    counts = json.loads(statistics.read_text(encoding="utf-8"))
    write_text(readme, data_card(scale, settings, counts, digests, sizes))
    write_json(checksums, {readme.name: sha256_of(readme), **digests})
    logger.info("%d pictures in %d files", len(contents.pictures), len(digests))


def schema() -> pa.Schema:
    """Columns of data/*.parquet, with the metadata by which `datasets` decodes the pictures."""
    import pyarrow as pa

    def features(columns: dict[str, str]) -> dict[str, dict[str, str]]:
        return {name: {"dtype": kind, "_type": "Value"} for name, kind in columns.items()}

    def fields(columns: dict[str, str]) -> list[tuple[str, pa.DataType]]:
        return [(name, pa.type_for_alias(kind)) for name, kind in columns.items()]

    picture = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    questions = pa.list_(pa.struct(fields(QUESTION_COLUMNS)))
    described = {
        "image": {"_type": "Image"},
        **features(COLUMNS),
        "questions": {"feature": features(QUESTION_COLUMNS), "_type": "List"},
    }
    return pa.schema(
        [("image", picture), *fields(COLUMNS), ("questions", questions)],
        metadata={"huggingface": json.dumps({"info": {"features": described}})},
    )


def _read(manifest: Path, people: Path, events: Path, questions: Path, splits: Sequence[Path]) -> Contents:
    """Read the inputs and see that they belong together."""
    candidates = read_manifest(manifest)
    contents = Contents(
        candidates,
        sorted((row for row in candidates if row.accepted), key=lambda row: (row.person_id, row.event_id)),
        {row.person_id: row for row in read_jsonl(people, Person)},
        {row.event_id: row for row in read_jsonl(events, Event)},
        {},
    )
    for question in read_jsonl(questions, Question):
        contents.questions.setdefault(question.image_id, []).append(question)
    pictures = {row.image_id for row in contents.pictures}
    if not pictures:
        raise RecordError(
            f"Asked for an export of {manifest}. Found no accepted picture. Draw more candidates."
        )
    _require(people, {row.person_id for row in contents.pictures}, contents.people)
    _require(events, {row.event_id for row in contents.pictures}, contents.events)
    _require(questions, pictures, contents.questions)
    _require(manifest, contents.questions, pictures)
    for path in splits:
        split = read_json(path, Split)
        _require(manifest, (*split.forget_train, *split.forget_test, *split.retain), pictures)
    return contents


def _require(path: Path, needed: Iterable[str], present: Iterable[str]) -> None:
    lost = sorted(set(needed) - set(present))
    if lost:
        raise RecordError(
            f"Asked {path} for {', '.join(lost[:5])}{' and others' if len(lost) > 5 else ''}, which other "
            f"files of the data set name. Found {len(lost)} of them missing. Make the data set again {AGAIN}"
        )


def _write_pictures(folder: Path, contents: Contents) -> list[Path]:
    """Write the accepted pictures, `PEOPLE_PER_FILE` people a file, one row group in memory at a time."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns, paths = schema(), []
    parts = list(_parts(contents.pictures))
    for number, rows in enumerate(parts):
        path = folder / f"pictures-{number:05d}-of-{len(parts):05d}.parquet"
        with (
            atomic_path(path) as temporary,
            pq.ParquetWriter(temporary, columns, compression="zstd", use_dictionary=False) as writer,
        ):
            for start in range(0, len(rows), ROWS_PER_GROUP):
                group = [_row(picture, contents) for picture in rows[start : start + ROWS_PER_GROUP]]
                writer.write_table(pa.Table.from_pylist(group, schema=columns))
        paths.append(path)
        logger.info("%s: %d pictures", path.name, len(rows))
    return paths


def _parts(pictures: Sequence[Candidate]) -> Iterator[list[Candidate]]:
    people = sorted({row.person_id for row in pictures})
    for start in range(0, len(people), PEOPLE_PER_FILE):
        part = set(people[start : start + PEOPLE_PER_FILE])
        yield [row for row in pictures if row.person_id in part]


def _row(picture: Candidate, contents: Contents) -> dict[str, Any]:
    described = (contents.events[picture.event_id], contents.people[picture.person_id], picture)
    fields = {name: value for record in described for name, value in record.model_dump().items()}
    questions = contents.questions[picture.image_id]
    return {
        "image": {"bytes": _content(picture), "path": f"{picture.image_id}.png"},
        **{name: fields[name] for name in COLUMNS},
        "questions": [question.model_dump(include=set(QUESTION_COLUMNS)) for question in questions],
    }


def _content(picture: Candidate) -> bytes:
    """The file of a picture as it was judged."""
    path = Path(picture.path)
    content = path.read_bytes() if path.is_file() else None
    if content is not None and sha256(content).hexdigest() == picture.sha256:
        return content
    problem = "no such file" if content is None else f"{len(content)} bytes that are not those judged"
    raise RecordError(
        f"Asked for {path}, the picture of {picture.image_id} with SHA-256 {picture.sha256}. Found {problem}. "
        f"Publish it again {AGAIN}"
    )


def _write_candidates(folder: Path, candidates: Sequence[Candidate]) -> Path:
    """The manifest, its paths those within data/*.parquet; empty where a picture is not exported."""
    path = folder / "manifest.parquet"
    places = [f"{row.image_id}.png" if row.accepted else "" for row in candidates]
    rows = zip(candidates, places, strict=True)
    write_manifest(path, [row.model_copy(update={"path": place}) for row, place in rows])
    return path


def _copy(source: Path, target: Path) -> Path:
    with atomic_path(target) as temporary:
        shutil.copyfile(source, temporary)
    return target


def _remove_stale(folder: Path, files: Sequence[Path]) -> None:
    """Remove what an earlier or a killed export left, and nothing that somebody else put there."""
    for pattern in ("data/*pictures-*.parquet", "splits/*.json", "splits/.*.json"):
        for path in set(folder.glob(pattern)) - set(files):
            path.unlink()
            logger.info("removed %s of an earlier export", path.name)
