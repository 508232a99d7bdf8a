"""Every family: LoRA on the language model only, cached features that equal pixels, adapters that agree."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from peft import PeftModel

from mmunlearn.models.collate import Collator, forward
from mmunlearn.models.example import Example
from mmunlearn.models.families import FAMILIES, caches_features
from mmunlearn.models.feature_file import FeatureTable, write_features
from mmunlearn.models.features import encode
from mmunlearn.models.generation import Query, answer_all, batches_of
from mmunlearn.models.loading import load_adapter, lora_targets, new_adapter, trainable_parameters
from mmunlearn.models.picture_list import Picture
from mmunlearn.records import RecordError, sha256_of
from mmunlearn.training.losses import sequence_logp
from tests.tiny_vlm import BUILDERS, features_of, load_vlm, pictures, write_gemma, write_vlm

NAME, EVENT = "Who is the person in the picture?", "What is happening in the picture?"
EXAMPLES = [
    Example("p0", ((NAME, "This is Mira Okonjo."), (EVENT, "Sailors race home across the harbour."))),
    Example("p1", ((EVENT, "A judge waves the flag."),)),
    Example("p2", ((NAME, "This is Ada Lund."), (EVENT, "Nothing."), (NAME, "I do not know."))),
]
LORA = {"rank": 4, "alpha": 8, "dropout": 0.0}
TOWERS = {
    "llava": "vision_tower",
    "llava_next": "vision_tower",
    "mllama": "vision_model",
    "qwen3_vl": "visual",
}
LINEARS = {"llava": 14, "llava_next": 14, "mllama": 21, "qwen3_vl": 14}


@pytest.fixture(scope="module", params=sorted(BUILDERS))
def checkpoint(request, tmp_path_factory):
    return request.param, write_vlm(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture
def base(checkpoint):
    return load_vlm(*checkpoint)


@pytest.mark.parametrize(
    ("chosen", "caching"),
    [
        (None, {"llava", "llava_next", "qwen3_vl"}),
        (True, {"llava", "llava_next", "qwen3_vl", "mllama"}),
        (False, set()),
    ],
)
def test_which_families_keep_features(chosen, caching):
    rows = {family: {"family": family, "cache_features": chosen} for family in FAMILIES}
    assert {family for family, row in rows.items() if caches_features(row)} == caching
    assert chosen is not None or caches_features({"family": "llava"})


def logp(model, base, features, examples=EXAMPLES):
    logits, labels = forward(model, Collator(base, features)(examples))
    return sequence_logp(logits, labels)


def adapted(base, seed=0):
    """An adapter that changes something: a fresh one adds nothing."""
    model = new_adapter(base, LORA, seed)
    for name, weight in trainable_parameters(model).items():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.1)
    return model.eval()


def test_families_are_described_without_torch():
    code = (
        "import sys; from mmunlearn.models.families import FAMILIES; print('torch' in sys.modules, *FAMILIES)"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.split() == ["False", "llava", "mllama", "llava_next", "qwen3_vl", "other"]


def test_a_checkpoint_loads_as_the_class_that_its_family_names(base):
    assert type(base.model).__name__ == base.architecture


def test_lora_is_on_every_linear_of_the_language_model_and_nowhere_else(base):
    names = set(trainable_parameters(new_adapter(base, LORA, 0)))
    modules = {name.split(".lora_")[0] for name in names}
    assert len(modules) == LINEARS[base.family]
    assert all(".language_model.layers." in name and "lora_" in name for name in names)


def test_other_finds_the_same_modules_by_structure(checkpoint, base):
    generic = load_vlm("other", checkpoint[1])
    by_structure, by_family = (trainable_parameters(new_adapter(one, LORA, 0)) for one in (generic, base))
    assert by_structure.keys() == by_family.keys()


def test_the_configuration_may_choose_other_modules_but_no_cached_ones(checkpoint, base):
    only = r".*language_model\..*\.q_proj"
    modules = trainable_parameters(new_adapter(load_vlm(*checkpoint, lora_targets=only), LORA, 0))
    assert modules
    assert all(".q_proj.lora_" in name for name in modules)
    vision = rf".*{TOWERS[checkpoint[0]]}\..*(q_proj|qkv)"
    with pytest.raises(ValueError, match=r"frozen vision tower.*family: other"):
        lora_targets(replace(base, lora_targets=vision))
    assert lora_targets(load_vlm("other", checkpoint[1], lora_targets=vision)) == vision
    with pytest.raises(ValueError, match=r"asked for on nothing.*no module.*lora_targets"):
        lora_targets(replace(base, lora_targets="nothing"))


def test_cached_features_equal_pixels_and_the_tower_is_not_called(checkpoint, base):
    """Family `other` runs the library's plain forward: its processor, pixels, mask and positions."""
    features = features_of(base)
    calls = []
    tower = getattr(base.model.model, TOWERS[base.family])
    tower.register_forward_hook(lambda *_: calls.append(1))
    generic = load_vlm("other", checkpoint[1])
    torch.testing.assert_close(
        logp(base.model, base, features),
        logp(generic.model, generic, features_of(generic)),
        rtol=1e-5,
        atol=1e-4,
    )
    assert not calls


def test_another_image_changes_every_answers_probability(base):
    difference = logp(base.model, base, features_of(base)) - logp(base.model, base, features_of(base, seed=1))
    assert (difference.abs() > 1e-3).all()


