"""Rubrics behind a registry: one rubric, one file (instructions, form of the reply, cases), one line here.

Imported by the Snakefile: nothing heavy here.
"""

from __future__ import annotations

from mmunlearn.registry import Registry

RUBRICS = Registry(
    "rubric",
    "mmunlearn.evaluation.judge.rubric:Rubric",
    {
        "g-eval": "mmunlearn.evaluation.judge.rubrics.g_eval:GEval",
        "rejection": "mmunlearn.evaluation.judge.rubrics.rejection:Rejection",
        "correctness": "mmunlearn.evaluation.judge.rubrics.correctness:Correctness",
    },
)
