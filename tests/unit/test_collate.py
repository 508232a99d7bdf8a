"""One image prefix for all questions: exact, and only answers carry loss."""

from __future__ import annotations

import pytest
import torch

from mmunlearn.models.collate import IGNORED, Collator, forward
from mmunlearn.models.example import Example
from mmunlearn.training.losses import sequence_logp
from tests.tiny import random_features
from tests.tiny_vlm import BUILDERS, features_of, load_vlm, write_vlm

NAME, EVENT = "Who is the person in the picture?", "What is happening in the picture?"
EXAMPLES = [
    Example("p0", ((NAME, "This is Mira Okonjo."), (EVENT, "Sailors race home across the harbour."))),
    Example("p1", ((EVENT, "A judge waves the flag."),)),
    Example("p2", ((NAME, "This is Ada Lund."), (EVENT, "Nothing."), (NAME, "I do not know."))),
]


@pytest.fixture(scope="module", params=sorted(BUILDERS))
def family_base(request, tmp_path_factory):
    return load_vlm(request.param, write_vlm(request.param, tmp_path_factory.mktemp(request.param)))


def run(base, examples, packed, features=None):
    features = features or random_features(["p0", "p1", "p2"])
    batch = Collator(base, features, packed=packed)(examples)
    return *forward(base.model, batch), batch


def logp_and_gradient(base, packed, features=None):
    base.model.zero_grad()
    logits, labels, _ = run(base, EXAMPLES, packed, features)
    logp = sequence_logp(logits, labels)
    logp.mean().backward()
    gradients = [p.grad.flatten() for p in base.model.parameters() if p.grad is not None]
    return logp.detach(), torch.cat(gradients)


def test_every_family_is_packed_without_changing_losses_and_gradients(family_base):
    """Rows are of unequal length, pictures of unequal shape: there is padding in both layouts."""
    features = features_of(family_base)
    packed, gradient = logp_and_gradient(family_base, True, features)
    unpacked, expected = logp_and_gradient(family_base, False, features)
    torch.testing.assert_close(packed, unpacked, rtol=1e-5, atol=1e-4)
    assert (gradient - expected).norm() / expected.norm() < 1e-4


def test_a_question_does_not_see_the_others_of_its_row(family_base):
    features = features_of(family_base)
    logits, labels, _ = run(family_base, [EXAMPLES[2]], True, features)
    changed = Example("p2", (*EXAMPLES[2].turns[:1], ("Anything else?", "No."), *EXAMPLES[2].turns[2:]))
    other_logits, other_labels, _ = run(family_base, [changed], True, features)
    one, other = sequence_logp(logits, labels), sequence_logp(other_logits, other_labels)
    torch.testing.assert_close(one[[0, 2]], other[[0, 2]], rtol=1e-5, atol=1e-4)


def test_labels_are_the_answer_and_its_end_token_only(family_base):
    logits, labels, batch = run(family_base, EXAMPLES, True, features_of(family_base))
    tokenizer, config = family_base.processor.tokenizer, family_base.model.config
    texts = [tokenizer.decode(row[row != IGNORED]) for row in labels]
    turns = [answer for example in EXAMPLES for _, answer in example.turns]
    assert [text.strip() for text in texts] == [f"{answer}{tokenizer.eos_token}" for answer in turns]
    assert (labels != config.image_token_id).all()
    assert labels.max() < logits.shape[-1] == config.get_text_config().vocab_size
    ids = batch["input_ids"][batch["question_rows"], batch["question_positions"]]
    assert (ids[labels != IGNORED] == labels[labels != IGNORED]).all()


def test_flash_attention_lays_out_one_question_a_row(tiny_base, monkeypatch):
    monkeypatch.setattr(tiny_base.model.config, "_attn_implementation_internal", "flash_attention_2")
    features = random_features(["p0", "p1", "p2"])
    collator = Collator(tiny_base, features)
    assert collator(EXAMPLES)["attention_mask"].shape == (6, collator(EXAMPLES)["input_ids"].shape[1])
    with pytest.raises(
        ValueError, match=r"one image prefix are asked for.*flash_attention_2.*attention: sdpa"
    ):
        Collator(tiny_base, features, packed=True)


def test_a_row_longer_than_the_model_is_refused_with_its_picture(family_base, monkeypatch):
    features = features_of(family_base)
    Collator(family_base, features).check(EXAMPLES)
    monkeypatch.setattr(family_base.model.config.get_text_config(), "max_position_embeddings", 30)
    with pytest.raises(
        ValueError, match=r"picture p0 .* needs \d\d+ positions, \d+ tokens.* the model has 30"
    ):
        Collator(family_base, features).check(EXAMPLES)


def test_positions_restart_so_that_many_questions_are_no_long_row(tiny_base):
    many = Example("p0", EXAMPLES[0].turns * 20)
    collator = Collator(tiny_base, random_features(["p0"]))
    collator.check([many])
    assert collator([many])["input_ids"].shape[1] > tiny_base.model.config.text_config.max_position_embeddings


def test_a_picture_without_features_is_refused(tiny_base):
    with pytest.raises(ValueError, match="features of picture p1 are asked for, but there are none"):
        Collator(tiny_base, random_features(["p0"])).check(EXAMPLES[:2])


@pytest.mark.parametrize("turn", [("What is <image>?", "Nothing."), ("What?", "An <image> it is.")])
def test_an_image_token_in_a_text_is_refused(tiny_base, turn):
    with pytest.raises(ValueError, match="image token"):
        Collator(tiny_base, random_features(["p0"]))([Example("p0", (turn,))])


def test_equals_the_plain_forward_of_the_library(tiny_base):
    """Per-question log-probabilities equal those of a hand-made conversation through the processor's ids."""
    features = random_features(["p1"])
    logits, labels, _ = run(tiny_base, [EXAMPLES[1]], True, features)
    question = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": EVENT}]}
    answer = {"role": "assistant", "content": [{"type": "text", "text": "A judge waves the flag."}]}
    processor = tiny_base.processor
    text = processor.apply_chat_template([question, answer]).replace("<image>", "<image>" * 16)
    ids = torch.tensor([processor.tokenizer(text).input_ids])
    embeddings = tiny_base.model.get_input_embeddings()(ids)
    place = (ids == tiny_base.model.config.image_token_id)[..., None]
    embeddings = embeddings.masked_scatter(place, features["p1"]["features"])
    plain = tiny_base.model(inputs_embeds=embeddings, attention_mask=torch.ones_like(ids)).logits
    target = processor.tokenizer(
        "ASSISTANT: A judge waves the flag.</s>", add_special_tokens=False
    ).input_ids[1:]
    assert ids[0, -len(target) :].tolist() == target
    expected = plain[0, -len(target) - 1 : -1].log_softmax(-1)[torch.arange(len(target)), target].sum()
    torch.testing.assert_close(sequence_logp(logits, labels)[0], expected, rtol=1e-4, atol=1e-4)


def test_an_answer_that_changes_the_prompt_is_refused(tiny_base):
    tiny_base.processor.chat_template = (
        "{% for message in messages %}{% if message['role'] == 'user' %}"
        "{{ ('A' if messages | length > 1 else 'B') ~ '<image>' }}{% endif %}{% endfor %}"
    )
    with pytest.raises(ValueError, match="changes the prompt"):
        Collator(tiny_base, random_features(["p0"]))([EXAMPLES[0]])
