"""A training's settings against the configuration's."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import pytest
from snakemake.io import IOFile

from mmunlearn.ids import Run
from mmunlearn.records import RecordError, Training, write_json
from mmunlearn.settings import check_training, differences
from mmunlearn.tasks import TaskSequence
from mmunlearn.workflow.errors import NoPlan
from mmunlearn.workflow.unrecorded import Unrecorded

SETTINGS = {"learning_rate": 1.0e-4, "batch": 4, "stopping": {"window": 5}, "options": {}, "processes": 2}


@pytest.fixture
def training(tmp_path):
    path = tmp_path / "models/tiny/ga-event15/seed-1/training.json"
    record = Training(
        model="tiny", recipe="ga-event15", seed=1, method="GA", steps=1, epochs=1.0, stop_reason="", losses=[],
        seconds=0.0, peak_memory_gb=0.0, trainable_parameters=1, settings=SETTINGS, versions={}, adapter_sha256="",
    )  # fmt: skip
    write_json(path, record)
    return path


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({"learning_rate": 0.0001, "batch": 4.0, "stopping": {"window": 5}, "options": {}}, []),
        ({"learning_rate": 2.0e-4}, ["learning_rate 0.0001, which the configuration says is 0.0002"]),
        ({"stopping": {"window": 6}}, ["stopping.window 5, which the configuration says is 6"]),
        ({"options": {"beta": 0.1}}, ["options.beta absent, which the configuration says is 0.1"]),
        ({"stopping": {}}, ["stopping.window 5, which the configuration says is absent"]),
        ({"precision": "bf16"}, ["precision absent, which the configuration says is 'bf16'"]),
        ({"stopping": {"window": (5,)}}, ["stopping.window 5, which the configuration says is [5]"]),
    ],
)
def test_every_setting_that_is_another_is_named_with_both_values(asked, found):
    assert differences(SETTINGS, asked) == found


def test_the_error_names_file_and_cure(training):
    check_training(training, {"batch": 4})
    with pytest.raises(RecordError) as error:
        check_training(training, {"batch": 8, "learning_rate": 0.1})
    assert str(error.value) == (
        f"Asked for trainings by the configuration. Found in {training} batch 4, which the configuration says is 8; "
        f"learning_rate 0.0001, which the configuration says is 0.1. Train again (start the run with "
        f"--forcerun {training}), or set the configuration back."
    )


WHOLE = SimpleNamespace(model="tiny", recipe="ga-event15", seed="1")
SEQUENCE = TaskSequence("tiny", "ga", "AB", 1)


class Records:
    """Snakemake's: what it has of every file, and which files a killed job was writing."""

    def __init__(self, known: bool, unfinished: bool) -> None:
        self._known, self._unfinished = known, unfinished

    def metadata(self, path: IOFile) -> dict | None:
        return {} if self._known else None

    def _filter_incomplete_keys(self, paths: list[str]) -> set[str]:
        return set(paths) if self._unfinished else set()


RULES = {"train_unlearned": "models/tiny/ga-event15/seed-1", "unlearn_tasks": f"lifelong/{SEQUENCE.folder}"}


class Rule(NamedTuple):
    """Snakemake's: one of a single job, whose outputs are those of a folder."""

    name: str
    folder: str

    def is_producer(self, path: str) -> bool:
        return Path(path).is_relative_to(self.folder)

    def get_wildcards(self, path: str) -> dict[str, str]:
        return {}

    def expand_output(self, wildcards: dict[str, str]) -> tuple[list[str], None]:
        return [str(path) for path in Path(self.folder).rglob("*") if path.is_file()], None


def unrecorded(
    home: Path,
    rate: float,
    known: bool = False,
    unfinished: bool = False,
    plans: bool = True,
    **asked: object,
) -> Unrecorded:
    """Of one recipe and one sequence, which the configuration gives a learning rate."""
    forced = {"forceall": False, "forcerun": set(), "forcetargets": False, "targets": set()} | asked
    workflow = SimpleNamespace(
        is_main_process=plans,
        persistence=Records(known, unfinished),
        dag_settings=SimpleNamespace(**forced),
        rules=[Rule(name, str(home / below)) for name, below in RULES.items()],
    )
    runs = SimpleNamespace(rows=[SimpleNamespace(run=Run("tiny", "ga-event15", 1))])
    of_run = SimpleNamespace(
        training=lambda run: f"<results>/models/{run.folder}/training.json",
        training_settings=lambda run: {"learning_rate": rate},
    )
    of_tasks = SimpleNamespace(
        sequences=[SEQUENCE],
        trainings=lambda one: [f"<results>/lifelong/{one.folder}/{task}/training.json" for task in "AB"],
        training_settings=lambda one: {task: {"learning_rate": rate} for task in "AB"},
    )
    return Unrecorded(workflow, str(home), runs, of_run, of_tasks)


def test_a_training_without_a_record_ends_a_run_of_other_settings_and_all_such_are_named(training, tmp_path):
    stages = [tmp_path / "lifelong" / SEQUENCE.folder / task / "training.json" for task in "AB"]
    for path in stages:
        path.parent.mkdir(parents=True)
        path.write_bytes(training.read_bytes())
    stages[0].write_text("{}")  # a damaged file is its readers' to refuse
    found = unrecorded(tmp_path, 2.0e-4)
    for check, wildcards in ((found.model, WHOLE), (found.stages, SEQUENCE)):
        with pytest.raises(NoPlan) as error:
            check(wildcards)
        assert str(error.value).startswith("Asked for trainings by the configuration.")
        assert f"--forcerun {training} {stages[1]})" in str(error.value)
    assert found.model(SimpleNamespace(model="tiny", recipe="ga-event15-0", seed="1")) == []
    assert found.experts(WHOLE) == []
    assert unrecorded(tmp_path, 1.0e-4).model(WHOLE) == []


@pytest.mark.parametrize(
    "case",
    [{"known": True}, {"unfinished": True}, {"plans": False}, {"forceall": True},
     {"forcerun": {"train_unlearned"}}, {"forcetargets": True, "targets": {"train_unlearned"}}],
    ids=lambda case: next(iter(case)),
)  # fmt: skip
def test_what_snakemake_makes_again_by_itself_ends_no_run(training, tmp_path, case):
    assert unrecorded(tmp_path, 2.0e-4, **case).model(WHOLE) == []


def test_force_for_some_lets_no_other_training_through_and_the_message_still_names_all(training, tmp_path):
    stage = tmp_path / "lifelong" / SEQUENCE.folder / "A" / "training.json"
    stage.parent.mkdir(parents=True)
    stage.write_bytes(training.read_bytes())
    for forcerun in ({str(training)}, {"train_unlearned"}):
        found = unrecorded(tmp_path, 2.0e-4, forcerun=forcerun)
        assert found.model(WHOLE) == []
        with pytest.raises(NoPlan, match=rf"--forcerun {training} {stage}\)"):
            found.stages(SEQUENCE)
    for forcerun in ({"build_questions"}, {str(stage)}):
        with pytest.raises(NoPlan):
            unrecorded(tmp_path, 2.0e-4, forcerun=forcerun).model(WHOLE)
    assert unrecorded(tmp_path, 2.0e-4, forcerun={str(stage)}).stages(SEQUENCE) == []
