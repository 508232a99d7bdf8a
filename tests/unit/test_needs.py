"""What a checkpoint lacks besides weights is named by its small files alone."""

from __future__ import annotations

import copy
import json
import subprocess
import sys

import pytest
import yaml

from mmunlearn.models import needs
from mmunlearn.workflow.check import ConfigError, check, prepare
from tests.tiny_vlm import BUILDERS, load_vlm, write_vlm
from tests.unit.test_config_schema import ROOT

WHOLE = {
    "config.json": {"model_type": "llava"},
    "preprocessor_config.json": {},
    "processor_config.json": {"processor_class": "LlavaProcessor"},
    "tokenizer.json": {},
    "tokenizer_config.json": {"tokenizer_class": "LlamaTokenizer", "pad_token": "<pad>"},
    "chat_template.json": {"chat_template": "{{ messages }}"},
}


def place(folder, files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        if content is not None:
            (folder / name).write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, None),
        ({"chat_template.json": None}, r"has no chat template; name one in chat_template"),
        ({"chat_template.json": None, "chat_template.jinja": "{{ messages }}"}, None),
        (
            {"chat_template.json": None, "tokenizer_config.json": {"chat_template": "x", "pad_token": "p"}},
            "chat template in .* is of no use: the template writes no `messages`",
        ),
        (
            {
                "chat_template.json": None,
                "tokenizer_config.json": {
                    "chat_template": [{"name": "default", "template": "{{ messages }}"}],
                    "pad_token": "p",
                },
            },
            None,
        ),
        ({"chat_template.jinja": "{% for"}, "chat template in .* is of no use: no Jinja template: line 1"),
        ({"config.json": {"quantization_config": {"bits": 4}}}, "holds quantised weights"),
        ({"adapter_config.json": {}}, "holds an adapter, which would be loaded with the model"),
        ({"chat_template.jinja": "{{ messages }}", "chat_template.json": "half {"}, "no whole JSON file"),
        ({"chat_template.json": {"chat_template": None}}, "has no chat template"),
        ({"tokenizer_config.json": {"tokenizer_class": "LlamaTokenizerFast"}}, "has no pad token"),
        ({"tokenizer_config.json": {"tokenizer_class": "Qwen2Tokenizer"}}, None),
        (
            {"tokenizer_config.json": {"tokenizer_class": "Qwen2Tokenizer", "pad_token": None}},
            "has no pad token",
        ),
        (
            {
                "tokenizer_config.json": {"pad_token": None},
                "special_tokens_map.json": {"pad_token": {"content": "p"}},
            },
            None,
        ),
        ({"preprocessor_config.json": None, "processor_config.json": None}, "has no processor of pictures"),
        (
            {"tokenizer.json": None, "tokenizer.model": "x"},
            "needs packages .*: pip install sentencepiece protobuf",
        ),
        ({"tokenizer.json": None, "qwen.tiktoken": "x"}, "pip install tiktoken$"),
        ({"tokenizer.json": None, "tekken.json": {}}, "pip install mistral-common$"),
        ({"tokenizer.model": "x"}, None),
        ({"processor_config.json": {"processor_class": "SmolVLMProcessor"}}, "pip install num2words$"),
        (
            {"config.json": {"model_type": "gemma3n", "vision_config": {"model_type": "timm_wrapper"}}},
            "install timm$",
        ),
        ({"config.json": None}, None),
        ({"config.json": "half {"}, r"config\.json' is no whole JSON file; get it anew"),
    ],
)
def test_what_is_lacking_is_named(tmp_path, monkeypatch, changes, message):
    monkeypatch.setattr(needs, "find_spec", lambda _: None)
    folder = place(tmp_path / "model", WHOLE | changes)
    found = list(needs.problems(folder))
    assert len(found) == (message is not None)
    if message:
        with pytest.raises(ValueError, match=message):
            raise ValueError(found[0])
        assert str(folder) in found[0]
    assert list(needs.problems(tmp_path / "still to be fetched")) == []


