"""Unlearning methods behind a registry: one method, one file, one line here, one row in the configuration.

A method of another package needs no line here: its configuration row says `path: "package.module:Class"`. Imported
by the Snakefile: nothing heavy here; `building` loads a method's module.
"""

from __future__ import annotations

from mmunlearn.registry import Entry, Registry

_DPO = ("beta", "lambda1", "lambda2", "reference")
_BGD = ("alpha", "beta", "gamma", "event_growth", "event_cap")
METHODS = Registry(
    "method",
    "mmunlearn.training.methods.base:Method",
    {
        "po": Entry("mmunlearn.training.methods.po:PO", "PO"),
        "ga": Entry("mmunlearn.training.methods.ga:GA", "GA", passes=1),
        "gd": Entry("mmunlearn.training.methods.gd:GD", "GD"),
        "kl": Entry("mmunlearn.training.methods.kl:KL", "KL", passes=2 + 1 / 3),
        "dpo": Entry("mmunlearn.training.methods.dpo:DPO", "DPO", _DPO, passes=2 + 2 / 3),
        "npo": Entry("mmunlearn.training.methods.npo:NPO", "NPO", ("beta",), passes=1 + 1 / 3),
        "simnpo": Entry("mmunlearn.training.methods.simnpo:SimNPO", "SimNPO", ("beta", "gamma"), passes=1),
        "gd+bgd": Entry("mmunlearn.training.methods.gd_bgd:GDBGD", "GD+BGD", _BGD),
        "kl+bgd": Entry("mmunlearn.training.methods.kl_bgd:KLBGD", "KL+BGD", _BGD, passes=2 + 1 / 3),
    },
)
