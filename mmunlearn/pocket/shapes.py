"""SVG building blocks: every function returns a fragment of SVG text; lengths are in canvas units."""

import re
from functools import lru_cache

CANVAS = 128.0
"""Side of the square canvas every drawing shares."""


def rect(x: float, y: float, width: float, height: float, fill: str, extra: str = "") -> str:
    """Draw a rectangle from its upper left corner."""
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{fill}" {extra}/>'


def circle(x: float, y: float, radius: float, fill: str, extra: str = "") -> str:
    """Draw a circle around a centre."""
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.2f}" fill="{fill}" {extra}/>'


def ellipse(x: float, y: float, rx: float, ry: float, fill: str, extra: str = "") -> str:
    """Draw an ellipse around a centre."""
    return f'<ellipse cx="{x:.1f}" cy="{y:.1f}" rx="{rx:.1f}" ry="{ry:.1f}" fill="{fill}" {extra}/>'


def path(data: str, fill: str, extra: str = "") -> str:
    """Draw a filled path from SVG path data."""
    return f'<path d="{data}" fill="{fill}" {extra}/>'


def line(data: str, stroke: str, width: float, extra: str = "") -> str:
    """Draw an unfilled path with round ends."""
    return (
        f'<path d="{data}" fill="none" stroke="{stroke}" stroke-width="{width:.1f}" '
        f'stroke-linecap="round" stroke-linejoin="round" {extra}/>'
    )


def place(svg: str, x: float, y: float, scale: float = 1.0, flip: bool = False) -> str:
    """Move a fragment drawn around (0, 0) to (x, y), scaled and optionally mirrored."""
    across = -scale if flip else scale
    return f'<g transform="translate({x:.1f},{y:.1f}) scale({across:.3f},{scale:.3f})">{svg}</g>'


def bands(top: float, bottom: float, first: str, second: str, step: float = 3.0) -> str:
    """Fill the canvas from ``top`` to ``bottom`` with a blend of two colours.

    Flat bands raster several times faster than an SVG gradient and look the same.
    """
    count = max(1, round((bottom - top) / step))
    edges = [round(top + (bottom - top) * i / count) for i in range(count)]
    strips = (
        f'<path d="M0 {y}H128V{min(y + step + 1, bottom + 1):.0f}H0z" fill="{mix(first, second, i / count)}"/>'
        for i, y in enumerate(edges)
    )
    return "".join(strips)


def tinted(svg: str, color: str, share: float) -> str:
    """Blend every ``#rrggbb`` colour of a fragment towards one colour."""
    return re.sub(r"#[0-9a-f]{6}", lambda match: mix(match[0], color, share), svg) if share else svg


def document(body: str, size: int) -> str:
    """Wrap fragments into a square SVG document of ``size`` pixels."""
    box = f"0 0 {CANVAS:.0f} {CANVAS:.0f}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}" width="{size}" height="{size}">{body}</svg>'
    )


@lru_cache(maxsize=65536)
def mix(first: str, second: str, share: float) -> str:
    """Blend two ``#rrggbb`` colours; ``share`` is the part of the second, 0 to 1."""
    pairs = zip(_channels(first), _channels(second), strict=True)
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in pairs)


def _channels(colour: str) -> list[int]:
    return [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
