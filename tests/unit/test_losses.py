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


def mean(rows, average="sample"):
    """Of the rows' values, one a token."""
    return np.mean([np.mean(row) for row in rows]) if average == "sample" else np.mean(np.concatenate(rows))


def ce(made, average="sample"):
    return -mean(token_logps(*made), average)


FORGET, RETAIN, REFUSAL = made(4, 1), made(5, 2), made(4, 3)
REFERENCE = made(5, 4)[0]


AVERAGED = pytest.mark.parametrize(
    "average", [{}, {"average": "sample"}, {"average": "token"}], ids=["default", "sample", "token"]
)


@AVERAGED
def test_averages_by_hand(average):
    """Answers of one token with a chance of 1/2, of three with 1/8 each, and none."""
    by_sample = average.get("average") != "token"
    chances = torch.tensor([[0.5] * 4, [0.125] * 4, [0.125] * 4], dtype=torch.float64)
    labels = torch.tensor([[-100, -100, 0, -100], [-100, 0, 0, 0], [-100] * 4])
    logits = torch.stack([chances, 1 - chances], -1).log()
    expected = (1 + 3) / 2 if by_sample else (1 + 9) / 4
    got = losses.cross_entropy(logits, labels, **average).item()
    assert got == pytest.approx(expected * math.log(2), abs=1e-12)
    reference = logits.clone()
    reference[0] = torch.tensor([0.25, 0.75]).log()
    reference[1] = torch.tensor([1.0, 0.0]).log()
    first, others = 0.25 * math.log(0.5) + 0.75 * math.log(1.5), math.log(8)
    expected = (first + others) / 2 if by_sample else (first + 3 * others) / 4
    got = losses.kl_divergence(logits, reference, labels, **average).item()
    assert got == pytest.approx(expected, abs=1e-7)


@AVERAGED
def test_cross_entropy_ga_gd_po(average):
    forget, retain, refusal = (ce(one, **average) for one in (FORGET, RETAIN, REFUSAL))
    assert losses.cross_entropy(*FORGET, **average).item() == pytest.approx(forget, abs=1e-12)
    assert losses.ga(*FORGET, **average).item() == pytest.approx(-forget, abs=1e-12)
    assert losses.gd(*FORGET, *RETAIN, **average).item() == pytest.approx(retain - forget, abs=1e-12)
    assert losses.po(*REFUSAL, *RETAIN, **average).item() == pytest.approx(refusal + retain, abs=1e-12)


def test_sequence_logp():
    expected = [sum(row) for row in token_logps(*FORGET)]
    np.testing.assert_allclose(losses.sequence_logp(*FORGET).numpy(), expected, atol=1e-12)


@AVERAGED
def test_kl(average):
    logits, labels = RETAIN
    p = torch.log_softmax(REFERENCE, -1).numpy()
    q = torch.log_softmax(logits, -1).numpy()
    rows = [
        [
            (np.exp(p[b, t - 1]) * (p[b, t - 1] - q[b, t - 1])).sum()
            for t in range(1, T)
            if labels[b, t] != -100
        ]
        for b in range(len(labels))
    ]
    expected = mean(rows, **average)
    got = losses.kl_divergence(logits, REFERENCE, labels, **average).item()
    assert got == pytest.approx(expected, abs=1e-12)
    got = losses.kl(*FORGET, logits, REFERENCE, labels, **average).item()
    assert got == pytest.approx(expected - ce(FORGET, **average), abs=1e-12)


def test_kl_of_equal_distributions_is_zero():
    assert losses.kl_divergence(RETAIN[0], RETAIN[0], RETAIN[1]).item() == 0.0


def test_kl_direction_is_reference_to_current():
    forward = losses.kl_divergence(RETAIN[0], REFERENCE, RETAIN[1]).item()
    assert forward != pytest.approx(losses.kl_divergence(REFERENCE, RETAIN[0], RETAIN[1]).item(), abs=1e-6)


@AVERAGED
def test_dpo(average):
    """Its CE alone depends on the average."""
    beta, first, second = 0.3, 0.7, 1.9
    refusal, truth = [np.array([sum(row) for row in token_logps(*made)]) for made in (REFUSAL, FORGET)]
    refusal_reference, truth_reference = np.linspace(-20, -10, 4), np.linspace(-15, -12, 4)
    margin = beta * ((refusal - refusal_reference) - (truth - truth_reference))
    expected = first * ce(REFUSAL, **average) + second * np.mean([math.log1p(math.exp(-m)) for m in margin])
    references = torch.tensor(refusal_reference), torch.tensor(truth_reference)
    got = losses.dpo(*REFUSAL, references[0], *FORGET, references[1], beta, first, second, **average)
    assert got.item() == pytest.approx(expected, abs=1e-12)
    assert got.dtype == torch.float64


