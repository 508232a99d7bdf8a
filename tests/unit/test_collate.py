"""One image prefix for all questions: exact, and only answers carry loss."""

from __future__ import annotations

import pytest
import torch

from mmunlearn.models.collate import IGNORED, Collator, Example, forward
from mmunlearn.training.losses import sequence_logp
from tests.tiny import random_features

NAME, EVENT = "Who is the person in the picture?", "What is happening in the picture?"
EXAMPLES = [
    Example("p0", ((NAME, "This is Mira Okonjo."), (EVENT, "Sailors race home across the harbour."))),
    Example("p1", ((EVENT, "A judge waves the flag."),)),
    Example("p2", ((NAME, "This is Ada Lund."), (EVENT, "Nothing."), (NAME, "I do not know."))),
]


def run(base, examples, packed, features=None):
    features = features or random_features(["p0", "p1", "p2"])
    batch = Collator(base, features, packed=packed)(examples)
    return *forward(base.model, batch), batch


def logp_and_gradient(base, packed):
    base.model.zero_grad()
    logits, labels, _ = run(base, EXAMPLES, packed)
    logp = sequence_logp(logits, labels)
    logp.mean().backward()
    gradients = [p.grad.flatten() for p in base.model.parameters() if p.grad is not None]
    return logp.detach(), torch.cat(gradients)


def test_packed_losses_and_gradients_equal_one_question_a_row(tiny_base):
    packed, gradient = logp_and_gradient(tiny_base, True)
    unpacked, expected = logp_and_gradient(tiny_base, False)
    torch.testing.assert_close(packed, unpacked, rtol=1e-4, atol=1e-4)
    assert (gradient - expected).norm() / expected.norm() < 1e-4


def test_equals_the_plain_forward_of_the_library(tiny_base):
    """Per-question log-probabilities equal those of a hand-made conversation through the processor's ids."""
    features = random_features(["p1"])
    logits, labels, _ = run(tiny_base, [EXAMPLES[1]], True, features)
    ask = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": EVENT}]}]
    said = [*ask, {"role": "assistant", "content": [{"type": "text", "text": "A judge waves the flag."}]}]
    processor = tiny_base.processor
    text = processor.apply_chat_template(said).replace("<image>", "<image>" * 16)
    ids = torch.tensor([processor.tokenizer(text).input_ids])
    embeddings = tiny_base.model.get_input_embeddings()(ids)
    place = (ids == tiny_base.model.config.image_token_id)[..., None]
    embeddings = embeddings.masked_scatter(place, features["p1"])
    plain = tiny_base.model(inputs_embeds=embeddings, attention_mask=torch.ones_like(ids)).logits
    target = processor.tokenizer(
        "ASSISTANT: A judge waves the flag.</s>", add_special_tokens=False
    ).input_ids[1:]
    assert ids[0, -len(target) :].tolist() == target
    expected = plain[0, -len(target) - 1 : -1].log_softmax(-1)[torch.arange(len(target)), target].sum()
    torch.testing.assert_close(sequence_logp(logits, labels)[0], expected, rtol=1e-4, atol=1e-4)


def test_labels_are_the_answer_and_its_end_token_only(tiny_base):
    _, labels, batch = run(tiny_base, EXAMPLES, True)
    tokenizer = tiny_base.processor.tokenizer
    said = [tokenizer.decode(row[row != IGNORED]) for row in labels]
    turns = [answer for example in EXAMPLES for _, answer in example.turns]
    assert [text.strip() for text in said] == [f"{answer}</s>" for answer in turns]
    shifted_ids = batch["input_ids"][batch["question_rows"], batch["question_positions"]]
    assert (shifted_ids[labels != IGNORED] == labels[labels != IGNORED]).all()


def test_another_image_changes_the_loss(tiny_base):
    logits, labels, _ = run(tiny_base, EXAMPLES, True)
    other, _, _ = run(tiny_base, EXAMPLES, True, random_features(["p0", "p1", "p2"], seed=1))
    difference = (sequence_logp(logits, labels) - sequence_logp(other, labels)).abs()
    assert (difference > 1e-4).all()


def test_batch_composition_and_order_change_nothing(tiny_base):
    logits, labels, _ = run(tiny_base, EXAMPLES, True)
    together = sequence_logp(logits, labels)
    alone = torch.cat([sequence_logp(*run(tiny_base, [example], True)[:2]) for example in EXAMPLES])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)
    reverse = sequence_logp(*run(tiny_base, EXAMPLES[::-1], True)[:2])
    torch.testing.assert_close(reverse, together[[3, 4, 5, 2, 0, 1]], rtol=1e-4, atol=1e-4)


def test_an_answer_that_changes_the_prompt_is_refused(tiny_base):
    tiny_base.processor.chat_template = (
        "{% for message in messages %}{% if message['role'] == 'user' %}"
        "{{ ('A' if messages | length > 1 else 'B') ~ '<image>' }}{% endif %}{% endfor %}"
    )
    with pytest.raises(ValueError, match="changes the prompt"):
        Collator(tiny_base, random_features(["p0"]))([EXAMPLES[0]])
