"""Every method on every family's tiny model: in float64, with LoRA weights that are not 0.

Transformers computes norms and rotations in float32 whatever a model's dtype, so gradients agree to 1e-8, not to 1e-15.
"""

from __future__ import annotations

import math
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from peft import PeftModel

from mmunlearn.models import collate
from mmunlearn.models.collate import Collator, forward
from mmunlearn.models.example import Example
from mmunlearn.models.loading import Base, add_reference, load_adapter, new_adapter, trainable_parameters
from mmunlearn.training.adapters import save_adapter
from mmunlearn.training.losses import answer_lengths, kl_divergence, sequence_logp
from mmunlearn.training.methods import METHODS
from mmunlearn.training.methods.building import build_method
from mmunlearn.training.reference import reference_logits
from mmunlearn.training.views import View
from tests.tiny_vlm import BUILDERS, features_of, load_vlm, write_vlm

NAME, EVENT, WHERE = "Who is the person in the picture?", "What is happening in the picture?", "Where?"
STEP = {
    "forget": [
        Example("p0", ((NAME, "This is Mira Okonjo."), (EVENT, "Sailors race home across the harbour."))),
        Example("p1", ((EVENT, "A judge waves the flag."),)),
        Example("p2", ((NAME, "This is Ada Lund."), (EVENT, "Nothing."), (WHERE, "At sea, far from home."))),
    ],
    "refusal": [
        Example("p0", ((NAME, "I do not know."), (EVENT, "I cannot say what is happening there."))),
        Example("p1", ((EVENT, "No."),)),
        Example("p2", ((NAME, "I cannot say."), (EVENT, "I do not know."), (WHERE, "Who knows?"))),
    ],
    "retain": [
        Example("p2", ((WHERE, "In the harbour."), (EVENT, "Sailors race home."))),
        Example("p0", ((WHERE, "Home."), (NAME, "This is the judge."), (EVENT, "A flag."))),
        Example("p1", ((NAME, "This is Mira Lund of the harbour."),)),
    ],
    "forget_person": [
        Example("p1", ((NAME, "This is Ada Okonjo."), (NAME, "Mira."))),
        Example("p2", ((NAME, "This is Ada Lund."),)),
        Example("p0", ((NAME, "This is Mira Okonjo."),)),
    ],
    "forget_event": [
        Example("p0", ((EVENT, "Sailors race home across the harbour."),)),
        Example("p2", ((EVENT, "Nothing."),)),
        Example("p1", ((EVENT, "A judge waves the flag."), (WHERE, "At the harbour."))),
    ],
}
LORA = {"rank": 4, "alpha": 8, "dropout": 0.0}
OPTIONS = {"npo": {"beta": 0.1}, "simnpo": {"beta": 0.2, "gamma": 0.3}}  # where their slopes do not vanish


@dataclass(frozen=True)
class Tiny:
    """A family's model with pictures, and the answer tokens and questions of every view of STEP."""

    base: Base
    model: PeftModel
    features: dict[str, Any]
    totals: dict[str, tuple[int, int]]


@pytest.fixture(scope="module", params=sorted(BUILDERS))
def files(request, tmp_path_factory):
    """A family, its checkpoint, and the adapter of its reference."""
    folder = tmp_path_factory.mktemp(request.param)
    checkpoint, adapter = write_vlm(request.param, folder / "tiny"), folder / "adapter"
    base = load_vlm(request.param, checkpoint, dtype="float64")
    save_adapter(moved(new_adapter(base, LORA, 0), seed=1), adapter)
    return request.param, checkpoint, adapter


def at_reference(files):
    family, checkpoint, adapter = files
    base = load_vlm(family, checkpoint, dtype="float64")
    model = load_adapter(base, adapter, trainable=True)
    add_reference(model, adapter)
    features = features_of(base)
    labels = {name: Collator(base, features)(examples)["labels"] for name, examples in STEP.items()}
    totals = {name: (int(answer_lengths(rows).sum()), len(rows)) for name, rows in labels.items()}
    return Tiny(base, model.eval(), features, totals)


@pytest.fixture(scope="module")
def tiny(files):
    """The policy has moved away from its reference."""
    made = at_reference(files)
    moved(made.model, seed=2)
    return made


def moved(model, seed):
    generator = torch.Generator().manual_seed(seed)
    for weight in trainable_parameters(model).values():
        weight.data += 0.1 * torch.randn(weight.shape, generator=generator, dtype=weight.dtype)
    return model


