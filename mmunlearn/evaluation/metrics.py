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
from mmunlearn.evaluation.intervals import cluster_sums, clusters_of, interval, mean
from mmunlearn.evaluation.rouge import rouge_l
from mmunlearn.names import says_name
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
    for key in ("n", "unparsable", "doubtful"):
        figures["mean"][key] = sum(figures[subset][key] for subset in POPE_SUBSETS)
    return hits, figures


def summarise(
    values: Sequence[float | None],
    *,
    seed: int,
    resamples: int,
    max_missing_share: float = 0.0,
    clusters: Sequence[str] | None = None,
    strata: Sequence[str] | None = None,
) -> Metric:
    """Mean of the values with a 95% interval over their clusters, see `intervals`.

    Args:
        values: one a question, in [0, 100]; None is a missing verdict.
        clusters: what each value belongs to, the same for values that are not independent of each other; without it
            each is a cluster of its own.
        strata: where given, the mean of the strata's means is taken (POPE's three subsets).
    Returns:
        A metric without a value, with the reason, where there is nothing to average.
    Raises:
        ValueError: more values are missing than allowed.
    """
    missing = sum(value is None for value in values)
    if missing > max_missing_share * len(values):
        raise ValueError(
            f"{missing} of {len(values)} judgements are missing, allowed are {max_missing_share:.1%}: "
            f"judge again (--forcerun judge_answers: only they are asked for), or raise evaluation.max_missing_share"
        )
    sums = cluster_sums(values, clusters or [f"{at:09d}" for at in range(len(values))], strata)
    if not sums:
        reason = f"all {missing} judgements are missing" if missing else "no question of this kind was asked"
        return Metric(value=None, n=0, missing=missing, reason=reason)
    low, high = interval(sums, seed=seed, resamples=resamples)
    n, number = len(values) - missing, len(clusters_of(sums))
    return Metric(value=mean(sums), n=n, low=low, high=high, missing=missing, clusters=number)
