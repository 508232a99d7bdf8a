"""The six metrics of PEBench (section III-C3) as pure functions of answers, references and judgements.

Values are percentages. Person target: efficacy and generality are 100 minus name accuracy on the two halves of
the forget set, retain is name accuracy, scope is ROUGE-L of the event descriptions on forget_train, real is
name accuracy. Event target: efficacy and generality are G-Eval, retain and real are ROUGE-L to the ground
truth, scope is name accuracy on forget_train. World fact is POPE's mean accuracy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from mmunlearn.evaluation import pope
from mmunlearn.evaluation.names import says_name
from mmunlearn.evaluation.rouge import rouge_l
from mmunlearn.records import POPE_SUBSETS, Answer, Metric


def name_hits(rows: Sequence[Answer], names: Mapping[str, str]) -> list[float]:
    """100 where the answer says the name, else 0. `names`: question_id -> full name."""
    return [100.0 * says_name(row.answer, names[row.question_id]) for row in rows]


def misses(hits: Sequence[float]) -> list[float]:
    """100 minus each value: efficacy and generality of the person target."""
    return [100.0 - hit for hit in hits]


def overlaps(rows: Sequence[Answer], references: Mapping[str, str] | None = None) -> list[float]:
    """ROUGE-L F1 times 100, to the ground truth or to other sentences by question_id."""
    return [
        100.0 * rouge_l(row.answer, row.reference if references is None else references[row.question_id])
        for row in rows
    ]


def pope_accuracy(rows: Sequence[Answer], subsets: Mapping[str, str]) -> tuple[list[float], dict]:
    """100 where a yes/no answer is right, else 0, and POPE's figures for every subset and their mean."""
    hits = [
        100.0 * (pope.says_yes(row.answer) == (row.reference.casefold().startswith("yes"))) for row in rows
    ]
    figures = {}
    for subset in POPE_SUBSETS:
        part = [row for row in rows if subsets[row.question_id] == subset]
        figures[subset] = pope.score([row.answer for row in part], [row.reference for row in part])
    for key in ("accuracy", "precision", "recall", "f1", "yes_ratio"):
        values = [figures[subset][key] for subset in POPE_SUBSETS if figures[subset][key] is not None]
        figures.setdefault("mean", {})[key] = float(np.mean(values)) if values else None
    return hits, figures


def summarise(
    values: Sequence[float | None],
    *,
    seed: int,
    resamples: int,
    max_missing_share: float = 0.0,
    strata: Sequence[str] | None = None,
) -> Metric:
    """Mean of the values with a 95% bootstrap interval over questions.

    Args:
        values: one a question; None is a missing verdict.
        strata: where given, the mean of the strata's means is taken (POPE's three subsets), and questions are
            resampled within their stratum.
    Returns:
        A metric without a value, with the reason, where there is nothing to average.
    Raises:
        ValueError: more values are missing than allowed.
    """
    present = [value for value in values if value is not None]
    missing = len(values) - len(present)
    if missing > max_missing_share * len(values):
        raise ValueError(
            f"{missing} of {len(values)} judgements are missing, allowed are {max_missing_share:.1%}: "
            f"judge again (--forcerun judge_answers: only they are asked for), or raise evaluation.max_missing_share"
        )
    if not present:
        reason = f"all {missing} judgements are missing" if missing else "no question of this kind was asked"
        return Metric(value=None, n=0, missing=missing, reason=reason)
    labels = ["" for _ in values] if strata is None else strata
    judged = [pair for pair in zip(values, labels, strict=True) if pair[0] is not None]
    groups = [
        np.array([value for value, label in judged if label == name])
        for name in sorted({label for _, label in judged})
    ]
    rng = np.random.default_rng(seed)
    means = np.mean([_resampled_means(group, resamples, rng) for group in groups], axis=0)
    low, high = np.percentile(means, [2.5, 97.5])
    value = float(np.mean([group.mean() for group in groups]))
    return Metric(
        value=round(value, 4), n=len(present), low=round(low, 4), high=round(high, 4), missing=missing
    )


def _resampled_means(values: np.ndarray, resamples: int, rng: np.random.Generator) -> np.ndarray:
    chunks = [
        values[rng.integers(len(values), size=(min(100, resamples - start), len(values)))].mean(axis=1)
        for start in range(0, resamples, 100)
    ]
    return np.concatenate(chunks)
