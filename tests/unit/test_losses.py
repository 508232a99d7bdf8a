"""Every loss against an independent reference computation, in float64."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

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
    for row, answer in zip(logits.numpy(), labels.numpy(), strict=True):
        pairs = [(row[t - 1], answer[t]) for t in range(1, T) if answer[t] != -100]
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


@given(padding=st.integers(0, 4), dummies=st.integers(0, 2), order=st.permutations(range(4)))
@settings(max_examples=25, deadline=None)
def test_padding_and_row_order_change_nothing(padding, dummies, order):
    """Neither more padding at the end, nor rows without an answer, nor another order of the rows."""

    def changed(logits, labels):
        logits = functional.pad(logits[order], (0, 0, 0, padding, 0, dummies), value=3.0)
        return logits, functional.pad(labels[order], (0, padding, 0, dummies), value=-100)

    def reference(logp):
        return functional.pad(logp[order], (0, dummies))

    retain, shadow = made(4, 2), made(4, 4)[0]
    first, second = torch.linspace(-20, -10, 4), torch.linspace(-15, -12, 4)
    other = changed(shadow, retain[1])[0]
    forget, other_retain, refused = changed(*FORGET), changed(*retain), changed(*REFUSAL)
    pairs = [
        (losses.ga(*FORGET), losses.ga(*forget)),
        (losses.gd(*FORGET, *retain), losses.gd(*forget, *other_retain)),
        (
            losses.kl(*FORGET, retain[0], shadow, retain[1]),
            losses.kl(*forget, other_retain[0], other, other_retain[1]),
        ),
        (losses.po(*REFUSAL, *retain), losses.po(*refused, *other_retain)),
        (
            losses.dpo(*REFUSAL, first, *FORGET, second, 0.1, 1.0, 1.0),
            losses.dpo(*refused, reference(first), *forget, reference(second), 0.1, 1.0, 1.0),
        ),
        (losses.npo(*FORGET, first, 0.1), losses.npo(*forget, reference(first), 0.1)),
        (losses.simnpo(*FORGET, 2.5, 0.5), losses.simnpo(*forget, 2.5, 0.5)),
        (losses.bgd(*FORGET, *REFUSAL, *retain), losses.bgd(*forget, *refused, *other_retain)),
        (losses.bgd(*FORGET, *REFUSAL, *retain, shadow), losses.bgd(*forget, *refused, *other_retain, other)),
    ]
    for expected, got in pairs:
        assert got.item() == pytest.approx(expected.item(), abs=1e-12)


def test_npo():
    reference, beta = np.linspace(-20, -10, 4), 0.3
    ratio = np.array([sum(row) for row in token_logps(*FORGET)]) - reference
    expected = np.mean([2 / beta * math.log1p(math.exp(beta * r)) for r in ratio])
    assert losses.npo(*FORGET, torch.tensor(reference), beta).item() == pytest.approx(expected, abs=1e-12)


def test_simnpo_divides_by_the_answers_length():
    beta, gamma = 2.5, 0.7
    means = [np.mean(row) for row in token_logps(*FORGET)]
    expected = np.mean([2 / beta * math.log1p(math.exp(beta * mean + gamma)) for mean in means])
    assert losses.simnpo(*FORGET, beta, gamma).item() == pytest.approx(expected, abs=1e-12)


def test_preferences_where_policy_and_reference_agree():
    refused, true = losses.sequence_logp(*REFUSAL), losses.sequence_logp(*FORGET)
    for beta in (0.1, 2.0):
        at_reference = losses.dpo(*REFUSAL, refused, *FORGET, true, beta, 0.0, 1.0).item()
        assert at_reference == pytest.approx(math.log(2), abs=1e-12)
        assert losses.npo(*FORGET, true, beta).item() == pytest.approx(2 / beta * math.log(2), abs=1e-12)


def gradient(loss):
    logits = FORGET[0].clone().requires_grad_()
    (slope,) = torch.autograd.grad(loss(logits), logits)
    return slope


def test_npo_tends_to_gradient_ascent_as_beta_vanishes():
    """Ascent on the mean of summed log-probabilities: the distance shrinks with beta."""
    reference = torch.linspace(-20, -10, 4, dtype=torch.float64)
    limit = gradient(lambda logits: losses.sequence_logp(logits, FORGET[1]).mean())
    far, near, nearest = (
        (gradient(lambda x, beta=beta: losses.npo(x, FORGET[1], reference, beta)) - limit).norm().item()
        for beta in (1e-1, 1e-3, 1e-5)
    )
    assert nearest < near / 50 < far / 50
    assert nearest < 1e-4 * limit.norm().item()


def test_bgd_weighs_person_event_and_retain():
    person, event = FORGET, made(3, 9)
    expected = 0.5 * ce(*RETAIN) - 0.3 * ce(*person) - 0.2 * ce(*event)
    assert losses.bgd(*person, *event, *RETAIN).item() == pytest.approx(expected, abs=1e-12)
    divergence = losses.kl_divergence(RETAIN[0], REFERENCE, RETAIN[1]).item()
    expected = 0.7 * divergence - 0.1 * ce(*person) - 0.4 * ce(*event)
    got = losses.bgd(*person, *event, *RETAIN, REFERENCE, alpha=0.1, beta=0.4, gamma=0.7)
    assert got.item() == pytest.approx(expected, abs=1e-12)


NOTHING = FORGET[0][:0], FORGET[1][:0]


@pytest.mark.parametrize("absent", [(None, None), NOTHING], ids=["None", "no rows"])
def test_a_term_of_bgd_without_questions_is_zero(absent):
    rest = 0.5 * ce(*RETAIN) - 0.3 * ce(*FORGET)
    assert losses.bgd(*FORGET, *absent, *RETAIN).item() == pytest.approx(rest, abs=1e-12)
    assert losses.bgd(*absent, *absent, *RETAIN).item() == pytest.approx(0.5 * ce(*RETAIN), abs=1e-12)
    assert losses.bgd(*FORGET, *absent, *absent).item() == pytest.approx(-0.3 * ce(*FORGET), abs=1e-12)
    assert losses.bgd(*absent, *absent, *absent, absent[0]).item() == 0.0
    logits = FORGET[0].clone().requires_grad_()
    losses.bgd(logits, FORGET[1], *absent, *RETAIN).backward()
    assert torch.isfinite(logits.grad).all()
    assert logits.grad.any()


def every_loss(dtype):
    """Each public loss on logits of a dtype, and on none at all."""
    for taken in (slice(None), slice(0)):
        forget, refused = [(x[taken].to(dtype), y[taken]) for x, y in (FORGET, REFUSAL)]
        retain, shadow, logp = RETAIN[0][taken].to(dtype), REFERENCE[taken].to(dtype), -torch.ones(4)[taken]
        other_retain = retain, RETAIN[1][taken]
        yield (
            taken,
            [
                losses.ga(*forget),
                losses.gd(*forget, *other_retain),
                losses.kl(*forget, retain, shadow, other_retain[1]),
                losses.po(*refused, *other_retain),
                losses.dpo(*refused, logp, *forget, logp, 0.1, 1.0, 1.0),
                losses.npo(*forget, logp, 0.1),
                losses.simnpo(*forget, 2.5, 0.0),
                losses.bgd(*forget, *refused, *other_retain),
                losses.bgd(*forget, *refused, *other_retain, shadow),
            ],
        )


@pytest.mark.parametrize(
    ("given_dtype", "computed"),
    [
        (torch.float64,) * 2,
        (torch.float32,) * 2,
        (torch.bfloat16, torch.float32),
        (torch.float16, torch.float32),
    ],
    ids=str,
)
def test_every_loss_is_a_finite_scalar_of_its_dtype_and_zero_for_nothing(given_dtype, computed):
    for taken, values in every_loss(given_dtype):
        for value in values:
            assert value.shape == () and value.dtype == computed
            assert math.isfinite(value.item())
            assert taken == slice(None) or value.item() == 0.0
