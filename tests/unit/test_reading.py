"""Configuration files as they are written: equal keys, what YAML reads as something else, and what is no YAML."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmunlearn.workflow.errors import ConfigError
from mmunlearn.workflow.reading import extend, extended, file_error
from tests.copies import ROOT


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("images:\n  size: 3\n  steps: 1\n  size: 4\n", ["line 4: the key 'size' stands in line 2 already"]),
        ("a: 1\nb: 2\n'a': 3\n", ["line 3: the key 'a' stands in line 1 already"]),
        ("a: {b: 1, c: 2,\n  b: 3}\n", ["line 2: the key 'b' stands in line 1 already"]),
        ("a:\n- {b: 1, b: 2}\n- {b: 1}\n", ["line 2: the key 'b' stands in line 2 already"]),
        (
            "models:\n  no: {family: other}\n",
            ["line 2: YAML reads the key 'no' as true or false; put it in quotes"],
        ),
        ("On: 1\n", ["line 1: YAML reads the key 'On' as true or false"]),
        ("methods: {1: {}, 2026-01-01: {}}\n", ["key '1' as a number", "key '2026-01-01' as a date"]),
        ("images:\n  thresholds: {0,8: 1}\n", ["key '0' as a number", "key '8' as a number"]),
        ("0.5: 1\n~: 2\n", ["key '0.5' as a number", "key '~' as nothing"]),
        ("a: 1\n? [b, c]\n: 2\n", ["line 2: a key is a list or has keys of its own"]),
        ("images:\n\tsize: 3\n", ["line 2: this is no YAML: .*; indent with spaces, not with tabs"]),
        ("a: [1, 2\nb: 3\n", ["line 2: this is no YAML"]),
        ("a: 1\n---\na: 2\n", ["line 2: this is no YAML"]),
        ("", ["keys with values are asked for; found nothing"]),
        ("# only a comment\n", ["keys with values are asked for; found nothing"]),
        ("- a\n- b\n", ["keys with values are asked for; found a list"]),
        ("images\n", ["keys with values are asked for; found one value"]),
        ('{"a": {"b": 1, "b": 2}, "a": 3}', ["the key 'a' stands twice", "the key 'b' stands twice"]),
        ("[1]", ["keys with values are asked for"]),
        ("base: &base {a: 1}\nmine: {<<: *base, a: 2}\nother: *base\n", []),
        ("one: &one {a: 1}\ntwo: &two {b: 1}\nmine: {<<: *one, <<: *two}\n", []),
        ("base: &base {a: 1, a: 2}\nother: *base\n", ["line 1: the key 'a' stands in line 1 already"]),
        ("a: 1\nb: !!python/name:os.system\n", ["line 2: the tag '.*python/name:os.system' is none that"]),
        ("a: !mine {b: 1}\nc: !!set {d}\n", ["line 1: the tag '!mine'", "line 2: the tag '.*set'"]),
        (
            "a: 017\nb: [12:30]\n",
            ["line 1: YAML reads '017' in base 8", "line 2: YAML reads '12:30' in base 60"],
        ),
        ("a: 0\nb: 10\nc: 0.5\nd: '017'\ne: 1_000\nf: 1:x\ng: 00.5\n", []),
        ("\ufeffscale: mine\n", []),
        ('{"a": 1, "b": {"a": 1}}', []),
    ],
)
def test_a_file_is_a_mapping_in_which_every_key_stands_once(tmp_path, text, problems):
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    error = file_error(path)
    lines = str(error).splitlines()[1:] if error else []
    assert len(lines) == len(problems)
    for problem in problems:
        with pytest.raises(ValueError, match=rf"mine\.yaml[:,] .*{problem}"):
            raise error


def test_other_encodings_are_named_and_missing_files_are_for_snakemake(tmp_path):
    (tmp_path / "mine.yaml").write_text("scale: mine\n", encoding="utf-16")
    assert "UTF-16" in str(file_error(tmp_path / "mine.yaml"))
    assert file_error(tmp_path / "nowhere.yaml") is None


def test_shipped_files_are_well_written():
    assert file_error(ROOT / "config.yaml", *(ROOT / "presets").glob("*.yaml")) is None


@pytest.fixture
def layers(tmp_path, monkeypatch):
    """A workflow's own file, a preset that lies on another, and an overlay."""
    files = {
        "config": "scale: a\nimages: {size: 1, steps: 1, batch: 1}\nseeds: [1]\n",
        "low": "scale: low\nimages: {size: 2, steps: 2}\nseeds: [1, 2]\n",
        "high": "extends: low.yaml\nscale: high\nimages: {steps: 3}\n",
        "mine": "extends: high.yaml\nseeds: [4]\n",
        "beside": "extends: low.yaml\nimages: {batch: 7}\n",
        "plain": "images: {batch: 9}\n",
    }
    for name, text in files.items():
        (tmp_path / f"{name}.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)


def test_an_overlay_lies_on_what_it_extends_and_that_on_the_workflows_own_file(layers):
    assert extended("high.yaml") == {"scale": "high", "images": {"size": 2, "steps": 3}, "seeds": [1, 2]}
    config = {"extends": "low.yaml"}
    extend(config, "config.yaml", ["mine.yaml", "plain.yaml"], {"scale": "last"})
    assert config == {"scale": "last", "images": {"size": 2, "steps": 3, "batch": 9}, "seeds": [4]}
    config = {"extends": "low.yaml"}
    extend(config, "config.yaml", ["high.yaml", "beside.yaml"], {})
    assert config == {"scale": "high", "images": {"size": 2, "steps": 3, "batch": 7}, "seeds": [1, 2]}, (
        "what both extend lies below both"
    )
    with pytest.raises(ConfigError, match="extends: a key of configuration files"):
        extend({"extends": "low.yaml"}, "config.yaml", [], {"extends": "low.yaml"})
    untouched = {"scale": "a"}
    extend(untouched, "config.yaml", ["plain.yaml"], {})
    assert untouched == {"scale": "a"}, "where nothing extends, Snakemake's own merge stands"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "extends: nowhere.yaml\n",
            r"mine\.yaml: extends: there is no file 'nowhere\.yaml' in .*/, where the run works; name",
        ),
        ("extends: ''\n", r"mine\.yaml: extends: one configuration file is asked for, not ''"),
        ("extends: [low.yaml]\n", r"mine\.yaml: extends: one configuration file is asked for"),
        ("extends: mine.yaml\n", r"the files mine\.yaml extend each other"),
        ("extends: broken.yaml\n", r"broken\.yaml, line 2: the key 'a' stands in line 1"),
    ],
)
def test_what_is_extended_must_be_a_file_that_is_sound_itself(layers, text, problem):
    Path("broken.yaml").write_text("a: 1\na: 2\n")
    Path("mine.yaml").write_text(text)
    with pytest.raises(ValueError, match=problem):
        raise file_error("mine.yaml")
    assert file_error("high.yaml", "low.yaml") is None