def test_installed_packages_are_not_asked_for(tmp_path):
    files = {"config.json": {"vision_config": {"model_type": "timm_wrapper"}}, "tokenizer.json": None}
    folder = place(tmp_path / "model", WHOLE | files | {"tokenizer.model": "x"})
    needs_timm = [] if needs._installed("timm") else ["timm"]
    assert [line.rsplit(" ", 1)[-1] for line in needs.problems(folder)] == needs_timm
    assert not needs._installed("no_such_package.part") and needs._installed("google.protobuf")


@pytest.mark.parametrize("family", sorted(BUILDERS))
def test_every_family_has_all_it_needs_and_is_named_without_a_template(tmp_path, family):
    folder = write_vlm(family, tmp_path / family)
    assert list(needs.problems(folder)) == []
    (folder / "chat_template.jinja").rename(tmp_path / "template.jinja")
    with pytest.raises(ValueError, match=rf"asked of {folder}, but .* has no chat template; name one in"):
        load_vlm(family, folder)
    base = load_vlm(family, folder, chat_template=str(tmp_path / "template.jinja"))
    assert base.processor.chat_template == (tmp_path / "template.jinja").read_text()
    text = "{{ messages[0]['content'][1]['text'] }} said\n"
    assert load_vlm(family, folder, chat_template=text).processor.chat_template == text


def test_a_tokenizer_without_a_pad_token_is_named_before_the_weights_are_read(tmp_path, monkeypatch):
    folder = write_vlm("llava", tmp_path)
    path = folder / "tokenizer_config.json"
    described = json.loads(path.read_text())
    path.write_text(json.dumps({name: value for name, value in described.items() if name != "pad_token"}))
    monkeypatch.setattr("transformers.AutoModelForImageTextToText.from_pretrained", None)
    with pytest.raises(
        ValueError, match=r"has no pad token; name one as pad_token in its tokenizer_config\.json"
    ):
        load_vlm("llava", folder)


def checked(folder, **row):
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    config["models"]["mine"] = {"family": "other", "source": str(folder), **row}
    prepare(config := copy.deepcopy(config))
    check(config)
    return config


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("nowhere.jinja", "models.mine.chat_template: there is no file 'nowhere.jinja'"),
        ("{% for message in messages %}", r"models.mine.chat_template: no Jinja template: line 1"),
        ("{{ 'USER:' }}", r"models.mine.chat_template: the template writes no `messages`"),
        ("{# messages #}Who?", r"models.mine.chat_template: the template writes no `messages`"),
        ("{{ messages[0].role }}", r"models.mine.chat_template: the template writes no `messages`"),
        ("{{ messages | unheard }}", r"models.mine.chat_template: no Jinja template: .*'unheard'"),
        (
            "{{ 'Q: ' + messages[0].content }}",
            r"chat_template: the template cannot write a question to a picture",
        ),
        ("{{ raise_exception('no pictures') }}", r"cannot write a question to a picture: no pictures"),
        (None, r"models.mine.source: .* has no chat template; name one in chat_template"),
    ],
)
def test_a_row_is_checked_when_the_workflow_is_parsed(tmp_path, monkeypatch, template, message):
    monkeypatch.chdir(ROOT)
    folder = place(tmp_path / "model", WHOLE | {"chat_template.json": None, "model.safetensors": "x"})
    with pytest.raises(ConfigError, match=message):
        checked(folder, chat_template=template)
    own = (
        place(tmp_path, {"own.jinja": "\ufeff{% generation %}{{ messages }}{% endgeneration %}"})
        / "own.jinja"
    )
    checked(folder, chat_template=str(own))
    assert needs.template_text(str(own)).startswith("{% generation %}")


def test_a_hub_id_is_checked_in_the_local_cache(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    snapshot = tmp_path / "models--acme--tiny" / "snapshots" / ("a" * 40)
    place(snapshot, WHOLE | {"chat_template.json": None, "model.safetensors": "x"})
    with pytest.raises(ConfigError, match=rf"models.mine.source: '{snapshot}' has no chat template"):
        checked("acme/tiny", revision="a" * 40)
    checked("acme/tiny", revision="a" * 40, chat_template="{{ messages }}")


def test_nothing_heavy_is_imported():
    code = (
        "import sys, mmunlearn.models.needs; print(*{'torch', 'transformers', 'jinja2'} & sys.modules.keys())"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout == b"\n"
