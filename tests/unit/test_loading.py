"""Where checkpoints come from, and what is refused."""

from __future__ import annotations

import shutil

import pytest
import torch
from huggingface_hub import constants

from mmunlearn.models.loading import ModelSpec, load_base
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
