"""World knowledge: common things of four classes, each drawn large over a varied background."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from mmunlearn.pocket import entity_art_living as living
from mmunlearn.pocket import entity_art_made as made
from mmunlearn.pocket.backdrops import SKIES, draw_ground, draw_sky
from mmunlearn.pocket.resources import read_rows
from mmunlearn.pocket.shapes import CANVAS, bands, circle, ellipse, place, tinted

_CALM_SKIES = ("day", "dawn", "golden", "sunset", "cloudy")


@dataclass(frozen=True)
class Entity:
    """One kind of thing.

    Attributes:
        name: its common English name.
        entity_class: "animal", "plant", "building" or "vehicle".
        draw: makes the SVG fragment from a random generator, standing on (0, 0).
        settings: where it may be seen: grounds, or "air", "water" and "space".
    """

    name: str
    entity_class: str
    draw: Callable[[random.Random], str]
    settings: tuple[str, ...]


_LAND = ("meadow", "field")
_TOWN = ("plaza", "street")

_ROWS: dict[str, tuple[tuple[Callable[[random.Random], str], tuple[str, ...]], ...]] = {
    "animal": (
        (living.fox, ("meadow", "snow", "field")),
        (living.owl, ("air", "deck")),
        (living.penguin, ("snow",)),
        (living.elephant, ("desert", "meadow")),
        (living.frog, ("water", "meadow")),
        (living.whale, ("water",)),
        (living.snail, ("meadow", "deck")),
        (living.turtle, ("beach", "meadow")),
        (living.bee, ("air", "meadow")),
        (living.flamingo, ("water", "beach")),
    ),
    "plant": (
        (living.sunflower, _LAND),
        (living.tulip, _LAND),
        (living.palm_tree, ("beach", "desert")),
        (living.saguaro, ("desert",)),
        (living.pumpkin, ("field", "deck")),
        (living.corn, ("field", "deck")),
        (living.strawberry, ("meadow", "deck")),
        (living.water_lily, ("water",)),
        (living.carrot, ("deck", "field")),
        (living.apple_tree, _LAND),
    ),
    "building": (
        (made.lighthouse, ("beach",)),
        (made.windmill, _LAND),
        (made.castle, ("meadow", "snow")),
        (made.pyramid, ("desert",)),
        (made.igloo, ("snow",)),
        (made.pagoda, ("meadow", "plaza")),
        (made.barn, _LAND),
        (made.skyscraper, _TOWN),
        (made.temple, ("plaza", "desert")),
        (made.observatory, ("meadow", "snow")),
    ),
    "vehicle": (
        (made.tractor, _LAND),
        (made.helicopter, ("air",)),
        (made.rocket, ("air", "space")),
        (made.bus, ("street",)),
        (made.steam_train, ("meadow", "desert")),
        (made.airplane, ("air",)),
        (made.submarine, ("water",)),
        (made.ambulance, ("street",)),
        (made.sailboat, ("water",)),
        (made.hot_air_balloon, ("air",)),
    ),
}

ENTITIES: dict[str, Entity] = {
    draw.__name__.replace("_", " "): Entity(draw.__name__.replace("_", " "), entity_class, draw, settings)
    for entity_class, rows in _ROWS.items()
    for draw, settings in rows
}
"""Every entity by name."""


def entity_questions() -> dict[str, list[tuple[str, str]]]:
    """Read the question and answer pairs of every entity, by its name."""
    return {
        row["name"]: [(pair["question"], pair["answer"]) for pair in row["questions"]]
        for row in read_rows("entities.jsonl")
    }


def draw_entity(name: str, rng: random.Random) -> str:
    """Draw an entity large over one of its settings, as an SVG fragment of the whole canvas.

    Raises:
        KeyError: there is no such entity.
    """
    entity = ENTITIES[name]
    setting = rng.choice(entity.settings)
    scale, x, base = rng.uniform(0.9, 1.03), rng.uniform(58, 70), rng.uniform(108, 114)
    if setting in ("air", "space"):
        background, base = _open_sky(setting, rng), base - 5
    elif setting == "water":
        background = _open_water(rng)
    else:
        sky, horizon = rng.choice(_CALM_SKIES), rng.uniform(66, 78) - (18 if setting == "lake" else 0)
        ground = tinted(draw_ground(setting, horizon, sky, rng), SKIES[sky].tint, SKIES[sky].veil)
        background = (
            draw_sky(sky, horizon, rng)
            + ground
            + ellipse(x, base, 42 * scale, 5, "#1b2440", 'fill-opacity=".25"')
        )
    return background + place(entity.draw(rng), x, base, scale, flip=rng.random() < 0.5)


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
