"""Losses of finetuning and unlearning as pure functions of logits and labels.

Shapes: logits (B, T, V); labels (B, T), int64, with -100 where a token carries no loss (prompt, image, padding);
log-probabilities (B,). Labels are not shifted: the logits at position t are held against the label at t + 1. Each
loss is a scalar in the dtype of the logits (float32 for half precision), and shapes that do not fit together raise
torch's RuntimeError or ValueError.

CE and KL take an `average`: `sample`, the mean over samples (rows) of each one's mean over its answer tokens, as in
equations 1 and 4, or `token`, the mean over all answer tokens. The preference terms of DPO, NPO and SimNPO are means
over samples in both, as in their papers. Any other `average` is a ValueError.

A mean is over what it is given unless `total` says how many samples with an answer (or answer tokens, where these are
averaged) the whole effective batch has; then the parts of a batch, computed apart, add up to the whole. A term without
any rows is 0, and a row without any answer token counts nowhere. Nor do logits that predict no answer token: infinities
there leave losses and gradients alone.

Sources: PEBench, sections IV-A and IV-E, equations 1 to 8; NPO: arXiv 2404.05868, section 3; SimNPO: arXiv
2410.07163.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

IGNORED = -100
AVERAGES = ("sample", "token")


def answer_lengths(labels: Tensor) -> Tensor:
    """Answer tokens of every row, (B,) int64."""
    return (labels[:, 1:] != IGNORED).sum(1)


def sample_mean(values: Tensor, labels: Tensor, total: int | None = None) -> Tensor:
    """Mean of `values` (B,) over the samples that have an answer."""
    answered = values[answer_lengths(labels) > 0]
    return answered.sum() / (total or max(len(answered), 1))


def cross_entropy(
    logits: Tensor, labels: Tensor, total: int | None = None, average: str = "sample"
) -> Tensor:
    """CE in nats a token."""
    return _answer_mean(_token_nll(logits, labels), labels, total, average)


def kl_divergence(
    logits: Tensor,
    reference_logits: Tensor,
    labels: Tensor,
    total: int | None = None,
    average: str = "sample",
) -> Tensor:
    """KL(reference || current) in nats a token (eq. 4)."""
    current = _at_answers(logits, labels).log_softmax(-1)
    reference = _at_answers(reference_logits, labels).log_softmax(-1)
    pointwise = functional.kl_div(current, reference, log_target=True, reduction="none")
    impossible = reference.isneginf()  # 0 log 0 is 0
    return _answer_mean(pointwise.masked_fill(impossible, 0.0).sum(-1), labels, total, average)


def sequence_logp(logits: Tensor, labels: Tensor) -> Tensor:
    """Summed log-probability of every answer, (B,)."""
    return -_row_sums(_token_nll(logits, labels), labels)


def _at_answers(logits: Tensor, labels: Tensor) -> Tensor:
    """The logits that predict an answer token, (N, V), row by row."""
    if logits.shape[:2] != labels.shape:
        raise ValueError(f"logits {tuple(logits.shape)} and labels {tuple(labels.shape)} differ in B or T")
    chosen = logits[:, :-1][labels[:, 1:] != IGNORED]
    return chosen.float() if chosen.dtype in (torch.float16, torch.bfloat16) else chosen


def _token_nll(logits: Tensor, labels: Tensor) -> Tensor:
    """Negative log-probability of every answer token, (N,)."""
    targets = labels[:, 1:][labels[:, 1:] != IGNORED]
    return functional.cross_entropy(_at_answers(logits, labels), targets, reduction="none")


def _row_sums(values: Tensor, labels: Tensor) -> Tensor:
    """Sums of `values` (N,) over the answer tokens of every row, (B,)."""
    answers = labels[:, 1:] != IGNORED
    return values.new_zeros(answers.shape).masked_scatter(answers, values).sum(1)


def _answer_mean(values: Tensor, labels: Tensor, total: int | None, average: str) -> Tensor:
    """Mean of `values` (N,) of the answer tokens."""
    if _known(average) == "token":
        return values.sum() / (total or max(len(values), 1))
    return sample_mean(_row_sums(values, labels) / answer_lengths(labels).clamp(min=1), labels, total)


def _known(average: str) -> str:
    if average not in AVERAGES:
        raise ValueError(f"average must be {' or '.join(AVERAGES)}, not {average!r}")
    return average


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


def ga(logits: Tensor, labels: Tensor, average: str = "sample") -> Tensor:
    """Gradient ascent: -CE(forget) (eq. 1)."""
    return -cross_entropy(logits, labels, average=average)


def gd(
    forget_logits: Tensor,
    forget_labels: Tensor,
    retain_logits: Tensor,
    retain_labels: Tensor,
    average: str = "sample",
) -> Tensor:
    """Gradient difference: -CE(forget) + CE(retain) (eq. 3)."""
    retain = cross_entropy(retain_logits, retain_labels, average=average)
    return retain + ga(forget_logits, forget_labels, average)


def kl(
    forget_logits: Tensor,
    forget_labels: Tensor,
    retain_logits: Tensor,
    reference_logits: Tensor,
    retain_labels: Tensor,
    average: str = "sample",
) -> Tensor:
    """-CE(forget) + KL(reference || current) on retain (eq. 4 and 5)."""
    retain = kl_divergence(retain_logits, reference_logits, retain_labels, average=average)
    return retain + ga(forget_logits, forget_labels, average)


def po(
    refusal_logits: Tensor,
    refusal_labels: Tensor,
    retain_logits: Tensor,
    retain_labels: Tensor,
    average: str = "sample",
) -> Tensor:
    """Preference optimisation: CE(refusals on forget) + CE(retain) (eq. 2)."""
    refusal = cross_entropy(refusal_logits, refusal_labels, average=average)
    return refusal + cross_entropy(retain_logits, retain_labels, average=average)


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
    average: str = "sample",
) -> Tensor:
    """lambda1 CE(refusals) + lambda2 DPO, refusals chosen and truths rejected (eq. 6 and 7).

    Row i of the refusals and row i of the truths answer the same question.
    """
    refusal_logp = sequence_logp(refusal_logits, refusal_labels)
    truth_logp = sequence_logp(truth_logits, truth_labels)
    ranked = preference(refusal_logp, refusal_reference_logp, truth_logp, truth_reference_logp, beta)
    refused = cross_entropy(refusal_logits, refusal_labels, average=average)
    return lambda1 * refused + lambda2 * sample_mean(ranked, refusal_labels)


def npo(
    logits: Tensor, labels: Tensor, reference_logp: Tensor, beta: float, average: str = "sample"
) -> Tensor:
    """Negative preference optimisation: mean over forget samples of (2 / beta) (-log sigmoid(-beta r)), r the
    summed log-probability less the reference's. No term depends on `average`."""
    _known(average)
    return sample_mean(negative_preference(sequence_logp(logits, labels), reference_logp, beta), labels)


def simnpo(logits: Tensor, labels: Tensor, beta: float, gamma: float, average: str = "sample") -> Tensor:
    """NPO without a reference: the log-probability is divided by the answer's length and held against the margin
    gamma. No term depends on `average`."""
    _known(average)
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
    average: str = "sample",
) -> Tensor:
    """Balanced gradient difference: -alpha CE(person) - beta CE(event) + gamma retain (eq. 8).

    The retain term is CE(retain) (GD+BGD) or, where `reference_logits` is given, KL(reference || current) on retain
    (KL+BGD). A term is 0 where its tensors are None or have no rows, as the events' are in the first step.
    """
    person, event, retain = (
        torch.zeros(()) if logits is None else cross_entropy(logits, labels, average=average)
        for logits, labels in (
            (person_logits, person_labels),
            (event_logits, event_labels),
            (None if reference_logits is not None else retain_logits, retain_labels),
        )
    )
    if retain_logits is not None and reference_logits is not None:
        retain = kl_divergence(retain_logits, reference_logits, retain_labels, average=average)
    return gamma * retain - alpha * person - beta * event
