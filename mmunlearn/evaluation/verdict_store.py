"""Verdicts of a paid judge in one SQLite file, and what they have cost: nothing is asked twice, nothing overspent.

One process writes at a time, with a rollback journal (a write-ahead log needs shared memory, which network file
systems lack). Writing is claimed by an exclusive lock on a second file beside the first, so that others can read
meanwhile; the system lifts it when its process ends, however it ends.
"""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from time import monotonic, sleep

logger = logging.getLogger(__name__)
FORM = 1
"""Version of the tables, in SQLite's user_version."""
TABLES = """
CREATE TABLE verdicts (
    key TEXT PRIMARY KEY, judge TEXT NOT NULL, test TEXT NOT NULL, finetuned TEXT NOT NULL, goal TEXT NOT NULL,
    score REAL NOT NULL CHECK (score BETWEEN 0 AND 1), model TEXT NOT NULL, fingerprint TEXT,
    prompt_tokens INTEGER, completion_tokens INTEGER, time TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE spending (
    judge TEXT PRIMARY KEY, calls INTEGER NOT NULL, prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL,
    cost REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE batches (
    name TEXT PRIMARY KEY, judge TEXT NOT NULL, id TEXT, held REAL NOT NULL, cases TEXT NOT NULL
) WITHOUT ROWID;
"""
BUSY = 30.0
"""Seconds that one statement waits for another process's."""
LOOK = 2.0
"""Likewise of one who only looks."""
LOCK_WAIT = 600.0
"""Seconds that a second writer waits for the first."""


class StoreError(RuntimeError):
    """The file cannot be read, or another process writes to it."""


@dataclass(frozen=True)
class Verdict:
    """A row of `verdicts`: a score in [0, 1] of three sentences, who gave it and when (ISO 8601, UTC)."""

    key: str
    judge: str
    test: str
    finetuned: str
    goal: str
    score: float
    model: str
    fingerprint: str | None
    prompt_tokens: int | None
    completion_tokens: int | None
    time: str


@dataclass
class Spending:
    """Calls (attempts included that failed), tokens, and their cost in the currency of the configured prices."""

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0


@dataclass(frozen=True)
class Usage:
    """Verdicts, how many of them came without token counts, and the tokens of the others; one call each."""

    verdicts: int
    unmetered: int
    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True)
class Batch:
    """A batch that is not collected yet.

    Attributes:
        name: ours, in the batch's metadata.
        id: the server's; None from before it is submitted until it has said so.
        held: cost that is set aside for it.
        cases: test, finetuned and goal sentence by the verdict's key.
    """

    name: str
    judge: str
    id: str | None
    held: float
    cases: Mapping[str, Sequence[str]]