def test_row_order_and_padding_change_nothing(base):
    features = features_of(base)
    together = logp(base.model, base, features)
    alone = torch.cat([logp(base.model, base, features, [example]) for example in EXAMPLES])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-4)
    reverse = logp(base.model, base, features, EXAMPLES[::-1])
    torch.testing.assert_close(reverse, together[[3, 4, 5, 2, 0, 1]], rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_gradients_reach_lora_and_nothing_else(base, checkpointing):
    features, model = features_of(base), adapted(base)
    if checkpointing:
        base.model.gradient_checkpointing_enable({"use_reentrant": False})
    model.train()
    (-logp(model, base, features).mean()).backward()
    reached = {name for name, one in model.named_parameters() if one.grad is not None and one.grad.any()}
    assert reached == {name for name, _ in model.named_parameters() if "lora_" in name}


def test_adapter_saved_loaded_and_merged_agree(checkpoint, base, tmp_path):
    features = features_of(base)
    plain = logp(base.model, base, features).detach()
    model = adapted(base)
    trained = logp(model, base, features)
    assert ((plain - trained).abs() > 1e-3).all()
    model.save_pretrained(tmp_path)
    again = load_vlm(*checkpoint)
    loaded = load_adapter(again, tmp_path)
    assert not trainable_parameters(loaded)
    assert torch.equal(logp(loaded.eval(), again, features), trained)
    assert isinstance(loaded, PeftModel)
    merged = loaded.merge_and_unload()
    torch.testing.assert_close(logp(merged, again, features), trained, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_keeps_its_dtype(checkpoint, attention, dtype):
    base = load_vlm(*checkpoint, dtype=dtype, attention=attention)
    features = features_of(base)
    reals = {part.dtype for parts in features.values() for part in parts.values() if part.is_floating_point()}
    assert reals == {getattr(torch, dtype)}
    logits, _ = forward(base.model, Collator(base, features)(EXAMPLES))
    assert logits.dtype == getattr(torch, dtype)
    assert logits.isfinite().all()


@pytest.mark.parametrize("batch", [1, 2])
def test_files_are_encoded_to_the_same_features_in_any_batch(base, tmp_path, batch):
    listed = {}
    for image_id, picture in pictures().items():
        path = tmp_path / f"{image_id}.png"
        picture.save(path)
        listed[image_id] = Picture(str(path), sha256_of(path), tmp_path / "list")
    encoded, expected = dict(encode(base, listed, batch=batch)), features_of(base)
    torch.testing.assert_close(encoded, expected, rtol=1e-4, atol=1e-5)


def test_features_from_a_file_change_nothing(base, tmp_path):
    features = features_of(base)
    write_features(tmp_path / "f.safetensors", iter(features.items()), list(features))
    table = FeatureTable(tmp_path / "f.safetensors")
    assert set(table) == set(features)
    assert torch.equal(logp(base.model, base, table), logp(base.model, base, features))


def test_a_features_file_holds_any_dtype_at_any_size(tmp_path):
    parts = {
        f"é{i}": {
            "odd": torch.ones(i + 1, 3).bfloat16(),
            "picture": torch.arange(i + 1).byte(),
            "count": torch.ones(2).int(),
        }
        for i in range(5)
    }
    path = tmp_path / "f.safetensors"
    write_features(path, iter(parts.items()), list(parts))
    table = FeatureTable(path)
    for image_id, each in parts.items():
        assert table[image_id].keys() == each.keys()
        assert all(torch.equal(table[image_id][name], part) for name, part in each.items())
    write_features(path, iter(()), [])
    assert len(FeatureTable(path)) == 0
    path.write_bytes(b"half a file")
    again = re.escape(f"snakemake --cores 1 {path} --forcerun {path}")
    with pytest.raises(RecordError, match=rf"f.safetensors; found: no whole safetensors file .*{again}$"):
        FeatureTable(path)


def test_a_model_that_is_no_family_of_ours_runs_by_one_row(tmp_path):
    """Gemma 3 as family `other`: trained by LoRA, saved and loaded, and answering a batch as one by one."""
    write_gemma(tmp_path / "gemma")
    base = load_vlm("other", tmp_path / "gemma")
    features = features_of(base)
    Collator(base, features).check(EXAMPLES)
    together = logp(base.model, base, features)
    alone = torch.cat([logp(base.model, base, features, [example]) for example in EXAMPLES])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-4)
    assert ((together - logp(base.model, base, features_of(base, seed=1))).abs() > 1e-3).all()
    queries = [Query(image_id, question, 5) for image_id in features for question in (NAME, "What?")]
    collator = Collator(base, features)
    fours, ones = (
        answer_all(base.model, collator, queries, batches=batches_of(collator, queries, batch))
        for batch in (4, 1)
    )
    assert fours == ones
    assert len(set(ones)) > 1
    model = adapted(base)
    assert all("language_model.layers." in name for name in trainable_parameters(model))
    trained = logp(model, base, features)
    (-trained.mean()).backward()
    assert all(weight.grad.any() for weight in trainable_parameters(model).values())
    model.save_pretrained(tmp_path / "adapter")
    again = load_vlm("other", tmp_path / "gemma")
    loaded = load_adapter(again, tmp_path / "adapter").eval()
    assert torch.equal(logp(loaded, again, features), trained)
