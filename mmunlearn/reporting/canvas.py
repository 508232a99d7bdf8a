"""Drawing in points from the top left corner, for figures that are more page than plot."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmunlearn.reporting.style import SETTINGS, SMALL, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LINE = 10.6  # points from one line of text to the next
PIXELS = 320  # longest side of a picture, before the figure is rasterised


@dataclass
class Canvas:
    """Things to draw, recorded first and placed later: what stands below knows how high this is."""

    height: float = 0.0
    parts: list[Callable[[Axes, float, float], Any]] = field(default_factory=list)

    def text(self, x: float, y: float, text: str, size: float = SMALL, **style: Any) -> None:
        """One line whose top is at `y`; never read as mathematics."""
        style = {"va": "top", "fontsize": size, "parse_math": False} | style
        self.parts.append(lambda axes, left, top: axes.text(left + x, top + y, text, **style))
        self.height = max(self.height, y + LINE)

    def lines(self, x: float, y: float, lines: Sequence[str], **style: Any) -> float:
        """Lines below each other; where the next one would begin."""
        for at, line in enumerate(lines):
            self.text(x, y + at * LINE, line, **style)
        return y + len(lines) * LINE

    def box(self, x: float, y: float, width: float, height: float, **style: Any) -> None:
        """A rectangle."""
        from matplotlib.patches import Rectangle

        self.parts.append(
            lambda axes, left, top: axes.add_artist(Rectangle((left + x, top + y), width, height, **style))
        )
        self.height = max(self.height, y + height)

    def picture(self, x: float, y: float, side: float, path: Path) -> None:
        """A picture in a square, or a hatched one that says so where there is no file."""
        if not path.exists():
            self.box(x, y, side, side, fc="white", ec="#999999", hatch="///", lw=0.6)
            self.text(x + side / 2, y + side / 2 - 5, "not kept", ha="center", backgroundcolor="white")
            return
        pixels = _pixels(path)

        def draw(axes: Axes, left: float, top: float) -> None:
            extent = (left + x, left + x + side, top + y + side, top + y)
            axes.imshow(pixels, extent=extent, aspect="auto", interpolation="antialiased", zorder=2)

        self.parts.append(draw)
        self.box(x, y, side, side, fc="none", ec="black", lw=0.6, zorder=3)

    def add(self, other: Canvas, x: float, y: float) -> float:
        """Another canvas's things with their corner at (x, y); where it ends."""
        self.parts += [
            lambda axes, left, top, part=part: part(axes, left + x, top + y) for part in other.parts
        ]
        self.height = max(self.height, y + other.height)
        return y + other.height


def draw_canvas(canvas: Canvas, width: float, margin: float) -> Figure:
    """A figure of that width (points) and of the canvas's height, both with the margin around the canvas."""
    height = canvas.height + 2 * margin
    figure = new_figure(width / 72, height / 72)
    figure.set_layout_engine("none")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.axis("off")
    axes.set(xlim=(0, width), ylim=(height, 0), autoscale_on=False)
    for part in canvas.parts:
        part(axes, margin, margin)
    axes.set(xlim=(0, width), ylim=(height, 0))
    return figure


def wrap(text: str, width: float, size: float = SMALL, most: int = 99) -> list[str]:
    """Lines of at most `width` points; a longer word is broken, and what exceeds `most` lines ends in an ellipsis."""
    lines, line = [], ""
    for word in text.split():
        longer = f"{line} {word}" if line else word
        if text_width(longer, size) <= width:
            line = longer
            continue
        lines += [line] if line else []
        while text_width(word, size) > width and len(word) > 1:
            fits = next(
                n for n in range(len(word) - 1, 0, -1) if n == 1 or text_width(word[:n], size) <= width
            )
            lines.append(word[:fits])
            word = word[fits:]
        line = word
    lines += [line] if line else []
    if len(lines) <= most:
        return lines
    return [*lines[: most - 1], shorten(lines[most - 1] + " …", width, size, cut=True)]


def shorten(text: str, width: float, size: float = SMALL, cut: bool = False) -> str:
    """The text, or as much of it as fits with an ellipsis; `cut`: it already ends in one."""
    if text_width(text, size) <= width:
        return text
    text = text.removesuffix(" …") if cut else text
    while text and text_width(f"{text.rstrip()}…", size) > width:
        text = text[:-1]
    return f"{text.rstrip()}…"


@cache
def text_width(text: str, size: float = SMALL, weight: str = "normal") -> float:
    """Points that a line of text in the house font takes."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(family=SETTINGS["font.family"], size=size, weight=weight)
    return text_to_path.get_text_width_height_descent(text, font, ismath=False)[0]


def _pixels(path: Path) -> Any:
    from PIL import Image

    from mmunlearn.pictures import open_picture

    small = open_picture(path)
    small.thumbnail((PIXELS, PIXELS), Image.Resampling.LANCZOS)
    return small
