"""The language head sees the positions of answers alone, wrapped or not; what has no such head runs as ever."""

from __future__ import annotations

import logging
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch
from torch.distributed import destroy_process_group, init_process_group
from torch.nn.parallel import DistributedDataParallel

from mmunlearn.models import collate
from mmunlearn.models import head as language_head
from mmunlearn.models.collate import Collator, forward
from mmunlearn.models.example import Example
from mmunlearn.models.loading import new_adapter
from mmunlearn.training.losses import sequence_logp
from tests.tiny_vlm import BUILDERS, features_of, load_vlm, write_gemma, write_vlm

NAME, EVENT = "Who is the person in the picture?", "What is happening in the picture?"
EXAMPLES = [
    Example("p0", ((NAME, "This is Mira Okonjo."), (EVENT, "Sailors race home across the harbour."))),
    Example("p1", ((EVENT, "No."),)),
]
ANYWHERE = r".*language_model\..*(q_proj|v_proj)|lm_head"


@pytest.fixture(scope="module", params=[*sorted(BUILDERS), "other"])
def checkpoint(request, tmp_path_factory):
    folder, family = tmp_path_factory.mktemp(request.param), request.param
    return family, write_gemma(folder) if family == "other" else write_vlm(family, folder)


@pytest.fixture
def base(checkpoint):
    return load_vlm(*checkpoint, dtype="float64", lora_targets=ANYWHERE)


def adapted(base):
    """With an adapter on the language head, too, that changes something."""
    model = new_adapter(base, {"rank": 4, "alpha": 8, "dropout": 0.0}, 0).double()
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.1)
    return model


def seen(base):
    """Shapes of what the language head is given."""
    shapes = []
    base.model.get_output_embeddings().register_forward_hook(
        lambda _, inputs, __: shapes.append(tuple(inputs[0].shape))
    )
    return shapes


def logp_and_gradient(model, batch):
    model.zero_grad()
    logp = sequence_logp(*forward(model, batch))
    logp.mean().backward()
    gradients = [weight.grad.flatten() for weight in model.parameters() if weight.requires_grad]
    return logp.detach(), torch.cat(gradients)


def test_the_head_sees_answers_alone_and_losses_and_gradients_are_as_ever(base, monkeypatch):
    batch, model = Collator(base, features_of(base))(EXAMPLES), adapted(base)
    (width,), shapes = {base.model.config.get_text_config().hidden_size}, seen(base)
    logp, gradient = logp_and_gradient(model, batch)
    questions, longest = batch["labels"].shape
    assert shapes == [(questions, longest, width)] and questions == 3
    monkeypatch.setattr(collate, "only", lambda *_: nullcontext())
    expected, whole = logp_and_gradient(model, batch)
    assert shapes[1][:2] == (batch.get("inputs") or batch)["input_ids"].shape
    torch.testing.assert_close(logp, expected, rtol=1e-12, atol=1e-12)
    assert whole.norm() > 1e-2 and (gradient - whole).norm() < 1e-6 * whole.norm()


def test_the_head_is_as_it_was_after_a_forward_pass_that_fails(base):
    head, batch = base.model.get_output_embeddings(), Collator(base, features_of(base))(EXAMPLES)
    base.model.register_forward_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        forward(base.model, batch)
    assert not head._forward_pre_hooks


@pytest.fixture
def alone(tmp_path):
    """A group of one process."""
    init_process_group("gloo", init_method=f"file://{tmp_path}/group", rank=0, world_size=1)
    yield
    destroy_process_group()


@pytest.mark.usefixtures("alone")
def test_the_head_is_reached_through_what_distributes_a_model(base):
    batch, model = Collator(base, features_of(base))(EXAMPLES), adapted(base)
    expected, shapes = logp_and_gradient(model, batch), seen(base)
    logp, gradient = logp_and_gradient(DistributedDataParallel(model), batch)
    assert shapes[0][:2] == batch["labels"].shape
    assert torch.equal(logp, expected[0]) and torch.equal(gradient, expected[1])


class Unlike(torch.nn.Module):
    """A model around another one, with a head of its own way.

    Args:
        head: makes logits of the hidden states.
        named: what the model says its head is.
    """

    def __init__(self, base, head, named=None):
        super().__init__()
        self.inner, self.make, self.named = base.model, head, named

    def get_output_embeddings(self):
        return self.named

    def forward(self, **inputs):
        return SimpleNamespace(logits=self.make(self.inner.model(**inputs).last_hidden_state))


def test_a_model_whose_head_is_not_reached_runs_at_all_positions(base, caplog):
    batch, head = Collator(base, features_of(base))(EXAMPLES), base.model.get_output_embeddings()
    language_head._warn.cache_clear()

    def by_weight(hidden):
        return torch.nn.functional.linear(hidden, head.weight)

    with torch.no_grad(), caplog.at_level(logging.WARNING):
        expected = forward(base.model, batch)[0]
        assert not caplog.text
        for named in (None, head):
            torch.testing.assert_close(
                forward(Unlike(base, by_weight, named), batch)[0], expected, rtol=1e-12, atol=1e-12
            )
    assert caplog.text.count("the language head of Unlike is not reached") == 1


def test_logits_that_are_not_those_of_the_answers_are_refused(base):
    batch = Collator(base, features_of(base))(EXAMPLES)
    shape = tuple(batch["labels"].shape)
    base.model.register_forward_hook(lambda _, __, output: output.__setattr__("logits", output.logits[:, 1:]))
    with pytest.raises(
        ValueError, match=rf"logits of the answers, \({shape[0]}, {shape[1]}, 'V'\).*family of its own"
    ):
        forward(base.model, batch)
    head = base.model.get_output_embeddings()
    for named in (None, head):  # nor is a head that is given other positions taken for one that is given all
        with pytest.raises(ValueError, match=r"logits of all tokens, .* gives .*family of its own"):
            forward(Unlike(base, lambda hidden: head(hidden[:, 1:]), named), batch)