SHADOW, LOGP = made(4, 4)[0], torch.linspace(-20, -10, 4, dtype=torch.float64)
ON_FORGET = {
    "ga": losses.ga,
    "cross_entropy": losses.cross_entropy,
    "sequence_logp": lambda x, y: losses.sequence_logp(x, y).sum(),
    "gd": lambda x, y, **average: losses.gd(x, y, x.detach(), y, **average),
    "kl": lambda x, y, **average: losses.kl_divergence(x, elsewhere(SHADOW, x), y, **average),
    "po": lambda x, y, **average: losses.po(x, y, x.detach(), y, **average),
    "chosen": lambda x, y, **average: losses.dpo(x, y, LOGP, x.detach(), y, LOGP, 0.1, 1.0, 1.0, **average),
    "rejected": lambda x, y, **average: losses.dpo(x.detach(), y, LOGP, x, y, LOGP, 0.1, 1.0, 1.0, **average),
    "npo": lambda x, y, **average: losses.npo(x, y, LOGP, 0.1, **average),
    "simnpo": lambda x, y, **average: losses.simnpo(x, y, 2.5, 0.5, **average),
    "bgd": lambda x, y, **average: losses.bgd(x, y, x.detach(), y, x.detach(), y, **average),
    "kl+bgd": lambda x, y, **average: losses.bgd(
        x.detach(), y, x.detach(), y, x, y, elsewhere(SHADOW, x), **average
    ),
}


def predicting(labels):
    """Where logits predict an answer token, (B, T)."""
    return functional.pad(labels[:, 1:] != -100, (0, 1))


def elsewhere(logits, other):
    """Logits that are those of `other` where they predict nothing."""
    return torch.where(predicting(FORGET[1])[..., None], logits, other.detach())


@pytest.mark.parametrize("name", ON_FORGET)
@pytest.mark.parametrize("filling", [0.0, math.inf, -math.inf, math.nan])
def test_what_predicts_no_answer_token_counts_nowhere(name, filling):
    """Prompt, image and padding: nothing comes from there and no gradient goes there, whatever the logits are."""
    expected = ON_FORGET[name](*FORGET).item()
    logits = elsewhere(FORGET[0], torch.full_like(FORGET[0], filling)).requires_grad_()
    value = ON_FORGET[name](logits, FORGET[1])
    value.backward()
    assert value.item() == pytest.approx(expected, abs=1e-12)
    assert torch.isfinite(logits.grad).all()
    assert torch.equal(logits.grad.abs().sum(-1) > 0, predicting(FORGET[1]))


def test_a_token_that_both_models_rule_out_adds_nothing_to_the_divergence():
    logits, reference = RETAIN[0].clone(), REFERENCE.clone()
    logits[..., 0] = reference[..., 0] = -math.inf
    logits.requires_grad_()
    value = losses.kl_divergence(logits, reference, RETAIN[1])
    expected = losses.kl_divergence(RETAIN[0][..., 1:], REFERENCE[..., 1:], RETAIN[1])
    assert value.item() == pytest.approx(expected.item(), abs=1e-12)
    value.backward()
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("name", sorted({*ON_FORGET} - {"sequence_logp"}))
def test_an_unknown_average_is_refused(name):
    with pytest.raises(ValueError, match="average must be sample or token, not 'tokens'"):
        ON_FORGET[name](*FORGET, average="tokens")


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"logits \(5, 7, 11\) and labels \(4, 7\)"):
        losses.cross_entropy(RETAIN[0], FORGET[1])
    with pytest.raises(ValueError, match=r"logits \(4, 7, 11\) and labels \(5, 7\)"):
        losses.kl_divergence(RETAIN[0], SHADOW, RETAIN[1])


