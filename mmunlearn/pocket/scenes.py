"""Event scenes: a sky, a ground and a few objects that stay clear of the person."""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mmunlearn.files import shown
from mmunlearn.pocket.backdrops import GROUNDS, SKIES, draw_ground, draw_sky, draw_weather
from mmunlearn.pocket.identities import choice_problems
from mmunlearn.pocket.objects import OBJECTS, SceneObject
from mmunlearn.pocket.shapes import CANVAS, ellipse, place, tinted

Box = tuple[float, float, float, float]
"""(x0, y0, x1, y1) in parts of the frame, 0 to 1; x grows to the right and y downwards."""

_TRIES = 60


@dataclass(frozen=True)
class Scene:
    """What every picture of an event has in common; ``objects`` are names of ``OBJECTS``."""

    sky: str
    ground: str
    objects: tuple[str, ...]

    @property
    def key(self) -> tuple[str, str, tuple[str, ...]]:
        """The scene without the order of its objects."""
        return (self.sky, self.ground, tuple(sorted(self.objects)))


@dataclass(frozen=True)
class Placement:
    """One drawn object and the box around it."""

    name: str
    box: Box


MOST_OBJECTS = 6
CHOICES = {"sky": tuple(SKIES), "ground": tuple(GROUNDS), "objects": tuple(OBJECTS)}
"""The values of each key of a scene; of objects, there are several."""


def problems(values: Any) -> list[str]:
    """What keeps a dictionary from being a scene, a clause each with the values that may be."""
    if not isinstance(values, Mapping):
        return choice_problems(values, {}, ("sky", "ground", "objects"))
    rest = {key: value for key, value in values.items() if key != "objects"}
    found = choice_problems(rest, CHOICES, ("sky", "ground"))
    objects = values.get("objects")
    if not isinstance(objects, list | tuple) or len(objects) > MOST_OBJECTS:
        return [*found, f"objects must be a list of 0 to {MOST_OBJECTS}, found {shown(objects)}"]
    each = [choice_problems({"objects": one}, CHOICES, ()) for one in objects]
    return found + [problem for of_one in each for problem in of_one]


def from_json(values: dict[str, Any]) -> Scene:
    """Read a scene from its dictionary. Raises ValueError: names every key that is unknown, missing or wrong."""
    if found := problems(values):
        raise ValueError("; ".join(found))
    return Scene(values["sky"], values["ground"], tuple(values["objects"]))


def sample_scene(rng: random.Random) -> Scene:
    """Draw a random scene of one to three objects that suit its ground."""
    sky, ground = rng.choice(list(SKIES)), rng.choice(list(GROUNDS))
    land = [name for name, item in OBJECTS.items() if item.where == "ground"]
    if GROUNDS[ground].water:
        land.append("boat")
    air = [name for name, item in OBJECTS.items() if item.where == "sky"]
    objects = rng.sample(land, rng.choice((1, 2, 2)))
    if rng.random() < 0.4 or len(objects) < 2:
        objects.append(rng.choice(air))
    return Scene(sky, ground, tuple(objects))


def draw_scene(
    scene: Scene, rng: random.Random, person_slot: Box | None = None
) -> tuple[str, list[Placement]]:
    """Draw a scene as an SVG fragment of the whole canvas.

    Args:
        scene: what to draw; each of its objects appears at least once.
        rng: varies horizon, positions, sizes, numbers, colours and weather.
        person_slot: the part of the frame that objects leave free, or None.

    Returns:
        The fragment and where the objects are, from back to front.
    """
    horizon = rng.uniform(56, 64) if scene.ground == "lake" else rng.uniform(64, 73)
    air = draw_sky(scene.sky, horizon, rng)
    land = draw_ground(scene.ground, horizon, scene.sky, rng)
    slot = tuple(CANVAS * side for side in person_slot) if person_slot else None
    spots = _arrange(scene, horizon, slot, rng)
    dull, glowing = "", ""
    for spot in spots:
        item = OBJECTS[spot.name]
        svg = _shadow(item, spot) + place(item.draw(rng), spot.x, spot.y, spot.scale, rng.random() < 0.5)
        if item.glows:
            glowing += svg
        else:
            dull += svg
    sky = SKIES[scene.sky]
    svg = air + tinted(land + dull, sky.tint, sky.veil) + draw_weather(scene.sky, scene.ground, rng) + glowing
    return svg, [Placement(spot.name, _in_frame(spot.box())) for spot in spots]


