"""A small lifelong run that is killed in its third task and finished, then changed and repeated in parts."""

from __future__ import annotations

import shutil

import pytest

from mmunlearn.lifelong.routing import Route
from mmunlearn.records import read_jsonl, sha256_of
from tests.copies import copy_workflow
from tests.matrix_check import check_matrix
from tests.small import Run, compared, copy_run

pytestmark = pytest.mark.pocket
GA = {"max_steps": 12}
SMALL = {
    "scale": "small-lifelong",
    "outputs": ["lifelong"],
    "training": {"save_steps": 4},
    "lifelong": {
        "pocket": {"things": 1, "people": 1, "retained": 1, "untouched": 2, "pictures": 4},
        "methods": {"ga": GA, "po": GA} | dict.fromkeys(("gd", "kl", "npo", "ga-stop", "gd-stop")),
        "experts": GA,
        "lumoe": dict.fromkeys(("base", "lumoe-clip", "lumoe-oracle", "last-expert")),
        "drift": {"questions": 8, "methods": ["ga"]},
    },
}
SEQUENCE = "lifelong/pocket-llava/ga/ABCD/seed-1"
LAST = f"results/small-lifelong/{SEQUENCE}/D/training.json"


def stages(run: Run) -> dict[str, int]:
    """Finished stages, and when they were made."""
    store = run.folder / "work" / "lifelong"
    records = [path for path in store.glob("*/checksums.json") if "-" not in path.parent.name]
    return {path.parent.name: path.stat().st_mtime_ns for path in records}


def adapters(run: Run, order: str = "ABCD") -> list[str]:
    """Checksums of gradient ascent's models, task by task."""
    home = run.results / "lifelong/pocket-llava/ga" / order / "seed-1"
    return [sha256_of(home / task / "adapter/adapter_model.safetensors") for task in order]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Killed in the middle of task C of gradient ascent, after tasks A and B were done; then finished."""
    run = Run(copy_workflow(tmp_path_factory.mktemp("lifelong") / "run"), SMALL)
    checkpoints = run.folder / "work" / "training"
    run.kill_when(
        lambda: len(stages(run)) == 3 and any(checkpoints.rglob("checkpoint-*/trainer_state.json")), LAST
    )
    before = stages(run)
    assert len(before) == 3, "the adapter that all start from, A and B"
    run()
    assert before.items() <= stages(run).items(), "no finished task is trained again"
    return run


def test_a_second_run_has_nothing_to_do(small):
    assert "Nothing to be done" in small()


def test_a_killed_run_leaves_what_an_unbroken_one_does(small, tmp_path):
    """Gradient ascent again in one piece, from nothing, and all that rests on it."""
    again = copy_run(small, tmp_path / "again")
    for folder in (
        again.folder / "work",
        again.results / "lifelong/pocket-llava/ga",
        again.results / "tables",
    ):
        shutil.rmtree(folder)
    again()
    assert compared(small, again) == ""


def test_another_rate_for_the_last_task_trains_that_one_alone(small, tmp_path):
    run = copy_run(small, tmp_path / "rate")
    before = stages(run)
    methods = SMALL["lifelong"]["methods"] | {"ga": GA | {"task_rates": {"D": 1.0e-3}}}
    run.configure(lifelong=SMALL["lifelong"] | {"methods": methods})
    plan = run.planned()
    assert plan["unlearn_tasks"] == plan["answer_stages"] == 1 and plan["judge_stages"] == 2
    assert not {"train_experts", "answer_experts", "ask_gate", "encode_tasks"} & set(plan)
    text = run(LAST)
    assert before.items() < stages(run).items() and len(stages(run)) == len(before) + 1
    assert all(f"task {task} was there, with 12 steps" in text for task in "ABC")
    assert "task D took 12 steps" in text
    assert [a == b for a, b in zip(adapters(run), adapters(small), strict=True)] == [True] * 3 + [False]


def test_another_order_shares_the_experts_and_no_stage_that_begins_otherwise(small, tmp_path):
    run = copy_run(small, tmp_path / "order")
    before = stages(run)
    orders = {"orders": [["A", "B", "C", "D"], ["D", "A", "B", "C"]]}
    run.configure(lifelong=SMALL["lifelong"] | orders)
    plan = run.planned()
    assert plan["unlearn_tasks"] == 2 and plan["answer_experts"] == 1 and "train_experts" not in plan
    home = "results/small-lifelong/lifelong/pocket-llava/{}/DABC/seed-1"
    run(f"{home.format('ga')}/C/training.json", f"{home.format('lumoe')}/undo.jsonl")
    assert before.items() < stages(run).items() and len(stages(run)) == len(before) + 4
    assert adapters(run) == adapters(small) and not set(adapters(run, "DABC")) & set(adapters(run))
    routes = read_jsonl(run.folder / home.format("lumoe") / "D" / "routes.jsonl", Route)
    assert {one.expert for one in routes} == {"", "D"}, "the first expert is D's"


def test_every_number_of_the_matrix_is_that_of_the_files(small):
    assert check_matrix(small.results, small.folder / "resources/refusals_short.txt") == 3 * 4 * 10
