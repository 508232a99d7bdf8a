"""Finished pictures of the pocket world: people at events, bare scenes and entities.

The ``compose_*`` functions make SVG text, the ``render_*`` ones rasterise it. Every picture is a pure
function of its arguments: the same call gives the same bytes in any process.
"""

import random
from dataclasses import dataclass, field

import resvg_py
from PIL import Image

from mmunlearn.pictures import open_picture
from mmunlearn.pocket.avatars import AVATAR_SIZE, draw_avatar
from mmunlearn.pocket.entities import draw_entity
from mmunlearn.pocket.identities import Identity
from mmunlearn.pocket.scenes import Box, Placement, Scene, draw_scene
from mmunlearn.pocket.shapes import CANVAS, document

_SLOTS = ((0.24, 0.31), (0.69, 0.76), (0.24, 0.31), (0.69, 0.76), (0.48, 0.52))
_HEAD = (16.0, 7.0, 48.0, 47.0)
_BUST = (10.0, 3.0, 54.0, 64.0)


@dataclass
class Composition:
    """An SVG fragment of the whole canvas and what it shows; boxes are None when there is no person."""

    svg: str
    placements: list[Placement] = field(default_factory=list)
    person_box: Box | None = None
    head_box: Box | None = None


@dataclass
class Picture:
    """A finished RGB picture and what it shows, boxes in parts of the frame."""

    image: Image.Image
    placements: list[Placement]
    person_box: Box | None
    head_box: Box | None


def compose_person(
    identity: Identity, scene: Scene, seed: int | str, *, shift: tuple[float, float] = (0.0, 0.0)
) -> Composition:
    """Compose a person at an event.

    Args:
        identity: the person's permanent looks.
        scene: the event's scene.
        seed: decides everything else.
        shift: moves the person (not the scene) right and down, in parts of the frame.
    """
    rng = random.Random(f"person {seed}")
    height, centre = rng.uniform(0.68, 0.76), rng.uniform(*rng.choice(_SLOTS))
    left, top = centre - height / 2, 1 - height
    slot = _within(_BUST, left, top, height)
    svg, placements = draw_scene(scene, rng, slot)
    left, top = left + shift[0], top + shift[1]
    scale = height * CANVAS / AVATAR_SIZE
    moved = f'transform="translate({left * CANVAS:.2f},{top * CANVAS:.2f}) scale({scale:.4f})"'
    svg += f"<g {moved}>{draw_avatar(identity, rng)}</g>"
    person, head = (_clipped(_within(box, left, top, height)) for box in (_BUST, _HEAD))
    return Composition(svg, placements, person, head)


def compose_scene(scene: Scene, seed: int | str) -> Composition:
    """Compose a scene without a person."""
    return Composition(*draw_scene(scene, random.Random(f"scene {seed}")))


def render_person(
    identity: Identity,
    scene: Scene,
    seed: int | str,
    size: int = 256,
    *,
    shift: tuple[float, float] = (0.0, 0.0),
) -> Picture:
    """Draw a person at an event as a ``size`` x ``size`` picture; see ``compose_person``."""
    return _finish(compose_person(identity, scene, seed, shift=shift), size)


def render_scene(scene: Scene, seed: int | str, size: int = 256) -> Picture:
    """Draw a scene without a person as a ``size`` x ``size`` picture."""
    return _finish(compose_scene(scene, seed), size)


def render_entity(name: str, seed: int | str, size: int = 256) -> Picture:
    """Draw an entity as a ``size`` x ``size`` picture.

    Raises:
        KeyError: there is no such entity.
    """
    return _finish(Composition(draw_entity(name, random.Random(f"entity {name} {seed}"))), size)


def rasterise(svg: str, size: int) -> Image.Image:
    """Turn an SVG fragment of the whole canvas into an RGB image of ``size`` x ``size`` pixels."""
    png = resvg_py.svg_to_bytes(
        svg_string=document(svg, size), width=size, height=size, skip_system_fonts=True
    )
    return open_picture(bytes(png))


def _finish(composition: Composition, size: int) -> Picture:
    image = rasterise(composition.svg, size)
    return Picture(image, composition.placements, composition.person_box, composition.head_box)


def _within(box: Box, left: float, top: float, height: float) -> Box:
    """Place a box of the avatar's square into the frame."""
    unit = height / AVATAR_SIZE
    return (left + box[0] * unit, top + box[1] * unit, left + box[2] * unit, top + box[3] * unit)


def _clipped(box: Box) -> Box:
    return tuple(min(max(side, 0.0), 1.0) for side in box)
