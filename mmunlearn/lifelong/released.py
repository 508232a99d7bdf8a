"""The format in which MLUBench was released, as a folder or a zip, below which one folder more may lie:

    Tasks/Task<X>/task<X>_forget.json, task<X>_retain.json    a task's questions
    Entities/*.json                                           all questions of an entity; they may be missing
    Strangers/*.json                                          not of the release: pictures that gates alone are shown

Each file is a list of LLaVA's conversations {id, image, conversations: [{from: human, value: <image>\\n...},
{from: gpt, value: ...}]}; a picture is <folder>/<Class>/<Entity>/<file>. An id is unique
among an entity's rows of a file, not in the file. Names are compared in Unicode's form C, so
they may come from a file system that takes letters apart.

Imported when the workflow is parsed: nothing heavy here.
"""

from __future__ import annotations

import json
import re
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from lzma import LZMAError
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple
from unicodedata import normalize

from mmunlearn.files import RecordError, decode, inside, listed, shown
from mmunlearn.tasks import TASK
from mmunlearn.text import model_token, nearest

ROLES = ("forget", "retain")
IMAGE = "<image>\n"
STRANGER_PICTURES = 2
"""Of each stranger that is drawn."""
_TASK_FILE = re.compile(rf"Tasks/Task({TASK})/task\1_({'|'.join(ROLES)})\.json")
_RUBBISH = re.compile(r"(^|/)(__MACOSX/|\._|\.DS_Store$)")
LARGEST = 1 << 26
"""Bytes of a zip's file, unpacked. The release's largest has 1.6 MB."""
DAMAGE = (zipfile.BadZipFile, zlib.error, LZMAError, OSError, EOFError, RuntimeError, NotImplementedError)
"""What a file of a zip raises that cannot be unpacked, by its compression: bz2 has OSError."""
Read = Callable[[], bytes]


class ReleasedQuestion(NamedTuple):
    """A question of the release. `row` counts from 1 in its file; `picture` is <folder>/<Class>/<Entity>/<file>."""

    row: int
    id: str
    picture: str
    question: str
    answer: str

    @property
    def image_id(self) -> str:
        """Its picture without the first folder."""
        return self.picture.partition("/")[2]

    @property
    def folders(self) -> tuple[str, str]:
        """Class and entity, as the folders are named."""
        _, name, entity, _ = self.picture.split("/")
        return name, entity


class Released(NamedTuple):
    """Task -> role -> questions, `others`: those on entities that none of these tasks names, and those on strangers."""

    tasks: dict[str, dict[str, list[ReleasedQuestion]]]
    others: list[ReleasedQuestion]
    strangers: list[ReleasedQuestion]

    @property
    def asked(self) -> list[ReleasedQuestion]:
        """The questions of the benchmark: task by task, those to forget first, and the others last."""
        return [one for roles in self.tasks.values() for rows in roles.values() for one in rows] + self.others

    @property
    def questions(self) -> list[ReleasedQuestion]:
        """All questions, those on strangers last."""
        return self.asked + self.strangers


def read_released(source: Path, tasks: Sequence[str]) -> Released:
    """The questions of some tasks, and those on entities that none of them names.

    Args:
        source: the released folder or zip.
        tasks: names, `A` for `TaskA`.
    Raises:
        RecordError: a task or one of its files is missing, a file is damaged, rows do not have the format, or a zip
            holds paths that lead out of it or files beyond all measure. Names every file and row, with its id, and what
            was found.
    """
    files = _files(source)
    names = _task_files(source, files, tasks)
    problems: list[str] = []
    read = {name: _rows(f"{source}, {name}", files[name](), problems) for name in names.values()}
    known = {one.folders for rows in read.values() for one in rows}
    every, strangers = (
        [
            one
            for name in sorted(files)
            if name.startswith(folder)
            for one in _rows(f"{source}, {name}", files[name](), problems)
        ]
        for folder in ("Entities/", "Strangers/")
    )
    others = [one for one in every if one.folders not in known]
    of_tasks = {task: {role: read[names[task, role]] for role in ROLES} for task in tasks}
    found = Released(of_tasks, others, strangers)
    problems += _ambiguous(found.questions)
    named = known | {one.folders for one in every}
    both = sorted({one.folders for one in strangers} & named)
    problems += [f"the stranger {'/'.join(folders)}, whom Tasks or Entities name, too" for folders in both]
    if problems:
        raise RecordError(
            f"Asked for conversations of a question and its answer on a picture <folder>/<Class>/<Entity>/<file>. "
            f"Found {listed(problems)}. Correct these rows or take them out."
        )
    return found


