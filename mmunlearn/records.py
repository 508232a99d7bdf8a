"""Typed rows of every artefact: one class a file format, strict reading, atomic writing.

Reading refuses unknown, missing and repeated fields, values of another type (an age of "42", a score of true), numbers
out of range and rows that come twice, and names the file and the line; writing goes through a temporary file in the
same folder and one rename, so that a killed job never leaves half a file behind.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mmunlearn.atomic import atomic_path
from mmunlearn.files import SHOWN, RecordError, listed, read_text, shown

Target = Literal["person", "event"]
Defect = Literal["identity", "scene", "blur", "noise", "cutoff"]
POPE_SUBSETS = ("random", "popular", "adversarial")
"""Of the World set's questions (Li et al., Evaluating Object Hallucination in Large Vision-Language Models, 2023)."""
DEFECTS: tuple[Defect, ...] = get_args(Defect)
"""Planted defects: another face, another event's scene, a blurred, a noisy and a badly cropped picture."""


class RowsError(RecordError):
    """Some lines of a file are no rows: `problems`, a clause each with its line; `rows` are the others, by line."""

    def __init__(self, path: str | Path, kind: str, problems: list[str], rows: dict[int, Any]) -> None:
        super().__init__(
            f"Asked for rows of {kind}. Found {path}, {listed(problems)}. Correct them, or run the rule that wrote "
            f"the file again (--forcerun)."
        )
        self.problems = [f"{path}, {problem}" for problem in problems]
        self.rows = rows


class Record(BaseModel):
    """Base of all rows: immutable, no unknown fields. `key` names the fields that no two rows of a file share."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    key: ClassVar[tuple[str, ...]] = ()


Count = Annotated[int, Field(ge=0)]
Percentage = Annotated[float, Field(ge=0, le=100)]


class Person(Record):
    """A person. `identity` is what the pocket renderer draws; None where a text model draws. Of people on pictures that
    were found, not drawn, the name alone is known; without one, the person is not asked after."""

    key = ("person_id",)
    person_id: str
    name: str
    age: int | None = None
    gender: str = ""
    job: str = ""
    birthplace: str = ""
    appearance: str = ""
    identity: dict[str, Any] | None = None


class Event(Record):
    """An event scene. `description` is the answer to the event question, which is not asked where it is empty; `scene`
    is what pocket draws."""

    key = ("event_id",)
    event_id: str
    theme: str
    description: str
    scene: dict[str, Any] | None = None


class ListedAnswer(Record):
    """What a list of pictures says of one of them; `question` is None where the configured one is asked."""

    kind: Literal["person", "event"]
    question: str | None
    answer: str


class ListedPicture(Record):
    """A picture that was found, not drawn: a row of curation/drafts/pictures.jsonl. `file` is its path below the folder
    of the pictures; `person` and `event` are as listed, empty where the list has none."""

    key = ("image_id",)
    image_id: str
    person_id: str
    event_id: str
    person: str
    event: str
    file: str
    sha256: str
    answers: list[ListedAnswer] = []


class Prompt(Record):
    """One cell of people x events: what the generator is asked for."""

    key = ("image_id",)
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

    key = ("image_id", "attempt")
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

    key = ("image_id", "attempt")
    model_config = ConfigDict(extra="ignore")

    image_id: str
    attempt: int
    defect: Defect | Literal[""]


class Question(Record):
    """A question on a picture of the data set and its answer."""

    key = ("question_id",)
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

    key = ("question_id",)
    question_id: str
    image_id: str
    kind: Literal["person", "event", "object"]
    subset: str
    question: str
    answer: str
    path: str
    sha256: str


class PictureRow(Record):
    """The picture of a row of any file that names pictures: whatever else the row says."""

    model_config = ConfigDict(extra="ignore")

    image_id: str
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

    key = ("question_id",)
    question_id: str
    image_id: str
    question: str
    reference: str
    answer: str


class Judgement(Record):
    """G-Eval of one answer in [0, 1]; None with a reason where no verdict could be had (never 0 by failure)."""

    key = ("question_id",)
    question_id: str
    score: Annotated[float, Field(ge=0, le=1)] | None
    reason: str


class Rating(Record):
    """A judge's rating of one answer: 0, 1 or 2; None with a reason where none could be had (never 0 by failure)."""

    key = ("question_id",)
    question_id: str
    score: Literal[0, 1, 2] | None
    reason: str


