"""What every figure must hold to, and how tests get hold of one."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from mmunlearn.reporting import style


def caught(monkeypatch: pytest.MonkeyPatch, plot: Callable[[Path, Path], None]) -> Figure:
    """The figure that a call would save; nothing is written."""
    figures: list[Figure] = []
    monkeypatch.setattr(style, "save_figure", lambda figure, *_: figures.append(figure))
    plot(Path("unused.png"), Path("unused.pdf"))
    return figures[-1]


def assert_readable(figure: Figure) -> None:
    """Every text has at least 8 points and lies on the page."""
    figure.draw_without_rendering()
    edge = figure.bbox
    for text in figure.findobj(Text):
        if text.get_text().strip() and text.get_visible():
            assert text.get_fontsize() >= 8, text.get_text()
            box = text.get_window_extent()
            assert box.x0 >= edge.x0 - 1 and box.x1 <= edge.x1 + 1, text.get_text()
            assert box.y0 >= edge.y0 - 1 and box.y1 <= edge.y1 + 1, text.get_text()


def assert_same_bytes(folder: Path, plot: Callable[[Path, Path], None]) -> None:
    """Two calls write the same PNG and PDF, without dates."""
    for name in "ab":
        plot(folder / f"{name}.png", folder / f"{name}.pdf")
    for kind in ("png", "pdf"):
        first, second = ((folder / f"{name}.{kind}").read_bytes() for name in "ab")
        assert first == second
        assert not re.search(rb"CreationDate|ModDate|Software", first)


def notes(figure: Figure) -> str:
    """The note below a figure, on one line."""
    return " ".join(figure.get_supxlabel().split())
