"""Every loss against an independent reference computation, in float64."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from mmunlearn.training import losses

V, T = 11, 7


def made(rows: int, seed: int):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(rows, T, V, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, V, (rows, T), generator=generator)
    for row in range(rows):
        labels[row, : 2 + row % 3] = -100
    labels[0, -1] = -100
    return logits, labels


def token_logps(logits, labels):
    """Per row, the log-probabilities of its answer tokens, by numpy."""
    rows = []
    for row, own in zip(logits.numpy(), labels.numpy(), strict=True):
        pairs = [(row[t - 1], own[t]) for t in range(1, T) if own[t] != -100]
        rows.append([z[y] - np.log(np.exp(z - z.max()).sum()) - z.max() for z, y in pairs])
    return rows


def ce(logits, labels):
    return -np.mean([value for row in token_logps(logits, labels) for value in row])


FORGET, RETAIN, REFUSAL = made(4, 1), made(5, 2), made(4, 3)
REFERENCE = made(5, 4)[0]


def test_cross_entropy_ga_gd_po():
    assert losses.cross_entropy(*FORGET).item() == pytest.approx(ce(*FORGET), abs=1e-12)
    assert losses.ga(*FORGET).item() == pytest.approx(-ce(*FORGET), abs=1e-12)
    assert losses.gd(*FORGET, *RETAIN).item() == pytest.approx(ce(*RETAIN) - ce(*FORGET), abs=1e-12)
    assert losses.po(*REFUSAL, *RETAIN).item() == pytest.approx(ce(*REFUSAL) + ce(*RETAIN), abs=1e-12)


def test_sequence_logp():
    expected = [sum(row) for row in token_logps(*FORGET)]
    np.testing.assert_allclose(losses.sequence_logp(*FORGET).numpy(), expected, atol=1e-12)


def test_kl_is_a_mean_over_samples_of_means_over_answer_tokens():
    logits, labels = RETAIN
    p = torch.log_softmax(REFERENCE, -1).numpy()
    q = torch.log_softmax(logits, -1).numpy()
    rows = [
        np.mean(
            [
                (np.exp(p[b, t - 1]) * (p[b, t - 1] - q[b, t - 1])).sum()
                for t in range(1, T)
                if labels[b, t] != -100
            ]
        )
        for b in range(len(labels))
    ]
    assert losses.kl_divergence(logits, REFERENCE, labels).item() == pytest.approx(np.mean(rows), abs=1e-12)
    assert losses.kl(*FORGET, logits, REFERENCE, labels).item() == pytest.approx(
        np.mean(rows) - ce(*FORGET), abs=1e-12
    )


def test_kl_of_equal_distributions_is_zero():
    assert losses.kl_divergence(RETAIN[0], RETAIN[0], RETAIN[1]).item() == 0.0


def test_kl_direction_is_reference_to_current():
    forward = losses.kl_divergence(RETAIN[0], REFERENCE, RETAIN[1]).item()
    assert forward != pytest.approx(losses.kl_divergence(REFERENCE, RETAIN[0], RETAIN[1]).item(), abs=1e-6)


def test_dpo():
    beta, first, second = 0.3, 0.7, 1.9
    refusal, truth = [np.array([sum(row) for row in token_logps(*made)]) for made in (REFUSAL, FORGET)]
    refusal_reference, truth_reference = np.linspace(-20, -10, 4), np.linspace(-15, -12, 4)
    margin = beta * ((refusal - refusal_reference) - (truth - truth_reference))
    expected = first * ce(*REFUSAL) + second * np.mean([math.log1p(math.exp(-m)) for m in margin])
    got = losses.dpo(
        *REFUSAL, torch.tensor(refusal_reference), *FORGET, torch.tensor(truth_reference), beta, first, second
    )
    assert got.item() == pytest.approx(expected, abs=1e-12)
    assert got.dtype == torch.float64


def test_prompt_image_and_padding_tokens_carry_no_gradient():
    for loss in (losses.ga, losses.cross_entropy):
        logits = FORGET[0].clone().requires_grad_()
        loss(logits, FORGET[1]).backward()
        carries = logits.grad.abs().sum(-1) > 0
        expected = torch.zeros_like(carries)
        expected[:, :-1] = FORGET[1][:, 1:] != -100
        assert torch.equal(carries, expected)


def test_padding_and_row_order_change_nothing():
    padded = torch.cat([FORGET[0], torch.randn(4, 3, V, dtype=torch.float64)], 1)
    labels = torch.cat([FORGET[1], torch.full((4, 3), -100)], 1)
    order = [2, 0, 3, 1]
    for loss in (losses.cross_entropy, lambda *a: losses.kl_divergence(a[0], a[0].flip(-1), a[1])):
        value = loss(*FORGET).item()
        assert loss(padded, labels).item() == pytest.approx(value, abs=1e-12)
        assert loss(FORGET[0][order], FORGET[1][order]).item() == pytest.approx(value, abs=1e-12)


def test_parts_add_up_to_the_whole_batch():
    logits, labels = RETAIN
    tokens = int((labels[:, 1:] != -100).sum())
    for parts in ([slice(0, 2), slice(2, 5)], [slice(0, 1), slice(1, 2), slice(2, 5)]):
        added = sum(losses.cross_entropy(logits[p], labels[p], tokens) for p in parts)
        assert added.item() == pytest.approx(losses.cross_entropy(*RETAIN).item(), abs=1e-12)
        added = sum(losses.kl_divergence(logits[p], REFERENCE[p], labels[p], 5) for p in parts)
        assert added.item() == pytest.approx(
            losses.kl_divergence(logits, REFERENCE, labels).item(), abs=1e-12
        )


def test_half_precision_is_computed_in_float32():
    assert losses.cross_entropy(FORGET[0].bfloat16(), FORGET[1]).dtype == torch.float32