class Metric(Record):
    """One cell of a table: value in [0, 100], the questions behind it, a 95% interval over their clusters.

    `clusters` is how many concepts, public figures or pictures the questions are on, see `evaluation.scoring`.
    `doubtful` counts yes/no replies that may not mean what the official reading takes them for. `value` is None where
    there is no data; `reason` says why. Numbers are not rounded.
    """

    value: Percentage | None
    n: Count
    low: Percentage | None = None
    high: Percentage | None = None
    missing: Count = 0
    reason: str = ""
    clusters: int = 0
    doubtful: int = 0


class Scores(Record):
    """scores/<model>/<recipe>/seed-<n>/<target><percent>.json: the six metrics and what they rest on.

    `sums`: metric -> stratum (POPE's subset, else empty) -> cluster -> sum of the values and how many they are, from
    which paired differences of methods are taken.
    """

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
    sums: dict[str, dict[str, dict[str, tuple[float, int]]]] = {}


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
    adapter_config_sha256: str = ""


Row = TypeVar("Row", bound=Record)


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


def read_rows(path: str | Path, kind: type[Row]) -> dict[int, Row]:
    """The rows of a file of JSON lines, by line.

    Raises:
        RowsError: lines are not JSON or not a `kind`, or two rows share their `key`; names the file and every such
            line with its field.
    """
    rows: dict[int, Row] = {}
    problems: list[str] = []
    seen: dict[tuple, int] = {}
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = _parse(kind, line)
        except ValueError as error:
            problems.append(f"line {number}{_named(kind, line)}: {error}")
            continue
        key = tuple(getattr(row, field) for field in kind.key)
        first = seen.setdefault(key, number) if key else number
        if first != number:
            same = ", ".join(f"{field} {value!r}" for field, value in zip(kind.key, key, strict=True))
            problems.append(f"line {number}: {same} a second time, after line {first}")
        rows[number] = row
    if problems:
        raise RowsError(path, kind.__name__, problems, rows)
    return rows


def read_jsonl(path: str | Path, kind: type[Row]) -> list[Row]:
    """The rows of a file of JSON lines. Raises RowsError as `read_rows` does."""
    return list(read_rows(path, kind).values())


def read_json(path: str | Path, kind: type[Row]) -> Row:
    """Read and validate one record. Raises RecordError: names the file and the field."""
    try:
        return _parse(kind, read_text(path))
    except ValueError as error:
        raise RecordError(
            f"{path} is not a {kind.__name__} ({error}). Correct it, or run the rule that wrote it again (--forcerun)."
        ) from error


def _parse(kind: type[Row], text: str) -> Row:
    """A row of JSON text. Raises ValueError: names the fields, what they hold and what they should."""
    try:
        json.loads(text, object_pairs_hook=_distinct)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    try:
        return kind.model_validate_json(text, strict=True)
    except ValidationError as error:
        raise ValueError("; ".join(map(_problem, error.errors()[:SHOWN]))) from error


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the field '{twice}' is there twice")
    return dict(pairs)


def _problem(error: Any) -> str:
    place = ".".join(map(str, error["loc"])) or "line"
    found = "" if error["type"] in ("missing", "json_invalid") else f", found {shown(error['input'])}"
    return f"{place}: {error['msg']}{found}"


def _named(kind: type[Record], line: str) -> str:
    """Which row a line is about, where it says so: ` (p003)`."""
    try:
        row = json.loads(line)
        return f" ({', '.join(str(row[field]) for field in kind.key)})" if kind.key else ""
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""


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
        return [Candidate.model_validate(row, strict=True) for row in pq.read_table(path).to_pylist()]
    except (OSError, ValueError) as error:
        raise RecordError(
            f"{path} is not an image manifest ({error}). Run rule merge_manifest again (--forcerun merge_manifest)."
        ) from error


def sha256_of(path: str | Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def digest_of(value: Any, length: int = 16) -> str:
    """First hexadecimal digits of the SHA-256 of plain data, independent of key order."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:length]
