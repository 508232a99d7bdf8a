"""The drawings as files: each is used, each name has one, and a damaged one says so."""

import hashlib
import random
from pathlib import Path

import pytest

from mmunlearn.pocket import art
from mmunlearn.pocket.art import DrawingError, read_drawing
from mmunlearn.pocket.avatars import draw_avatar
from mmunlearn.pocket.entities import ENTITIES, draw_entity
from mmunlearn.pocket.identities import ATTRIBUTES, Identity
from mmunlearn.pocket.objects import OBJECTS

FOLDER = Path(__file__).resolve().parents[2] / "resources" / "pocket" / "art"
FILES = sorted(FOLDER.rglob("*.svg"))

FROZEN = "261c391a3850ee06f63f78b0b841d48c2579bed8dd7f29309650b9560076b34c"
"""What the shipped model weights were trained on: a change of any drawing makes them stale."""


@pytest.fixture
def drawn_from(tmp_path, monkeypatch):
    """Puts one file in the place of every drawing."""
    monkeypatch.setattr(art, "pocket_resource", lambda name: tmp_path / "tree.svg")
    read_drawing.cache_clear()
    yield tmp_path / "tree.svg"
    read_drawing.cache_clear()


def test_every_name_has_its_drawing_and_every_drawing_is_used():
    read_drawing.cache_clear()
    rng = random.Random(0)
    drawn = [item.draw(rng) for item in OBJECTS.values()] + [draw_entity(name, rng) for name in ENTITIES]
    drawn += [draw_avatar(Identity(hair, "pink", "tan"), rng) for hair in ATTRIBUTES["hair"]]
    drawn += [
        draw_avatar(Identity("bob", "pink", "tan", None, True, mark), rng) for mark in ATTRIBUTES["mark"]
    ]
    assert read_drawing.cache_info().currsize == len(FILES) >= 75
    assert not [svg for svg in drawn if "var(" in svg or "color-mix" in svg]


def test_every_drawing_is_the_frozen_one_and_uses_its_colours():
    drawings = [read_drawing(f"{path.parent.name}/{path.stem}") for path in FILES]
    assert hashlib.sha256(repr(drawings).encode()).hexdigest() == FROZEN
    for drawing in drawings:
        for name, choices in drawing.colors.items():
            assert f"var(--{name})" in drawing.elements, drawing.name
            assert len(set(choices)) == len(choices) > 1, drawing.name


@pytest.mark.parametrize("harm", ["missing", "truncated", "not text", "without a view box"])
def test_a_damaged_drawing_is_named_with_what_to_do(drawn_from, harm):
    whole = (FOLDER / "objects" / "tree.svg").read_bytes()
    if harm == "truncated":
        drawn_from.write_bytes(whole[:-100])
    elif harm == "not text":
        drawn_from.write_bytes(b"\xff\xfe" + whole)
    elif harm == "without a view box":
        drawn_from.write_bytes(whole.replace(b"viewBox", b"box"))
    with pytest.raises(
        DrawingError, match=r"asked for the drawing objects/tree; found: .+; restore .*git checkout"
    ):
        OBJECTS["tree"].draw(random.Random(0))


def test_a_variable_without_a_value_is_named(drawn_from):
    whole = (FOLDER / "objects" / "tree.svg").read_text()
    drawn_from.write_text(whole.replace("var(--leaf)", "var(--leef)", 1))
    with pytest.raises(DrawingError, match="objects/tree asks for --leef; found values for leaf; declare it"):
        OBJECTS["tree"].draw(random.Random(0))


def test_colours_are_chosen_mixed_and_filled_in(drawn_from):
    drawn_from.write_text(
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="-2 -3 4 6"><title>t</title>'
        "<style>svg { --leaf: #000000; --leaf: #204060; }</style>\n"
        '<path d="Mvar(--x) 0" fill="color-mix(in srgb, var(--leaf), #ffffff 50%)" />\n  var(--more)\n</svg>\n'
    )
    drawing = read_drawing("anything")
    assert (drawing.width, drawing.height) == (4, 6)
    assert {drawing.choose(random.Random(seed))["leaf"] for seed in range(9)} == {"#000000", "#204060"}
    assert drawing.fill(leaf="#204060", x="1", more="<g/>") == '<path d="M1 0" fill="#90a0b0" /><g/>'
