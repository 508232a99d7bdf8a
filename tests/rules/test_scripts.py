"""What holds for every workflow script: it fits its rule, it is wiring, and its log tells the whole story."""

from __future__ import annotations

import copy
import errno
import logging
import os
import re
import sys
from pathlib import Path

import pytest
from snakemake.iocontainers import InputFiles

from mmunlearn.atomic import DiskFullError
from mmunlearn.workflow.job import DEALING
from tests.rules.standin import ROOT, SCRIPTS, World, named, run_script

NAMES = sorted(path.stem for path in SCRIPTS.glob("*.py"))
GIVEN = {
    "input": {"lists": "resources/pocket/people.jsonl"},
    "output": ["people.jsonl"],
    "params": {"what": "people", "curator": "shipped", "n": 3, "seed": 1},
    "config": {
        "curation": {"backend": "shipped", "shipped": {"people": "resources/pocket/people.jsonl"}},
        "review": {"verdicts": None},
    },
    "log": ["logs/deep/people.log"],
}


def test_every_script_has_the_name_of_a_rule_that_runs_it(curated):
    runs = {name: Path(rule.script).stem for name, rule in curated.rules.items() if rule.script}
    assert set(runs.values()) == set(NAMES) == {name for name, script in runs.items() if script == name}
    for rule in curated.rules.values():
        assert bool(rule.script) == bool(rule.log), f"{rule.name}: a script has a log"


def test_scripts_are_wiring():
    """At most 15 lines each, without a decision or a loop: nothing is computed there."""
    texts = {name: (SCRIPTS / f"{name}.py").read_text(encoding="utf-8") for name in NAMES}
    assert not [name for name, text in texts.items() if len(text.splitlines()) > 15]
    decides = re.compile(r"^\s*(if|for|while|def|lambda)\b| for .* in | if .* else ", re.MULTILINE)
    assert not [name for name, text in texts.items() if decides.search(text)]


def test_rules_on_a_gpu_have_the_threads_that_their_jobs_use(curated, tmp_path):
    config = copy.deepcopy(curated.config)
    config["training"] |= {"workers": 2, "job": config["training"]["job"] | {"gpu": 1}}
    config["images"]["job"] = config["images"]["job"] | {"gpu": 1}
    rules = World.make(tmp_path / "world", config).rules
    threads = {name: getattr(rule.resources["_cores"], "value", 1) for name, rule in rules.items()}
    gpus = {name for name, rule in rules.items() if "gpu" in rule.resources}
    trainings = {name for name in gpus if re.match("train|trace|unlearn", name)}
    assert {"trace_unlearned", "unlearn_tasks"} <= trainings and {threads[name] for name in trainings} == {3}
    assert {"answer_questions", "encode_unseen", "draw_shard"} <= gpus and {
        threads[name] for name in gpus - trainings
    } == {2}
    assert {name for name in threads if threads[name] > 1} - gpus == {"pretrain_model"}
    assert os.environ[DEALING] == "1", "jobs that run here have GPUs of their own"


def test_the_standin_names_files_as_snakemake_does(curated, monkeypatch):
    monkeypatch.chdir(curated.root)
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
    assert "curator 'shiped' is unknown; did you mean 'shipped'?" in log
    assert not (world.root / "people.jsonl").exists()


def test_a_full_disk_is_told_with_the_place_of_the_output(curated, tmp_path, monkeypatch):
    """Also where a writer of no file of its own, such as a training's step log, has run into it."""
    monkeypatch.setattr("mmunlearn.curation.shipped.ShippedCurator.people", full)
    world = curated.copy(tmp_path / "world")
    with pytest.raises(
        DiskFullError, match=r"Asked for room for people\.jsonl\. Found none left: .* Free some"
    ):
        run_script("curate_people", **GIVEN, cwd=world.root)
    assert "Free some" in (world.root / "logs" / "deep" / "people.log").read_text(encoding="utf-8")


def full(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_failure_is_said_once(curated, tmp_path, capsys, monkeypatch):
    """Both profiles print a failed job's log: the terminal has the same error from nobody else."""
    for name in ("default", "slurm"):
        assert "show-failed-logs: true" in (ROOT / "profiles" / name / "profile.yaml").read_text(
            encoding="utf-8"
        )
    told = []
    monkeypatch.setattr(sys, "excepthook", lambda *error: told.append(error[1]))
    world = curated.copy(tmp_path / "world")
    with pytest.raises(KeyError) as e:
        run_script("curate_people", **GIVEN | {"params": GIVEN["params"] | {"curator": "?"}}, cwd=world.root)
    other = ValueError()
    for error in (e.value, other):
        sys.excepthook(type(error), error, None)
    assert told == [other] and "is unknown" not in capsys.readouterr().err


def test_a_missing_param_is_named_in_the_error_and_in_the_log(curated, tmp_path):
    world = curated.copy(tmp_path / "world")
    given = GIVEN | {"params": {key: value for key, value in GIVEN["params"].items() if key != "seed"}}
    with pytest.raises(TypeError, match="'seed'"):
        run_script("curate_people", **given, cwd=world.root)
    assert "'seed'" in (world.root / "logs" / "deep" / "people.log").read_text(encoding="utf-8")


def test_a_rule_without_a_log_still_tells_the_terminal(curated, tmp_path, capsys):
    world = curated.copy(tmp_path / "world")
    run_script("curate_people", **(GIVEN | {"log": []}), cwd=world.root)
    assert "3 people from the shipped curator" in capsys.readouterr().err
