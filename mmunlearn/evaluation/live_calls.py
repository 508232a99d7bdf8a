"""Verdicts by one call each, several at a time, every one on disk before the next takes its place.

So a killed job repeats at most the calls that were in flight. The first attempt of each is in the ledger before it is
made; further attempts and second asks get there with the next verdict, at the latest after `HEARTBEAT` seconds. So a
kill may leave those of the last two seconds out of the budget. Calls run in threads; the file, the budget's first word
and all bookkeeping stay in the caller's.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mmunlearn.chat import ChatError, ReplyError
from mmunlearn.evaluation.budget import Budget, CallMeter, Unaffordable
from mmunlearn.evaluation.cases import Case, JudgeError
from mmunlearn.evaluation.verdict_store import Verdict, Writer
from mmunlearn.progress import progress

if TYPE_CHECKING:
    from mmunlearn.evaluation.openai_judge import OpenAIJudge

ASKS = 2
"""Calls for one verdict: a reply that is no score is asked for once more, in the same words."""
OUTAGE = 10
"""Calls in a row (or twice as many as run at once) that fail for good before the job stops."""
HEARTBEAT = 2.0
"""Seconds between two writings of what is spent while nothing else happens."""
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Call:
    """A verdict that is being asked for."""

    key: str
    case: Case
    body: dict[str, Any]
    meter: CallMeter


class LiveCalls:
    """Asks for verdicts, `concurrency` at a time."""

    def __init__(self, judge: OpenAIJudge, budget: Budget, writer: Writer, concurrency: int) -> None:
        self._judge, self._budget, self._writer = judge, budget, writer
        self._concurrency = concurrency
        self._queue: deque[tuple[str, Case]] = deque()
        self._fresh: list[Verdict] = []
        self._scores: dict[str, float] = {}
        self._missing: dict[str, str] = {}
        self._in_a_row, self._answered = 0, False
        self._problem: Exception | None = None

    def ask(self, wanted: Mapping[str, Case]) -> tuple[dict[str, float], dict[str, str]]:
        """Scores, and reasons of what is missing, by key.

        Raises:
            JudgeError: as of `OpenAIJudge.judge`.
        """
        self._queue.extend(wanted.items())
        running: dict[Future[Verdict], Call] = {}
        with ThreadPoolExecutor(self._concurrency) as pool, progress(None, "judge", len(wanted)) as bar:
            while True:
                starting = self._admitted(len(running))
                self._writer.keep(self._judge.judge_id, self._budget.spending, self._fresh)
                self._fresh = []
                running |= {pool.submit(self._call, call): call for call in starting}
                if not running:
                    break
                for future in wait(running, HEARTBEAT, FIRST_COMPLETED).done:
                    self._take(running.pop(future), future)
                bar.update(len(self._scores) + len(self._missing) - bar.n)
        self._check(len(wanted))
        return self._scores, self._missing

    def _admitted(self, running: int) -> list[Call]:
        """The calls that may start now: places are free and the budget has their first attempts set aside."""
        starting: list[Call] = []
        while self._queue and self._problem is None and running + len(starting) < self._concurrency:
            key, case = self._queue[0]
            body = self._judge.body(case)
            meter = CallMeter(self._budget, self._budget.bound(body))
            try:
                meter.reserve()
            except Unaffordable as error:
                if not running and not starting:  # else what these set aside may come free
                    self._problem = error
                break
            self._queue.popleft()
            starting.append(Call(key, case, body, meter))
        return starting

    def _call(self, call: Call) -> Verdict:
        for ask in range(1, ASKS + 1):
            try:
                return self._judge.verdict(call.key, call.case, self._judge.chat.reply(call.body, call.meter))
            except ReplyError:
                if ask == ASKS:
                    raise
        raise AssertionError("unreachable")

    def _take(self, call: Call, future: Future[Verdict]) -> None:
        call.meter.cancel()
        error = future.exception()
        if error is None:
            self._fresh.append(future.result())
            self._scores[call.key] = future.result().score
        elif isinstance(error, Unaffordable):
            self._queue.appendleft((call.key, call.case))
            return
        elif isinstance(error, ReplyError):
            self._missing[call.key] = f"the reply {error.problem}, {ASKS} times: {error.reply[:100]!r}"
        elif isinstance(error, ChatError) and not error.everywhere:
            self._missing[call.key] = str(error)
            self._answered |= error.answered
            self._in_a_row += 1
            if self._in_a_row >= max(OUTAGE, 2 * self._concurrency):
                self._problem = error
            return
        else:
            self._problem = error
            return
        self._in_a_row, self._answered = 0, True

    def _check(self, wanted: int) -> None:
        """Raises JudgeError where the job had to stop, or never reached the endpoint."""
        model, judged = self._judge.chat.model, len(self._scores)
        kept = f"{judged} of {wanted} verdicts are given and kept, {wanted - judged} are left"
        if isinstance(self._problem, Unaffordable):
            raise JudgeError(
                f"Asked {model} for {wanted} verdicts. Found the budget spent, with {self._budget}; {kept}. Raise "
                f"evaluation.openai.{self._problem} and run again: what is kept is not asked for again."
            )
        if self._problem is None and self._missing and not self._answered:
            self._problem = ChatError(next(iter(self._missing.values())))
        if isinstance(self._problem, ChatError):
            raise JudgeError(f"{self._problem} Of this job, {kept}.")
        if self._problem is not None:
            raise self._problem
