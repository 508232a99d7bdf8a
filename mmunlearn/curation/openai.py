"""Curation backend `openai`: a language model writes people and events (PEBench, section III-A).

The prompts are the paper's, to the letter. What cannot be used is asked for again in the same conversation, with
what was wrong. Texts are settled in the order in which their replies came, so that a rerun from the cache sees the
same names at the same moments: rejecting one text changes that text and no other.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from pathlib import Path
from typing import Any

from mmunlearn import ids
from mmunlearn.chat import ChatError, ChatModel, ReplyError
from mmunlearn.curation.attributes import Attributes, sample_attributes
from mmunlearn.curation.curate import Curator, name_problem
from mmunlearn.curation.fields import LONGEST, text_problem
from mmunlearn.records import Event, Person
from mmunlearn.text import fold
from mmunlearn.verdicts import text_digest

PERSON_PROMPT = """\
I want to create a fictional character with the following attributes:
Job: {}
Birthplace: {}
Age: {}
Gender: {}
generate a character’s appearance and name:"""
EVENTS_PROMPT = """\
Please generate {} event scenarios, each with a distinct theme and a detailed description of its features. \
The description of each event should include the following:
Theme: The core content or purpose of the event.
Features: Specific details of the event, such as participants, environment, atmosphere, location, etc., \
ensuring the description is vivid, concrete, and visually rich."""
REJECTED = "A reviewer rejected this text."
NEVER = "~"  # sorts after every time
SHOW_EVERY = 20
SENT_BACK = 100_000
"""Letters of an unusable reply that are sent back at most."""
logger = logging.getLogger(__name__)


def _strict(**properties: Any) -> dict[str, Any]:
    """A schema of an object that has all of these properties and no other."""
    closed = {"required": list(properties), "additionalProperties": False}
    return {"type": "object", "properties": properties, **closed}


TEXT = {"type": "string"}
PERSON_SCHEMA = _strict(name=TEXT, appearance=TEXT)
EVENTS_SCHEMA = _strict(events={"type": "array", "items": _strict(theme=TEXT, features=TEXT)})


class CurationError(RuntimeError):
    """The model gave no usable text in as many calls as it may have."""


class Unusable(ValueError):
    """A text breaks a rule of the benchmark; the message says which, as the model is told."""


@dataclass
class Draft:
    """A person or an event to be written: the conversation about it, and the text that it has now.

    A rejected text stays until another replaces it. `parse` turns a reply into the text, given those of all other
    drafts, and raises Unusable.
    """

    about: str
    again: str
    messages: list[dict[str, str]]
    schema: Mapping[str, Any]
    parse: Callable[[Mapping[str, Any], Sequence[Any]], Any]
    row: Any = None
    calls: int = 0
    problem: str = ""


class OpenAICurator(Curator):
    """Asks an OpenAI-compatible endpoint; the replies lie in `<work>/replies/`.

    Args:
        options: base_url, model, key_env, temperature and timeout as `ChatModel` takes them; max_asks, the calls
            that one text may have, rejected and unusable replies included.
        seed: of the attributes, and of the model where the endpoint heeds it.
    """

    def __init__(self, options: Mapping[str, Any], *, seed: int, work: Path) -> None:
        self._seed, self._max_asks = seed, options["max_asks"]
        self._chat = ChatModel(
            options["base_url"],
            options["model"],
            options["key_env"],
            options["temperature"],
            seed,
            options["timeout"],
            Path(work) / "replies",
        )

    def people(self, n: int, rejected: Collection[str]) -> list[Person]:
        """`n` people, p000 onwards, with attributes of `sample_attributes(n, seed)`; one call each at least.

        Args:
            rejected: digests of people that reviewers refuse: these are written anew, with the same attributes.
        Raises:
            CurationError: a person has no usable text after max_asks calls.
            ChatError: the endpoint cannot be asked.
        """
        drafts = [_person(ids.person_id(i), one) for i, one in enumerate(sample_attributes(n, self._seed))]
        with self._chat:
            self._settle(drafts, list(range(n)), rejected)
        return [draft.row for draft in drafts]

    def events(self, n: int, rejected: Collection[str]) -> list[Event]:
        """`n` events, e00 onwards, from one call for all and further ones for those that could not be used.

        Args:
            rejected: digests of events that reviewers refuse: each is replaced by a call of its own.
        Raises:
            CurationError: too few usable events after max_asks calls, or no replacement of one.
            ChatError: the endpoint cannot be asked.
        """
        with self._chat:
            rows = self._first_events(n)
            drafts = [_replacement(row, rows) for row in rows]
            again = [i for i, row in enumerate(rows) if text_digest(row) in rejected]
            self._settle(drafts, again, rejected)
        return [draft.row for draft in drafts]

    def _settle(self, drafts: list[Draft], unsettled: list[int], rejected: Collection[str]) -> None:
        """Ask until every draft has a text that nobody rejects: known replies first, in the order they came."""
        queue = [(self._when(drafts[index]), index) for index in unsettled]
        heapify(queue)
        while queue:
            _, index = heappop(queue)
            others = [one.row for one in drafts if one is not drafts[index] and one.row is not None]
            if not self._ask(drafts[index], others, rejected):
                heappush(queue, (self._when(drafts[index]), index))
            elif len(queue) % SHOW_EVERY == 0:
                logger.info("%d of %d texts written", len(unsettled) - len(queue), len(unsettled))

    def _when(self, draft: Draft) -> str:
        return self._chat.answered_at(draft.messages, draft.schema) or NEVER

    def _ask(self, draft: Draft, others: Sequence[Any], rejected: Collection[str]) -> bool:
        """Ask once; whether the draft has a good text now. If not, the conversation goes on with the problem."""
        if draft.calls >= self._max_asks:
            raise CurationError(self._explain(draft.about, draft.problem))
        draft.calls += 1
        reply, text, draft.problem = self._reply(draft.messages, draft.schema, "text")
        if reply is not None:
            try:
                draft.row = draft.parse(reply, others)
                draft.problem = REJECTED if text_digest(draft.row) in rejected else ""
            except Unusable as error:
                draft.problem = str(error)
        if draft.problem:
            draft.messages = _continued(draft.messages, text, f"{draft.problem} {draft.again}")
        return not draft.problem

    def _first_events(self, n: int) -> list[Event]:
        events: list[Event] = []
        messages, problem = [_user(EVENTS_PROMPT.format(n))], ""
        for _ in range(self._max_asks):
            reply, text, problem = self._reply(messages, EVENTS_SCHEMA, "events")
            if reply is not None:
                problem = _add(reply["events"], events, n)
            if len(events) == n:
                return events
            more = f"Please generate {n - len(events)} more event scenarios.{_taken(events)}"
            messages = _continued(messages, text, f"{problem} {more}")
        raise CurationError(self._explain(f"{n} events, {len(events)} of which it wrote,", problem))

    def _reply(
        self, messages: list[dict[str, str]], schema: Mapping[str, Any], name: str
    ) -> tuple[dict[str, Any] | None, str, str]:
        """The reply as an object, None where it is none; its text, and what is wrong with it."""
        try:
            reply = self._chat.ask(messages, schema, name)
        except ReplyError as error:
            return None, error.reply, f"The reply {error.problem}."
        except ChatError as error:
            self._chat.keep_refusal(error, messages, schema, name)
            return self._reply(messages, schema, name)  # which is a refusal now
        return reply, json.dumps(reply, ensure_ascii=False), ""

    def _explain(self, about: str, problem: str) -> str:
        return (
            f"Asked {self._chat.model} for {about} in {self._max_asks} calls. Found nothing to use; the last problem: "
            f"{problem} Raise curation.openai.max_asks, or take another model or temperature."
        )


def _person(person_id: str, attributes: Attributes) -> Draft:
    drawn = attributes.model_dump(include={"job", "birthplace", "age", "gender"})
    job, birthplace, age, gender = (drawn[name] for name in ("job", "birthplace", "age", "gender"))

    def parse(reply: Mapping[str, Any], others: Sequence[Person]) -> Person:
        name, appearance = _plain(reply["name"]), _plain(reply["appearance"])
        if not name or not appearance:
            raise Unusable(f"The {'appearance' if name else 'name'} is empty.")
        _check_texts("person", name=name, appearance=appearance)
        problem = name_problem(name, [other.name for other in others])
        if problem:
            raise Unusable(f"The name cannot be used: {problem}.")
        return Person(person_id=person_id, name=name, appearance=appearance, **drawn)

    return Draft(
        about=f"person {person_id} ({job}, {birthplace}, {age}, {gender})",
        again="Please generate another appearance and name.",
        messages=[_user(PERSON_PROMPT.format(job, birthplace, age, gender))],
        schema=PERSON_SCHEMA,
        parse=parse,
    )


def _replacement(row: Event, first: Sequence[Event]) -> Draft:
    """The replacement of an event, which names all first events: so it is the same whatever else is replaced."""

    def parse(reply: Mapping[str, Any], others: Sequence[Event]) -> Event:
        if len(reply["events"]) != 1:
            raise Unusable(f"There are {len(reply['events'])} events where one is asked for.")
        return _event(row.event_id, reply["events"][0], others)

    prompt = f"{EVENTS_PROMPT.format(1)}\n\nIt replaces the event '{row.theme}'.{_taken(first)}"
    return Draft(
        about=f"event {row.event_id} (instead of '{row.theme}')",
        again="Please generate another event scenario.",
        messages=[_user(prompt)],
        schema=EVENTS_SCHEMA,
        parse=parse,
        row=row,
        calls=1,
        problem=REJECTED,
    )


def _add(replies: Sequence[Mapping[str, Any]], events: list[Event], n: int) -> str:
    """Add what can be used, up to `n` events; what is wrong with the others, or that there are too few."""
    problems = [f"There are {len(replies)} events."]
    for reply in replies[: n - len(events)]:
        try:
            events.append(_event(ids.event_id(len(events)), reply, events))
        except Unusable as error:
            problems.append(str(error))
    return " ".join(problems)


def _event(event_id: str, reply: Mapping[str, Any], others: Sequence[Event]) -> Event:
    theme, description = _plain(reply["theme"]), _plain(reply["features"])
    if not theme or not description:
        raise Unusable(f"The {'features' if theme else 'theme'} of an event are empty.")
    _check_texts("event", theme=theme, description=description)
    if fold(theme) in [fold(other.theme) for other in others]:
        raise Unusable(f"The theme '{theme}' occurs twice.")
    if fold(description) in [fold(other.description) for other in others]:
        raise Unusable(f"The features of '{theme}' occur twice.")
    return Event(event_id=event_id, theme=theme, description=description)


def _check_texts(kind: str, **texts: str) -> None:
    """Raises Unusable where a field holds what `fields` does not allow."""
    for field, text in texts.items():
        if problem := text_problem(field, text, LONGEST[kind][field]):
            raise Unusable(f"The text cannot be used: {problem}.")


def _taken(events: Sequence[Event]) -> str:
    return f" These themes are taken: {'; '.join(event.theme for event in events)}." if events else ""


def _plain(text: str) -> str:
    """Text as one paragraph."""
    return " ".join(text.split())


def _user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def _continued(messages: list[dict[str, str]], reply: str, problem: str) -> list[dict[str, str]]:
    return [*messages, {"role": "assistant", "content": reply[:SENT_BACK] or "(no text)"}, _user(problem)]
