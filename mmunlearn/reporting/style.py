"""One look a method everywhere, and figures whose bytes depend on the data alone.

Colours are Paul Tol's medium-contrast scheme: safe for colour-blind readers and, with their steps of
lightness, distinguishable in grey; every method has its own marker besides. A variant (`GD+BGD`) keeps its
method's colour; its bars are hatched.
"""

from __future__ import annotations

import logging
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmunlearn.records import atomic_path

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.patheffects import AbstractPathEffect

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Look:
    """How a method is drawn: fill colour, matplotlib marker, and hatching of bars."""

    colour: str
    marker: str
    hatch: str = ""


LOOKS = {
    "Finetune": Look("#FFFFFF", "X"),
    "PO": Look("#EECC66", "o"),
    "GA": Look("#994455", "v"),
    "GD": Look("#004488", "s"),
    "KL": Look("#6699CC", "d"),
    "DPO": Look("#997700", "^"),
    "NPO": Look("#EE99AA", "<"),
    "SimNPO": Look("#EE99AA", ">", "////"),
    "GD+BGD": Look("#004488", "P", "////"),
    "KL+BGD": Look("#6699CC", "p", "////"),
    "LUMoE": Look("#BBBBBB", "h"),
    "Goal": Look("#000000", "*"),
}
OTHER = Look("#DDDDDD", "D")
SMALL = 8  # points: no text is smaller
GOAL_LINE = (0, (4, 2))  # dashes of Goal's lines

SETTINGS = {
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "axes.titlesize": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.6,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "legend.frameon": False,
    "savefig.dpi": 200,
    "pdf.fonttype": 42,
    "text.parse_math": False,  # a dollar in a label is a dollar
}


def look(method: str) -> Look:
    """The look of a method; one that the papers do not have gets a light grey diamond."""
    return LOOKS.get(method, OTHER)


def marks(method: str, size: float, edge: float = 0.6) -> dict[str, Any]:
    """How the markers of a method's line look; sizes in points."""
    style = look(method)
    return {"marker": style.marker, "mfc": style.colour, "mec": "black", "mew": edge, "ms": size}


def casing(width: float) -> list[AbstractPathEffect]:
    """A dark edge around a line, by which light colours stand out from the page."""
    from matplotlib.patheffects import Normal, withStroke

    return [withStroke(linewidth=width, foreground="#333333"), Normal()]


def ink_on(colour: Sequence[float]) -> str:
    """White where its contrast is 4.5 to 1 (WCAG 2) at least, else black, whose contrast then is."""
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour[:3]]
    light = sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
    return "white" if 1.05 / (light + 0.05) >= 4.5 else "black"


def method_handle(method: str, size: float = 6.5, **changed: Any) -> Line2D:
    """A legend's entry: the marker of a method, beside its name."""
    from matplotlib.lines import Line2D

    size *= 1.5 if look(method).marker == "*" else 1
    return Line2D([], [], **{"ls": "", "label": method} | marks(method, size, 0.8) | changed)


def line_handle(label: str, dashes: Any, width: float) -> Line2D:
    """A legend's entry: a black line."""
    from matplotlib.lines import Line2D

    return Line2D([], [], color="black", ls=dashes, lw=width, label=label)


def write_legend(figure: Figure, handles: Sequence[Artist], most: int, **spacing: float) -> None:
    """The legend above a figure, at most so many entries a row."""
    columns = min(len(handles), most)
    figure.legend(handles=handles, loc="outside upper center", ncols=columns, **spacing)


def block_title(model: str, percent: str | int) -> str:
    """What stands above a model's panels."""
    return f"{model}, {percent}% of the concepts forgotten"


def write_notes(
    figure: Figure, notes: Sequence[str], head: str, width: int = 112, most: int = 5, reading: str = ""
) -> None:
    """Below a figure how it is read, and what it could not draw: `head` and the notes, at most so many of them."""
    for note in notes:
        logger.warning("%s: %s", head, note)
    rest = [f"and {len(notes) - most} more"] if len(notes) > most else []
    gaps = f"{head}: {'; '.join([*notes[:most], *rest])}." if notes else ""
    text = " ".join(filter(None, [reading, gaps]))
    if not text:
        return
    lines = textwrap.fill(text, width)
    figure.supxlabel(lines, x=0.012, ha="left", fontsize=SMALL, color="#444444")


def new_figure(width: float, height: float) -> Figure:
    """An empty figure (inches) in our settings, on the Agg canvas: no display, no global state."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    matplotlib.rcParams.update(SETTINGS)
    figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def _freeze(figure: Figure) -> None:
    """Lay a figure out once and for all, on a grid of 0.1 per mille: the solver's last digits depend on addresses in
    memory, and would now and then move an edge by a pixel."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for axes in figure.axes:
        axes.set_position([round(value, 4) for value in axes.get_position().bounds])


def save_figure(figure: Figure, png: Path, pdf: Path) -> None:
    """Save in both formats, atomically and without dates or versions in the metadata."""
    _freeze(figure)
    for path, undated in ((png, ("Software",)), (pdf, ("CreationDate", "ModDate", "Creator", "Producer"))):
        with atomic_path(path) as temporary:
            figure.savefig(temporary, metadata=dict.fromkeys(undated))
