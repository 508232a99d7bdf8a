"""The objects that a scene can hold: where each belongs, how much room it needs and its drawing."""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from mmunlearn.pocket.art import draw, read_drawing
from mmunlearn.pocket.shapes import circle, line, path


@dataclass(frozen=True)
class SceneObject:
    """One kind of object; its drawing is the file of its name.

    Attributes:
        name: its common English name.
        where: "ground" or "water", standing on (0, 0), or "sky", centred on it.
        glows: whether it stays bright when the sky tints the scene.
    """

    name: str
    where: str
    glows: bool = False

    @cached_property
    def half_width(self) -> float:
        """Half its width in canvas units at scale 1."""
        return read_drawing(f"objects/{self.name}").width / 2

    @cached_property
    def height(self) -> float:
        """Its height in canvas units at scale 1; a sky object reaches half of it up and down."""
        return read_drawing(f"objects/{self.name}").height

    def draw(self, rng: random.Random) -> str:
        """Draw it as an SVG fragment in colours that ``rng`` chooses."""
        return _COMPUTED[self.name](rng) if self.name in _COMPUTED else draw(f"objects/{self.name}", rng)


OBJECTS: dict[str, SceneObject] = {
    item.name: item
    for item in (
        SceneObject("tree", "ground"),
        SceneObject("pine", "ground"),
        SceneObject("palm", "ground"),
        SceneObject("tent", "ground"),
        SceneObject("house", "ground"),
        SceneObject("boat", "water"),
        SceneObject("car", "ground"),
        SceneObject("campfire", "ground", glows=True),
        SceneObject("flag", "ground"),
        SceneObject("umbrella", "ground"),
        SceneObject("table", "ground"),
        SceneObject("snowman", "ground"),
        SceneObject("cactus", "ground"),
        SceneObject("cake", "ground"),
        SceneObject("stage", "ground", glows=True),
        SceneObject("bicycle", "ground"),
        SceneObject("bench", "ground"),
        SceneObject("statue", "ground"),
        SceneObject("telescope", "ground"),
        SceneObject("drum", "ground"),
        SceneObject("easel", "ground"),
        SceneObject("fountain", "ground"),
        SceneObject("balloon", "sky"),
        SceneObject("lantern", "sky", glows=True),
        SceneObject("kite", "sky"),
        SceneObject("firework", "sky", glows=True),
        SceneObject("bunting", "sky"),
    )
}
"""Every scene object by name."""


def _campfire(rng: random.Random) -> str:
    return read_drawing("objects/campfire").fill(lean=f"{rng.uniform(-2, 2):.1f}")


def _kite(rng: random.Random) -> str:
    colors = ("#e5484d", "#f5b83d", "#3b6fe0", "#7d57c9", "#22a86b", "#f0668c")
    first, second = rng.sample(colors, 2)
    return read_drawing("objects/kite").fill(first=first, second=second)


def _firework(rng: random.Random) -> str:
    color = rng.choice(("#ff5f6d", "#ffd54a", "#7ad7ff", "#c58bff", "#7df0a2"))
    turn, rays = rng.uniform(0, 0.5), ""
    for ray in range(12):
        across, down = math.cos(turn + ray * math.pi / 6), math.sin(turn + ray * math.pi / 6)
        rays += line(f"M{4 * across:.1f} {4 * down:.1f}L{11 * across:.1f} {11 * down:.1f}", color, 1.9)
        rays += circle(15 * across, 15 * down, 1.6, "#fff3b0" if ray % 2 else color)
    return read_drawing("objects/firework").fill(rays=rays)


def _bunting(rng: random.Random) -> str:
    colors = rng.sample(("#e5484d", "#f5b83d", "#3b6fe0", "#22a86b", "#f0668c", "#fffaf0"), 6)
    pennants = ""
    for index in range(10):
        x = -56.2 + 12.5 * index
        y = 3 - 11 * (x / 66) ** 2
        pennants += path(f"M{x - 5:.1f} {y - 0.6:.1f}H{x + 5:.1f}L{x:.1f} {y + 12:.1f}Z", colors[index % 6])
    return read_drawing("objects/bunting").fill(pennants=pennants)


_COMPUTED: dict[str, Callable[[random.Random], str]] = {
    "campfire": _campfire,
    "kite": _kite,
    "firework": _firework,
    "bunting": _bunting,
}