def _task_files(source: Path, files: dict[str, Read], tasks: Sequence[str]) -> dict[tuple[str, str], str]:
    """(task, role) -> its file."""
    known = sorted({match[1] for name in files if (match := _TASK_FILE.fullmatch(name))})
    if not known:
        raise RecordError(
            f"Asked {source} for MLUBench's tasks, files Tasks/Task<X>/task<X>_forget.json and task<X>_retain.json. "
            f"Found none of them{f', but {min(files)}' if files else ''}. Name the folder that holds Tasks, or the "
            f"released zip; names have this very case."
        )
    names = {}
    for task in tasks:
        if task not in known:
            raise RecordError(
                f"Asked {source} for task {task}, as lifelong.tasks says. Found no Tasks/Task{task}: "
                f"{_near(task, known)}; correct lifelong.tasks."
            )
        for role in ROLES:
            names[task, role] = name = f"Tasks/Task{task}/task{task}_{role}.json"
            if name not in files:
                raise RecordError(
                    f"Asked {source} for {name}. Found the other file of task {task} alone; put it there, or take the "
                    f"task out of lifelong.tasks. Files there: {nearest(name, files)}"
                )
    return names


def _near(task: str, known: Sequence[str]) -> str:
    """A hint: the task of the same letters, else the nearest one."""
    same = [name for name in known if name.casefold() == task.casefold()]
    return nearest(same[0], known) if same else nearest(task, known)


def _rows(name: str, data: bytes, problems: list[str]) -> list[ReleasedQuestion]:
    """The questions of a file. What is wrong with rows goes to `problems`; raises RecordError where it has no rows."""
    text = decode(data, name)
    try:
        rows = json.loads(text)
    except json.JSONDecodeError as error:
        stops = error.pos >= len(error.doc.rstrip()) or error.msg.startswith("Unterminated")
        rest = "its text stops" if stops else "its JSON breaks"
        raise RecordError(
            f"Asked {name} for a list of conversations. Found that {rest} in line {error.lineno}, column {error.colno} "
            f"({error.msg}). Fetch the file again."
        ) from error
    except RecursionError as error:
        raise RecordError(
            f"Asked {name} for a list of conversations. Found lists too deep to read. Fetch it again."
        ) from error
    except ValueError as error:  # a number of thousands of digits
        raise RecordError(
            f"Asked {name} for a list of conversations. Found what is not read ({error}). Fetch it again."
        ) from error
    if not isinstance(rows, list) or not rows:
        raise RecordError(
            f"Asked {name} for a list of conversations. Found {shown(rows)}. Fetch the file again, or take it out."
        )
    found: list[ReleasedQuestion] = []
    first: dict[tuple[tuple[str, str], str], int] = {}
    for number, row in enumerate(rows, start=1):
        label = f" (id {shown(row['id'])})" if isinstance(row, dict) and "id" in row else ""
        place = f"{name}, row {number}{label}"
        try:
            one = _question(number, row)
        except ValueError as error:
            problems.append(f"{place}: {error}")
            continue
        same = first.setdefault((one.folders, one.id), number)
        if same != number:
            problems.append(f"{place}: an id that {'/'.join(one.folders)} has in row {same} already")
        found.append(one)
    return found


def _question(number: int, row: Any) -> ReleasedQuestion:
    """Raises ValueError: a clause of what was found."""
    if not isinstance(row, dict):
        raise ValueError(f"{shown(row)} where an object with id, image and conversations is needed")
    missing = [key for key in ("id", "image", "conversations") if key not in row]
    if missing:
        raise ValueError(f"no {', '.join(missing)}")
    if type(row["id"]) not in (str, int):
        raise ValueError("an id that is neither text nor a number")
    turns = row["conversations"]
    if not isinstance(turns, list) or len(turns) != 2:
        count = f"{len(turns)} turns" if isinstance(turns, list) else shown(turns)
        raise ValueError(f"{count} where a question and its answer are two")
    values = [_value(turn, who) for turn, who in zip(turns, ("human", "gpt"), strict=True)]
    if not values[0].startswith(IMAGE):
        raise ValueError(f"a question that does not begin with <image> and a new line, {shown(values[0])}")
    question, answer = values[0].removeprefix(IMAGE).strip(), values[1].strip()
    for what, text in (("question", question), ("answer", answer)):
        if not text:
            raise ValueError(f"an empty {what}")
        if token := model_token(text):
            raise ValueError(f"{token} in the {what}, which models may read as a token of their own")
    return ReleasedQuestion(number, str(row["id"]), _picture(row["image"]), question, answer)


