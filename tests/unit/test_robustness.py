"""The attacks' arithmetic against hand-computed numbers and independent references."""

from __future__ import annotations

import math
import zlib
from itertools import pairwise

import numpy as np
import pytest
import torch
import yaml

from mmunlearn.records import Question, RecordError, Split
from mmunlearn.robustness.membership import (
    Tokens,
    auc,
    auc_interval,
    compare,
    lowest_mean,
    scores,
    token_statistics,
)
from mmunlearn.robustness.paraphrase import pooled, read_paraphrases
from mmunlearn.robustness.quantisation import rounded
from mmunlearn.robustness.relearning import constant_rate, from_every_concept, plan_relearning
from mmunlearn.robustness.unseen import first_attempt
from mmunlearn.workflow.targets import Targets
from tests.unit.test_config_schema import ROOT, merged

SPLIT = Split(
    target="person",
    percent=5,
    seed=0,
    forgotten=["p0", "p1"],
    forget_train=[f"p{p}-e{e}" for p in (0, 1) for e in range(4)],
    forget_test=[],
    retain=[],
)


def question(image: str) -> Question:
    return Question(
        question_id=f"{image}-person", image_id=image, kind="person", question="Who?", answer="Ada."
    )


ROWS = [question(image) for image in SPLIT.forget_train]


# Membership


def test_auc_counts_wins_and_half_the_ties():
    assert auc([3, 1], [2, 1]) == (1 + 1 + 0 + 0.5) / 4
    assert auc([1, 1], [1, 1, 1]) == 0.5
    assert auc([5, 6], [1, 2]) == 1 and auc([1, 2], [5, 6]) == 0


def test_auc_is_that_of_the_ranks():
    rng = np.random.default_rng(0)
    members, others = rng.integers(0, 9, 40) + 1, rng.integers(0, 9, 30)
    pooled_scores = np.concatenate([members, others])
    ranks = np.array(
        [(pooled_scores < one).sum() + ((pooled_scores == one).sum() + 1) / 2 for one in members]
    )
    u = ranks.sum() - 40 * 41 / 2
    assert auc(members, others) == pytest.approx(u / (40 * 30))


def test_auc_interval_holds_the_value_and_is_repeatable():
    rng = np.random.default_rng(1)
    members, others = rng.normal(0.5, 1, 50), rng.normal(0, 1, 50)
    low, high = auc_interval(members, others, seed=3, resamples=300)
    assert low < auc(members, others) < high
    assert (low, high) == auc_interval(members, others, seed=3, resamples=300)
    assert auc_interval([2.0], [1.0], seed=0, resamples=10) == (1.0, 1.0)


def test_token_statistics_against_a_distribution_computed_by_hand():
    # after softmax: 0.5, 0.25, 0.25 at the place before the only answer token, which is token 1
    logits = torch.log(torch.tensor([[[0.5, 0.25, 0.25], [1.0, 1.0, 1.0]]]))
    (one,) = token_statistics(logits, torch.tensor([[-100, 1]]))
    mean = -(0.5 * math.log(2) + 0.5 * math.log(4))
    variance = 0.5 * math.log(2) ** 2 + 0.5 * math.log(4) ** 2 - mean**2
    assert one.logp == pytest.approx([-math.log(4)])
    assert one.mean == pytest.approx([mean])
    assert one.deviation == pytest.approx([math.sqrt(variance)])


def test_token_statistics_leave_out_what_is_no_answer():
    labels = torch.tensor([[-100, 2, 1, -100], [-100, 0, -100, -100]])
    first, second = token_statistics(torch.randn(2, 4, 3), labels)
    assert len(first.logp) == 2 and len(second.logp) == 1


def test_lowest_mean_takes_one_token_at_least():
    values = np.array([-1.0, -5.0, -2.0, -4.0, -3.0])
    assert lowest_mean(values, 0.2) == -5
    assert lowest_mean(values, 0.59) == -4.5
    assert lowest_mean(values, 0.01) == -5
    assert lowest_mean(values, 1.0) == -3


def test_the_four_scores():
    tokens = Tokens(np.array([-1.0, -3.0]), np.array([-2.0, -2.0]), np.array([0.5, 2.0]))
    text = "This is Ada Lund."
    assert scores(tokens, text, 0.5) == pytest.approx(
        {"loss": -2, "zlib": -2 / len(zlib.compress(text.encode())), "min-k": -3, "min-k++": -0.5}
    )


def test_a_certain_token_has_no_deviation_and_a_finite_score():
    tokens = Tokens(np.array([0.0]), np.array([0.0]), np.array([0.0]))
    assert scores(tokens, "a", 0.2)["min-k++"] == 0


def test_a_score_that_is_not_finite_is_no_area():
    result = compare("loss", [float("nan"), 1.0], [0.0, 0.0], seed=1, resamples=9).result
    assert result.value is None and "not finite" in result.reason
    assert compare("loss", [2.0, 1.0], [0.0, 0.0], seed=1, resamples=9).result.value == 1.0


# Quantisation


def test_rounding_to_a_grid_by_hand():
    weight = torch.tensor([[7.0, -3.4, 1.6, 0.0], [0.07, 0.034, -0.07, 0.016]])
    assert torch.allclose(
        rounded(weight, 4), torch.tensor([[7.0, -3, 2, 0], [0.07, 0.03, -0.07, 0.02]]), atol=1e-6
    )


