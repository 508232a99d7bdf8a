"""Typed rows of every artefact: one class a file format, strict reading, atomic writing.

Reading refuses unknown and missing fields and names the file and the line; writing goes through a temporary
file in the same folder and one rename, so that a killed job never leaves half a file behind.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

Target = Literal["person", "event"]
Defect = Literal["identity", "scene", "blur", "noise", "cutoff"]
POPE_SUBSETS = ("random", "popular", "adversarial")
"""Of the World set's questions (Li et al., Evaluating Object Hallucination in Large Vision-Language Models, 2023)."""
DEFECTS: tuple[Defect, ...] = get_args(Defect)
"""Planted defects: another face, another event's scene, a blurred, a noisy and a badly cropped picture."""


class RecordError(ValueError):
    """A file does not hold the rows that its name promises."""


class Record(BaseModel):
    """Base of all rows: immutable, no unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Person(Record):
    """A fictitious person. `identity` is what the pocket renderer draws; None where a text model draws."""

    person_id: str
    name: str
    age: int
    gender: str
    job: str
    birthplace: str
    appearance: str
    identity: dict[str, Any] | None = None


class Event(Record):
    """An event scene. `description` is the answer to the event question; `scene` is what pocket draws."""

    event_id: str
    theme: str
    description: str
    scene: dict[str, Any] | None = None


class Prompt(Record):
    """One cell of people x events: what the generator is asked for."""

    image_id: str
    person_id: str
    event_id: str
    prompt: str
    drawing: dict[str, Any] | None = None


class Candidate(Record):
    """One drawn picture with its raw scores and the verdict: a row of images/manifest.parquet.

    Scores are rounded to 4 decimals before any threshold sees them; a score is None where it could not be
    taken (no face). At most one candidate of a cell is `accepted`; `reject_reason` is empty for it, `surplus` for
    further valid ones, `awaiting review` for a valid one that too few people have confirmed, otherwise the names
    of the filters that refused it. `scene_pair` is the lowest scene cosine of an accepted picture with any other
    accepted picture of its event.
    """

    image_id: str
    person_id: str
    event_id: str
    attempt: int
    seed: int
    guidance_scale: float
    prompt: str
    path: str
    sha256: str
    generator: str
    identity_l2: float | None
    scene_cosine: float | None
    subject_cosine: float | None
    distortion: float | None
    aesthetic: float | None
    accepted: bool
    reject_reason: str
    faces: int
    scene_pair: float | None


class Truth(Record):
    """The defect that was planted in a candidate; empty for a clean one. Further columns are allowed."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    image_id: str
    attempt: int
    defect: Defect | Literal[""]


class Question(Record):
    """A question on a picture of the data set and its answer."""

    question_id: str
    image_id: str
    kind: Literal["person", "event"]
    question: str
    answer: str


class SuiteQuestion(Record):
    """A question of the Real, World or replay set.

    `path` and `sha256` are its picture's; `subset` is the POPE subset of an object question, the figure's name
    of a person question, else empty.
    """

    question_id: str
    image_id: str
    kind: Literal["person", "event", "object"]
    subset: str
    question: str
    answer: str
    path: str
    sha256: str


class Split(Record):
    """Forget and retain sets of one (target, percent): concept ids and image ids, all sorted."""

    target: Target
    percent: int
    seed: int
    forgotten: list[str]
    forget_train: list[str]
    forget_test: list[str]
    retain: list[str]


class Answer(Record):
    """What a model said to one question."""

    question_id: str
    image_id: str
    question: str
    reference: str
    answer: str


class Judgement(Record):
    """G-Eval of one answer in [0, 1]; None with a reason where no verdict could be had (never 0 by failure)."""

    question_id: str
    score: float | None
    reason: str


class Metric(Record):
    """One cell of a table: value in [0, 100], the questions behind it, a 95% bootstrap interval over them.

    `value` is None where there is no data; `reason` says why.
    """

    value: float | None
    n: int
    low: float | None = None
    high: float | None = None
    missing: int = 0
    reason: str = ""


