"""What makes a cartoon person the same person in every picture."""

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mmunlearn.files import shown
from mmunlearn.text import nearest

ATTRIBUTES: dict[str, tuple] = {
    "hair": (
        "bob",
        "long",
        "very long",
        "curly",
        "high top",
        "flat top",
        "mohawk",
        "pigtails",
        "combover",
        "side ponytail",
        "topknot",
        "bun",
        "receding",
        "spiky",
        "puffs",
    ),
    "hair_color": ("black", "brown", "ginger", "blond", "white", "pink"),
    "skin": ("pale", "peach", "tan", "brown", "dark"),
    "facial_hair": (None, "full beard", "goatee", "moustache"),
    "glasses": (False, True),
    "mark": (None, "earrings", "freckles", "beauty spot", "scar"),
}
"""The values of each attribute of an identity, in drawing and key order."""

_HAIR_PHRASES = {
    "bob": "{color} hair in a side-swept bob",
    "long": "long {color} hair",
    "very long": "very long straight {color} hair",
    "curly": "big curly {color} hair",
    "high top": "a curly {color} high top",
    "flat top": "a square {color} flat top",
    "mohawk": "a short {color} mohawk",
    "pigtails": "{color} pigtails",
    "combover": "short combed-over {color} hair",
    "side ponytail": "{color} hair in a side ponytail",
    "topknot": "shaved sides and a {color} topknot",
    "bun": "a {color} bun and a headband",
    "receding": "receding {color} hair",
    "spiky": "spiky {color} hair",
    "puffs": "two round puffs of {color} hair",
}
_MARK_PHRASES = {
    "earrings": "gold earrings",
    "freckles": "freckles",
    "beauty spot": "a beauty spot",
    "scar": "a scar on one cheek",
}
_BEARD_PHRASES = {"full beard": "a full beard", "goatee": "a goatee", "moustache": "a thick moustache"}
_TEMPLATES = (
    "This person has {parts}.",
    "You can recognise this person by {parts}.",
    "The portrait shows someone with {parts}.",
    "This is a person with {parts}.",
)


@dataclass(frozen=True)
class Identity:
    """The permanent looks of a person: face, hair, skin and marks, but no expression or clothes."""

    hair: str
    hair_color: str
    skin: str
    facial_hair: str | None = None
    glasses: bool = False
    mark: str | None = None

    @property
    def key(self) -> tuple:
        """The attribute values in the order of ``ATTRIBUTES``."""
        return tuple(getattr(self, name) for name in ATTRIBUTES)


def sample_identity(rng: random.Random) -> Identity:
    """Draw an identity: hair, colour and skin evenly, the other attributes often absent."""
    values = {name: rng.choice(ATTRIBUTES[name]) for name in ("hair", "hair_color", "skin")}
    facial_hair = rng.choice(ATTRIBUTES["facial_hair"][1:]) if rng.random() < 0.3 else None
    glasses = rng.random() < 0.35
    return Identity(**values, facial_hair=facial_hair, glasses=glasses, mark=rng.choice(ATTRIBUTES["mark"]))


def distance(first: Identity, second: Identity) -> int:
    """Count the attributes in which two identities differ, 0 to 6."""
    return sum(a != b for a, b in zip(first.key, second.key, strict=True))


def phrases(identity: Identity) -> list[str]:
    """List the noun phrases of everything that is drawn, hair first."""
    parts = [
        _HAIR_PHRASES[identity.hair].format(color=identity.hair_color),
        f"{identity.skin} skin",
        _BEARD_PHRASES.get(identity.facial_hair or ""),
        "glasses" if identity.glasses else None,
        _MARK_PHRASES.get(identity.mark or ""),
    ]
    return [part for part in parts if part]


def describe(identity: Identity, rng: random.Random | None = None) -> str:
    """Say in one sentence what the identity looks like, naming exactly what is drawn.

    Args:
        identity: the looks to describe.
        rng: chooses among sentence templates; without it the first is used.
    """
    parts = phrases(identity)
    template = rng.choice(_TEMPLATES) if rng else _TEMPLATES[0]
    return template.format(parts=", ".join(parts[:-1]) + " and " + parts[-1])


def problems(values: Any) -> list[str]:
    """What keeps a dictionary from being an identity, a clause each with the values that may be."""
    return choice_problems(values, ATTRIBUTES, ("hair", "hair_color", "skin"))


def choice_problems(values: Any, allowed: Mapping[str, Sequence], required: Sequence[str]) -> list[str]:
    """What is wrong with a dictionary whose every key has one of some values."""
    if not isinstance(values, Mapping):
        return [f"an object with {', '.join(required)} is needed, found {shown(values)}"]
    found = [
        f"unknown key {shown(key)}, {nearest(str(key), allowed)}" for key in values if key not in allowed
    ]
    found += [f"{key} is needed: one of {_choices(allowed[key])}" for key in required if key not in values]
    return found + [
        f"{key} must be one of {_choices(allowed[key])}, not {shown(values[key])}"
        for key in allowed
        if key in values
        and not any(type(values[key]) is type(one) and values[key] == one for one in allowed[key])
    ]


def _choices(values: Sequence) -> str:
    return ", ".join(json.dumps(value) for value in values)


def from_json(values: dict[str, Any]) -> Identity:
    """Read an identity from its dictionary. Raises ValueError: names every key that is unknown, missing or wrong."""
    if found := problems(values):
        raise ValueError("; ".join(found))
    return Identity(**values)
