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

ENDPOINT = "/v1/chat/completions"
LARGEST = 20_000
"""Cases of a batch at most: OpenAI takes 50,000 and 200 MB, which is 10 kB for each of these."""
NAME = "mmunlearn"
"""The key of a batch's metadata that holds its name."""
ENDED = ("completed", "failed", "expired", "cancelled")
logger = logging.getLogger(__name__)


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
        with self._chat.client() as client:
            for one in client.batches.list(limit=100):
                if (one.metadata or {}).get(NAME) == batch.name:
                    return replace(batch, id=one.id)
        return None

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
        with self._chat.client() as client:
            file = client.files.create(file=(f"{batch.name}.jsonl", content), purpose="batch")
        with self._chat.client(max_retries=0) as client:  # a second try could make a second batch
            made = client.batches.create(
                input_file_id=file.id, endpoint=ENDPOINT, completion_window="24h", metadata={NAME: batch.name}
            )
        batch = replace(batch, id=made.id)
        self._ledger.write(batch=batch)
        self._running.append(batch)
        logger.info("submitted the batch %s of %d verdicts", batch.id, len(cases))

    def results(self, wait: bool = True) -> Iterator[tuple[str, Texts, Reply | ChatError]]:
        """What has come of the cases of every batch that has ended. It is collected when all of them have been taken.

        Args:
            wait: for a while, unless all have ended.
        """
        if not self._running:
            return  # and need no key
        with self._chat.client() as client:
            for batch in list(self._running):
                outcomes = self._outcomes(client, batch)
                if outcomes is None:
                    continue
                for key, outcome in outcomes.items():
                    texts, reply = batch.cases[key], outcome if isinstance(outcome, Reply) else None
                    refused = reply is None and outcome.answered
                    self._ledger.bill(self._body(texts), 0.0, reply, refused)
                    yield key, texts, outcome
                self._ledger.release(batch.held)
                self._ledger.write(collected=batch)
                self._running.remove(batch)
        if wait and self._running:
            sleep(self._poll_seconds)

    def _outcomes(self, client: Any, batch: Batch) -> dict[str, Reply | ChatError] | None:
        """What has come of each case of a batch, by key; None while it runs.

        What was set aside for a batch that the endpoint no longer knows stays spent, as it may have been billed.
        """
        from openai import NotFoundError

        about = (
            f"Asked {self._chat.model} for {len(batch.cases)} verdicts in the batch {batch.id}. Found that"
        )
        try:
            state = client.batches.retrieve(batch.id)
            if state.status not in ENDED:
                return None
            replies = dict(self._lines(client, state))
        except NotFoundError:
            problem = ChatError(f"{about} the endpoint does not know it, or its files, any more. Run again.")
            return dict.fromkeys(batch.cases, problem)
        logger.info("the batch %s has %s: %d replies", batch.id, state.status, len(replies))
        absent = _missing(f"the batch has {state.status} without this reply")
        if state.status == "failed":
            errors = [str(error.message) for error in (state.errors and state.errors.data) or []]
            why = self._chat.redacted("; ".join(errors[:3])) or "no reason"
            advice = "Correct that, or set evaluation.openai.batch_api to false."
            absent = ChatError(f"{about} the endpoint refused it as a whole: {why}. {advice}", answered=True)
        return {key: replies.get(key, absent) for key in batch.cases}

    def _lines(self, client: Any, state: Any) -> Iterator[tuple[str, Reply | ChatError]]:
        """Key and outcome of every case that the files of an ended batch tell of."""
        for file_id in filter(None, (state.error_file_id, state.output_file_id)):
            text = self._chat.redacted(client.files.content(file_id).text)
            for raw in filter(str.strip, text.split("\n")):  # other ends of lines may stand in a reply
                try:
                    row = json.loads(raw)
                    key, answer = row["custom_id"], row.get("response") or {}
                    status, body = answer.get("status_code"), answer.get("body")
                    if status == 200:
                        yield str(key), parse_reply(json.dumps(body))
                    else:
                        problem = json.dumps(row.get("error") or body)[:300]
                        yield str(key), _missing(f"status {status} in the batch: {problem}")
                except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
                    logger.warning("a line of the file %s is damaged: %.200s", file_id, raw)


def _missing(reason: str) -> ChatError:
    return ChatError(reason, everywhere=False, answered=True)
