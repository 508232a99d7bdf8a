"""Judging by live calls: one call a case, several at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from functools import partial
from typing import Any

from mmunlearn.chat import ChatModel, Reply
from mmunlearn.evaluation.judge.ledger import Ledger

Texts = Mapping[str, str]
Body = Callable[[Texts], dict[str, Any]]
"""A case's texts, by name -> the request for its verdict."""
OUTAGE = 10
"""Calls in a row (or twice as many as run at once) that fail for good before the job stops."""
HEARTBEAT = 2.0
"""Seconds between two writings of what is spent while nothing else happens."""


class Calls:
    """One call a case, every verdict on disk before the next case takes its place.

    So a killed job repeats at most the calls that were in flight. The first attempt of each is in the ledger before it
    is made; further attempts get there with the next verdict, at the latest after `HEARTBEAT` seconds. So a kill may
    leave those of the last two seconds out of the budget. Calls run in threads; all bookkeeping stays in the caller's.

    Attributes:
        asks: times that a reply without a score is asked for.
        outage: cases in a row that fail for good before the job stops.
        drains: whether a job that stops waits for what is under way; else the next job collects it.
    Raises:
        ChatError: the key is missing.
    """

    asks, drains = 2, True

    def __init__(self, chat: ChatModel, ledger: Ledger, body: Body, concurrency: int) -> None:
        chat.connect()
        self._chat, self._ledger, self._body, self._concurrency = chat, ledger, body, concurrency
        self.outage = max(OUTAGE, 2 * concurrency)
        self._pool = ThreadPoolExecutor(concurrency)
        self._running: dict[Future[Reply], tuple[str, Texts]] = {}

    def room(self) -> int:
        """How many cases may be sent now."""
        return self._concurrency - len(self._running)

    def under_way(self) -> set[str]:
        """Keys of the cases that are sent and not answered yet."""
        return {key for key, _ in self._running.values()}

    def send(self, cases: Mapping[str, Texts]) -> None:
        """Write the ledger, then send cases, by key, that are reserved in it."""
        self._ledger.write()
        for key, texts in cases.items():
            body = self._body(texts)
            again = partial(self._ledger.reserve, body)
            settle = partial(self._ledger.bill, body, self._ledger.bound(body))
            self._running[self._pool.submit(self._chat.reply, body, again, settle)] = key, texts

    def results(self) -> Iterator[tuple[str, Texts, Reply | BaseException]]:
        """Wait for a while; what has come of the cases that have ended, its cost in the ledger."""
        for future in wait(self._running, HEARTBEAT, FIRST_COMPLETED).done:
            yield *self._running.pop(future), future.exception() or future.result()
