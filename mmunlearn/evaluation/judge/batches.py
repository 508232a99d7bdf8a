"""Cases by OpenAI's Batch API: submit, poll, collect; killed at any moment, the next job goes on with the batch.

A batch is written down before it is submitted, under a name that it carries in its metadata. So a job that was killed
between submitting it and hearing its id finds it again in the endpoint's list, and pays for nothing twice.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import replace
from math import inf
from time import sleep
from typing import Any
from uuid import uuid4

from mmunlearn.chat import ChatModel, Reply, parse_reply
from mmunlearn.endpoint import ChatError
from mmunlearn.evaluation.judge.calls import Body, Texts
from mmunlearn.evaluation.judge.ledger import Batch, Ledger
from mmunlearn.refusals import concern_of, said

ENDPOINT = "/v1/chat/completions"
LARGEST = 20_000
"""Cases of a batch at most: OpenAI takes 50,000 and 200 MB, which is 10 kB for each of these."""
NAME = "mmunlearn"
"""The key of a batch's metadata that holds its name."""
RUNNING = ("validating", "in_progress", "finalizing", "cancelling", "queued", "pending", "running")
ENDED = ("completed", "failed", "expired", "cancelled", "canceled")
LINE = 16 * 2**10
"""Bytes of a case's line in a batch's files, at most on average."""
logger = logging.getLogger(__name__)


class WholeRefusal(ChatError):
    """A batch was refused as a whole: no call was made."""


