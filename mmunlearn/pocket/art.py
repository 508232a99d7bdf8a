"""The drawings of ``resources/pocket/art``: SVG files whose colours are chosen, mixed and filled in here.

Such a file is plain SVG with CSS variables. Its ``<style>`` declares a colour once for each choice (``--leaf: #2f9a50;
--leaf: #45ab4b;``); its elements, each on one line, say ``var(--leaf)`` or ``color-mix(in srgb, var(--leaf), #ffffff
22%)``. A ``var`` that is not declared is filled in by the code that draws: a number, a colour or further elements.
"""

import random
import re
from dataclasses import dataclass
from functools import cache
from xml.etree import ElementTree

from mmunlearn.files import read_text
from mmunlearn.pocket.resources import pocket_resource
from mmunlearn.pocket.shapes import mix

_SHELL = re.compile(r"<\?xml.*?\?>|</?svg[^>]*>|<title>.*?</title>|<style>.*?</style>|\s*\n\s*", re.DOTALL)
_DECLARATION = re.compile(r"--(\w+): (#[0-9a-f]{6});")
_VARIABLE = re.compile(r"color-mix\(in srgb, var\(--(\w+)\), (#[0-9a-f]{6}) (\d+)%\)|var\(--(\w+)\)")


class DrawingError(ValueError):
    """A file of a drawing is missing, damaged or in want of a value."""


@dataclass(frozen=True)
class Drawing:
    """One drawing, in canvas units around the point (0, 0) at which it is placed.

    Attributes:
        name: folder and name of its file, such as ``objects/tree``.
        width, height: sides of its view box.
        colors: choices of each declared colour, in the order of the file.
        elements: SVG text between the ``svg`` tags.
    """

    name: str
    width: float
    height: float
    colors: dict[str, list[str]]
    elements: str

    def choose(self, rng: random.Random) -> dict[str, str]:
        """Choose each declared colour, in the order of the file."""
        return {name: rng.choice(choices) for name, choices in self.colors.items()}

    def fill(self, **values: str) -> str:
        """Return the SVG fragment with all its variables filled in.

        Raises:
            DrawingError: a variable has no value.
        """

        def filled(match: re.Match) -> str:
            mixed, other, percent, plain = match.groups()
            try:
                return mix(values[mixed], other, int(percent) / 100) if mixed else values[plain]
            except KeyError as error:
                raise DrawingError(
                    f"the drawing {self.name} asks for --{mixed or plain}; found values for "
                    f"{', '.join(values) or 'nothing'}; declare it in the file's <style> or pass it to `fill`"
                ) from error

        return _VARIABLE.sub(filled, self.elements)


@cache
def read_drawing(name: str) -> Drawing:
    """Read ``<name>.svg``, with underscores for spaces, from the folder of drawings; each file is read once.

    Raises:
        DrawingError: the file is missing, no well-formed SVG or without a view box.
    """
    file = f"art/{name.replace(' ', '_')}.svg"
    try:
        text = read_text(pocket_resource(file))
        root = ElementTree.fromstring(text)
        _, _, width, height = map(float, root.get("viewBox", "").split())
    except (OSError, ValueError, ElementTree.ParseError) as error:
        raise DrawingError(
            f"asked for the drawing {name}; found: {error}; restore resources/pocket/{file} with `git checkout`"
        ) from error
    colors: dict[str, list[str]] = {}
    for color, choice in _DECLARATION.findall(root.findtext("{*}style", "")):
        colors.setdefault(color, []).append(choice)
    return Drawing(name, width, height, colors, _SHELL.sub("", text))


def draw(name: str, rng: random.Random) -> str:
    """Draw a file whose variables are all declared, in colours that ``rng`` chooses."""
    drawing = read_drawing(name)
    return drawing.fill(**drawing.choose(rng))