@given(
    padding=st.integers(0, 4),
    dummies=st.integers(0, 2),
    order=st.permutations(range(4)),
    average=st.sampled_from(losses.AVERAGES),
)
@settings(max_examples=40, deadline=None)
def test_padding_and_row_order_change_nothing(padding, dummies, order, average):
    """Neither more padding at the end, nor rows without an answer, nor another order of the rows."""

    def changed(logits, labels):
        logits = functional.pad(logits[order], (0, 0, 0, padding, 0, dummies), value=3.0)
        return logits, functional.pad(labels[order], (0, padding, 0, dummies), value=-100)

    def reference(logp):
        return functional.pad(logp[order], (0, dummies), value=math.nan)

    retain, shadow = made(4, 2), made(4, 4)[0]
    first, second = torch.linspace(-20, -10, 4), torch.linspace(-15, -12, 4)
    other = changed(shadow, retain[1])[0]
    forget, other_retain, refused = changed(*FORGET), changed(*retain), changed(*REFUSAL)
    pairs = [
        (losses.ga(*FORGET, average), losses.ga(*forget, average)),
        (losses.gd(*FORGET, *retain, average), losses.gd(*forget, *other_retain, average)),
        (
            losses.kl(*FORGET, retain[0], shadow, retain[1], average),
            losses.kl(*forget, other_retain[0], other, other_retain[1], average),
        ),
        (losses.po(*REFUSAL, *retain, average), losses.po(*refused, *other_retain, average)),
        (
            losses.dpo(*REFUSAL, first, *FORGET, second, 0.1, 1.0, 1.0, average),
            losses.dpo(*refused, reference(first), *forget, reference(second), 0.1, 1.0, 1.0, average),
        ),
        (losses.npo(*FORGET, first, 0.1, average), losses.npo(*forget, reference(first), 0.1, average)),
        (losses.simnpo(*FORGET, 2.5, 0.5, average), losses.simnpo(*forget, 2.5, 0.5, average)),
        (
            losses.bgd(*FORGET, *REFUSAL, *retain, average=average),
            losses.bgd(*forget, *refused, *other_retain, average=average),
        ),
        (
            losses.bgd(*FORGET, *REFUSAL, *retain, shadow, average=average),
            losses.bgd(*forget, *refused, *other_retain, other, average=average),
        ),
    ]
    for expected, got in pairs:
        assert got.item() == pytest.approx(expected.item(), abs=1e-12)


@AVERAGED
def test_npo(average):
    reference, beta = np.linspace(-20, -10, 4), 0.3
    ratio = np.array([sum(row) for row in token_logps(*FORGET)]) - reference
    expected = np.mean([2 / beta * math.log1p(math.exp(beta * r)) for r in ratio])
    got = losses.npo(*FORGET, torch.tensor(reference), beta, **average).item()
    assert got == pytest.approx(expected, abs=1e-12)


@AVERAGED
def test_simnpo_divides_by_the_answers_length(average):
    beta, gamma = 2.5, 0.7
    means = [np.mean(row) for row in token_logps(*FORGET)]
    expected = np.mean([2 / beta * math.log1p(math.exp(beta * mean + gamma)) for mean in means])
    assert losses.simnpo(*FORGET, beta, gamma, **average).item() == pytest.approx(expected, abs=1e-12)


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


@AVERAGED
def test_bgd_weighs_person_event_and_retain(average):
    events = made(3, 9)
    person, event, retain = (ce(one, **average) for one in (FORGET, events, RETAIN))
    expected = 0.5 * retain - 0.3 * person - 0.2 * event
    got = losses.bgd(*FORGET, *events, *RETAIN, **average).item()
    assert got == pytest.approx(expected, abs=1e-12)
    divergence = losses.kl_divergence(RETAIN[0], REFERENCE, RETAIN[1], **average).item()
    expected = 0.7 * divergence - 0.1 * person - 0.4 * event
    got = losses.bgd(*FORGET, *events, *RETAIN, REFERENCE, alpha=0.1, beta=0.4, gamma=0.7, **average)
    assert got.item() == pytest.approx(expected, abs=1e-12)


NOTHING = FORGET[0][:0], FORGET[1][:0]


@pytest.mark.parametrize("absent", [(None, None), NOTHING], ids=["None", "no rows"])
def test_a_term_of_bgd_without_questions_is_zero(absent):
    rest = 0.5 * ce(RETAIN) - 0.3 * ce(FORGET)
    assert losses.bgd(*FORGET, *absent, *RETAIN).item() == pytest.approx(rest, abs=1e-12)
    assert losses.bgd(*absent, *absent, *RETAIN).item() == pytest.approx(0.5 * ce(RETAIN), abs=1e-12)
    assert losses.bgd(*FORGET, *absent, *absent).item() == pytest.approx(-0.3 * ce(FORGET), abs=1e-12)
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
