"""Unlearning methods behind a registry: one method, one file, one line here, one row in the configuration.

A method of another package needs no line here: its configuration row says `path: "package.module:Class"`. Imported
by the Snakefile: nothing heavy here; `building` loads a method's module.
"""

from __future__ import annotations

from mmunlearn.registry import Entry, Registry

_BGD = ("alpha", "beta", "gamma", "event_growth", "event_cap")
METHODS = Registry(
    "method",
    "mmunlearn.training.methods.base:Method",
    {
        "po": Entry("mmunlearn.training.methods.po:PO", "PO"),
        "ga": Entry("mmunlearn.training.methods.ga:GA", "GA"),
        "gd": Entry("mmunlearn.training.methods.gd:GD", "GD"),
        "kl": Entry("mmunlearn.training.methods.kl:KL", "KL"),
        "dpo": Entry(
            "mmunlearn.training.methods.dpo:DPO", "DPO", ("beta", "lambda1", "lambda2", "reference")
        ),
        "npo": Entry("mmunlearn.training.methods.npo:NPO", "NPO", ("beta",)),
        "simnpo": Entry("mmunlearn.training.methods.simnpo:SimNPO", "SimNPO", ("beta", "gamma")),
        "gd+bgd": Entry("mmunlearn.training.methods.gd_bgd:GDBGD", "GD+BGD", _BGD),
        "kl+bgd": Entry("mmunlearn.training.methods.kl_bgd:KLBGD", "KL+BGD", _BGD),
    },
)


def labels() -> dict[str, str]:
    """The published spelling of every registered method by its name."""
    return {name: entry.label for name, entry in METHODS.items()}