def _value(turn: Any, who: str) -> str:
    """The text of a turn of somebody."""
    if not isinstance(turn, dict) or not isinstance(turn.get("value"), str):
        raise ValueError(f"a turn without text, {shown(turn)}")
    if turn.get("from") != who:
        raise ValueError(f"a turn of {shown(turn.get('from'))} where {who}'s is due: human asks, gpt answers")
    if re.search("[\ud800-\udfff]", turn["value"]):
        raise ValueError(f"half a character in {shown(turn['value'])}")
    return turn["value"]


def _picture(image: Any) -> str:
    if not isinstance(image, str):
        raise ValueError(f"{shown(image)} where a picture's path is needed")
    parts = normalize("NFC", image).split("/")
    if len(parts) != 4 or any(part.strip() in ("", ".", "..") for part in parts) or _odd(image):
        raise ValueError(f"the picture {shown(image)}, no path <folder>/<Class>/<Entity>/<file>")
    return "/".join(parts)


def _odd(path: str) -> bool:
    """Whether a path has what no name of a picture has: a backslash, a drive, half or control characters."""
    return bool(re.search(r"\\|^[A-Za-z]:|[\x00-\x1f\x7f\ud800-\udfff]", path))


def _ambiguous(questions: Sequence[ReleasedQuestion]) -> Iterator[str]:
    """Pictures of one class, entity and file name that lie below two folders: they would be one picture."""
    first: dict[str, str] = {}
    for one in questions:
        if first.setdefault(one.image_id, one.picture) != one.picture:
            yield f"two pictures {first[one.image_id]} and {one.picture}, which differ by their first folder alone"


def _files(source: Path) -> dict[str, Read]:
    """Tasks/... and Entities/... of a release -> what reads them."""
    try:
        members = _folder(source) if source.is_dir() else _zip(source)
    except FileNotFoundError as error:
        raise RecordError(
            f"Asked for MLUBench's release at {source}. Found nothing there. Correct lifelong.files.tasks."
        ) from error
    except (zipfile.BadZipFile, UnicodeDecodeError, OSError) as error:
        raise RecordError(
            f"Asked {source} for a folder or a zip file. Found neither ({error}). Fetch the file again."
        ) from error
    tops = {top for name in members if (top := _top(name)) is not None}
    if len(tops) > 1:
        raise RecordError(
            f"Asked {source} for one release. Found Tasks, Entities or Strangers in "
            f"{', '.join(map(repr, sorted(tops)))}. Name one of them."
        )
    top = next(iter(tops), "")
    return {name.removeprefix(top): read for name, read in members.items() if _top(name) == top}


def _top(name: str) -> str | None:
    """What stands before Tasks/ or its neighbours in the path of a JSON file: nothing, or one folder."""
    match = re.fullmatch(r"([^/]+/)?(Tasks/[^/]+|Entities|Strangers)/[^/]+\.json", name)
    return (match[1] or "") if match and not _RUBBISH.search(name) else None


def _folder(source: Path) -> dict[str, Read]:
    found = {}
    for pattern in ("Tasks/*/*.json", "Entities/*.json", "Strangers/*.json"):
        for path in [*source.glob(pattern), *source.glob(f"*/{pattern}")]:
            name = path.relative_to(source).as_posix()
            found[normalize("NFC", name)] = inside(source, name, str(source)).read_bytes
    return found


def _zip(source: Path) -> dict[str, Read]:
    """Raises RecordError where a member's path leads out of the zip, is a link, or unpacks to more than LARGEST."""
    found = {}
    with zipfile.ZipFile(source) as archive:
        for member in archive.infolist():
            name = member.filename
            path = PurePosixPath(name)
            if path.is_absolute() or ".." in path.parts or _odd(name):
                raise RecordError(
                    f"Asked {source} for files below one folder. Found {shown(name)}, which leads elsewhere. Pack it "
                    f"anew."
                )
            if stat.S_ISLNK(member.external_attr >> 16):
                raise RecordError(
                    f"Asked {source} for files. Found that {shown(name)} is a link. Pack the file itself."
                )
            if member.file_size > LARGEST and _top(name) is not None:
                raise RecordError(
                    f"Asked {source} for files of {LARGEST:,} bytes at most. Found that {shown(name)} has "
                    f"{member.file_size:,} when it is unpacked. Fetch the zip again, or unpack it and name the folder."
                )
            if not member.is_dir():
                found[normalize("NFC", name)] = _Member(source, name)
    return found


class _Member(NamedTuple):
    """Reads one file of a zip."""

    source: Path
    name: str

    def __call__(self) -> bytes:
        try:
            with zipfile.ZipFile(self.source) as archive:
                return archive.read(self.name)
        except DAMAGE as error:
            raise RecordError(
                f"Asked {self.source} for {self.name}. Found that it cannot be unpacked ({error}). Fetch the zip again."
            ) from error
