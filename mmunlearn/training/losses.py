"""Losses of finetuning and unlearning as pure functions of logits and labels.

Shapes: logits (B, T, V); labels (B, T), int64, with -100 where a token carries no loss (prompt, image, padding).
Labels are not shifted: the logits at position t are held against the label at t + 1. Each function returns a
scalar in the dtype of the logits (float32 for half precision).

A mean is over what it is given unless `total` says how many answer tokens (or samples) the whole effective
batch has; then the parts of a batch, computed apart, add up to the whole.

Source: PEBench, section IV-A, equations 1 to 7. CE is the mean over the batch's answer tokens.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

IGNORED = -100


def _shifted(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    logits = logits[:, :-1]
    return (logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits), labels[:, 1:]


def cross_entropy(logits: Tensor, labels: Tensor, total: int | None = None) -> Tensor:
    """CE in nats: mean over answer tokens."""
    logits, labels = _shifted(logits, labels)
    tokens = total or int((labels != IGNORED).sum())
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
    answers = shifted != IGNORED
    pointwise = functional.kl_div(
        current.log_softmax(-1), reference.log_softmax(-1), log_target=True, reduction="none"
    ).sum(-1)
    per_sample = (pointwise * answers).sum(1) / answers.sum(1)
    return per_sample.sum() / (total or len(per_sample))


def preference(
    chosen_logp: Tensor,
    chosen_reference_logp: Tensor,
    rejected_logp: Tensor,
    rejected_reference_logp: Tensor,
    beta: float,
    total: int | None = None,
) -> Tensor:
    """-log sigmoid(beta (log-ratio of chosen - log-ratio of rejected)), mean over samples (eq. 6); inputs (B,)."""
    margin = (chosen_logp - chosen_reference_logp) - (rejected_logp - rejected_reference_logp)
    return -functional.logsigmoid(beta * margin).sum() / (total or len(margin))


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
    """lambda1 CE(refusals) + lambda2 DPO, refusals chosen and truths rejected (eq. 6 and 7)."""
    refusal_logp = sequence_logp(refusal_logits, refusal_labels)
    truth_logp = sequence_logp(truth_logits, truth_labels)
    ranked = preference(refusal_logp, refusal_reference_logp, truth_logp, truth_reference_logp, beta)
    return lambda1 * cross_entropy(refusal_logits, refusal_labels) + lambda2 * ranked