def test_every_group_has_a_scale_of_its_own():
    weight = torch.tensor([[7.0, 3.4, 0.07, 0.034, 1.0]])
    assert torch.allclose(rounded(weight, 4, 2), torch.tensor([[7.0, 3, 0.07, 0.03, 1.0]]), atol=1e-6)


@pytest.mark.parametrize(("bits", "group"), [(8, None), (4, 16), (4, 5), (2, 7)])
def test_rounding_moves_no_weight_by_more_than_half_a_step(bits, group):
    weight = torch.randn(6, 33, generator=torch.Generator().manual_seed(0))
    coarse = rounded(weight, bits, group)
    bounds = [0, *range(group, 33, group), 33] if group else [0, 33]
    for start, stop in pairwise(bounds):
        part = weight[:, start:stop]
        step = part.abs().amax(1, keepdim=True) / (2 ** (bits - 1) - 1)
        assert ((coarse[:, start:stop] - part).abs() <= step / 2 + 1e-6).all()
        assert len(coarse[0, start:stop].unique()) <= 2**bits - 1
    assert torch.allclose(rounded(coarse, bits, group), coarse, atol=1e-6)


def test_zeros_and_the_type_stay():
    assert not rounded(torch.zeros(2, 3), 4, 2).any()
    assert rounded(torch.ones(2, 3, dtype=torch.bfloat16), 8).dtype is torch.bfloat16
    with pytest.raises(ValueError, match="2 bits or more"):
        rounded(torch.ones(2, 2), 1)


# Paraphrases


def test_a_question_counts_once_however_many_wordings():
    assert pooled([100, 0], [[100, 100], [0, 50]]) == {"paraphrased": [50, 75], "worst wording": [0, 0]}


def test_shipped_paraphrases_are_not_the_trained_wording():
    shipped = yaml.safe_load((ROOT / "config.yaml").read_text())["dataset"]["questions"]
    for name in ("pocket", "pebench"):
        for kind, wordings in read_paraphrases(ROOT / "resources" / name / "paraphrases.yaml").items():
            assert len(set(wordings)) == len(wordings) >= 4 and shipped[kind] not in wordings


def test_a_file_without_a_kind_is_refused(tmp_path):
    path = tmp_path / "paraphrases.yaml"
    path.write_text("person: [Who]\n")
    with pytest.raises(RecordError, match=r"questions of kind event.*`event:`"):
        read_paraphrases(path)


# Relearning


def test_as_many_samples_come_from_every_concept_and_depend_on_no_order():
    rows = from_every_concept(ROWS, SPLIT, 4, seed=1)
    assert sorted(row.image_id[:2] for row in rows) == ["p0", "p0", "p1", "p1"]
    assert from_every_concept(ROWS[::-1], SPLIT, 4, seed=1) == rows
    assert from_every_concept(ROWS, SPLIT, 2, seed=1) == rows[:2]


@pytest.mark.parametrize("n", [0, 8, 9])
def test_some_must_be_left_to_ask(n):
    with pytest.raises(ValueError, match="set it to 1 to 7"):
        from_every_concept(ROWS, SPLIT, n, seed=1)


@pytest.mark.parametrize(("n", "batch", "sizes"), [(4, 4, [4] * 5), (3, 2, [2, 1, 2, 1, 2]), (2, 8, [2] * 5)])
def test_a_plan_has_as_many_steps_as_asked(n, batch, sizes):
    plan = plan_relearning(ROWS[:n], steps=5, batch=batch, seed=0)
    assert [len(step["retain"]) for step in plan] == sizes


@pytest.mark.parametrize(
    ("batch", "at_once", "size"),
    [(4, None, (4, 1)), (4, 8, (4, 1)), (4, 2, (2, 2)), (4, 3, (2, 2)), (20, 4, (4, 5))],
)
def test_what_does_not_fit_at_once_is_accumulated(batch, at_once, size):
    rest = {"learning_rate": 1e-3, "weight_decay": 0.0, "max_grad_norm": 1.0}
    made = constant_rate(batch, at_once, **rest)
    assert (made.batch, made.accumulation) == size


# Unseen pictures


@pytest.mark.parametrize(
    ("tried", "batch", "scales", "first"),
    [(1, 1, 3, 3), (3, 1, 3, 3), (4, 1, 3, 6), (5, 5, 3, 15), (5, 5, 1, 5)],
)
def test_unseen_pictures_begin_a_batch_at_the_first_guidance_scale(tried, batch, scales, first):
    assert first_attempt(tried, batch, scales) == first
    assert first >= tried and first % batch == 0 and first % scales == 0


# Targets


def test_finetuned_and_goal_are_always_attacked():
    files = Targets(merged({"robustness": {"methods": ["ga"]}})).attacks
    runs = ["finetuned", "finetuned", "goal-person05", "ga-person05", "goal-event05", "ga-event05"]
    splits = ["person05", "event05", "person05", "person05", "event05", "event05"]
    assert files[3::4] == [
        f"<results>/robustness/pocket-llava/{recipe}/seed-1/{split}/paraphrase.json"
        for recipe, split in zip(runs, splits, strict=True)
    ]
    assert len(Targets(merged({})).attacks) == 2 * 7 * 4
