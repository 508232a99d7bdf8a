"""The ledger of a paid judge: what it has said and spent, and whether one more attempt can be afforded.

The budget, in calls and in currency, holds over retries, threads, jobs and reruns: before every attempt its greatest
possible cost is set aside, and taken back to the real one when the reply says what it used. So neither bound is ever
passed within a job, and what a killed job had written down as set aside stays counted: it may have been billed.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass
from datetime import UTC, datetime
from typing import Any

from mmunlearn.chat import Reply

LIMITS = ("max_completion_tokens", "max_tokens")
"""Keys of a request that may hold the longest reply in tokens."""
MARGIN = 64
"""Tokens that a server may add around the messages: no text has more tokens than bytes."""


class Unaffordable(RuntimeError):
    """One more attempt could pass the budget."""


@dataclass
class Spending:
    """Calls (attempts included that failed), tokens, and their cost in the currency of the configured prices."""

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0


@dataclass(frozen=True)
class Batch:
    """A batch that is not collected yet.

    Attributes:
        name: ours, in the batch's metadata.
        id: the server's; None from before it is submitted until it has said so.
        held: cost that is set aside for it.
        cases: texts by the verdict's key.
    """

    name: str
    id: str | None
    held: float
    cases: Mapping[str, Mapping[str, str]]


class Ledger:
    """What a judge spends in one job; new verdicts and all else are on disk when `write` returns.

    `reserve` and `bill` are safe to call from any thread; all others belong to the connection's.

    Args:
        judge: whose spending this is; the bounds are those of all judges in the file.
        options: max_calls, attempts at most, and max_cost, currency at most, None for no bound; prompt_price and
            completion_price, currency for a million tokens; max_tokens, of a reply where the request has no limit.
    """

    def __init__(self, connection: sqlite3.Connection, judge: str, options: Mapping[str, Any]) -> None:
        self._connection, self._judge, self._lock = connection, judge, threading.Lock()
        self._max_calls, self._max_cost = options["max_calls"], options["max_cost"]
        self._longest = options["max_tokens"]
        self._prices = options["prompt_price"] / 1e6, options["completion_price"] / 1e6
        self._spent, self._others = (
            spent(connection, "judge = ?", judge),
            spent(connection, "judge != ?", judge),
        )
        self._verdicts: list[tuple[Any, ...]] = []

    def read(self, keys: Iterable[str]) -> dict[str, float]:
        """The scores of those keys that have one."""
        return scores(self._connection, keys)

    def batches(self) -> list[Batch]:
        """The judge's batches that are not collected yet."""
        query = "SELECT name, id, held, cases FROM batches WHERE judge = ? ORDER BY name"
        return [
            Batch(*row, json.loads(cases)) for *row, cases in self._connection.execute(query, (self._judge,))
        ]

    def bound(self, body: Mapping[str, Any]) -> float:
        """The most that one attempt at a request can cost."""
        longest = next((body[key] for key in LIMITS if key in body), self._longest)
        size = len(json.dumps(body, ensure_ascii=False).encode()) + MARGIN
        return size * self._prices[0] + longest * self._prices[1]

    def reserve(self, body: Mapping[str, Any]) -> None:
        """Set one attempt at a request aside. Raises Unaffordable, and sets nothing aside."""
        bound = self.bound(body)
        with self._lock:
            calls, cost = self._others.calls + self._spent.calls, self._others.cost + self._spent.cost
            most = {"max_calls": (calls + 1, self._max_calls), "max_cost": (cost + bound, self._max_cost)}
            for key, (value, limit) in most.items():
                if limit is not None and value > limit:
                    raise Unaffordable(
                        f"Asked for one more verdict. Found the budget spent: {calls} calls and a cost of {cost:.4f} "
                        f"are made or set aside. Raise evaluation.openai.{key}, which is {limit}, and run again: what "
                        "is kept is not asked for again."
                    )
            self._spent.calls += 1
            self._spent.cost += bound

    def bill(self, body: Mapping[str, Any], held: float, reply: Reply | None, refused: bool) -> None:
        """Replace what is held for an attempt at a request by what it used: nothing where the server refused, its bound
        where nobody knows (no usage in the reply, a broken connection)."""
        tokens = [reply and reply.tokens(name) for name in ("prompt_tokens", "completion_tokens")]
        with self._lock:
            if None not in tokens:
                self._spent.prompt_tokens += tokens[0]
                self._spent.completion_tokens += tokens[1]
                cost = tokens[0] * self._prices[0] + tokens[1] * self._prices[1]
            else:
                cost = 0.0 if refused else self.bound(body)
            self._spent.cost += cost - held

    def release(self, held: float, calls: int = 0) -> None:
        """Take back what was set aside, and attempts that were never made."""
        with self._lock:
            self._spent.cost -= held
            self._spent.calls -= calls

    def add(self, key: str, texts: Mapping[str, str], score: float, reply: Reply) -> None:
        """A new verdict, for the next writing."""
        tokens = reply.tokens("prompt_tokens"), reply.tokens("completion_tokens")
        source = reply.model, reply.system_fingerprint, *tokens, datetime.now(UTC).isoformat()
        self._verdicts.append((key, self._judge, json.dumps(texts, ensure_ascii=False), score, *source))

    def write(self, *, batch: Batch | None = None, collected: Batch | None = None) -> None:
        """In one transaction: what is spent, new verdicts, and a batch that was made, submitted or collected."""
        with self._lock:
            self._spent.cost = max(self._spent.cost, 0.0)  # sums of floats may end below
            spending = astuple(self._spent)
        with self._connection as transaction:
            transaction.execute("BEGIN IMMEDIATE")
            transaction.execute("REPLACE INTO spending VALUES (?, ?, ?, ?, ?)", (self._judge, *spending))
            transaction.executemany(
                "REPLACE INTO verdicts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", self._verdicts
            )
            if batch is not None:
                row = (batch.name, self._judge, batch.id, batch.held, json.dumps(dict(batch.cases)))
                transaction.execute("REPLACE INTO batches VALUES (?, ?, ?, ?, ?)", row)
            if collected is not None:
                transaction.execute("DELETE FROM batches WHERE name = ?", (collected.name,))
        self._verdicts = []


def spent(connection: sqlite3.Connection, where: str = "true", *values: str) -> Spending:
    """Of the judges that a condition picks, together."""
    columns = "total(calls), total(prompt_tokens), total(completion_tokens), total(cost)"
    *counts, cost = connection.execute(f"SELECT {columns} FROM spending WHERE {where}", values).fetchone()
    return Spending(*map(int, counts), cost)


def scores(connection: sqlite3.Connection, keys: Iterable[str]) -> dict[str, float]:
    """The scores of those keys that have one."""
    query = "SELECT key, score FROM verdicts WHERE key IN (SELECT value FROM json_each(?))"
    return dict(connection.execute(query, (json.dumps(list(keys)),)))
