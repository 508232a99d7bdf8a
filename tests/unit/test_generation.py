"""Batched greedy answers equal answers asked one by one."""

from __future__ import annotations

import json
from datetime import datetime
from threading import current_thread, main_thread

import pytest
import torch
from safetensors.torch import load_file

from mmunlearn.models.collate import Collator
from mmunlearn.models.dialogue import Dialogue
from mmunlearn.models.experts import BASE, expert_bytes, expert_name, with_experts
from mmunlearn.models.generation import Query, answer_all, batches_of
from mmunlearn.models.loading import adapted, load_adapter, new_adapter, trainable_parameters
from mmunlearn.weights.errors import WeightsError
from tests.tiny import random_features
from tests.tiny_vlm import BUILDERS, features_of, load_vlm, write_gemma, write_vlm

QUESTIONS = ["Who is the person in the picture?", "What?", "What is happening in the picture? Say it."]


def answer(base, features, queries, batch, model=None):
    collator = Collator(base, features)
    batches = batches_of(collator, queries, batch)
    return answer_all(model or base.model, collator, queries, batches=batches)


@pytest.fixture(scope="module", params=sorted(BUILDERS))
def checkpoint(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "gemma":  # no family of ours
        return "other", write_gemma(folder)
    return request.param, write_vlm(request.param, folder)


def answers(base, model=None, batch=8, seed=0):
    features = features_of(base, seed)
    queries = [Query(image, text, 5 + i % 2) for image in features for i, text in enumerate(QUESTIONS)]
    return answer(base, features, queries, batch, model)


LONG = (
    "Say in one sentence, and without any name, what the people in the picture are doing there, and why. " * 2
)


def early_end(base, queries, features) -> list[str]:
    """Let an answer end at a token that the model says sooner or later, as a trained model does: the one after which
    the answers have the most different lengths. Returns what is then said one by one."""
    tokenizer, words = base.processor.tokenizer, {}
    for token in range(len(tokenizer)):
        text = tokenizer.convert_ids_to_tokens(token)
        if text.isascii() and text.isalnum():
            words[text] = token
    plain = answer(base, features, queries, 1)
    tokens_of = [
        [tokenizer.convert_ids_to_tokens(token) for token in tokenizer(text).input_ids] for text in plain
    ]
    ends = {
        text: len({tokens.index(text) if text in tokens else len(tokens) for tokens in tokens_of})
        for text in words
    }
    tokenizer.eos_token = max(sorted(ends), key=ends.get)
    return answer(base, features, queries, 1)


def test_every_family_answers_a_batch_as_one_by_one(checkpoint):
    """Prompts of 1 to 40 words and three shapes of pictures; answers that end early beside others that go on."""
    base = load_vlm(*checkpoint)
    features, other = features_of(base), features_of(base, 1)
    queries = [
        Query(image, question, limit)
        for image in features
        for question, limit in zip((*QUESTIONS, LONG), (12, 12, 12, 16), strict=True)
    ]
    alone = early_end(base, queries, features)
    tokens = base.processor.tokenizer
    lengths = {len(tokens(text, add_special_tokens=False).input_ids) for text in alone}
    assert len(lengths) >= 4 and min(lengths) <= 10, "answers must end at different places"
    prompts = {len(Collator(base, features).prompt(one.question, one.image_id)) for one in queries}
    assert len(prompts) >= 4 and max(prompts) - min(prompts) > 30
    for batch in (5, 12):
        assert answer(base, features, queries, batch) == alone
    others = answer(base, other, queries, 5)
    assert sum(a != b for a, b in zip(others, alone, strict=True)) > len(queries) / 3, (
        "answers depend on pictures"
    )


def test_batches_are_neighbours_by_length_and_complete(tiny_base):
    features = random_features(["a", "b"])
    queries = [
        Query(image, question, 4 + i % 2)
        for image in features
        for i, question in enumerate((*QUESTIONS, LONG))
    ]
    collator = Collator(tiny_base, features)
    batches = batches_of(collator, queries, 3)
    assert sorted(i for batch in batches for i in batch) == list(range(len(queries)))
    assert max(map(len, batches)) == 3
    assert all(len({queries[i].max_new_tokens for i in batch}) == 1 for batch in batches)
    order = [
        (queries[i].max_new_tokens, len(collator.prompt(queries[i].question, queries[i].image_id)))
        for batch in batches
        for i in batch
    ]
    assert order == sorted(order)


def test_a_batch_is_laid_out_beside_the_one_before_and_fails_in_its_own_turn(tiny_base, monkeypatch):
    features = {name: one for name, one in random_features(["p0", "p1", "p2"]).items() if name != "p2"}
    collator, cache, threads = Collator(tiny_base, features), {}, []
    queries, asked = [Query(f"p{i}", QUESTIONS[0], 4) for i in range(3)], collator.asked
    monkeypatch.setattr(collator, "asked", lambda *args: threads.append(current_thread()) or asked(*args))
    with pytest.raises(KeyError, match="p2"):
        answer_all(tiny_base.model, collator, queries, batches=[[0], [1], [2]], cache=cache)
    assert sorted(cache) == [0, 1] and len(threads) == 3 and main_thread() not in threads


def test_cached_batches_are_not_asked_again(tiny_base, monkeypatch):
    features = random_features(["a", "b"])
    queries = [Query(image, question, 5) for image in features for question in QUESTIONS]
    collator, cache, calls = Collator(tiny_base, features), {}, []
    batches = batches_of(collator, queries, 2)
    answers = answer_all(tiny_base.model, collator, queries, batches=batches, cache=cache)
    assert sorted(cache) == [0, 1, 2]
    lost, generate = cache.pop(1), tiny_base.model.generate
    monkeypatch.setattr(tiny_base.model, "generate", lambda **inputs: calls.append(1) or generate(**inputs))
    assert answer_all(tiny_base.model, collator, queries, batches=batches, cache=cache) == answers
    assert (calls, cache[1]) == ([1], lost)


@pytest.mark.parametrize("checkpoint", ["llava", "mllama"], indirect=True)
def test_adapters_follow_each_other_on_one_base(checkpoint, tmp_path):
    """The base is itself again after each: every adapter says what it says on a base of its own."""
    for seed in (0, 1):
        model = new_adapter(load_vlm(*checkpoint), {"rank": 4 + seed, "alpha": 8, "dropout": 0.0}, seed)
        for name, weight in trainable_parameters(model).items():
            if "lora_B" in name:
                torch.nn.init.normal_(weight, std=0.3)
        model.save_pretrained(tmp_path / str(seed))
    base, together = load_vlm(*checkpoint), []
    plain = answers(base)
    for seed in (0, 1, 0):
        with adapted(base, tmp_path / str(seed)) as model:
            together.append(answers(base, model))
        assert answers(base) == plain
    alone = []
    for seed in (0, 1):
        fresh = load_vlm(*checkpoint)
        alone.append(answers(fresh, load_adapter(fresh, tmp_path / str(seed))))
    assert together == [*alone, alone[0]]
    assert plain != alone[0] != alone[1]
    assert not any("lora" in name for name, _ in base.model.named_modules())


@pytest.fixture(scope="module")
def experts(checkpoint, tmp_path_factory):
    """Folders of three adapters by task, of two ranks; the names are such as are part of keys."""
    folders = {}
    for seed, task in enumerate(("a", "1", "layers")):
        model = new_adapter(load_vlm(*checkpoint), {"rank": 3 + seed % 2, "alpha": 8, "dropout": 0.3}, seed)
        for name, weight in trainable_parameters(model).items():
            if "lora_B" in name:
                torch.nn.init.normal_(weight, std=0.3)
        folders[task] = tmp_path_factory.mktemp(task)
        model.save_pretrained(folders[task])
    return folders


@pytest.mark.parametrize(
    ("checkpoint", "generic"),
    [(name, generic) for name in sorted(BUILDERS) for generic in (False, True)] + [("gemma", True)],
    indirect=["checkpoint"],
)
def test_every_family_answers_a_batch_of_several_adapters_as_one_adapter_at_a_time(
    checkpoint, experts, generic
):
    """Each question of each adapter and of the base, in batches that mix them; family `other` asks them apart."""
    base = load_vlm("other" if generic else checkpoint[0], checkpoint[1])
    features, names = features_of(base), [BASE, *map(expert_name, experts)]
    plain = answers(base)
    queries = [
        Query(image, text, 5 + i % 2, name)
        for name in names
        for image in features
        for i, text in enumerate(QUESTIONS)
    ]
    mixed = batches_of(Collator(base, features), queries, 5)
    apart = all(len({queries[i].adapter for i in batch}) == 1 for batch in mixed)
    assert apart == (not base.mixes) == (base.family == "other")
    with with_experts(base, experts) as model:
        together = answer(base, features, queries, 5, model)
    assert answers(base) == plain
    for number, folder in enumerate([None, *experts.values()]):
        own = together[number * len(plain) : (number + 1) * len(plain)]
        if folder is None:
            assert own == plain
        else:
            with adapted(base, folder) as model:
                assert own == answers(base, model)
            assert own != plain
    assert len({tuple(together[i :: len(plain)]) for i in range(len(plain))}) > 1


@pytest.mark.parametrize("checkpoint", ["mllama"], indirect=True)
def test_modules_that_see_tiles_keep_the_generic_family_from_mixing(checkpoint, experts):
    """peft itself refuses: the cross attention of pixels sees a row a tile."""
    base = load_vlm("other", checkpoint[1])
    collator = Collator(base, features_of(base))
    queries = [Query("p0", "What?", 3, name) for name in (BASE, expert_name("a"))]
    with with_experts(base, experts) as model, pytest.raises(ValueError, match="Length of `adapter_names`"):
        answer_all(model, collator, queries, batches=[[0, 1]])


@pytest.mark.parametrize("checkpoint", ["llava"], indirect=True)
def test_an_expert_adds_its_own_adapter_to_memory_and_a_damaged_one_leaves_the_base(
    checkpoint, experts, tmp_path
):
    base = load_vlm(*checkpoint)
    whole = sum(value.nbytes for value in (*base.model.parameters(), *base.model.buffers()))
    with with_experts(base, experts) as model:
        assert expert_bytes(model, "")[0] == whole
        for task, folder in experts.items():
            size = sum(value.numel() for value in load_file(folder / "adapter_model.safetensors").values())
            assert expert_bytes(model, task) == (4 * size, size)
    (tmp_path / "adapter_config.json").write_bytes((experts["1"] / "adapter_config.json").read_bytes())
    (tmp_path / "adapter_model.safetensors").write_bytes(b"damaged")
    with pytest.raises(WeightsError, match=str(tmp_path)), with_experts(base, experts | {"D": tmp_path}):
        pass
    assert not any("lora" in name for name, _ in base.model.named_modules())


def test_every_family_answers_from_features_as_from_pixels(checkpoint):
    base, generic = load_vlm(*checkpoint), load_vlm("other", checkpoint[1])
    assert answers(base) == answers(generic) == answers(generic, batch=1)


ASKS = {
    "repetition_penalty": 1.7, "no_repeat_ngram_size": 2, "encoder_no_repeat_ngram_size": 1, "num_beams": 3,
    "num_return_sequences": 2, "min_length": 100, "min_new_tokens": 9, "do_sample": True, "temperature": 5.0,
    "top_k": 3, "top_p": 0.1, "min_p": 0.2, "typical_p": 0.3, "suppress_tokens": list(range(10, 200)),
    "begin_suppress_tokens": list(range(200, 300)), "forced_bos_token_id": 70, "forced_eos_token_id": 71,
    "bad_words_ids": [[80], [81]], "sequence_bias": [[[90], 30.0]], "guidance_scale": 3.0, "penalty_alpha": 0.6,
    "max_length": 3, "max_time": 1e-9, "eos_token_id": list(range(100)), "length_penalty": 3.0, "use_cache": False,
    "exponential_decay_length_penalty": [1, 5.0], "stop_strings": ["e"], "return_dict_in_generate": True,
    "output_scores": True, "remove_invalid_values": True, "renormalize_logits": True, "prompt_lookup_num_tokens": 2,
    "cache_implementation": "static", "num_beam_groups": 3, "diversity_penalty": 1.0, "dola_layers": "low",
    "token_healing": True, "early_stopping": True, "epsilon_cutoff": 0.1, "eta_cutoff": 0.1, "top_h": 0.2,
}  # fmt: skip


@pytest.mark.parametrize(("family", "adapter"), [("llava", True), ("mllama", False), ("qwen3_vl", False)])
def test_greedy_is_greedy_whatever_a_checkpoint_asks_for(tmp_path, family, adapter):
    """All of these together, and for one family some of them alone; with an adapter and without one."""
    folder = write_vlm(family, tmp_path / family)
    path, config = folder / "generation_config.json", json.loads((folder / "config.json").read_text())

    def said():
        base = load_vlm(family, folder)
        model = new_adapter(base, {"rank": 4, "alpha": 8, "dropout": 0.0}, 0) if adapter else None
        queries = [Query("p0", text, 8) for text in QUESTIONS]
        return answer(base, features_of(base), queries, 2, model)

    plain = said()
    assert len(set(plain)) > 1
    alone = ("no_repeat_ngram_size", "num_beams", "min_new_tokens", "suppress_tokens") if adapter else ()
    for asks in ({}, ASKS, *({name: ASKS[name]} for name in alone)):
        path.write_text(json.dumps(asks))
        assert said() == plain, asks
    (folder / "config.json").write_text(json.dumps(config | ASKS))  # as old checkpoints do
    assert said() == plain


DATED = "{{ strftime_now('%d %b %Y') }}\n"
LLAMA = (
    "{% if not date_string is defined %}{% if strftime_now is defined %}"
    "{% set date_string = strftime_now('%d %b %Y') %}{% else %}{% set date_string = 'none' %}{% endif %}{% endif %}"
    "{{ 'Today: ' + date_string + '\\n' }}"
)


@pytest.mark.parametrize("date", [DATED, LLAMA])
def test_a_template_that_prints_the_date_prints_one_date_for_ever(tmp_path, date):
    base = load_vlm("llava", write_vlm("llava", tmp_path))
    plain = Dialogue(base.processor, None)
    assert plain.prompt("Who?").startswith("USER:")
    base.processor.chat_template = date + base.processor.chat_template
    today = base.processor.apply_chat_template(
        [{"role": "user", "content": [{"type": "text", "text": "Who?"}]}]
    )
    assert datetime.now().strftime("%d %b %Y") in today, "as the library does by itself"
    dialogue = Dialogue(base.processor, None)
    assert "26 Jul 2024\n" in dialogue.prompt("Who?").split("USER")[0]
    assert dialogue.full("Who?", "Ada.").startswith(dialogue.prompt("Who?"))


@pytest.mark.parametrize(("dtype", "precision", "inside"), [
    ("bfloat16", "bf16", torch.bfloat16), ("float32", "bf16", torch.bfloat16), ("bfloat16", "none", torch.float32),
    ("float32", "none", torch.float32),
])  # fmt: skip
def test_adapters_answer_in_the_precision_that_they_were_trained_in(tmp_path, dtype, precision, inside):
    """As a training's forward pass under accelerate's autocast computes them."""
    base = load_vlm("llava", write_vlm("llava", tmp_path), dtype=dtype)
    model = new_adapter(base, {"rank": 4, "alpha": 8, "dropout": 0.0}, 0)
    seen = set()
    for name, module in model.named_modules():
        if name.endswith(("lora_A.default", "lora_B.default")):
            module.register_forward_hook(lambda *args: seen.add(args[2].dtype))
    collator = Collator(base, features_of(base))
    queries = [Query("p0", text, 3) for text in QUESTIONS]
    answer_all(model, collator, queries, batches=batches_of(collator, queries, 2), precision=precision)
    assert seen == {inside}
    assert {value.dtype for value in trainable_parameters(model).values()} == {torch.float32}
