"""What holds for every workflow script: it fits its rule, it is wiring, and its log tells the whole story."""

from __future__ import annotations

import ast
import logging
import sys
from pathlib import Path

import pytest
from snakemake.iocontainers import InputFiles

from tests.rules.standin import SCRIPTS, named, run_script

NAMES = sorted(path.stem for path in SCRIPTS.glob("*.py"))
SHARED = {
    "train_goal": "train_finetuned",
    "trace_unlearned": "train_unlearned",
    "answer_steps": "answer_questions",
    "answer_concepts": "answer_questions",
    "score_sampled": "score_answers",
    "encode_unseen": "encode_images",
}
VERSIONS = {"code", "version", "decided"}
GIVEN = {
    "input": {"shipped": "resources/pocket/people.jsonl"},
    "output": ["people.jsonl"],
    "params": {
        "curator": "shipped",
        "n": 3,
        "seed": 1,
    },
    "config": {
        "curation": {"shipped": {"people": "resources/pocket/people.jsonl"}, "shiped": {}},
        "review": {"verdicts": None},
    },
    "log": ["logs/deep/people.log"],
}


def source(name: str) -> ast.Module:
    return ast.parse((SCRIPTS / f"{name}.py").read_text(encoding="utf-8"))


def reads(name: str, kind: str) -> set[str]:
    """Names that a script reads of `it.<kind>` or `snakemake.<kind>`."""
    return {
        node.attr
        for node in ast.walk(source(name))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Attribute)
        and node.value.attr == kind
    } - {"get", "parent"}


def test_every_rule_has_the_script_of_its_name_and_every_script_a_rule(curated):
    scripts = {name: Path(rule.script).stem for name, rule in curated.rules.items() if rule.script}
    assert scripts == {name: SHARED.get(name, name) for name in scripts}
    assert sorted(set(scripts.values())) == NAMES
    for rule in curated.rules.values():
        assert bool(rule.script) == bool(rule.log), f"{rule.name}: a script has a log"


@pytest.mark.parametrize("name", NAMES)
def test_a_script_reads_what_its_rule_gives_and_every_param_but_versions(curated, name):
    for rule in (curated.rules[one] for one in [name, *(k for k, v in SHARED.items() if v == name)]):
        assert reads(name, "input") <= set(rule.input.keys()), rule.name
        assert reads(name, "output") <= set(rule.output.keys()), rule.name
        assert reads(name, "wildcards") <= set(rule.wildcard_names), rule.name
        assert reads(name, "params") ^ set(rule.params.keys()) <= VERSIONS, rule.name


@pytest.mark.parametrize("name", NAMES)
def test_a_script_is_wiring(name):
    """A docstring, imports of the library, and one block that calls it: nothing is computed here."""
    assert len((SCRIPTS / f"{name}.py").read_text(encoding="utf-8").splitlines()) <= 35
    said, *imports, block = source(name).body
    assert isinstance(said, ast.Expr) and isinstance(said.value.value, str)
    assert isinstance(block, ast.With) and ast.unparse(block.items[0]) == "job(snakemake) as it"
    modules = {one for node in imports for one in _imported(node)}
    light = set(sys.stdlib_module_names) | {"mmunlearn", "yaml"}
    assert {module.split(".")[0] for module in modules} <= light


def _imported(node: ast.stmt) -> list[str]:
    assert isinstance(node, ast.Import | ast.ImportFrom)
    return [node.module] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]


def test_the_standin_names_files_as_snakemake_does(curated):
    wildcards = {"model": "tiny", "seed": "1", "recipe": "goal-event15"}
    files = curated.rules["train_goal"].expand_input(wildcards)[0]
    made = named(InputFiles, curated.job("train_goal", **wildcards)["input"])
    assert list(made) == list(files)
    assert dict(made._get_names()) == dict(files._get_names())


def test_messages_go_to_the_log_and_to_the_terminal(curated, tmp_path, capsys):
    world = curated.copy(tmp_path / "world")
    run_script("curate_people", **GIVEN, wildcards={"shard": "007"}, cwd=world.root)
    log = (world.root / "logs" / "deep" / "people.log").read_text(encoding="utf-8")
    assert log.endswith("curate_people/007: 3 people from the shipped curator\n")
    assert log in capsys.readouterr().err
    assert logging.getLogger("mmunlearn").handlers == [], "the next job of this process has its own log"


def test_a_failure_leaves_its_traceback_in_the_log_and_no_output(curated, tmp_path):
    world = curated.copy(tmp_path / "world")
    given = GIVEN | {"params": GIVEN["params"] | {"curator": "shiped"}}
    with pytest.raises(KeyError, match="did you mean 'shipped'"):
        run_script("curate_people", **given, cwd=world.root)
    log = (world.root / "logs" / "deep" / "people.log").read_text(encoding="utf-8")
    assert "curate_people: failed\nTraceback (most recent call last):" in log
    assert "curator backend 'shiped' is unknown; did you mean 'shipped'?" in log
    assert not (world.root / "people.jsonl").exists()


@pytest.mark.parametrize(("kind", "name"), [("params", "n"), ("params", "seed")])
def test_a_missing_name_is_named_in_the_error_and_in_the_log(curated, tmp_path, kind, name):
    world = curated.copy(tmp_path / "world")
    given = GIVEN | {kind: {key: value for key, value in GIVEN[kind].items() if key != name}}
    with pytest.raises(AttributeError, match=f"no attribute '{name}'"):
        run_script("curate_people", **given, cwd=world.root)
    assert f"no attribute '{name}'" in (world.root / "logs" / "deep" / "people.log").read_text(
        encoding="utf-8"
    )


def test_a_rule_without_a_log_still_tells_the_terminal(curated, tmp_path, capsys):
    world = curated.copy(tmp_path / "world")
    run_script("curate_people", **(GIVEN | {"log": []}), cwd=world.root)
    assert "3 people from the shipped curator" in capsys.readouterr().err
