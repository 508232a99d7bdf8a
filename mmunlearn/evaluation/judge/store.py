"""Verdicts of a paid judge in one SQLite file, and what they have cost: nothing is asked twice, nothing overspent.

One process writes at a time, with a rollback journal (a write-ahead log needs shared memory, which network file
systems lack). Writing is claimed by an exclusive lock on a second file beside the first, so that others can read
meanwhile; the system lifts it when its process ends, however it ends.
"""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from mmunlearn.evaluation.judge.ledger import Ledger, Spending, scores, spent

logger = logging.getLogger(__name__)
FORM = 2
"""Version of the tables, in SQLite's user_version. Form 1 had G-Eval's three sentences in columns of their own."""
TABLES = """
CREATE TABLE verdicts (
    key TEXT PRIMARY KEY, judge TEXT NOT NULL, texts TEXT NOT NULL, score REAL NOT NULL, model TEXT NOT NULL,
    fingerprint TEXT, prompt_tokens INTEGER, completion_tokens INTEGER, time TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS spending (
    judge TEXT PRIMARY KEY, calls INTEGER NOT NULL, prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL,
    cost REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS batches (
    name TEXT PRIMARY KEY, judge TEXT NOT NULL, id TEXT, held REAL NOT NULL, cases TEXT NOT NULL
) WITHOUT ROWID;
"""
MAKE = {
    0: TABLES,
    1: f"""
ALTER TABLE verdicts RENAME TO form_1;
{TABLES}
INSERT INTO verdicts SELECT
    key, judge, json_object('test', test, 'finetuned', finetuned, 'goal', goal), score, model,
    fingerprint, prompt_tokens, completion_tokens, time FROM form_1;
DROP TABLE form_1;
UPDATE batches SET cases = (SELECT json_group_object(key, json_object(
    'test', json_extract(value, '$[0]'), 'finetuned', json_extract(value, '$[1]'), 'goal', json_extract(value, '$[2]')
)) FROM json_each(cases));
""",
}
"""What makes a file of the present form from an empty one, and from one of an older form."""
BUSY, LOOK = 30.0, 2.0
"""Seconds that one statement waits for another process's; likewise of one who only looks."""
LOCK_WAIT = 600.0
"""Seconds that a second writer waits for the first."""


class StoreError(RuntimeError):
    """The file cannot be read, or another process writes to it."""


@dataclass(frozen=True)
class Usage:
    """Verdicts, how many of them came without token counts, and the tokens of the others; one call each."""

    verdicts: int
    unmetered: int
    prompt_tokens: int
    completion_tokens: int


class JudgeStore:
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
            return (
                scores(connection, keys) if _form(connection) else {}
            )  # else its first writer makes the tables now

    def used(self, keys: Iterable[str]) -> tuple[Usage, Spending]:
        """What the verdicts of those keys have used, and the ledger of all judges. Read-only: nothing is made, repaired
        or held up.

        Raises:
            StoreError: the file is absent, locked, damaged, or left half written by a killed job.
        """
        query = """
            SELECT count(*), sum(prompt_tokens + completion_tokens IS NULL),
                total(prompt_tokens + 0 * completion_tokens), total(completion_tokens + 0 * prompt_tokens)
            FROM verdicts WHERE key IN (SELECT value FROM json_each(?))"""
        with self._open(look=True) as connection:
            row = connection.execute(query, (json.dumps(list(keys)),)).fetchone()
            return Usage(*(int(count or 0) for count in row)), spent(connection)

    @contextmanager
    def ledger(self, judge: str, options: Mapping[str, Any]) -> Iterator[Ledger]:
        """The file for one writer alone; arguments as of `Ledger`. One of an older form becomes one of the present.

        Raises:
            StoreError: another process writes and goes on for longer than `wait`; the file is damaged.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        empty = self.path.exists() and not self.path.stat().st_size
        with self._claim(), self._open() as connection:
            form = _form(connection)
            if empty and not form:
                logger.warning(
                    "%s is empty: verdicts are asked for, and what they cost is counted, anew", self.path
                )
            if form != FORM:
                connection.executescript(f"BEGIN; {MAKE[form]} PRAGMA user_version = {FORM}; COMMIT;")
            yield Ledger(connection, judge, options)

    @contextmanager
    def _open(self, look: bool = False) -> Iterator[sqlite3.Connection]:
        """A connection; unless it only looks, it may write even for reading: it undoes what a killed writer left."""
        uri, wait = f"{self.path.absolute().as_uri()}?mode={'ro' if look else 'rwc'}", LOOK if look else BUSY
        try:
            with closing(sqlite3.connect(uri, wait, isolation_level=None, uri=True)) as connection:
                if not look:
                    connection.execute("PRAGMA journal_mode = DELETE")
                    connection.execute("PRAGMA synchronous = FULL")
                form = _form(connection)
                if form not in (FORM, *MAKE) or (look and not form):
                    raise StoreError(
                        f"Asked {self.path} for verdicts in form {FORM}. Found form {form}, of another version of "
                        "mmunlearn. Use that version, or another file (evaluation.openai.store)."
                    )
                yield connection
        except sqlite3.DatabaseError as error:
            if look and not self.path.exists():
                raise StoreError(f"{self.path}: there is no such file") from error
            raise StoreError(
                f"Asked {self.path} for verdicts. Found that SQLite says: {error}. Make room and give write access, "
                "or, where the file is damaged, restore it or move it away: then all verdicts are asked for again."
            ) from error

    @contextmanager
    def _claim(self) -> Iterator[None]:
        """Be the only writer."""
        lock, end, patient = self.path.with_name(f"{self.path.name}.lock"), monotonic() + self.wait, False
        try:
            with closing(sqlite3.connect(lock, timeout=0, isolation_level=None)) as connection:
                while not connection.in_transaction:
                    try:
                        connection.execute("PRAGMA journal_mode = MEMORY")  # nothing is ever written there
                        connection.execute("BEGIN EXCLUSIVE")
                    except sqlite3.OperationalError as error:
                        if "locked" not in str(error) or monotonic() >= end:
                            raise
                        if not patient:
                            logger.warning("%s: another job writes verdicts; waiting till it ends", self.path)
                        patient = True
                        sleep(min(0.5, self.wait))
                yield
        except sqlite3.DatabaseError as error:
            waited = f"after {self.wait:g} seconds " if "locked" in str(error) else ""
            raise StoreError(
                f"Asked to write verdicts to {self.path}. Found that it cannot be claimed {waited}({error}). Wait "
                "until the other run that judges has ended, or take another file (evaluation.openai.store) on a disk "
                f"that locks; where {lock} is damaged, remove it."
            ) from error


def _form(connection: sqlite3.Connection) -> int:
    return connection.execute("PRAGMA user_version").fetchone()[0]
