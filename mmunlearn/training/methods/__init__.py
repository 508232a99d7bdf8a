"""Unlearning methods behind a registry: one method, one file, one line here, one row in the configuration.

A method of another package needs no line here: its configuration row says `path: "package.module:Class"`. Imported
by the Snakefile: nothing heavy here; `building` loads a method's module.
"""

from __future__ import annotations

from typing import NamedTuple


class Entry(NamedTuple):
    """Where a method is, as `module:Class`, and how tables spell it."""

    path: str
    label: str


METHODS = {
    "po": Entry("mmunlearn.training.methods.po:PO", "PO"),
    "ga": Entry("mmunlearn.training.methods.ga:GA", "GA"),
    "gd": Entry("mmunlearn.training.methods.gd:GD", "GD"),
    "kl": Entry("mmunlearn.training.methods.kl:KL", "KL"),
    "dpo": Entry("mmunlearn.training.methods.dpo:DPO", "DPO"),
    "npo": Entry("mmunlearn.training.methods.npo:NPO", "NPO"),
    "simnpo": Entry("mmunlearn.training.methods.simnpo:SimNPO", "SimNPO"),
    "gd+bgd": Entry("mmunlearn.training.methods.gd_bgd:GDBGD", "GD+BGD"),
    "kl+bgd": Entry("mmunlearn.training.methods.kl_bgd:KLBGD", "KL+BGD"),
}


def labels() -> dict[str, str]:
    """The published spelling of every registered method by its name."""
    return {name: entry.label for name, entry in METHODS.items()}
