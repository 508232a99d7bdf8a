"""Batched greedy answers equal answers asked one by one."""

from __future__ import annotations

from mmunlearn.models.collate import Collator
from mmunlearn.models.generation import Ask, answer_all
from tests.tiny import random_features

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
