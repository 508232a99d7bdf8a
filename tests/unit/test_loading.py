"""Where checkpoints come from, and what is refused."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load_file, save_file

from mmunlearn.models.loading import (
    ModelSpec,
    adapted,
    add_reference,
    load_adapter,
    load_base,
    new_adapter,
    trainable_parameters,
)
from mmunlearn.records import sha256_of
from mmunlearn.weights.errors import WeightsError
from tests.tiny import load_tiny
from tests.tiny_vlm import write_vlm

COMMITS = {"main": "a" * 40, "v2": "b" * 40}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_vlm("llava", tmp_path_factory.mktemp("llava"))


@pytest.fixture
def cache(tmp_path, folder, monkeypatch):
    """A cache of the model hub that holds two revisions of acme/tiny; the second lacks its weights."""
    repository = tmp_path / "models--acme--tiny"
    (repository / "refs").mkdir(parents=True)
    for name, commit in COMMITS.items():
        (repository / "refs" / name).write_text(commit)
        shutil.copytree(folder, repository / "snapshots" / commit)
    (repository / "snapshots" / COMMITS["v2"] / "model.safetensors").rename(
        repository / "snapshots" / COMMITS["v2"] / "pytorch_model.bin"
    )
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))


def test_three_fields_are_enough(folder):
    base = load_base(ModelSpec("llava", str(folder), "bfloat16"))
    assert base.model.dtype == torch.bfloat16
    assert base.model.config._attn_implementation == "sdpa"
    assert not base.model.training


def test_attention_is_what_the_configuration_says(folder):
    base = load_base(ModelSpec("llava", str(folder), "float32", "eager"))
    assert base.model.config.text_config._attn_implementation == "eager"
    with pytest.raises(
        ValueError, match=r"attention 'fast' is asked for.*sdpa, eager.*models.<name>.attention"
    ):
        load_base(ModelSpec("llava", str(folder), "float32", "fast"))


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("revision", [None, "main", COMMITS["main"]])
def test_a_hub_source_is_read_from_the_local_cache(revision):
    base = load_base(ModelSpec("llava", "acme/tiny", "float32", revision=revision))
    assert type(base.model).__name__ == "LlavaForConditionalGeneration"


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize(("source", "revision"), [("acme/absent", None), ("acme/tiny", "c" * 40)])
def test_what_the_cache_lacks_is_said_with_the_command_that_fetches_it(source, revision):
    with pytest.raises(
        FileNotFoundError, match=rf"hf download {source}{' --revision c+' if revision else '$'}"
    ):
        load_base(ModelSpec("llava", source, "float32", revision=revision))


@pytest.mark.usefixtures("cache")
def test_only_safetensors_are_read():
    with pytest.raises(FileNotFoundError, match=r"there is no \*.safetensors"):
        load_base(ModelSpec("llava", "acme/tiny", "float32", revision="v2"))


def test_a_folder_without_checkpoint_and_another_architecture_are_refused(tmp_path, folder):
    with pytest.raises(FileNotFoundError, match=r"no config.json; set models.<name>.source"):
        load_base(ModelSpec("llava", str(tmp_path), "float32"))
    with pytest.raises(ValueError, match=r"family mllama is a Mllama.*holds a Llava.*models.<name>.family"):
        load_base(ModelSpec("mllama", str(folder), "float32"))


NAN = float("nan")


def changed(path, edit) -> None:
    """Write a safetensors file anew after an edit of its tensors, or of their dictionary."""
    tensors = load_file(path)
    edit(tensors)
    save_file(tensors, path, metadata={"format": "pt"})


def rename_all(tensors):
    for name in list(tensors):
        tensors[f"other.{name}"] = tensors.pop(name)


def half(tensors):
    for name in sorted(tensors)[::2]:
        del tensors[name]


def set_nan(tensors):
    name = sorted(tensors)[0]
    tensors[name] = tensors[name].clone()
    tensors[name].view(-1)[-1] = NAN


def cut(tensors):
    name = sorted(tensors)[-1]
    tensors[name] = tensors[name][..., :-1].contiguous()


def set_inf(tensors):
    name = sorted(tensors)[0]
    tensors[name] = torch.full_like(tensors[name], -torch.inf)


def round_all(tensors):
    for name in tensors:
        tensors[name] = tensors[name].to(torch.int8)


def one_more(tensors):
    tensors["model.extra"] = torch.ones(2)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (rename_all, r"missing: .*; unexpected: other\."),
        (half, r"missing: .* and \d+ more"),
        (set_nan, r"model\.safetensors; found: .*not finite: "),
        (set_inf, r"model\.safetensors; found: .*not finite: "),
        (cut, r"misshapen: .* instead of \["),
        (round_all, r"model\.safetensors; found: whole numbers: "),
        (one_more, r"unexpected: model\.extra"),
    ],
)
def test_a_base_that_is_not_exactly_its_files_is_refused(tmp_path, folder, edit, message):
    shutil.copytree(folder, tmp_path / "base")
    changed(tmp_path / "base" / "model.safetensors", edit)
    with pytest.raises(WeightsError, match=rf"(?s){tmp_path}/base.*{message}.*models.<name>.source"):
        load_base(ModelSpec("llava", str(tmp_path / "base"), "float32"))


def test_a_cut_off_base_is_refused_by_file_and_nothing_is_to_be_deleted(tmp_path, folder):
    shutil.copytree(folder, tmp_path / "base")
    path = tmp_path / "base" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(WeightsError, match=r"model\.safetensors; found no whole safetensors file") as caught:
        load_base(ModelSpec("llava", str(tmp_path / "base"), "float32"))
    assert "delete" not in str(caught.value)


def test_missing_shards_and_shards_without_their_tensors_are_named(tmp_path, folder):
    """A sharded checkpoint loads as the whole one does."""
    whole = load_base(ModelSpec("llava", str(folder), "float32")).model
    whole.save_pretrained(tmp_path, max_shard_size="60KB")
    for path in folder.glob("*.json"):
        shutil.copy(path, tmp_path)
    for path in folder.glob("*.jinja"):
        shutil.copy(path, tmp_path)
    spec = ModelSpec("llava", str(tmp_path), "float32")
    again = load_base(spec).model.state_dict()
    assert all(torch.equal(again[name], value) for name, value in whole.state_dict().items())
    shards = sorted(tmp_path.glob("model-*.safetensors"))
    assert len(shards) > 3
    lost = sorted(load_file(shards[0]))[0]
    changed(shards[0], lambda tensors: tensors.pop(lost))
    with pytest.raises(WeightsError, match=rf"{shards[0].name}; found: .*missing: {lost}"):
        load_base(spec)
    for path in shards[::2]:
        path.unlink()
    with pytest.raises(
        WeightsError, match=rf"index\.json lists; found no {shards[0].name}, {shards[2].name}"
    ):
        load_base(spec)


def test_two_sets_of_weights_and_shards_without_an_index_are_refused(tmp_path, folder):
    shutil.copytree(folder, tmp_path / "base")
    spec, path = (
        ModelSpec("llava", str(tmp_path / "base"), "float32"),
        tmp_path / "base" / "model.safetensors",
    )
    names = list(load_file(path))
    shutil.copy(path, path.with_name("a.safetensors"))
    index = path.with_name("model.safetensors.index.json")
    index.write_text(json.dumps({"weight_map": dict.fromkeys(names, "a.safetensors")}))
    with pytest.raises(WeightsError, match=rf"one set of weights; found {path} and {index}, which are two"):
        load_base(spec)
    path.unlink()
    index.unlink()
    with pytest.raises(WeightsError, match=rf"{path}, or {index.name} beside it; found a\.safetensors; get"):
        load_base(spec)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("tokenizer.json", "{", "JSONDecodeError"),
        ("config.json", '{"model_type": "unheard"}', "unheard"),
        ("config.json", '{"model_type": "llama"}', "Unrecognized configuration class"),
    ],
)
def test_files_that_the_library_cannot_read_are_named_with_their_folder(
    tmp_path, folder, name, text, message
):
    (shutil.copytree(folder, tmp_path / "base") / name).write_text(text)
    with pytest.raises(WeightsError, match=rf"the checkpoint in {tmp_path}/base; found .*{message}"):
        load_base(ModelSpec("other", str(tmp_path / "base"), "float32"))


def test_weights_too_large_for_the_type_are_named(tmp_path, folder):
    shutil.copytree(folder, tmp_path / "base")
    changed(tmp_path / "base" / "model.safetensors", lambda tensors: tensors[sorted(tensors)[0]].fill_(1e6))
    load_base(ModelSpec("llava", str(tmp_path / "base"), "bfloat16"))
    with pytest.raises(WeightsError, match=r"too large for that type; set models.<name>.dtype to bfloat16"):
        load_base(ModelSpec("llava", str(tmp_path / "base"), "float16"))


USES = {
    "answering": lambda base, _, bad: adapted(base, bad).__enter__(),
    "training": lambda base, _, bad: load_adapter(base, bad, trainable=True),
    "reference": lambda base, good, bad: add_reference(load_adapter(base, good, trainable=True), bad),
}
LORA = {"rank": 4, "alpha": 8, "dropout": 0.0}


@pytest.fixture
def adapter(tmp_path, tiny_base):
    """Folder of a trained adapter, with training.json beside it."""
    model, folder = new_adapter(tiny_base, LORA, 1), tmp_path / "run" / "adapter"
    for value in trainable_parameters(model).values():
        torch.nn.init.normal_(value)
    model.save_pretrained(folder)
    model.unload()
    record(folder)
    return folder


def record(folder):
    names = {"adapter_sha256": "adapter_model.safetensors", "adapter_config_sha256": "adapter_config.json"}
    digests = {field: sha256_of(folder / name) for field, name in names.items()}
    (folder.parent / "training.json").write_text(json.dumps(digests))


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (rename_all, r"missing: base_model\..*; unexpected: other\.base_model"),
        (half, r"missing: base_model\.model\..*lora_A\.weight"),
        (set_nan, r"not finite: base_model\.model\."),
        (set_inf, r"not finite: base_model\.model\."),
        (cut, r"misshapen: base_model\.model\..* instead of \["),
        (one_more, r"unexpected: model\.extra"),
        (round_all, r"whole numbers: base_model\.model\."),
        (dict.clear, r"missing: base_model"),
    ],
)
@pytest.mark.parametrize("use", ["answering", "training", "reference"])
def test_an_adapter_that_does_not_fit_is_refused_wherever_it_is_used(
    tmp_path, tiny_base, adapter, edit, message, use
):
    bad = shutil.copytree(adapter, tmp_path / "bad" / "adapter")
    changed(bad / "adapter_model.safetensors", edit)
    record(bad)
    names = [name for name, _ in tiny_base.model.named_parameters()]
    with pytest.raises(WeightsError, match=rf"{bad}/adapter_model\.safetensors; found: .*{message}"):
        USES[use](tiny_base, adapter, bad)
    if use != "reference":
        assert [name for name, _ in tiny_base.model.named_parameters()] == names, "the base is itself again"


@pytest.mark.parametrize(
    ("name", "key"), [("adapter_model.safetensors", "weights"), ("adapter_config.json", "alpha")]
)
def test_an_altered_adapter_is_not_the_one_that_training_json_records(tiny_base, adapter, name, key):
    path = adapter / name
    if key == "weights":
        changed(path, lambda tensors: tensors[sorted(tensors)[0]].mul_(1.5))
    else:
        path.write_text(json.dumps(json.loads(path.read_text()) | {"lora_alpha": 64}))
    with pytest.raises(WeightsError, match=rf"{path} with the SHA-256 \w+ that .*training\.json records"):
        load_adapter(tiny_base, adapter)
    for damaged in ("{half", "[1]", "null"):
        (adapter.parent / "training.json").write_text(damaged)
        with pytest.raises(WeightsError, match=r"checksums in .*training\.json; found no record"):
            load_adapter(tiny_base, adapter)
    (adapter.parent / "training.json").unlink()
    load_adapter(tiny_base, adapter)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"r": 8}, r"misshapen: .*\[4, 32\] instead of \[8, 32\]"),
        ({"target_modules": r".*language_model\.layers\.0\.self_attn\.q_proj"}, "unexpected: .*layers.0.mlp"),
        ({"use_dora": True}, "more than LoRA: use_dora True"),
        ({"bias": "all"}, "more than LoRA: bias 'all'"),
        ({"modules_to_save": ["lm_head"]}, r"more than LoRA: modules_to_save \['lm_head'\]"),
        ({"init_lora_weights": "pissa"}, "more than LoRA: init_lora_weights 'pissa'"),
        ({"lora_alpha": 0}, "lora_alpha 0, which is no number above 0"),
        ({"lora_alpha": NAN}, "lora_alpha nan, which is no number above 0"),
        ({"r": "four"}, "LoRA adapter as .*adapter_config.json"),
        ({"target_modules": r".*vision\.q"}, "adapter_config.json describes it; found .*Target modules"),
        ({"peft_type": "IA3"}, "adapter_config.json describes it; found"),
    ],
)
def test_a_config_that_does_not_fit_its_adapter_is_refused(tiny_base, adapter, change, message):
    path = adapter / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    record(adapter)
    before = {name: value.clone() for name, value in tiny_base.model.state_dict().items()}
    with pytest.raises(WeightsError, match=message):
        load_adapter(tiny_base, adapter)
    after = tiny_base.model.state_dict()
    assert after.keys() == before.keys() and all(torch.equal(after[name], before[name]) for name in before)


def test_an_adapter_on_the_output_layer_is_saved_and_loaded(tmp_path, tiny_checkpoint):
    """peft saves such a layer's own weights, too."""
    base = load_tiny(tiny_checkpoint)
    object.__setattr__(base, "lora_targets", r"lm_head|.*language_model\.layers\.\d+\.self_attn\.q_proj")
    model = new_adapter(base, LORA, 1)
    model.save_pretrained(tmp_path / "adapter")
    again = load_adapter(load_tiny(tiny_checkpoint), tmp_path / "adapter")
    assert sum("lm_head" in name for name, _ in again.named_parameters()) == 3