class Batches:
    """Batches of cases, beginning with those that an earlier job has left.

    Args:
        name: of new batches, before a random part.
        poll_seconds: between two looks.
    Attributes:
        asks, outage, drains: as of `Calls`.
    Raises:
        ChatError: the endpoint cannot be asked. So do all methods.
    """

    asks, outage, drains = 1, inf, False

    def __init__(self, chat: ChatModel, ledger: Ledger, body: Body, name: str, poll_seconds: float) -> None:
        self._chat, self._ledger, self._body = chat, ledger, body
        self._name, self._poll_seconds = name, poll_seconds
        self._running: list[Batch] = []
        for row in ledger.batches():
            batch = row if row.id else self._find(row)
            if batch is None:  # it never reached the endpoint
                ledger.release(row.held, calls=len(row.cases))
                ledger.write(collected=row)
            else:
                logger.info("going on with the batch %s of %d verdicts", batch.id, len(batch.cases))
                self._running.append(batch)

    def _find(self, batch: Batch) -> Batch | None:
        after: dict[str, str] = {}
        while True:

            async def page(client: Any, after: dict[str, str] = after) -> dict[str, Any]:
                return _object(await client.batches.with_raw_response.list(limit=100, **after))

            found = self._chat.call(page)
            rows = [row for row in found.get("data") or [] if isinstance(row, dict)]
            for row in rows:
                metadata = row.get("metadata")
                if isinstance(metadata, dict) and metadata.get(NAME) == batch.name:
                    return replace(batch, id=_id(row))
            if not rows or not found.get("has_more") or after == {"after": _id(rows[-1])}:
                return None
            after = {"after": _id(rows[-1])}

    def room(self) -> int:
        """How many cases may be sent now."""
        return LARGEST

    def under_way(self) -> set[str]:
        """Keys of the cases that are sent and not answered yet."""
        return {key for batch in self._running for key in batch.cases}

    def send(self, cases: Mapping[str, Texts]) -> None:
        """Submit cases, by key, that are reserved in the ledger."""
        if not cases:
            return
        bodies = {key: self._body(texts) for key, texts in cases.items()}
        held = sum(map(self._ledger.bound, bodies.values()))
        batch = Batch(f"{self._name}-{uuid4().hex}", None, held, cases)
        self._ledger.write(batch=batch)
        lines = (
            {"custom_id": key, "method": "POST", "url": ENDPOINT, "body": body}
            for key, body in bodies.items()
        )
        content = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode()

        async def upload(client: Any) -> str:
            file = (f"{batch.name}.jsonl", content)
            return _id(_object(await client.files.with_raw_response.create(file=file, purpose="batch")))

        async def create(client: Any) -> str:
            made = await client.batches.with_raw_response.create(
                input_file_id=file_id, endpoint=ENDPOINT, completion_window="24h", metadata={NAME: batch.name}
            )
            return _id(_object(made))

        file_id = None
        try:
            file_id = self._chat.call(upload, size=len(content))
            made = self._chat.call(create, max_retries=0)  # a second try could make a second batch
        except ChatError as error:
            if file_id is None or error.status is not None:  # there is no batch, and nothing to pay
                self._ledger.release(batch.held, calls=len(cases))
                self._ledger.write(collected=batch)
            raise
        batch = replace(batch, id=made)
        self._ledger.write(batch=batch)
        self._running.append(batch)
        logger.info("submitted the batch %s of %d verdicts", batch.id, len(cases))

    def results(self, wait: bool = True) -> Iterator[tuple[str, Texts, Reply | ChatError]]:
        """What has come of the cases of every batch that has ended. It is collected when all of them have been taken.

        Args:
            wait: for a while, unless all have ended.
        """
        for batch in list(self._running):
            outcomes = self._outcomes(batch)
            if outcomes is None:
                continue
            for key, outcome in outcomes.items():
                texts, reply = batch.cases[key], outcome if isinstance(outcome, Reply) else None
                free = reply is None and outcome.answered
                self._ledger.bill(self._body(texts), 0.0, reply, free)
                yield key, texts, outcome
            whole = any(isinstance(one, WholeRefusal) for one in outcomes.values())
            self._ledger.release(batch.held, calls=len(batch.cases) if whole else 0)
            self._ledger.write(collected=batch)
            self._running.remove(batch)
        if wait and self._running:
            sleep(self._poll_seconds)

    def _outcomes(self, batch: Batch) -> dict[str, Reply | ChatError] | None:
        """What has come of each case of a batch, by key; None while it runs.

        What was set aside for a case that nobody tells of stays spent where it may have been billed: the endpoint no
        longer knows the batch, it has completed without this reply, or it counts more replies than it gives.
        """
        about = (
            f"Asked {self._chat.model} for {len(batch.cases)} verdicts in the batch {batch.id}. Found that"
        )

        async def look(client: Any) -> dict[str, Any]:
            return _object(await client.batches.with_raw_response.retrieve(batch.id))

        try:
            state = self._chat.call(look)
            status = str(state.get("status")).lower()
            if status in RUNNING:
                return None
            if status not in ENDED:
                raise ChatError(
                    f"{about} its status is '{self._chat.redacted(status)[:40]}'. Look at it at the endpoint."
                )
            replies = dict(self._lines(state, len(batch.cases)))
        except ChatError as error:
            if error.status != 404:
                raise
            problem = ChatError(f"{about} the endpoint does not know it, or its files, any more. Run again.")
            return dict.fromkeys(batch.cases, problem)
        logger.info("the batch %s has %s: %d replies", batch.id, status, len(replies))
        if status == "failed" and not replies and not _completed(state):
            absent = WholeRefusal(
                f"{about} the endpoint refused it as a whole: {self._why(state)}. Correct that, or set "
                "evaluation.openai.batch_api to false.",
                answered=True,
            )
        else:
            answered = sum(isinstance(one, Reply) for one in replies.values())
            counted = _completed(state)
            lost = status == "completed" if counted is None else counted > answered
            lost |= counted is None and not state.get("output_file_id")
            billed = ", which may have been billed" if lost else ""
            absent = _missing(f"the batch has {status} without this reply{billed}", answered=not lost)
        return {key: replies.get(key, absent) for key in batch.cases}

    def _why(self, state: Mapping[str, Any]) -> str:
        """What a refused batch's errors say."""
        errors = state.get("errors")
        rows = errors.get("data") if isinstance(errors, dict) else errors
        told = [
            str(row.get("message") if isinstance(row, dict) else row)
            for row in (rows if isinstance(rows, list) else [])
        ]
        return self._chat.redacted("; ".join(told[:3]))[:500] or "no reason"

    def _lines(self, state: Mapping[str, Any], cases: int) -> Iterator[tuple[str, Reply | ChatError]]:
        """Key and outcome of every case that the files of an ended batch tell of."""
        for file_id in filter(None, (state.get("error_file_id"), state.get("output_file_id"))):

            async def fetch(client: Any, file_id: str = str(file_id)) -> bytes:
                return (await client.files.with_raw_response.content(file_id)).content

            content = self._chat.call(fetch, size=cases * LINE)
            text = self._chat.without_key(content.decode("utf-8-sig", "replace"))
            for raw in filter(str.strip, text.split("\n")):  # other ends of lines may stand in a reply
                try:
                    row = json.loads(raw)
                    key, answer = row["custom_id"], row.get("response") or {}
                    status, body = answer.get("status_code"), answer.get("body")
                    if status == 200:
                        yield str(key), parse_reply(json.dumps(body))
                    else:
                        yield str(key), self._line_error(status, row.get("error") or body)
                except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
                    logger.warning(
                        "a line of the file %s is damaged: %s", file_id, self._chat.redacted(raw[:400])[:200]
                    )

    def _line_error(self, status: Any, body: Any) -> ChatError:
        """The error of one case of a batch, which concerns as much as it does in a call."""
        words, codes = said(json.dumps(body))
        finding = f"status {status} in the batch: {self._chat.redacted(words)}"
        if not isinstance(status, int):
            return _missing(finding)
        return ChatError(finding, concern_of(status, codes), answered=True, finding=finding, status=status)


def _missing(reason: str, answered: bool = True) -> ChatError:
    return ChatError(reason, "moment", answered=answered)


def _completed(state: Mapping[str, Any]) -> int | None:
    """Replies that a batch counts; None where it does not say."""
    counts = state.get("request_counts")
    count = counts.get("completed") if isinstance(counts, dict) else None
    return count if type(count) is int else None


def _object(raw: Any) -> dict[str, Any]:
    """An answer's object. Raises ValueError where it is none."""
    try:
        value = json.loads(raw.content)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise ValueError(repr(raw.content[:200]))
    return value


def _id(value: Mapping[str, Any]) -> str:
    if not isinstance(value.get("id"), str) or not value["id"]:
        raise ValueError(f"no id in {str(dict(value))[:200]}")
    return value["id"]
