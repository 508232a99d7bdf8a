"""The lifelong phase's jobs: those of each preset, and what they leave alone of a finished run of PEBench."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pytest
import yaml

from tests.copies import ROOT
from tests.dag.conftest import finish, to_run_again
from tests.rules.standin import Rules

ONCE = (
    *("write_lifelong_config", "read_tasks", "plot_lifelong_data", "make_mlubench", "make_lifelong_gate"),
    *("make_representation_drift", "plot_lifelong_matrix", "plot_lifelong_utility"),
)
RULES = dict.fromkeys(ONCE, 1)
"""Of every run, one job each."""
OWN_PAGE = {"write_lifelong_report": 1, "write_run_config": 1, "all": 1}


def of_models(models: int, methods: int, mixtures: int, orders: int = 1) -> dict[str, int]:
    """Jobs of models, of methods in sequence and of rows of experts."""
    sequences = models * orders * (methods + mixtures)
    once = ("encode_tasks", "answer_before", "select_questions", "train_experts")
    return dict.fromkeys(once, models) | {
        "unlearn_tasks": models * orders * methods,
        "answer_stages": models * orders * methods,
        "answer_experts": models * orders * mixtures,
        "ask_gate": 2 * models,
        "judge_stages": 2 * sequences,
        "score_stages": sequences,
    }


PRESETS = {  # three models of the paper and CLIP are fetched; drift of Qwen3-VL, five methods and LUMoE
    "mlubench": of_models(3, 5, 5) | {"fetch_weights": 4, "measure_drift": 6},
    "lifelong-20": of_models(1, 5, 5) | {"draw_tasks": 1, "measure_drift": 1},
    "lifelong-orders": of_models(1, 5, 5, orders=3) | {"draw_tasks": 1, "measure_drift": 6},
}


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_of_lifelong_alone_plans_no_job_of_pebench(planned, preset):
    assert planned(overlays=(f"presets/{preset}.yaml",)) == RULES | OWN_PAGE | PRESETS[preset]


def test_the_pocket_s_stopped_rows_stand_beside_the_others(planned):
    jobs = planned("lifelong")
    own = RULES | of_models(1, 7, 5) | {"draw_tasks": 1, "measure_drift": 6, "lifelong": 1}
    assert {rule: jobs[rule] for rule in own} == own
    assert not set(planned()) & set(own), "the default run is PEBench's alone"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A default run that is done, in empty files."""
    folder = tmp_path_factory.mktemp("finished")
    for name in ("config.yaml", "resources", "presets"):
        (folder / name).symlink_to(ROOT / name)
    (folder / "mine.yaml").write_text("{}")
    finish(folder, ["all"], ["mine.yaml"])
    return folder


def test_beside_a_finished_run_the_phase_writes_the_report_anew_and_nothing_else_of_it(
    finished, tmp_path, monkeypatch
):
    folder = tmp_path / "run"
    shutil.copytree(finished, folder, symlinks=True)
    monkeypatch.chdir(folder)

    def to_run(*targets: str, **changes: object) -> Counter:
        Path("mine.yaml").write_text(yaml.safe_dump(changes))
        return to_run_again(targets, ["mine.yaml"])

    assert to_run("all") == {}
    expected = RULES | of_models(1, 7, 5) | {"draw_tasks": 1, "measure_drift": 6, "write_report": 1}
    assert to_run("lifelong") == expected
    finish(folder, ["lifelong"], ["mine.yaml"])
    assert to_run("all") == to_run("lifelong") == {}
    records = {"write_run_config", "write_lifelong_config"}
    renamed = {"methods": {"ga": {"label": "Ascent"}}, "lumoe": {"lumoe": {"label": "Mixture"}}}
    again = to_run("lifelong", lifelong=renamed)
    assert not {"measure_drift", "unlearn_tasks", "answer_stages", "answer_experts", "judge_stages"} & set(
        again
    )
    assert {"make_mlubench", "make_lifelong_gate", "make_representation_drift"} <= set(again)
    faster = {"methods": {"ga": {"learning_rate": 0.125}}}
    assert records & set(to_run("lifelong", lifelong=faster)) == {"write_lifelong_config"}
    assert records & set(to_run("all", lifelong=faster, outputs=["lifelong"])) == records
    Path("results/pocket/report.html").unlink()
    jobs = dict(Rules.needed(folder, ["all"]))
    assert set(jobs) == {"write_report", "all"}
    assert "results/pocket/tables/mlubench.csv" in jobs["write_report"]["input"]["lifelong"]