class Scores(Record):
    """scores/<model>/<recipe>/seed-<n>/<target><percent>.json: the six metrics and what they rest on."""

    model: str
    recipe: str
    method: str
    target: Target
    percent: int
    seed: int
    judge: str
    metrics: dict[str, Metric]
    details: dict[str, Any]
    digests: dict[str, str]
    versions: dict[str, str]


class Finding(Record):
    """One number of an attack: `setting` is its strength or wording, `metric` what is measured; `auc` is in [0, 1]."""

    setting: str
    metric: str
    result: Metric


class Attack(Record):
    """robustness/<model>/<recipe>/seed-<n>/<split>/<attack>.json: what one attack finds, and what it rests on."""

    model: str
    recipe: str
    method: str
    target: Target
    percent: int
    seed: int
    attack: str
    findings: list[Finding]
    details: dict[str, Any]
    digests: dict[str, str]
    versions: dict[str, str]


class Training(Record):
    """training.json, the contract of a trained recipe.

    `steps` counts the optimizer steps that the kept adapter has had; `losses` has one row for every step tried,
    None where a value was not finite.
    """

    model: str
    recipe: str
    seed: int
    method: str
    steps: int
    epochs: float
    stop_reason: str
    losses: list[dict[str, float | None]]
    seconds: float
    peak_memory_gb: float
    trainable_parameters: int
    settings: dict[str, Any]
    versions: dict[str, str]
    adapter_sha256: str


Row = TypeVar("Row", bound=Record)


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` that replaces it when the block ends without an error."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}{path.suffix}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: Any) -> None:
    """Write a record or plain data as indented JSON, atomically."""
    plain = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
    write_text(path, json.dumps(plain, indent=2, ensure_ascii=False) + "\n")


def write_jsonl(path: str | Path, rows: Iterable[Record]) -> None:
    """Write one record a line, atomically."""
    write_text(path, "".join(row.model_dump_json() + "\n" for row in rows))


def read_jsonl(path: str | Path, kind: type[Row]) -> list[Row]:
    """Read and validate every line.

    Raises:
        RecordError: a line is not JSON or not a `kind`; names the file, the line and the field.
    """
    rows = []
    for number, line in enumerate(Path(path).read_text(encoding="utf-8").split("\n"), start=1):
        if line.strip():
            rows.append(_parse(kind, line, f"{path}, line {number}"))
    return rows


def read_json(path: str | Path, kind: type[Row]) -> Row:
    """Read and validate one record. Raises RecordError as `read_jsonl` does."""
    return _parse(kind, Path(path).read_text(encoding="utf-8"), str(path))


def _parse(kind: type[Row], text: str, where: str) -> Row:
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, e['loc'])) or 'line'}: {e['msg']}" for e in error.errors()[:3]
        )
        raise RecordError(
            f"{where} is not a {kind.__name__} ({problems}). Delete the file and rerun to make it again."
        ) from error


def write_manifest(path: str | Path, rows: Iterable[Candidate]) -> None:
    """Write candidates as Parquet, sorted by (image_id, attempt), byte-identical for equal rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = {"int": pa.int64(), "float": pa.float64(), "bool": pa.bool_(), "str": pa.string()}
    fields = Candidate.__annotations__.items()
    schema = pa.schema([(name, types[annotation.removesuffix(" | None")]) for name, annotation in fields])
    ordered = sorted(rows, key=lambda row: (row.image_id, row.attempt))
    table = pa.Table.from_pylist([row.model_dump() for row in ordered], schema=schema)
    with atomic_path(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def read_manifest(path: str | Path) -> list[Candidate]:
    """Read images/manifest.parquet. Raises RecordError where it is not one."""
    import pyarrow.parquet as pq

    try:
        return [Candidate.model_validate(row) for row in pq.read_table(path).to_pylist()]
    except (OSError, ValueError) as error:
        raise RecordError(f"{path} is not an image manifest ({error}). Delete it and rerun.") from error


def sha256_of(path: str | Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def digest_of(value: Any, length: int = 16) -> str:
    """First hexadecimal digits of the SHA-256 of plain data, independent of key order."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:length]
