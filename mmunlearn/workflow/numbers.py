"""Numbers for people."""

from __future__ import annotations


def duration(hours: float) -> str:
    """Hours for people: `2.5 s`, `4.7 min`, `84.7 h`."""
    for factor, unit in ((1, "h"), (60, "min")):
        if hours * factor >= 1:
            return f"{amount(hours * factor)} {unit}"
    return f"{hours * 3600:.1f} s"


def amount(value: float) -> str:
    """A number for people: `41,290`, `73.2`, `0.013`, `0`; a whole one where it rounds to it."""
    if value == int(value) or value >= 1000:
        return f"{value:,.0f}"
    return f"{value:,.1f}".removesuffix(".0") if value >= 10 else f"{value:.2g}"
