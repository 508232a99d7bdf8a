"""People: dicebear *personas* by Draftbit (CC BY 4.0) with our own glasses, marks and two hair styles."""

import json
import random
import re
from functools import lru_cache
from importlib.resources import files

from dicebear import Avatar, Style

from mmunlearn.pocket.art import read_drawing
from mmunlearn.pocket.identities import Identity
from mmunlearn.pocket.shapes import path

AVATAR_SIZE = 64.0
"""Side of the square in which ``draw_avatar`` draws, in its own units."""

SKIN_COLORS = {"pale": "#ffdcc6", "peach": "#f1b48a", "tan": "#cc8d5c", "brown": "#96613c", "dark": "#5f3b2a"}
HAIR_COLORS = {
    "black": "#2d2735",
    "brown": "#7d4b2c",
    "ginger": "#dd6426",
    "blond": "#f3cb4e",
    "white": "#eceff8",
    "pink": "#ee6fa3",
}
_STYLES = {
    "bob": "bobBangs",
    "long": "long",
    "very long": "extraLong",
    "curly": "curly",
    "high top": "curlyHighTop",
    "flat top": "fade",
    "mohawk": "mohawk",
    "pigtails": "pigtails",
    "combover": "shortCombover",
    "side ponytail": "sideShave",
    "topknot": "bunUndercut",
    "bun": "straightBun",
    "receding": "balding",
}
_BEARDS = {"full beard": "beardMustache", "goatee": "goatee", "moustache": "walrus"}
_EYES = ("open", "open", "open", "happy", "happy", "wink", "sleep")
_MOUTHS = ("bigSmile", "bigSmile", "smile", "smile", "smirk", "surprise", "lips", "frown")
_CLOTHES = ("rounded", "rounded", "squared", "checkered")
_CLOTHES_COLORS = (
    *("#e5484d", "#f5b83d", "#3b6fe0", "#7d57c9", "#22a86b", "#f0668c", "#f07f2e"),
    *("#2bb7c4", "#f7f3ea", "#3b3f4d"),
)
_CLOTHES_MARK = "#010203"
_FACE = "M32 13a14 14 0 0 1 14 14v6a14 14 0 1 1-28 0v-6a14 14 0 0 1 14-14"


def draw_avatar(identity: Identity, rng: random.Random) -> str:
    """Draw a person as a fragment of a 64 x 64 unit square whose bottom edge is the bust's.

    The identity fixes face, hair, skin and marks; ``rng`` varies expression, clothes and mirroring.
    """
    person = _portrait(
        identity,
        rng.choice(_EYES),
        rng.choice(_MOUTHS),
        rng.choice(_CLOTHES),
    )
    person = person.replace(_CLOTHES_MARK, rng.choice(_CLOTHES_COLORS)) + _marks(identity)
    if rng.random() < 0.5:
        return f'<g transform="translate({AVATAR_SIZE:.0f},0) scale(-1,1)">{person}</g>'
    return person


@lru_cache(maxsize=1)
def _style() -> Style:
    text = files("dicebear_styles").joinpath("personas.json").read_text(encoding="utf-8")
    return Style(json.loads(text))


@lru_cache(maxsize=8192)
def _portrait(identity: Identity, eyes: str, mouth: str, clothes: str) -> str:
    hair = HAIR_COLORS[identity.hair_color]
    options = {
        "seed": "pocket",
        "hairVariant": [_STYLES.get(identity.hair, "bald")],
        "hairColor": [hair[1:]],
        "skinColor": [SKIN_COLORS[identity.skin][1:]],
        "noseVariant": ["mediumRound"],
        "eyesVariant": [eyes],
        "mouthVariant": [mouth],
        "clothesVariant": [clothes],
        "clothingColor": [_CLOTHES_MARK[1:]],
        "facialHairProbability": 100 if identity.facial_hair else 0,
        "facialHairVariant": [_BEARDS.get(identity.facial_hair or "", "goatee")],
        "facialHairColor": [hair[1:]],
    }
    back, front = _hair(identity.hair, hair)
    return back + _plain(Avatar(_style(), options).to_string()) + front


def _plain(svg: str) -> str:
    """Strip the document shell, and replace slow masks and blend modes by plain translucency."""
    svg = re.sub(r"<metadata.*?</metadata>|<!--.*?-->|^<svg[^>]*>|</svg>$", "", svg.strip())
    svg = re.sub(r"<clipPath.*?</clipPath>| clip-path=\"[^\"]*\"", "", svg)
    svg = re.sub(r"(<mask.*?</mask>)<g mask=.*?</g>", r"\1", svg)
    svg = re.sub(r"<mask id=\"personas-a.*?</mask>", path(_FACE, "#fff", 'fill-opacity=".13"'), svg)
    svg = re.sub(r"<mask.*?</mask>", "", svg)
    svg = re.sub(r'fill="white" opacity="[^"]*" style="[^"]*"', 'fill="#fff" fill-opacity=".14"', svg)
    return re.sub(r'fill="black" opacity="[^"]*" style="[^"]*"', 'fill="#000" fill-opacity=".25"', svg)


def _hair(style: str, color: str) -> tuple[str, str]:
    """Draw the styles that dicebear lacks, as (behind the head, in front of it)."""
    if style in _STYLES:
        return "", ""
    behind = read_drawing("people/puffs behind").fill(hair=color) if style == "puffs" else ""
    return behind, read_drawing(f"people/{style}").fill(hair=color)


def _marks(identity: Identity) -> str:
    """Draw the permanent glasses and mark over the face."""
    names = (identity.mark, "glasses" if identity.glasses else None)
    return "".join(read_drawing(f"people/{name}").fill() for name in names if name)