class VerdictStore:
    """The file at a path; it is made by the first writer.

    Args:
        wait: seconds that a second writer waits for the first.
    """

    def __init__(self, path: str | Path, wait: float = LOCK_WAIT) -> None:
        self.path, self.wait = Path(path), wait

    def read(self, keys: Iterable[str]) -> dict[str, float]:
        """The scores of those keys that have one. Raises StoreError where the file is damaged."""
        if not self.path.exists():
            return {}
        with self._open() as connection:
            if (
                connection.execute("PRAGMA user_version").fetchone()[0] == 0
            ):  # its first writer makes the tables now
                return {}
            return _scores(connection, keys)

    def used(self, keys: Iterable[str]) -> tuple[Usage, Spending]:
        """What the verdicts of those keys have used, and the ledger of all judges. Read-only: nothing is made, repaired
        or held up.

        Raises:
            StoreError: the file is absent, locked, damaged, or left half written by a killed job.
        """
        try:
            uri = f"{self.path.absolute().as_uri()}?mode=ro"
            with closing(sqlite3.connect(uri, timeout=LOOK, isolation_level=None, uri=True)) as connection:
                form = connection.execute("PRAGMA user_version").fetchone()[0]
                if form != FORM:
                    raise StoreError(f"{self.path} has form {form}, not {FORM}")
                rows = list(_rows(connection, "prompt_tokens, completion_tokens", keys))
                spent = Writer(connection).spent()
        except sqlite3.Error as error:
            reason = error if self.path.exists() else "there is no such file"
            raise StoreError(f"{self.path}: {reason}") from error
        metered = [row for row in rows if None not in row]
        sums = (sum(row[i] for row in metered) for i in range(2))
        return Usage(len(rows), len(rows) - len(metered), *sums), spent

    @contextmanager
    def writing(self) -> Iterator[Writer]:
        """The file for one writer alone.

        Raises:
            StoreError: another process writes and goes on for longer than `wait`; the file is damaged.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._claim(), self._open() as connection:
            if connection.execute("PRAGMA user_version").fetchone()[0] == 0:
                connection.executescript(f"BEGIN; {TABLES} PRAGMA user_version = {FORM}; COMMIT;")
            yield Writer(connection)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """A connection; also for reading it may write, as it must undo what a killed writer left half done."""
        try:
            with closing(sqlite3.connect(self.path, timeout=BUSY, isolation_level=None)) as connection:
                connection.execute("PRAGMA journal_mode = DELETE")
                connection.execute("PRAGMA synchronous = FULL")
                form = connection.execute("PRAGMA user_version").fetchone()[0]
                if form not in (0, FORM):
                    raise StoreError(
                        f"Asked {self.path} for verdicts in form {FORM}. Found form {form}, of another version of "
                        "mmunlearn. Use that version, or another file (evaluation.openai.store)."
                    )
                yield connection
        except sqlite3.DatabaseError as error:
            raise StoreError(
                f"Asked {self.path} for verdicts. Found that SQLite says: {error}. Make room and give write access, "
                "or, where the file is damaged, restore or delete it: verdicts in it are then asked for again."
            ) from error

    @contextmanager
    def _claim(self) -> Iterator[None]:
        lock = self.path.with_name(f"{self.path.name}.lock")
        with closing(self._lock_file(lock)) as connection:
            end, told = monotonic() + self.wait, False
            while True:
                try:
                    connection.execute("PRAGMA journal_mode = MEMORY")  # nothing is ever written there
                    connection.execute("BEGIN EXCLUSIVE")
                    break
                except sqlite3.OperationalError as error:
                    if "locked" not in str(error) or monotonic() >= end:
                        raise self._unclaimed(error) from error
                if not told:
                    logger.warning("%s: another job writes verdicts; waiting for it to end", self.path)
                    told = True
                sleep(min(0.5, self.wait))
            yield

    def _lock_file(self, lock: Path) -> sqlite3.Connection:
        try:
            return sqlite3.connect(lock, timeout=0, isolation_level=None)
        except sqlite3.OperationalError as error:
            raise self._unclaimed(error) from error

    def _unclaimed(self, error: sqlite3.OperationalError) -> StoreError:
        waited = f"after {self.wait:g} seconds " if "locked" in str(error) else ""
        return StoreError(
            f"Asked to write verdicts to {self.path}. Found that it cannot be claimed {waited}({error}). Wait until "
            "the other run that judges has ended, or take another file (evaluation.openai.store) on a disk that locks."
        )


class Writer:
    """The open file; every method that writes is one transaction, on disk when it returns."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def read(self, keys: Iterable[str]) -> dict[str, float]:
        """As of the store."""
        return _scores(self._connection, keys)

    def spent(self, judge: str | None = None) -> Spending:
        """Of one judge, or of all together."""
        columns = ", ".join(f"total({field.name})" for field in fields(Spending))
        where = "" if judge is None else "WHERE judge = ?"
        row = self._connection.execute(
            f"SELECT {columns} FROM spending {where}", () if judge is None else (judge,)
        ).fetchone()
        return Spending(*map(int, row[:3]), row[3])

    def keep(
        self,
        judge: str,
        spending: Spending,
        verdicts: Sequence[Verdict] = (),
        *,
        batch: Batch | None = None,
        collected: Batch | None = None,
    ) -> None:
        """Write what a judge has spent in all, new verdicts, and a batch that was made, submitted or collected."""
        execute = self._connection.execute
        execute("BEGIN IMMEDIATE")
        try:
            execute("REPLACE INTO spending VALUES (?, ?, ?, ?, ?)", (judge, *astuple(spending)))
            self._connection.executemany(
                f"REPLACE INTO verdicts VALUES ({', '.join('?' * len(fields(Verdict)))})",
                map(astuple, verdicts),
            )
            if batch is not None:
                row = (batch.name, batch.judge, batch.id, batch.held, json.dumps(dict(batch.cases)))
                execute("REPLACE INTO batches VALUES (?, ?, ?, ?, ?)", row)
            if collected is not None:
                execute("DELETE FROM batches WHERE name = ?", (collected.name,))
            execute("COMMIT")
        except BaseException:
            execute("ROLLBACK")
            raise

    def batches(self, judge: str) -> list[Batch]:
        """The judge's batches that are not collected yet."""
        rows = self._connection.execute("SELECT * FROM batches WHERE judge = ? ORDER BY name", (judge,))
        return [Batch(*row[:4], json.loads(row[4])) for row in rows]


def _scores(connection: sqlite3.Connection, keys: Iterable[str]) -> dict[str, float]:
    return dict(_rows(connection, "key, score", keys))


def _rows(connection: sqlite3.Connection, columns: str, keys: Iterable[str]) -> Iterator[tuple]:
    keys = list(keys)
    for start in range(0, len(keys), 500):
        some = keys[start : start + 500]
        places = ", ".join("?" * len(some))
        yield from connection.execute(f"SELECT {columns} FROM verdicts WHERE key IN ({places})", some)
