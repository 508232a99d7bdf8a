"""Attack by membership inference: can one tell from likelihoods which pictures were forgotten?

Members are forget_train pictures; for each, the non-member is another picture of the same person at the same event,
drawn by the same policy from further seeds (`unseen`), which no model has trained on. Question and answer are the same
on both sides: the AUC measures whether this picture was trained on, not whether the person or the event is known.
(forget_test cannot be the other side: the finetuned model has trained on it.) The goal model has seen neither side and
stands at 0.5 but for chance. Values above it betray what was learnt; values below it betray what was unlearned, as
likelihoods pushed down on the very pictures are a trace, too.

Scores, higher for members: loss; zlib (Carlini et al., arXiv 2012.07805); Min-K% (arXiv 2310.16789); Min-K%++ (arXiv
2404.02936). They look at the answer's tokens alone.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from accelerate.utils import send_to_device
from torch import Tensor

from mmunlearn.evaluation.intervals import FEW, draws, exact, percentiles
from mmunlearn.models.collate import IGNORED, Collator, forward
from mmunlearn.models.example import Example
from mmunlearn.models.feature_file import FeatureTable
from mmunlearn.models.loading import autocast
from mmunlearn.models.picture_list import PictureList, open_features
from mmunlearn.records import Finding, Metric, Question
from mmunlearn.robustness.base import READS, AttackMethod
from mmunlearn.robustness.target import TargetModel, no_finding

SCORES = ("loss", "zlib", "min-k", "min-k++")


@dataclass(frozen=True)
class Tokens:
    """An answer's tokens: log-probability of each, and mean and standard deviation of the log-probability over the
    vocabulary under the model's own distribution at that place; (T,) float64 each, nats."""

    logp: np.ndarray
    mean: np.ndarray
    deviation: np.ndarray


def infer_membership(target: TargetModel, *, min_k: float) -> tuple[list[Finding], dict[str, object]]:
    """AUC of each score, in [0, 1], between forget_train and the unseen pictures of the same cells.

    Their features or pictures, the file `unseen`, lie under the image ids of the members.

    Args:
        min_k: share of the least likely tokens that Min-K% looks at.
    """
    unseen = open_features(target.files["unseen"])
    rows = target.sample(target.questions_on(target.split.forget_train))
    rows = [row for row in rows if row.image_id in unseen]
    if not rows:
        reason = "no unseen picture of a forgotten cell is valid"
        return [no_finding(name, "auc", reason) for name in SCORES], {"pairs": 0}
    members, others = (
        [
            scores(one, row.answer, min_k)
            for one, row in zip(_tokens(target, rows, features), rows, strict=True)
        ]
        for features in (target.features, unseen)
    )
    drawing = {"seed": target.bootstrap_seed, "resamples": target.settings.bootstrap}
    drawing |= {"clusters": target.clusters(rows)}
    findings = [
        compare(name, [one[name] for one in members], [one[name] for one in others], **drawing)
        for name in SCORES
    ]
    return findings, {"pairs": len(rows), "question_ids": [row.question_id for row in rows]}


@torch.no_grad()
def _tokens(
    target: TargetModel, rows: Sequence[Question], features: FeatureTable | PictureList
) -> Iterator[Tokens]:
    collator, size = Collator(target.base, features), target.settings.batch
    model = target.model.eval()
    for start in range(0, len(rows), size):
        examples = [
            Example(row.image_id, ((row.question, row.answer),)) for row in rows[start : start + size]
        ]
        batch = send_to_device(collator(examples), target.base.model.device)
        with autocast(target.settings.precision, target.base.model.device):
            logits, labels = forward(model, collator.with_features(batch))
        yield from token_statistics(logits, labels)


def token_statistics(logits: Tensor, labels: Tensor) -> list[Tokens]:
    """Of every row's answer. logits (B, T, V), labels (B, T), not shifted, -100 where there is no answer."""
    logp = logits[:, :-1].double().log_softmax(-1)
    labels = labels[:, 1:]
    possible = logp.masked_fill(logp.isneginf(), 0.0)  # 0 log 0 is 0
    mean = (logp.exp() * possible).sum(-1)
    deviation = ((logp.exp() * possible.square()).sum(-1) - mean.square()).clamp(min=0).sqrt()
    of_token = logp.gather(-1, labels.clamp(min=0)[..., None])[..., 0]
    answered = labels != IGNORED
    return [
        Tokens(*(part[row][answered[row]].cpu().numpy() for part in (of_token, mean, deviation)))
        for row in range(len(labels))
    ]


def scores(tokens: Tokens, answer: str, min_k: float) -> dict[str, float]:
    """The four scores of one answer, higher for members."""
    mean = float(tokens.logp.mean())
    return {
        "loss": mean,
        "zlib": mean / len(zlib.compress(answer.encode())),
        "min-k": lowest_mean(tokens.logp, min_k),
        "min-k++": lowest_mean((tokens.logp - tokens.mean) / np.maximum(tokens.deviation, 1e-8), min_k),
    }


def lowest_mean(values: np.ndarray, share: float) -> float:
    """Mean of the lowest values: so large a share of them, rounded down, but one at least."""
    return float(np.sort(values)[: max(1, int(share * len(values)))].mean())


def wins(members: Sequence[float], others: Sequence[float]) -> np.ndarray:
    """(M, N): 1 where a member scores higher than a non-member, 0.5 where they tie, else 0."""
    rows, columns = np.asarray(members)[:, None], np.asarray(others)[None, :]
    return (rows > columns) + 0.5 * (rows == columns)


def auc(members: Sequence[float], others: Sequence[float]) -> float:
    """Area under the ROC curve, exact: the chance that a member scores higher than a non-member, ties by half."""
    return float(wins(members, others).mean())


def compare(
    name: str,
    members: Sequence[float],
    others: Sequence[float],
    *,
    seed: int,
    resamples: int,
    clusters: Sequence[str] | None = None,
) -> Finding:
    """The AUC of a score with its interval; none where a score is not finite."""
    if not np.isfinite([*members, *others]).all():
        return no_finding(name, "auc", "a likelihood is not finite")
    clusters = clusters or [str(at) for at in range(len(members))]
    low, high = auc_interval(members, others, seed=seed, resamples=resamples, clusters=clusters)
    value = Metric(
        value=auc(members, others), n=len(members), low=low, high=high, clusters=len(set(clusters))
    )
    return Finding(setting=name, metric="auc", result=value)


def auc_interval(
    members: Sequence[float],
    others: Sequence[float],
    *,
    seed: int,
    resamples: int,
    clusters: Sequence[str] | None = None,
) -> tuple[float, float]:
    """95% interval of the AUC of pairs, see `evaluation.intervals`.

    Member i and non-member i are drawn together, and with all pairs of their cluster: `clusters` names that of each
    pair; without it each is its own.
    """
    table = wins(members, others)
    names, at = np.unique(clusters or range(len(table)), return_inverse=True)
    if len(names) < FEW or np.ptp(table) == 0:
        return exact(auc(members, others), len(names), (0.0, 1.0), agree=np.ptp(table) == 0)
    weights = draws(("",) * len(names), seed, resamples)[:, at]
    drawn = np.einsum("rm,mn,rn->r", weights, table, weights, optimize=True) / weights.sum(1) ** 2
    return percentiles(drawn, len(names))


class Membership(AttackMethod):
    """The attack of this file."""

    reads = (*READS, "unseen")
    attack = staticmethod(infer_membership)
