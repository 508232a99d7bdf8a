"""A finished run whose configuration is wrong afterwards: Snakemake by itself finds nothing to do and ends with 0."""

from __future__ import annotations

import os
from contextlib import chdir
from inspect import signature
from pathlib import Path

import pytest

from mmunlearn.workflow.errors import ConfigError
from mmunlearn.workflow.params import Params
from tests.copies import ROOT
from tests.rules.standin import Rules

TARGETS = ("dataset", "results/pocket/run_config.yaml")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which all files of some targets lie, each younger than what it is made of."""
    folder = tmp_path_factory.mktemp("finished")
    for name in ("config.yaml", "resources"):
        (folder / name).symlink_to(ROOT / name)
    for place, (_, given) in enumerate(Rules.needed(folder, TARGETS)):
        outputs = given["output"]
        for output in outputs.values() if isinstance(outputs, dict) else outputs:
            path = folder / output
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
            os.utime(path, (1.7e9 + place, 1.7e9 + place))
    assert (folder / "results/pocket/dataset/real.jsonl").exists() and Rules.needed(folder, TARGETS) == []
    return folder


@pytest.mark.parametrize(
    ("overlay", "says"),
    [
        ("curation: {shipped: {people: nowhere.jsonl}}", r"curation\.shipped\.people: there is no file 'nowhere"),
        ("models: {second: {family: other, source: nowhere}}", r"models\.second\.source: there is no folder"),
        ("images: {pocket: {weights: nowhere}}", r"images\.pocket\.weights: there is no folder 'nowhere'"),
        ("review: {verdicts: nowhere}", r"review\.verdicts: there is no folder 'nowhere'"),
        ("dataset: {reference_sets: files, files: {people: nowhere}}", r"dataset\.files\.people: there is no folder"),
        ("seeds: [1.0]", r"seeds\.0: a whole number without a point is asked for; found 1\.0"),
    ],
)  # fmt: skip
def test_a_wrong_path_or_key_is_an_error(finished, tmp_path, overlay, says):
    (tmp_path / "mine.yaml").write_text(overlay)
    with pytest.raises(ConfigError, match=says):
        Rules.needed(finished, TARGETS, [str(tmp_path / "mine.yaml")])


def test_equal_keys_of_an_overlay_are_an_error(finished, tmp_path):
    (tmp_path / "mine.yaml").write_text("images:\n  size: 128\n  size: 256\n")
    with pytest.raises(ConfigError, match=r"mine\.yaml, line 3: the key 'size' stands in line 2 already"):
        Rules.needed(finished, TARGETS, [str(tmp_path / "mine.yaml")])


def test_an_error_in_an_input_function_is_an_error(finished, monkeypatch):
    def fail(self, wildcards):
        raise KeyError("clap")

    monkeypatch.setattr(Params, "set_options", fail)  # which the input function set_weights calls
    with pytest.raises(
        SystemExit, match=r"Params\.set_weights was asked for set=\w+; found KeyError: 'clap'"
    ):
        Rules.needed(finished, TARGETS)


def test_every_function_that_rules_call_is_decisive(finished):
    """None is left in which an error would be taken for a missing file; and none takes a rule's input, output, threads
    or resources: Snakemake neither records nor compares what such a param gives."""
    with chdir(finished):
        rules = Rules.of(finished)
    called = [one for rule in rules.values() for one in (*rule.input, *rule.params) if callable(one)]
    owned = [one for one in called if getattr(one, "__self__", None) is not None]
    assert len(owned) > 20 and [one.__qualname__ for one in owned if not hasattr(one, "__wrapped__")] == []
    assert [one for one in called if list(signature(one).parameters) != ["wildcards"]] == []
