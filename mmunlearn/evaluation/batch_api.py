"""Verdicts by OpenAI's Batch API: submit, poll, collect; killed at any moment, the next job goes on with the batch.

A batch is written down before it is submitted, under a name that it carries in its metadata. So a job that was killed
between submitting it and hearing its id finds it again in the endpoint's list, and pays for nothing twice.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from time import sleep
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from mmunlearn.chat import Reply, ReplyError, parse_reply
from mmunlearn.evaluation.budget import Budget, Unaffordable
from mmunlearn.evaluation.cases import Case, JudgeError
from mmunlearn.evaluation.verdict_store import Batch, Verdict, Writer
from mmunlearn.progress import progress

if TYPE_CHECKING:
    from mmunlearn.evaluation.openai_judge import OpenAIJudge

ENDPOINT = "/v1/chat/completions"
LARGEST = 50_000
"""Requests of a batch at most."""
LARGEST_BYTES = 100 * 2**20
"""Bytes of a batch's file at most; OpenAI takes 200 MB."""
NAME = "mmunlearn"
"""The key of a batch's metadata that holds its name."""
ENDED = ("completed", "failed", "expired", "cancelled")
logger = logging.getLogger(__name__)


def ask_in_batches(
    judge: OpenAIJudge, wanted: Mapping[str, Case], budget: Budget, writer: Writer, poll_seconds: float
) -> tuple[dict[str, float], dict[str, str]]:
    """Scores, and reasons of what is missing, by key.

    Raises:
        JudgeError: the budget is spent, or the endpoint refuses a batch as a whole.
        ChatError: the endpoint cannot be asked.
    """
    with judge.chat.client() as client, progress(None, "judge", len(wanted)) as bar:
        asker = _Batches(judge, client, budget, writer)
        asker.resume()
        while True:
            problem = asker.submit(wanted)
            if not asker.open:
                break
            refused = asker.collect_ended()
            if refused is not None:
                raise refused
            bar.update(sum(key in asker.settled for key in wanted) - bar.n)
            if asker.open:
                sleep(poll_seconds)
    if problem is not None:
        judged = len(asker.scores.keys() & wanted.keys())
        raise JudgeError(
            f"Asked {judge.chat.model} for {len(wanted)} verdicts. Found the budget spent, with {budget}; {judged} of "
            f"them are given and kept, {len(wanted) - judged} are left. Raise evaluation.openai.{problem} and run "
            "again: what is kept is not asked for again."
        )
    return asker.scores, {key: reason for key, reason in asker.missing.items() if key in wanted}


def collect_open(
    judge: OpenAIJudge, wanted: Mapping[str, Case], budget: Budget, writer: Writer
) -> dict[str, float]:
    """Before live calls: the scores, by key, of the batches that earlier jobs have left and that have ended.

    Raises:
        JudgeError: some of what is wanted is in a batch that still runs: a call would pay for it twice.
        ChatError: the endpoint cannot be asked.
    """
    if not writer.batches(judge.judge_id):
        return {}
    with judge.chat.client() as client:
        asker = _Batches(judge, client, budget, writer)
        asker.resume()
        refused = asker.collect_ended()
    if refused is not None:
        logger.warning("%s Calls take its place.", refused)
    running = {batch.id: batch.cases.keys() & wanted.keys() for batch in asker.open.values()}
    paid = {key for keys in running.values() for key in keys}
    if paid:
        names = ", ".join(str(name) for name, keys in running.items() if keys)
        raise JudgeError(
            f"Asked {judge.chat.model} for {len(wanted)} verdicts by calls. Found {len(paid)} of them in a batch that "
            f"an earlier job has submitted and that still runs ({names}). Set evaluation.openai.batch_api to true "
            "again to wait for it, or run again when it has ended or you have cancelled it at the endpoint."
        )
    return asker.scores


@dataclass(frozen=True)
class _Line:
    """One request's outcome: a reply, or why there is none."""

    reply: Reply | None
    reason: str


