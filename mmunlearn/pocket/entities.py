"""World knowledge: common things of four classes, each drawn large over a varied background."""

import math
import random
from collections.abc import Callable
from itertools import product

from mmunlearn.pocket.art import draw, read_drawing
from mmunlearn.pocket.backdrops import SKIES, draw_ground, draw_sky
from mmunlearn.pocket.resources import read_rows
from mmunlearn.pocket.shapes import CANVAS, bands, circle, ellipse, mix, place, rect, tinted

_CALM_SKIES = ("day", "dawn", "golden", "sunset", "cloudy")


_LAND = ("meadow", "field")
_TOWN = ("plaza", "street")

ENTITIES: dict[str, tuple[str, ...]] = {
    "fox": ("meadow", "snow", "field"),
    "owl": ("air", "deck"),
    "penguin": ("snow",),
    "elephant": ("desert", "meadow"),
    "frog": ("water", "meadow"),
    "whale": ("water",),
    "snail": ("meadow", "deck"),
    "turtle": ("beach", "meadow"),
    "bee": ("air", "meadow"),
    "flamingo": ("water", "beach"),
    "sunflower": _LAND,
    "tulip": _LAND,
    "palm tree": ("beach", "desert"),
    "saguaro": ("desert",),
    "pumpkin": ("field", "deck"),
    "corn": ("field", "deck"),
    "strawberry": ("meadow", "deck"),
    "water lily": ("water",),
    "carrot": ("deck", "field"),
    "apple tree": _LAND,
    "lighthouse": ("beach",),
    "windmill": _LAND,
    "castle": ("meadow", "snow"),
    "pyramid": ("desert",),
    "igloo": ("snow",),
    "pagoda": ("meadow", "plaza"),
    "barn": _LAND,
    "skyscraper": _TOWN,
    "temple": ("plaza", "desert"),
    "observatory": ("meadow", "snow"),
    "tractor": _LAND,
    "helicopter": ("air",),
    "rocket": ("air", "space"),
    "bus": ("street",),
    "steam train": ("meadow", "desert"),
    "airplane": ("air",),
    "submarine": ("water",),
    "ambulance": ("street",),
    "sailboat": ("water",),
    "hot air balloon": ("air",),
}
"""Where each entity may be seen: grounds, or "air", "water" and "space"."""


def entity_questions() -> dict[str, list[tuple[str, str]]]:
    """Read the question and answer pairs of every entity, by its name."""
    return {
        row["name"]: [(pair["question"], pair["answer"]) for pair in row["questions"]]
        for row in read_rows("entities.jsonl")
    }


def draw_entity(name: str, rng: random.Random) -> str:
    """Draw an entity, about 80 units tall, over one of its settings, as an SVG fragment of the whole canvas.

    Raises:
        KeyError: there is no such entity.
    """
    setting = rng.choice(ENTITIES[name])
    scale, x, base = rng.uniform(0.9, 1.03), rng.uniform(58, 70), rng.uniform(108, 114)
    if setting in ("air", "space"):
        background, base = _open_sky(setting, rng), base - 5
    elif setting == "water":
        background = _open_water(rng)
    else:
        sky, horizon = rng.choice(_CALM_SKIES), rng.uniform(66, 78)
        ground = tinted(draw_ground(setting, horizon, sky, rng), SKIES[sky].tint, SKIES[sky].veil)
        background = (
            draw_sky(sky, horizon, rng)
            + ground
            + ellipse(x, base, 42 * scale, 5, "#1b2440", 'fill-opacity=".25"')
        )
    drawn = _COMPUTED[name](rng) if name in _COMPUTED else draw(f"entities/{name}", rng)
    return background + place(drawn, x, base, scale, flip=rng.random() < 0.5)


def _open_sky(setting: str, rng: random.Random) -> str:
    if setting == "air":
        return draw_sky(rng.choice(_CALM_SKIES[:3]), CANVAS, rng)
    stars = ((rng.uniform(2, 126), rng.uniform(2, 126), rng.uniform(0.4, 1.1)) for _ in range(36))
    planet = circle(
        rng.choice((20, 108)), rng.uniform(18, 36), 11, rng.choice(("#d98a5c", "#7aa7e0", "#b58ad9"))
    )
    return (
        bands(0, CANVAS, "#0b1038", "#33256b")
        + "".join(circle(x, y, r, "#fffbe0") for x, y, r in stars)
        + planet
    )


def _open_water(rng: random.Random) -> str:
    horizon = rng.uniform(44, 60)
    svg = draw_sky(rng.choice(_CALM_SKIES[:4]), horizon, rng) + bands(horizon, CANVAS, "#6cc9ee", "#2678bd")
    waves = ((rng.uniform(2, 126), rng.uniform(horizon + 4, 124), rng.uniform(5, 10)) for _ in range(14))
    return svg + "".join(ellipse(x, y, half, 0.9, "#c9eefc") for x, y, half in waves)


def _windmill(rng: random.Random) -> str:
    drawing, turn = read_drawing("entities/windmill"), rng.uniform(10, 75)
    sails = {f"sail{i}": f"{turn + 90 * i:.0f}" for i in range(4)}
    return drawing.fill(**sails, **drawing.choose(rng))


def _apple_tree(rng: random.Random) -> str:
    drawing = read_drawing("entities/apple tree")
    colors, turn, apples = drawing.choose(rng), rng.uniform(-0.3, 0.3), ""
    for x, y in ((-28, -46), (-12, -58), (4, -44), (20, -60), (30, -44), (-4, -76), (-16, -38)):
        sway = 3 * math.sin(turn * x)
        apples += circle(x + sway, y, 5.4, "#e3342f") + circle(x - 1.6 + sway, y - 1.8, 1.5, "#ff9a8a")
    return drawing.fill(apples=apples, **colors)


def _skyscraper(rng: random.Random) -> str:
    drawing = read_drawing("entities/skyscraper")
    colors, windows = drawing.choose(rng), ""
    for row, column in product(range(9), range(4)):
        color = "#ffe99a" if rng.random() < 0.45 else mix(colors["glass"], "#ffffff", 0.55)
        windows += rect(-15 + 8.2 * column, -86 + 9 * row, 5.6, 6, color)
    return drawing.fill(windows=windows, **colors)


def _hot_air_balloon(rng: random.Random) -> str:
    first, second = rng.sample(("#e5484d", "#f5b83d", "#3b6fe0", "#7d57c9", "#22a86b"), 2)
    return read_drawing("entities/hot air balloon").fill(first=first, second=second)


_COMPUTED: dict[str, Callable[[random.Random], str]] = {
    "windmill": _windmill,
    "apple tree": _apple_tree,
    "skyscraper": _skyscraper,
    "hot air balloon": _hot_air_balloon,
}
