"""One look a method everywhere, and figures whose bytes depend on the data alone.

Colours are Paul Tol's medium-contrast scheme: safe for colour-blind readers and, with their steps of
lightness, distinguishable in grey; every method has its own marker besides. A variant (`GD+BGD`) keeps its
method's colour.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mmunlearn.records import atomic_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Look:
    """How a method is drawn: fill colour and matplotlib marker."""

    colour: str
    marker: str


LOOKS = {
    "Finetune": Look("#FFFFFF", "X"),
    "PO": Look("#EECC66", "o"),
    "GA": Look("#994455", "v"),
    "GD": Look("#004488", "s"),
    "KL": Look("#6699CC", "d"),
    "DPO": Look("#997700", "^"),
    "NPO": Look("#EE99AA", "<"),
    "GD+BGD": Look("#004488", "P"),
    "KL+BGD": Look("#6699CC", "p"),
    "LUMoE": Look("#BBBBBB", "h"),
    "Goal": Look("#000000", "*"),
}
OTHER = Look("#DDDDDD", ">")

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
    "svg.hashsalt": "mmunlearn",
}


def look(method: str) -> Look:
    """The look of a method; one that the papers do not have gets a light grey triangle."""
    return LOOKS.get(method, OTHER)


def new_figure(width: float, height: float) -> Figure:
    """An empty figure (inches) in our settings, on the Agg canvas: no display, no global state."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    matplotlib.rcParams.update(SETTINGS)
    figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: Figure, *paths: str | Path) -> None:
    """Save under every path, atomically and without dates or versions in the metadata.

    Raises:
        ValueError: a suffix other than .png or .pdf.
    """
    undated = {
        ".png": {"Software": None},
        ".pdf": {"CreationDate": None, "ModDate": None, "Creator": None, "Producer": None},
    }
    for path in map(Path, paths):
        if path.suffix not in undated:
            raise ValueError(f"Asked for a figure {path.name}. Known are .png and .pdf. Change the suffix.")
        with atomic_path(path) as temporary:
            figure.savefig(temporary, metadata=undated[path.suffix])