class _Batches:
    def __init__(self, judge: OpenAIJudge, client: Any, budget: Budget, writer: Writer) -> None:
        self._judge, self._client, self._budget, self._writer = judge, client, budget, writer
        self.open: dict[str, Batch] = {}
        self._resumed: set[str] = set()
        self.scores: dict[str, float] = {}
        self.missing: dict[str, str] = {}

    @property
    def settled(self) -> set[str]:
        return self.scores.keys() | self.missing.keys()

    def resume(self) -> None:
        """Take up what an earlier job has left; a batch that never reached the endpoint is forgotten."""
        for batch in self._writer.batches(self._judge.judge_id):
            if batch.id is None:
                found = next(
                    (one.id for one in self._client.batches.list(limit=100) if _name(one) == batch.name), None
                )
                if found is None:
                    self._budget.release(batch.held, calls=len(batch.cases))
                    self._keep(collected=batch)
                    continue
                batch = replace(batch, id=found)
                self._keep(batch=batch)
            self.open[batch.name] = batch
            self._resumed.add(batch.name)
            logger.info("going on with the batch %s of %d verdicts", batch.id, len(batch.cases))

    def submit(self, wanted: Mapping[str, Case]) -> str | None:
        """Submit all that is neither settled nor under way; the budget's key that forbids some of it, or None."""
        under_way = {key for batch in self.open.values() for key in batch.cases}
        todo = {key: case for key, case in wanted.items() if key not in under_way | self.settled}
        problem = None
        while todo and problem is None:
            cases, lines, held, problem = self._affordable(todo)
            if cases:
                self._create(cases, lines, held)
                todo = {key: case for key, case in todo.items() if key not in cases}
        return problem

    def _affordable(
        self, todo: Mapping[str, Case]
    ) -> tuple[dict[str, list[str]], list[bytes], float, str | None]:
        cases: dict[str, list[str]] = {}
        lines: list[bytes] = []
        held, size = 0.0, 0
        for key, case in todo.items():
            body = self._judge.body(case)
            request = {"custom_id": key, "method": "POST", "url": ENDPOINT, "body": body}
            line = json.dumps(request, ensure_ascii=False).encode() + b"\n"
            if len(lines) == LARGEST or size + len(line) > LARGEST_BYTES:
                break
            bound = self._budget.bound(body)
            try:
                self._budget.admit(bound)
            except Unaffordable as error:
                return cases, lines, held, str(error)
            cases[key] = [case.test, case.finetuned, case.goal]
            lines.append(line)
            held, size = held + bound, size + len(line)
        return cases, lines, held, None

    def _create(self, cases: dict[str, list[str]], lines: list[bytes], held: float) -> None:
        batch = Batch(f"g-eval-{uuid4().hex}", self._judge.judge_id, None, held, cases)
        self._keep(batch=batch)
        file = self._client.files.create(file=(f"{batch.name}.jsonl", b"".join(lines)), purpose="batch")
        made = self._client.batches.create(
            input_file_id=file.id, endpoint=ENDPOINT, completion_window="24h", metadata={NAME: batch.name}
        )
        batch = replace(batch, id=made.id)
        self._keep(batch=batch)
        self.open[batch.name] = batch
        logger.info("submitted the batch %s of %d verdicts", batch.id, len(cases))

    def collect_ended(self) -> JudgeError | None:
        """Keep the verdicts of every batch that has ended; an error where one was refused as a whole.

        A batch of an earlier job that the endpoint no longer knows is forgotten. What was set aside for it stays
        spent, as it may have been billed.
        """
        from openai import NotFoundError

        refused = None
        for batch in list(self.open.values()):
            try:
                state = self._client.batches.retrieve(batch.id)
                if state.status not in ENDED:
                    continue
                found = dict(self._lines(state))
            except NotFoundError:
                if batch.name not in self._resumed:  # submitted a moment ago: again would be without end
                    raise
                logger.warning(
                    "the endpoint does not know the batch %s, or its files, any more: %d verdicts are asked for again, "
                    "and what was set aside for it stays counted as spent",
                    batch.id,
                    len(batch.cases),
                )
                del self.open[batch.name]
                self._keep(collected=batch)
                continue
            del self.open[batch.name]
            verdicts = self._settle(batch, found, state.status)
            self._keep(verdicts, collected=batch)
            self.scores |= {verdict.key: verdict.score for verdict in verdicts}
            logger.info("the batch %s has %s: %d verdicts", batch.id, state.status, len(verdicts))
            if state.status == "failed":
                said = [error.message for error in (state.errors and state.errors.data) or []]
                why = self._judge.chat.redacted("; ".join(map(str, said[:3]))) or "no reason"
                refused = JudgeError(
                    f"Asked {self._judge.chat.model} for {len(batch.cases)} verdicts in a batch. Found that the "
                    f"endpoint refused it as a whole: {why}. Correct that, or set evaluation.openai.batch_api to false."
                )
        return refused

    def _settle(self, batch: Batch, found: Mapping[str, _Line], status: str) -> list[Verdict]:
        """The verdicts of an ended batch; the others become missing, and what was set aside what it really cost."""
        verdicts = []
        for key, sentences in batch.cases.items():
            case = Case(key, *sentences)
            bound = self._budget.bound(self._judge.body(case))
            line = found.get(key, _Line(None, f"the batch has {status} without this reply"))
            self._budget.release(-bound)
            self._budget.settle(bound, line.reply, refused=line.reply is None)
            if line.reply is None:
                self.missing[key] = line.reason
                continue
            try:
                verdicts.append(self._judge.verdict(key, case, line.reply))
            except ReplyError as error:
                self.missing[key] = f"the reply {error.problem}: {error.reply[:100]!r}"
        self._budget.release(batch.held)
        return verdicts

    def _lines(self, state: Any) -> Iterator[tuple[str, _Line]]:
        """Key and outcome of every request that the files of an ended batch tell of."""
        for file_id in filter(None, (state.error_file_id, state.output_file_id)):
            text = self._judge.chat.redacted(self._client.files.content(file_id).text)
            for raw in filter(str.strip, text.split("\n")):  # other ends of lines may stand in a reply
                try:
                    row = json.loads(raw)
                    key, answer = row["custom_id"], row.get("response") or {}
                    if not isinstance(key, str) or not isinstance(answer, dict):
                        raise TypeError
                    line = _outcome(answer, row.get("error"))
                except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
                    logger.warning("a line of the file %s is damaged: %.200s", file_id, raw)
                    continue
                yield key, line

    def _keep(self, verdicts: list[Verdict] | None = None, **batches: Batch) -> None:
        self._writer.keep(self._judge.judge_id, self._budget.spending, verdicts or [], **batches)


def _outcome(answer: Mapping[str, Any], error: Any) -> _Line:
    if answer.get("status_code") == 200:
        try:
            return _Line(parse_reply(json.dumps(answer.get("body"))), "")
        except ValueError as problem:
            return _Line(None, f"the batch's line is no chat completion: {problem}")
    said = error or answer.get("body")
    return _Line(None, f"status {answer.get('status_code')} in the batch: {json.dumps(said)[:300]}")


def _name(batch: Any) -> str | None:
    return (batch.metadata or {}).get(NAME)
