"""Is the truth forgotten, or only the wording that was unlearned?

Training and unlearning use one question a kind. Here the same pictures are asked about in other words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from mmunlearn.records import Finding, RecordError
from mmunlearn.robustness.asking import Speaker
from mmunlearn.robustness.subject import Subject


def paraphrase(subject: Subject, *, paraphrases: Path) -> tuple[list[Finding], dict[str, object]]:
    """Efficacy and generality (forget_train, forget_test) in the original wording, in others, and in the worst.

    Args:
        paraphrases: YAML: kind of question -> list of questions.
    """
    wordings = read_paraphrases(paraphrases)[subject.own.target]
    speaker = Speaker(subject)
    findings, by_wording = [], {}
    for metric, images in (("efficacy", subject.own.forget_train), ("generality", subject.own.forget_test)):
        rows = subject.some(subject.on(images))
        original = subject.efficacy(rows, speaker.say(rows))
        others = [subject.efficacy(rows, speaker.say(rows, wording)) for wording in wordings]
        findings.append(subject.finding("original", metric, original))
        findings += [
            subject.finding(setting, metric, values) for setting, values in pooled(original, others).items()
        ]
        by_wording[metric] = [
            {"wording": wording, "value": round(sum(own) / len(own), 4) if own else None}
            for wording, own in zip(wordings, others, strict=True)
        ]
    return findings, {"by_wording": by_wording}


def pooled(original: Sequence[float], others: Sequence[Sequence[float]]) -> dict[str, list[float]]:
    """Per question: the mean over the other wordings, and the least over all wordings, the original among them.

    A question counts once, however many wordings it has, so that intervals are over questions.
    """
    return {
        "paraphrased": [sum(own) / len(own) for own in zip(*others, strict=True)],
        "worst wording": [min(own) for own in zip(original, *others, strict=True)],
    }


def read_paraphrases(path: Path) -> Mapping[str, list[str]]:
    """Kind of question -> questions. Raises RecordError where a kind has none, or the file is something else."""
    found = yaml.safe_load(path.read_text(encoding="utf-8"))
    for kind in ("person", "event"):
        own = found.get(kind) if isinstance(found, dict) else None
        if (
            not isinstance(own, list)
            or not own
            or not all(isinstance(one, str) and one.strip() for one in own)
        ):
            raise RecordError(
                f"{path} is asked for questions of kind {kind}, but holds none; give a list of texts as `{kind}:`"
            )
    return found
