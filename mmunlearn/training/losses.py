"""Losses of finetuning and unlearning as pure functions of logits and labels.

Shapes: logits (B, T, V); labels (B, T), int64, with -100 where a token carries no loss (prompt, image, padding);
log-probabilities (B,). Labels are not shifted: the logits at position t are held against the label at t + 1. Each
loss is a scalar in the dtype of the logits (float32 for half precision), and shapes that do not fit together raise
torch's RuntimeError or ValueError.

A mean is over what it is given unless `total` says how many answer tokens (or samples) the whole effective
batch has; then the parts of a batch, computed apart, add up to the whole. A term without any rows is 0, and a row
without any answer token counts nowhere.

Sources: PEBench, sections IV-A and IV-E, equations 1 to 8; NPO: arXiv 2404.05868, section 3; SimNPO: arXiv
2410.07163. CE is the mean over the batch's answer tokens.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

IGNORED = -100


def _shifted(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    logits = logits[:, :-1]
    return (logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits), labels[:, 1:]


def answer_lengths(labels: Tensor) -> Tensor:
    """Answer tokens of every row, (B,) int64."""
    return (labels[:, 1:] != IGNORED).sum(1)


def sample_mean(values: Tensor, labels: Tensor, total: int | None = None) -> Tensor:
    """Mean of `values` (B,) over the samples that have an answer."""
    answered = answer_lengths(labels) > 0
    return (values * answered).sum() / (total or max(int(answered.sum()), 1))


def cross_entropy(logits: Tensor, labels: Tensor, total: int | None = None) -> Tensor:
    """CE in nats: mean over answer tokens."""
    logits, labels = _shifted(logits, labels)
    tokens = total or max(int((labels != IGNORED).sum()), 1)
    return functional.cross_entropy(
        logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED, reduction="sum"
    ) / tokens  # fmt: skip


def sequence_logp(logits: Tensor, labels: Tensor) -> Tensor:
    """Summed log-probability of every answer, (B,)."""
    logits, labels = _shifted(logits, labels)
    flat = functional.cross_entropy(
        logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED, reduction="none"
    )
    return -flat.view(labels.shape).sum(1)


def kl_divergence(
    logits: Tensor, reference_logits: Tensor, labels: Tensor, total: int | None = None
) -> Tensor:
    """KL(reference || current): mean over samples of the mean over answer tokens (eq. 4)."""
    current, shifted = _shifted(logits, labels)
    reference, _ = _shifted(reference_logits, labels)
    pointwise = functional.kl_div(
        current.log_softmax(-1), reference.log_softmax(-1), log_target=True, reduction="none"
    ).sum(-1)
    per_sample = (pointwise * (shifted != IGNORED)).sum(1) / answer_lengths(labels).clamp(min=1)
    return sample_mean(per_sample, labels, total)


def preference(
    chosen_logp: Tensor,
    chosen_reference_logp: Tensor,
    rejected_logp: Tensor,
    rejected_reference_logp: Tensor,
    beta: float,
) -> Tensor:
    """-log sigmoid(beta (log-ratio of chosen - log-ratio of rejected)) of every pair, (B,) (eq. 6)."""
    margin = (chosen_logp - chosen_reference_logp) - (rejected_logp - rejected_reference_logp)
    return -functional.logsigmoid(beta * margin)


def negative_preference(logp: Tensor, reference_logp: Tensor, beta: float) -> Tensor:
    """(2 / beta) (-log sigmoid(-beta log-ratio)) of every sample, (B,); its gradient tends to that of `logp` as
    beta tends to 0."""
    return -2 / beta * functional.logsigmoid(-beta * (logp - reference_logp))


def simple_negative_preference(logp: Tensor, lengths: Tensor, beta: float, gamma: float) -> Tensor:
    """(2 / beta) (-log sigmoid(-(beta / |y|) logp - gamma)) of every sample, (B,); `lengths` (B,) is |y|."""
    return -2 / beta * functional.logsigmoid(-beta * logp / lengths.clamp(min=1) - gamma)


def ga(logits: Tensor, labels: Tensor) -> Tensor:
    """Gradient ascent: -CE(forget) (eq. 1)."""
    return -cross_entropy(logits, labels)


def gd(forget_logits: Tensor, forget_labels: Tensor, retain_logits: Tensor, retain_labels: Tensor) -> Tensor:
    """Gradient difference: -CE(forget) + CE(retain) (eq. 3)."""
    return ga(forget_logits, forget_labels) + cross_entropy(retain_logits, retain_labels)


def kl(
    forget_logits: Tensor,
    forget_labels: Tensor,
    retain_logits: Tensor,
    reference_logits: Tensor,
    retain_labels: Tensor,
) -> Tensor:
    """-CE(forget) + KL(reference || current) on retain (eq. 4 and 5)."""
    return ga(forget_logits, forget_labels) + kl_divergence(retain_logits, reference_logits, retain_labels)


def po(
    refusal_logits: Tensor, refusal_labels: Tensor, retain_logits: Tensor, retain_labels: Tensor
) -> Tensor:
    """Preference optimisation: CE(refusals on forget) + CE(retain) (eq. 2)."""
    return cross_entropy(refusal_logits, refusal_labels) + cross_entropy(retain_logits, retain_labels)


def dpo(
    refusal_logits: Tensor,
    refusal_labels: Tensor,
    refusal_reference_logp: Tensor,
    truth_logits: Tensor,
    truth_labels: Tensor,
    truth_reference_logp: Tensor,
    beta: float,
    lambda1: float,
    lambda2: float,
) -> Tensor:
    """lambda1 CE(refusals) + lambda2 DPO, refusals chosen and truths rejected (eq. 6 and 7).

    Row i of the refusals and row i of the truths answer the same question.
    """
    refusal_logp = sequence_logp(refusal_logits, refusal_labels)
    truth_logp = sequence_logp(truth_logits, truth_labels)
    ranked = preference(refusal_logp, refusal_reference_logp, truth_logp, truth_reference_logp, beta)
    refused = cross_entropy(refusal_logits, refusal_labels)
    return lambda1 * refused + lambda2 * sample_mean(ranked, refusal_labels)


def npo(logits: Tensor, labels: Tensor, reference_logp: Tensor, beta: float) -> Tensor:
    """Negative preference optimisation: mean over forget samples of (2 / beta) (-log sigmoid(-beta r)), r the
    summed log-probability less the reference's."""
    return sample_mean(
        negative_preference(sequence_logp(logits, labels), reference_logp, beta), labels
    )  # fmt: skip


