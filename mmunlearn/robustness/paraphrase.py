"""Attack by paraphrases: is the truth forgotten, or only the wording that was unlearned?

Training and unlearning use one question a kind. Here the same pictures are asked about in other words.
"""

from __future__ import annotations

from collections.abc import Sequence

from mmunlearn.records import Finding
from mmunlearn.robustness.base import READS, AttackMethod
from mmunlearn.robustness.target import TargetModel
from mmunlearn.robustness.wordings import read_paraphrases


def paraphrase(target: TargetModel) -> tuple[list[Finding], dict[str, object]]:
    """Efficacy and generality (forget_train, forget_test) in the original wording, in others, and in the worst."""
    wordings, split = read_paraphrases(target.files["paraphrases"])[target.split.target], target.split
    findings, by_wording = [], {}
    for metric, images in (("efficacy", split.forget_train), ("generality", split.forget_test)):
        rows = target.sample(target.questions_on(images))
        original, *others = (target.efficacy(target.answers(rows, wording)) for wording in (None, *wordings))
        settings = {"original": original, **pooled(original, others)}
        clusters = target.clusters(rows)
        findings += [
            target.finding(setting, metric, values, clusters) for setting, values in settings.items()
        ]
        by_wording[metric] = [
            {"wording": wording, "value": sum(values) / len(values) if values else None}
            for wording, values in zip(wordings, others, strict=True)
        ]
    return findings, {"by_wording": by_wording}


def pooled(original: Sequence[float], others: Sequence[Sequence[float]]) -> dict[str, list[float]]:
    """Per question: the mean over the other wordings, and the least over all wordings, the original among them.

    A question counts once, however many wordings it has, so that a mean is over questions.
    """
    return {
        "paraphrased": [sum(values) / len(values) for values in zip(*others, strict=True)],
        "worst wording": [min(values) for values in zip(original, *others, strict=True)],
    }


class Paraphrase(AttackMethod):
    """The attack of this file."""

    reads = (*READS, "finetuned", "goal", "paraphrases")
    attack = staticmethod(paraphrase)
