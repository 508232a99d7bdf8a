"""Batched greedy answers equal answers asked one by one."""

from __future__ import annotations

import pytest
import torch

from mmunlearn.models.collate import Collator
from mmunlearn.models.generation import Ask, answer_all
from mmunlearn.models.loading import new_adapter, trainable_parameters
from tests.tiny import random_features
from tests.tiny_vlm import BUILDERS, kept, load_vlm, write_vlm

QUESTIONS = ["Who is the person in the picture?", "What?", "What is happening in the picture? Say it."]


def test_batch_equals_one_by_one_in_the_order_asked(tiny_base):
    features = random_features(["a", "b", "c"])
    asks = [
        Ask(image, question, 6 + 2 * (i % 2)) for image in features for i, question in enumerate(QUESTIONS)
    ]

    def said(batch):
        return answer_all(
            tiny_base.model, tiny_base, Collator(tiny_base, features), features, asks, batch=batch
        )

    together = said(8)
    assert together == said(1)
    assert len(set(together)) > 3, "answers must depend on what is asked"


@pytest.fixture(scope="module", params=sorted(BUILDERS))
def checkpoint(request, tmp_path_factory):
    return request.param, write_vlm(request.param, tmp_path_factory.mktemp(request.param))


def answers(base, model=None, batch=8, seed=0):
    features = kept(base, seed)
    asks = [Ask(image, question, 5 + i % 2) for image in features for i, question in enumerate(QUESTIONS)]
    return answer_all(model or base.model, base, Collator(base, features), features, asks, batch=batch)


def test_every_family_answers_a_batch_as_one_by_one(checkpoint):
    """Pictures of different shapes: rows of a batch are padded at the left."""
    base = load_vlm(*checkpoint)
    together = answers(base)
    assert together == answers(base, batch=1)
    assert len(set(together)) > 3
    assert together != answers(base, seed=1), "answers must depend on the picture"


def test_every_family_answers_from_features_as_from_pixels(checkpoint):
    base, generic = load_vlm(*checkpoint), load_vlm("other", checkpoint[1])
    assert answers(base) == answers(generic) == answers(generic, batch=1)


def test_adapters_answer_and_a_merged_one_says_the_same(checkpoint):
    base = load_vlm(*checkpoint)
    plain = answers(base)
    model = new_adapter(base, {"rank": 4, "alpha": 8, "dropout": 0.0}, 0)
    assert answers(base, model) == plain, "a fresh adapter adds nothing"
    for name, weight in trainable_parameters(model).items():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.3)
    adapted = answers(base, model)
    assert adapted != plain
    assert adapted == answers(base, model, batch=1)
    assert answers(base, model.merge_and_unload()) == adapted
