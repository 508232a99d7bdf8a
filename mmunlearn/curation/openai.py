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

from mmunlearn.chat import ChatModel, ReplyError
from mmunlearn.curation.attributes import Attributes, sample_attributes
from mmunlearn.curation.curate import name_problem
from mmunlearn.records import Event, Person
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
logger = logging.getLogger(__name__)


def _strict(**properties: Any) -> dict[str, Any]:
    """A schema of an object that has all of these properties and no other."""
    required = list(properties)
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


TEXT = {"type": "string"}
PERSON_SCHEMA = _strict(name=TEXT, appearance=TEXT)
EVENTS_SCHEMA = _strict(events={"type": "array", "items": _strict(theme=TEXT, features=TEXT)})


class CurationError(RuntimeError):
    """The model gave no usable text in as many calls as it may have."""


class Unusable(ValueError):
    """A text breaks a rule of the benchmark; the message says which, as the model is told."""


@dataclass
class Slot:
    """A person or an event to be written: the conversation about it, and the text that it holds now.

    A rejected text is held until another replaces it. `make` turns a reply into the text, given what all other slots
    hold, and raises Unusable.
    """

    about: str
    again: str
    messages: list[dict[str, str]]
    schema: Mapping[str, Any]
    make: Callable[[Mapping[str, Any], Sequence[Any]], Any]
    row: Any = None
    asks: int = 0
    problem: str = ""


class OpenAICurator:
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
        slots = [_person_slot(f"p{i:03d}", one) for i, one in enumerate(sample_attributes(n, self._seed))]
        with self._chat:
            self._settle(slots, list(range(n)), rejected)
        return [slot.row for slot in slots]

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
            slots = [_event_slot(row, rows) for row in rows]
            again = [i for i, row in enumerate(rows) if text_digest(row) in rejected]
            self._settle(slots, again, rejected)
        return [slot.row for slot in slots]

    def _settle(self, slots: list[Slot], unsettled: list[int], rejected: Collection[str]) -> None:
        """Ask until every slot holds a text that nobody rejects: known replies first, in the order they came."""
        queue = [(self._when(slots[index]), index) for index in unsettled]
        heapify(queue)
        while queue:
            _, index = heappop(queue)
            others = [slot.row for slot in slots if slot is not slots[index] and slot.row is not None]
            if not self._ask(slots[index], others, rejected):
                heappush(queue, (self._when(slots[index]), index))
            elif len(queue) % SHOW_EVERY == 0:
                logger.info("%d of %d texts written", len(unsettled) - len(queue), len(unsettled))

    def _when(self, slot: Slot) -> str:
        return self._chat.answered_at(slot.messages, slot.schema) or NEVER

    def _ask(self, slot: Slot, others: Sequence[Any], rejected: Collection[str]) -> bool:
        """Ask once; whether the slot holds a good text now. If not, the conversation goes on with the problem."""
        if slot.asks >= self._max_asks:
            raise CurationError(self._explain(slot.about, slot.problem))
        slot.asks += 1
        try:
            reply = self._chat.ask(slot.messages, slot.schema, "text")
            said = json.dumps(reply, ensure_ascii=False)
            slot.row = slot.make(reply, others)
            slot.problem = REJECTED if text_digest(slot.row) in rejected else ""
        except ReplyError as error:
            said, slot.problem = error.reply, f"The reply {error.problem}."
        except Unusable as error:
            slot.problem = str(error)
        if slot.problem:
            slot.messages = _continued(slot.messages, said, f"{slot.problem} {slot.again}")
        return not slot.problem

    def _first_events(self, n: int) -> list[Event]:
        kept: list[Event] = []
        messages, problem = [_user(EVENTS_PROMPT.format(n))], ""
        for _ in range(self._max_asks):
            try:
                reply = self._chat.ask(messages, EVENTS_SCHEMA, "events")
                said, problem = json.dumps(reply, ensure_ascii=False), _keep(reply["events"], kept, n)
            except ReplyError as error:
                said, problem = error.reply, f"The reply {error.problem}."
            if len(kept) == n:
                return kept
            messages = _continued(
                messages,
                said,
                f"{problem} Please generate {n - len(kept)} more event scenarios.{_taken(kept)}",
            )
        raise CurationError(self._explain(f"{n} events, {len(kept)} of which it wrote,", problem))

    def _explain(self, about: str, problem: str) -> str:
        return (
            f"Asked {self._chat.model} for {about} in {self._max_asks} calls. Found nothing to use; the last problem: "
            f"{problem} Raise curation.openai.max_asks, or take another model or temperature."
        )


