"""Methods over views: the published functions, exact accumulation, absent views, and methods of other packages."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmunlearn.registry import UnknownName
from mmunlearn.training import losses
from mmunlearn.training.methods import METHODS
from mmunlearn.training.methods.building import build_method
from mmunlearn.training.methods.finetune import Finetune
from mmunlearn.training.views import View

V, T = 11, 8
SIZES = {"forget": 6, "refusal": 6, "retain": 5, "forget_person": 4, "forget_event": 3}
WEIGHTS = {"alpha": 0.4, "beta": 0.1, "gamma": 0.6}
OPTIONS = {
    "dpo": {"beta": 0.2, "lambda1": 0.7, "lambda2": 1.3},
    "npo": {"beta": 0.2},
    "simnpo": {"beta": 1.5, "gamma": 0.3},
    "gd+bgd": WEIGHTS,
    "kl+bgd": WEIGHTS,
}


def made(name):
    """Logits, labels, reference logits and reference log-probabilities of a view, in float64."""
    generator = torch.Generator().manual_seed(sorted(SIZES).index(name))
    logits, shadow = torch.randn(2, SIZES[name], T, V, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, V, (SIZES[name], T), generator=generator)
    for row in range(len(labels)):
        labels[row, : 1 + row % 4] = -100
    return logits, labels, shadow, losses.sequence_logp(shadow, labels)


ALL = {name: made(name) for name in SIZES}


def pass_of(method, rows, leave_out=(), average="sample"):
    """The views of one forward pass: `rows` of every set, with what the method asks of the reference."""
    views = {}
    for name in method.views:
        logits, answers, shadow, logp = ALL[name]
        if name not in leave_out and len(logits[rows]):
            tokens = int((answers[:, 1:] != -100).sum())
            views[name] = View(logits[rows], answers[rows], tokens, len(logits), average=average)
            views[name].reference_logits = shadow[rows] if name in method.reference else None
            views[name].reference_logp = logp[rows] if name in method.reference_logp else None
    return views


def published(**average):
    """The pure function of every method on the undivided sets."""
    set_of = {name: (logits, answers) for name, (logits, answers, _, _) in ALL.items()}
    forget, refused, retain = set_of["forget"], set_of["refusal"], set_of["retain"]
    both, shadow = (*set_of["forget_person"], *set_of["forget_event"]), ALL["retain"][2]
    true_logp, refused_logp = ALL["forget"][3], ALL["refusal"][3]
    return {
        "ga": losses.ga(*forget, **average),
        "gd": losses.gd(*forget, *retain, **average),
        "kl": losses.kl(*forget, retain[0], shadow, retain[1], **average),
        "po": losses.po(*refused, *retain, **average),
        "dpo": losses.dpo(*refused, refused_logp, *forget, true_logp, **OPTIONS["dpo"], **average),
        "npo": losses.npo(*forget, true_logp, **OPTIONS["npo"]),
        "simnpo": losses.simnpo(*forget, **OPTIONS["simnpo"]),
        "gd+bgd": losses.bgd(*both, *retain, **WEIGHTS, **average),
        "kl+bgd": losses.bgd(*both, *retain, shadow, **WEIGHTS, **average),
    }


PUBLISHED = {average: published(average=average) for average in losses.AVERAGES}


@pytest.mark.parametrize("average", losses.AVERAGES)
@pytest.mark.parametrize("name", METHODS)
@given(cuts=st.sets(st.integers(1, 5)))
@settings(max_examples=15, deadline=None)
def test_a_method_is_its_published_function_however_the_step_is_divided(name, average, cuts):
    method = build_method(name, OPTIONS.get(name, {}))
    edges = [0, *sorted(cuts), 6]
    parts = [pass_of(method, slice(*edge), average=average) for edge in pairwise(edges)]
    value = sum(method.loss(views) for views in parts if views)
    assert value.item() == pytest.approx(PUBLISHED[average][name].item(), abs=1e-12)
    assert value.dtype == torch.float64


@pytest.mark.parametrize(
    ("name", "absent", "expected"),
    [
        ("gd", "forget", losses.cross_entropy(*ALL["retain"][:2])),
        ("kl", "retain", losses.ga(*ALL["forget"][:2])),
        ("po", "retain", losses.cross_entropy(*ALL["refusal"][:2])),
        ("gd+bgd", "forget_event", losses.bgd(*ALL["forget_person"][:2], None, None, *ALL["retain"][:2])),
        ("kl+bgd", "retain", losses.bgd(*ALL["forget_person"][:2], *ALL["forget_event"][:2], None, None)),
    ],
)
def test_a_view_without_questions_adds_nothing(name, absent, expected):
    method = build_method(name, {})
    value = method.loss(pass_of(method, slice(None), leave_out=[absent]))
    assert value.item() == pytest.approx(expected.item(), abs=1e-12)


@pytest.mark.parametrize("name", METHODS)
def test_what_a_method_asks_for_is_among_its_views(name):
    method = build_method(name, {})
    assert {*method.reference, *method.reference_logp} <= set(method.views) <= set(SIZES)
    assert any(view.startswith(method.watch) for view in method.views)


def test_labels_are_spelled_as_published():
    expected = ["PO", "GA", "GD", "KL", "DPO", "NPO", "SimNPO", "GD+BGD", "KL+BGD"]
    assert [entry.label for entry in METHODS.values()] == expected


def test_the_registry_is_light():
    code = "import sys, mmunlearn.training.methods as m; sys.exit('torch' in sys.modules)"
    root = Path(__file__).resolve().parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0


def test_the_averages_differ_where_a_term_is_ce_or_kl():
    by_sample, by_token = PUBLISHED.values()
    same = {name for name in by_sample if by_sample[name] == by_token[name]}
    assert same == {"npo", "simnpo"}
    assert {name: value.item() for name, value in published().items()} == {
        name: value.item() for name, value in by_sample.items()
    }, "sample is the default"


def test_the_reference_of_dpo_is_an_option():
    assert build_method("dpo", {}).reference_model == "finetuned"
    assert build_method("dpo", {"reference": "refusals"}).reference_model == "refusals"


def test_finetuning_takes_any_view():
    for view in ("retain", "refusal"):
        method = Finetune(view)
        assert method.loss(pass_of(method, slice(None))) == losses.cross_entropy(*ALL[view][:2])
    assert Finetune().views == ("retain",)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("ga", {"beta": 1.0}, "unknown key 'methods.ga.beta'"),
        ("dpo", {"beta": "much"}, "methods.dpo: beta must be a number, not 'much'"),
        ("dpo", {"beta": True}, "methods.dpo: beta must be a number, not True"),
        ("dpo", {"lambda2": -1}, "lambda2 must be at least 0"),
        ("gd+bgd", {"gamma": -0.5}, "gamma must be at least 0"),
        ("npo", {"beta": 0.0}, "methods.npo: beta must be above 0"),
        ("dpo", {"reference": "goal"}, "methods.dpo: reference must be finetuned or refusals"),
        ("kl+bgd", {"event_cap": 1.5}, "event_cap must lie in"),
        ("ga", {"path": "a:B"}, "is a registered method"),
        (
            "mine",
            {"path": "no_such_module:Mine"},
            "methods.mine: .*cannot be loaded, expected package.module:Class",
        ),
        (
            "mine",
            {"path": "json:JSONDecoder"},
            "methods.mine: .*is no mmunlearn.training.methods.base.Method",
        ),
    ],
)
def test_a_row_that_cannot_be_built_says_why(name, options, message):
    with pytest.raises(ValueError, match=message):
        build_method(name, options)


def test_an_unknown_method_is_told_its_neighbour():
    with pytest.raises(UnknownName, match="method 'gdd' is unknown; did you mean 'gd'"):
        build_method("gdd", {})
