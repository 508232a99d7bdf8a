"""What the fields of people and events may hold: docs/people_and_events.md lists it, and a test compares the two."""

from __future__ import annotations

import re
import unicodedata

from mmunlearn.files import shown
from mmunlearn.records import Event, Person
from mmunlearn.text import model_token

ID = re.compile(r"[A-Za-z0-9]{1,32}")
RESERVED = re.compile(r"ref[0-9]+", re.IGNORECASE)  # `ref0-e05` is a reference picture of an event
AGES = (1, 120)
LONGEST = {
    "person": {"name": 80, "gender": 40, "job": 100, "birthplace": 100, "appearance": 1000},
    "event": {"theme": 100, "description": 2000},
}
"""Characters of each text: one line each, not empty, without white space around it and without control characters."""
_HIDDEN = frozenset(
    "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff"
)  # turn the order of what follows


class Drawings:
    """What a picture generator can draw of people and events; one that draws from their texts takes all."""

    def problem(self, row: Person | Event) -> str | None:
        """Why a person's `identity` or an event's `scene` cannot be drawn, with what can; None where it can."""
        return None


def problems(row: Person | Event) -> list[str]:
    """What is wrong with the fields of a person or an event by itself, a clause each: what is found and what may be."""
    kind = "person" if isinstance(row, Person) else "event"
    found = [id_problem(f"{kind}_id", getattr(row, f"{kind}_id"))]
    found += [text_problem(field, getattr(row, field), limit) for field, limit in LONGEST[kind].items()]
    if isinstance(row, Person) and not (row.age and AGES[0] <= row.age <= AGES[1]):
        found.append(f"age must be a whole number from {AGES[0]} to {AGES[1]}, found {shown(row.age)}")
    return [problem for problem in found if problem]


def id_problem(field: str, value: str) -> str | None:
    """Ids are parts of file names and joined by hyphens."""
    if not ID.fullmatch(value):
        return f"{field} {shown(value)} must be letters and digits only, 1 to 32 of A to Z, a to z and 0 to 9"
    return (
        f"{field} '{value}' is taken by references of events: take another"
        if RESERVED.fullmatch(value)
        else None
    )


def text_problem(field: str, text: str, limit: int) -> str | None:
    """What is wrong with a text of at most `limit` characters."""
    if not any(unicodedata.category(one)[0] in "LN" for one in text):
        return f"{field} must hold letters, found {shown(text)}"
    if len(text) > limit:
        return f"{field} must have {limit} characters or fewer, found {len(text):,}: {shown(text)}"
    if (token := model_token(text)) is not None:
        return f"{field} must not hold {shown(token)}, which models may read as a token of their own: leave out < and >"
    odd = next((one for one in text if _odd(one)), None)
    if odd is not None:
        return f"{field} must be one line without control characters, found U+{ord(odd):04X} in {shown(text)}"
    return (
        f"{field} must have no white space around it, found {shown(text)}" if text != text.strip() else None
    )


def _odd(letter: str) -> bool:
    return letter in _HIDDEN or unicodedata.category(letter) in ("Cc", "Co", "Cs", "Zl", "Zp")