def _person_slot(person_id: str, attributes: Attributes) -> Slot:
    job, birthplace = attributes.job, attributes.birthplace
    age, gender = attributes.age, attributes.gender

    def make(reply: Mapping[str, Any], others: Sequence[Person]) -> Person:
        name, appearance = _plain(reply["name"]), _plain(reply["appearance"])
        if not name or not appearance:
            raise Unusable(f"The {'appearance' if name else 'name'} is empty.")
        problem = name_problem(name, [other.name for other in others])
        if problem:
            raise Unusable(f"The name cannot be used: {problem}.")
        return Person(
            person_id=person_id, name=name, age=age, gender=gender, job=job, birthplace=birthplace,
            appearance=appearance,
        )  # fmt: skip

    return Slot(
        about=f"person {person_id} ({job}, {birthplace}, {age}, {gender})",
        again="Please generate another appearance and name.",
        messages=[_user(PERSON_PROMPT.format(job, birthplace, age, gender))],
        schema=PERSON_SCHEMA,
        make=make,
    )


def _event_slot(row: Event, first: Sequence[Event]) -> Slot:
    """The replacement of an event, which names all first events: so it is the same whatever else is replaced."""

    def make(reply: Mapping[str, Any], others: Sequence[Event]) -> Event:
        if len(reply["events"]) != 1:
            raise Unusable(f"There are {len(reply['events'])} events where one is asked for.")
        return _event(row.event_id, reply["events"][0], others)

    asked = f"{EVENTS_PROMPT.format(1)}\n\nIt replaces the event '{row.theme}'.{_taken(first)}"
    return Slot(
        about=f"event {row.event_id} (instead of '{row.theme}')",
        again="Please generate another event scenario.",
        messages=[_user(asked)],
        schema=EVENTS_SCHEMA,
        make=make,
        row=row,
        asks=1,
        problem=REJECTED,
    )


def _keep(replies: Sequence[Mapping[str, Any]], kept: list[Event], n: int) -> str:
    """Add what can be used to `kept`, up to `n`; what is wrong with the others, or that there are too few."""
    problems = [f"There are {len(replies)} events."]
    for reply in replies[: n - len(kept)]:
        try:
            kept.append(_event(f"e{len(kept):02d}", reply, kept))
        except Unusable as error:
            problems.append(str(error))
    return " ".join(problems)


def _event(event_id: str, reply: Mapping[str, Any], others: Sequence[Event]) -> Event:
    theme, description = _plain(reply["theme"]), _plain(reply["features"])
    if not theme or not description:
        raise Unusable(f"The {'features' if theme else 'theme'} of an event are empty.")
    if theme.casefold() in [other.theme.casefold() for other in others]:
        raise Unusable(f"The theme '{theme}' occurs twice.")
    if description.casefold() in [other.description.casefold() for other in others]:
        raise Unusable(f"The features of '{theme}' occur twice.")
    return Event(event_id=event_id, theme=theme, description=description)


def _taken(events: Sequence[Event]) -> str:
    return f" These themes are taken: {'; '.join(event.theme for event in events)}." if events else ""


def _plain(text: str) -> str:
    """Text as one paragraph."""
    return " ".join(text.split())


def _user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def _continued(messages: list[dict[str, str]], said: str, problem: str) -> list[dict[str, str]]:
    return [*messages, {"role": "assistant", "content": said or "(no text)"}, _user(problem)]