@dataclass(frozen=True)
class _Spot:
    name: str
    x: float
    y: float
    scale: float

    def box(self) -> Box:
        """The box around the object, in canvas units."""
        item = OBJECTS[self.name]
        half, height = item.half_width * self.scale, item.height * self.scale
        bottom = self.y + (height / 2 if item.where == "sky" else 0)
        return (self.x - half, bottom - height, self.x + half, bottom)


def _arrange(scene: Scene, horizon: float, slot: Box | None, rng: random.Random) -> list[_Spot]:
    """Find a spot for every object, wide ones first, then for a few repeats where room is left."""
    spots: list[_Spot] = []
    for name in sorted(scene.objects, key=lambda name: -OBJECTS[name].half_width):
        spots.append(_best_spot(name, scene.ground, horizon, slot, spots, rng)[0])
    for name in scene.objects:
        repeats = rng.choice((0, 1, 2)) if OBJECTS[name].where == "sky" else rng.choice((0, 0, 1))
        for _ in range(repeats):
            spot, cost = _best_spot(name, scene.ground, horizon, slot, spots, rng)
            if cost <= 0:
                spots.append(spot)
    return sorted(spots, key=lambda spot: (OBJECTS[spot.name].where != "sky", spot.y))


def _best_spot(
    name: str, ground: str, horizon: float, slot: Box | None, others: list[_Spot], rng: random.Random
) -> tuple[_Spot, float]:
    """Try random spots and return the first free one, or else the least bad one, with its cost."""
    best, least = None, float("inf")
    for attempt in range(_TRIES):
        spot = _random_spot(name, ground, horizon, 1 - 0.38 * attempt / _TRIES, rng)
        box = spot.box()
        cost = 120 * _outside(box) + sum(_overlap(box, other.box()) for other in others)
        cost += 6 * _overlap(box, slot) if slot else 0
        if cost < least:
            best, least = spot, cost
        if least <= 0:
            break
    return best, least


def _random_spot(name: str, ground: str, horizon: float, shrink: float, rng: random.Random) -> _Spot:
    item, land = OBJECTS[name], horizon + GROUNDS[ground].water
    if item.where == "sky":
        if name == "bunting":
            return _Spot(name, 64, rng.uniform(11, 15), 1.0)
        scale = shrink * rng.uniform(0.95, 1.15)
        reach = item.height / 2 * scale
        return _Spot(
            name, rng.uniform(6, 122), rng.uniform(reach + 1, max(reach + 2, horizon - 12 - reach)), scale
        )
    if item.where == "water":
        y = rng.uniform(horizon + 5, max(horizon + 7, land - 3))
        return _Spot(name, rng.uniform(8, 120), y, shrink * rng.uniform(0.95, 1.15))
    depth = rng.random()
    y = land + 4 + depth * min(30, 120 - land)
    return _Spot(name, rng.uniform(8, 120), y, shrink * rng.uniform(0.95, 1.1) * (0.94 + 0.3 * depth))


def _shadow(item: SceneObject, spot: _Spot) -> str:
    if item.where != "ground":
        return ""
    return ellipse(
        spot.x, spot.y, item.half_width * spot.scale * 0.85, 2.2 * spot.scale, "#1b2440", 'fill-opacity=".22"'
    )


def _overlap(first: Box, second: Box) -> float:
    across = min(first[2], second[2]) - max(first[0], second[0])
    down = min(first[3], second[3]) - max(first[1], second[1])
    return max(across, 0) * max(down, 0)


def _outside(box: Box) -> float:
    return sum(max(0, 1 - box[i]) + max(0, box[i + 2] - CANVAS + 1) for i in (0, 1))


def _in_frame(box: Box) -> Box:
    return tuple(min(max(side / CANVAS, 0.0), 1.0) for side in box)