def views_of(tiny, method, step, packed=True):
    """What `method` sees of these examples, and of the reference on them, in one layout."""
    collator, views = Collator(tiny.base, tiny.features, packed=packed), {}
    for name in method.views:
        batch = collator(step[name])
        assert len(batch["input_ids"]) == sum(1 if packed else len(one.turns) for one in step[name])
        logits, labels = forward(tiny.model, batch)
        views[name] = View(logits, labels, *tiny.totals[name])
        if name in (*method.reference, *method.reference_logp):
            reference = reference_logits(tiny.model, tiny.model, batch)
            views[name].reference_logits = reference if name in method.reference else None
            views[name].reference_logp = sequence_logp(reference, labels)
    return views


def loss_and_gradient(tiny, name, *, parts=(STEP,), packed=True):
    """A method's loss over a step that is divided into parts, and the adapter's gradient."""
    method, loss = build_method(name, OPTIONS.get(name, {})), 0.0
    tiny.model.zero_grad()
    for step in parts:
        part = method.loss(views_of(tiny, method, step, packed))
        part.backward()
        loss += part.item()
    assert part.dtype == torch.float64
    return loss, torch.cat([weight.grad.flatten() for weight in trainable_parameters(tiny.model).values()])


def assert_same(actual, expected):
    (loss, gradient), (expected_loss, expected_gradient) = actual, expected
    assert loss == pytest.approx(expected_loss, rel=1e-9)
    assert expected_gradient.norm() > 1e-2
    assert (gradient - expected_gradient).norm() < 1e-6 * expected_gradient.norm()


@pytest.mark.parametrize("name", METHODS)
def test_packed_is_one_question_a_row(tiny, name):
    assert_same(loss_and_gradient(tiny, name), loss_and_gradient(tiny, name, packed=False))


@pytest.mark.parametrize("name", METHODS)
def test_logits_at_answers_alone_are_those_among_all(tiny, name, monkeypatch):
    actual = loss_and_gradient(tiny, name)
    monkeypatch.setattr(collate, "only", lambda *_: nullcontext())
    assert_same(actual, loss_and_gradient(tiny, name))


def by_question(tiny, packed):
    """Log-probability of every question and its divergence from the reference, each with its gradient."""
    batch = Collator(tiny.base, tiny.features, packed=packed)(STEP["forget"])
    logits, labels = forward(tiny.model, batch)
    reference = reference_logits(tiny.model, tiny.model, batch)
    weights = list(trainable_parameters(tiny.model).values())
    for row in range(len(labels)):
        question = logits[row : row + 1], labels[row : row + 1]
        for value in (
            sequence_logp(*question)[0],
            kl_divergence(question[0], reference[row : row + 1], question[1]),
        ):
            gradient = torch.autograd.grad(value, weights, retain_graph=True)
            yield value.item(), torch.cat([one.flatten() for one in gradient])


def test_every_packed_question_has_its_own_loss_and_gradient(tiny):
    packed, alone = list(by_question(tiny, True)), list(by_question(tiny, False))
    assert len({value for value, _ in packed}) == len(packed) == 2 * 6
    for actual, expected in zip(packed, alone, strict=True):
        assert_same(actual, expected)


@pytest.mark.parametrize("name", METHODS)
def test_padding_and_row_order_change_nothing(tiny, name):
    """Rows are padded to the longest of their batch; alone, they are not."""
    expected = loss_and_gradient(tiny, name)
    backwards = {view: examples[::-1] for view, examples in STEP.items()}
    assert_same(loss_and_gradient(tiny, name, parts=[backwards]), expected)
    alone = [{view: [examples[k]] for view, examples in STEP.items()} for k in range(3)]
    assert_same(loss_and_gradient(tiny, name, parts=alone), expected)


def test_another_image_changes_the_loss_of_every_question(tiny):
    batches = [
        Collator(tiny.base, features)(STEP["forget"])
        for features in (tiny.features, features_of(tiny.base, seed=1))
    ]
    with torch.no_grad():
        one, other = (sequence_logp(*forward(tiny.model, batch)) for batch in batches)
    assert ((one - other).abs() > 1e-3).all()


def test_the_policy_at_its_reference(files):
    """KL(p, p) is 0 and pulls nowhere, whatever its weight; log-ratios are 0."""
    start = at_reference(files)
    method = build_method("kl", {})
    divergence = views_of(start, method, STEP)["retain"].divergence
    assert divergence.item() == pytest.approx(0.0, abs=1e-12)
    gradient = torch.autograd.grad(divergence, list(trainable_parameters(start.model).values()))
    assert max(one.abs().max() for one in gradient) < 1e-12
    assert_same(loss_and_gradient(start, "kl"), loss_and_gradient(start, "ga"))
    assert loss_and_gradient(start, "npo")[0] == pytest.approx(2 / 0.1 * math.log(2), abs=1e-9)
    at_start = views_of(start, build_method("po", {}), STEP)
    expected = at_start["refusal"].cross_entropy.item() + math.log(2)
    assert loss_and_gradient(start, "dpo")[0] == pytest.approx(expected, abs=1e-9)
