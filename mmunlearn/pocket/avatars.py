"""People: dicebear *personas* by Draftbit (CC BY 4.0) with our own glasses, marks and two hair styles."""

import json
import random
import re
from functools import lru_cache
from importlib.resources import files

from dicebear import Avatar, Style

from mmunlearn.pocket.identities import Identity
from mmunlearn.pocket.shapes import BRIGHT, circle, line, mix, path, rect

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
_CLOTHES_COLORS = (*BRIGHT, "#2bb7c4", "#f7f3ea", "#3b3f4d")
_CLOTHES_MARK = "#010203"
_FACE = "M32 13a14 14 0 0 1 14 14v6a14 14 0 1 1-28 0v-6a14 14 0 0 1 14-14"
_FRAMES = "#2a1a4a"


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
    back, front = _own_hair(identity.hair, hair)
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


def _own_hair(style: str, color: str) -> tuple[str, str]:
    """Draw the styles that dicebear lacks, as (behind the head, in front of it)."""
    light = mix(color, "#ffffff", 0.15)
    if style == "spiky":
        spikes = "M17 28L14 18L20 19L19 9L26 14L29 4L34 12L41 5L42 14L49 11L46 20L51 20L47 28Q45 20 32 20Q19 20 17 28Z"
        return "", path(spikes, light)
    if style == "puffs":
        behind = circle(16.5, 14, 9.5, color) + circle(47.5, 14, 9.5, color)
        cap = path("M17.5 27a14.5 15 0 0 1 29 0Q43 20 32 19Q21 20 17.5 27Z", light)
        return behind, cap + line("M32 12.5V19", color, 0.8)
    return "", ""


def _marks(identity: Identity) -> str:
    """Draw the permanent glasses and mark over the face."""
    svg = ""
    if identity.mark == "earrings":
        for x in (17.0, 47.0):
            svg += circle(x, 39.2, 2.2, "none", 'stroke="#ffc928" stroke-width="1.5"')
    if identity.mark == "freckles":
        spots = ((22, 35), (24.6, 33.8), (25, 36.6), (42, 35), (39.4, 33.8), (39, 36.6))
        svg += "".join(circle(x, y, 0.85, "#8a3d1e", 'fill-opacity=".8"') for x, y in spots)
    if identity.mark == "beauty spot":
        svg += circle(40.2, 39.4, 1.25, "#2a1420")
    if identity.mark == "scar":
        svg += line("M41.5 31.5L38.5 39M38.6 33.6L42 35M37.8 36.2L41 37.6", "#b3243c", 1.1)
    if identity.glasses:
        for x in (20.6, 33.4):
            svg += rect(x, 24.2, 10, 8.6, "#ffffff", 'rx="2.6" fill-opacity=".25"')
            svg += rect(x, 24.2, 10, 8.6, "none", f'rx="2.6" stroke="{_FRAMES}" stroke-width="1.9"')
        svg += line("M30.6 27H33.4M18 26.5H20.6M43.4 26.5H46", _FRAMES, 1.8)
    return svg
