"""Attacks on unlearned models, behind a registry: is it gone, or does it only not show?

Every attack is one file and one line here. None of the papers measures these; Finetune and Goal stand beside every
method as the real 0 and 100. Imported by the Snakefile: nothing heavy here.
"""

from __future__ import annotations

from mmunlearn.registry import Registry

ATTACKS = Registry(
    "attack",
    "mmunlearn.robustness.base:AttackMethod",
    {
        "relearning": "mmunlearn.robustness.relearning:Relearning",
        "membership": "mmunlearn.robustness.membership:Membership",
        "paraphrase": "mmunlearn.robustness.paraphrase:Paraphrase",
        "quantisation": "mmunlearn.robustness.quantisation:Quantisation",
    },
)
"""In the order of a job: training comes before the base is loaded to be asked; rounding, which leaves another model
behind, last."""
