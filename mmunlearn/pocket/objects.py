"""The objects a scene can hold, with the room each one needs."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from mmunlearn.pocket import object_art as art


@dataclass(frozen=True)
class SceneObject:
    """One kind of object.

    Attributes:
        draw: makes the SVG fragment from a random generator.
        where: "ground", "water" or "sky".
        half_width: half its width in canvas units at scale 1.
        height: its height in canvas units at scale 1; a sky object reaches half of it up and down.
        glows: whether it stays bright when the sky tints the scene.
    """

    draw: Callable[[random.Random], str]
    where: str
    half_width: float
    height: float
    glows: bool = False


def _ground(
    draw: Callable[[random.Random], str], half_width: float, height: float, glows: bool = False
) -> SceneObject:
    return SceneObject(draw, "ground", half_width, height, glows)


def _sky(
    draw: Callable[[random.Random], str], half_width: float, height: float, glows: bool = False
) -> SceneObject:
    return SceneObject(draw, "sky", half_width, height, glows)


OBJECTS: dict[str, SceneObject] = {
    "tree": _ground(art.tree, 17, 40),
    "pine": _ground(art.pine, 14, 42),
    "palm": _ground(art.palm, 19, 47),
    "tent": _ground(art.tent, 22, 26),
    "house": _ground(art.house, 18, 39),
    "boat": SceneObject(art.boat, "water", 19, 38),
    "car": _ground(art.car, 21, 23),
    "campfire": _ground(art.campfire, 13, 33, glows=True),
    "flag": _ground(art.flag, 14, 45),
    "umbrella": _ground(art.umbrella, 21, 43),
    "table": _ground(art.table, 20, 29),
    "snowman": _ground(art.snowman, 15, 41),
    "cactus": _ground(art.cactus, 14, 39),
    "cake": _ground(art.cake, 20, 39),
    "stage": _ground(art.stage, 25, 40, glows=True),
    "bicycle": _ground(art.bicycle, 20, 27),
    "bench": _ground(art.bench, 20, 24),
    "statue": _ground(art.statue, 12, 45),
    "telescope": _ground(art.telescope, 17, 40),
    "drum": _ground(art.drum, 17, 35),
    "easel": _ground(art.easel, 15, 41),
    "fountain": _ground(art.fountain, 22, 36),
    "balloon": _sky(art.balloon, 14, 40),
    "lantern": _sky(art.lantern, 12, 34, glows=True),
    "kite": _sky(art.kite, 11, 46),
    "firework": _sky(art.firework, 17, 34, glows=True),
    "bunting": _sky(art.bunting, 63, 26),
}
"""Every scene object by its common English name."""