def simnpo(logits: Tensor, labels: Tensor, beta: float, gamma: float) -> Tensor:
    """NPO without a reference: the log-probability is divided by the answer's length and held against the margin
    gamma."""
    logp = sequence_logp(logits, labels)
    return sample_mean(simple_negative_preference(logp, answer_lengths(labels), beta, gamma), labels)


def bgd(
    person_logits: Tensor | None,
    person_labels: Tensor | None,
    event_logits: Tensor | None,
    event_labels: Tensor | None,
    retain_logits: Tensor | None,
    retain_labels: Tensor | None,
    reference_logits: Tensor | None = None,
    alpha: float = 0.3,
    beta: float = 0.2,
    gamma: float = 0.5,
) -> Tensor:
    """Balanced gradient difference: -alpha CE(person) - beta CE(event) + gamma retain (eq. 8).

    The retain term is CE(retain) (GD+BGD) or, where `reference_logits` is given, KL(reference || current) on retain
    (KL+BGD). A term is 0 where its tensors are None or have no rows, as the events' are in the first step.
    """
    person, event, retain = (
        torch.zeros(()) if logits is None else cross_entropy(logits, labels)
        for logits, labels in (
            (person_logits, person_labels),
            (event_logits, event_labels),
            (None if reference_logits is not None else retain_logits, retain_labels),
        )
    )
    if retain_logits is not None and reference_logits is not None:
        retain = kl_divergence(retain_logits, reference_logits, retain_labels)
    return gamma * retain - alpha * person - beta * event
