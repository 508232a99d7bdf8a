"""The plan's counts of the lifelong phase: ratings and what they cost, questions and steps, before anything is made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mmunlearn.lifelong.judging import judge_stages
from mmunlearn.records import write_json
from mmunlearn.tasks import TaskSequence
from mmunlearn.workflow.plan import make_plan
from mmunlearn.workflow.sizes import Sizes
from mmunlearn.workflow.work import Estimate
from tests.loopback import ChatServer
from tests.unit.judge_fixtures import options
from tests.unit.lifelong_fixtures import MODEL, TASKS, drawn, write_answers, write_questions
from tests.unit.plan_fixtures import job, lines
from tests.unit.task_files import MLUBENCH, write_release, write_strangers
from tests.unit.test_config_schema import ROOT, load, merged
from tests.unit.test_planning import judged_by, pairs

FIRST = {"A": (40, 20), "B": (30, 10), "C": (20, 6), "D": (10, 4)}
"""Task -> questions asked to forget and to retain; as many are trained on."""
FORGET = 40 + 70 + 90 + 100
RETAIN = 20 + 30 + 36 + 40
UNTOUCHED = 5


def size(task: str, role: str, questions: int, trained: int | None = None) -> dict[str, Any]:
    trained = questions if trained is None else trained
    return {"task": task, "role": role, "entity_class": "Animals", "trained": trained, "asked": questions,
            "pictures": questions}  # fmt: skip


def write_statistics(path: Path, times: int = 1) -> None:
    roles = ("forget", "retain")
    sets = [
        size(task, role, n * times)
        for task, counts in FIRST.items()
        for role, n in zip(roles, counts, strict=True)
    ]
    write_json(path, {"sets": [*sets, size("", "untouched", UNTOUCHED * times, 0)]})


def lifelong(
    config: Any, name: str, *, method: str = "ga", order: str = "ABCD", tasks: str = "ABCD", **params: Any
):
    """The estimate of a job that makes a file a stage."""
    home = f"lifelong/{MODEL}/{method}/{order}/seed-1"
    wildcards = {"model": MODEL, "method": method, "order": order, "seed": "1"}
    planned = job(*(f"{home}/{task}/{name}" for task in tasks), scale=config["scale"], wildcards=wildcards,
                  params={"judge": config["evaluation"]["judge"]} | params)  # fmt: skip
    return Estimate(planned, Sizes(config))


@pytest.fixture
def planned(run):
    """A configuration whose data are read already."""
    write_statistics(run / "results/pocket/lifelong/statistics.json")
    return judged_by(merged({}), "openai", prompt_price=1.0, completion_price=2.0)


def test_ratings_are_of_every_task_so_far_after_every_task(planned):
    counts = lifelong(planned, "rejection.jsonl").counts
    assert counts["judge cases"] == FORGET
    assert counts["judge calls"] == pytest.approx(FORGET * 1.02)
    assert counts["judge tokens"] == pytest.approx(FORGET * 1.02 * (330 + 10))
    assert counts["judge cost"] == pytest.approx(FORGET * 1.02 * (330 * 1.0 + 10 * 2.0) / 1e6)
    assert lifelong(planned, "correctness.jsonl").counts["judge cases"] == RETAIN + 4 * UNTOUCHED
    local = lifelong(judged_by(planned, "local"), "rejection.jsonl")
    assert local.counts == {"judge cases": FORGET}
    assert local.judge_cost == pytest.approx(counts["judge cost"])


def test_another_order_asks_other_tasks_more_often(planned):
    own = planned["lifelong"] | {"orders": [list("ABCD"), list("DCBA")]}
    counts = lifelong(planned | {"lifelong": own}, "rejection.jsonl", order="DCBA").counts
    assert counts["judge cases"] == 10 + 30 + 60 + 100


@pytest.mark.parametrize(
    ("method", "times"), [("base", 1), ("lumoe", 1), ("lumoe-oracle", 1), ("last-expert", None)]
)
def test_what_no_task_changes_is_asked_for_once(planned, method, times):
    """The base, and experts behind a gate: an expert stays as it was trained. The last expert is another after each."""
    rejection, correctness = (lifelong(planned, f"{rubric}.jsonl", method=method).counts
                              for rubric in ("rejection", "correctness"))  # fmt: skip
    assert rejection["judge cases"] == FORGET and correctness["judge cases"] == RETAIN + 4 * UNTOUCHED
    asked = (100, 40 + UNTOUCHED) if times else (FORGET, RETAIN + 4 * UNTOUCHED)
    assert [one["judge calls"] / 1.02 for one in (rejection, correctness)] == pytest.approx(asked)


def test_batches_halve_the_price_and_the_models_own_questions_count(planned, run):
    one = lifelong(planned, "rejection.jsonl").counts["judge cost"]
    write_statistics(run / "results/pocket/lifelong" / MODEL / "selection.json", times=3)
    batches = judged_by(planned, "openai", batch_api=True)
    estimate = lifelong(batches, "rejection.jsonl")
    assert estimate.counts["judge cost"] == pytest.approx(3 * one / 2)
    assert estimate.seconds is None and estimate.reason == "a batch takes up to 24 hours"


def test_the_summary_says_verdicts_and_cost_of_both_rubrics(planned):
    jobs = [lifelong(planned, f"{name}.jsonl").planned for name in ("rejection", "correctness")]
    cases = FORGET + RETAIN + 4 * UNTOUCHED
    summary = lines(make_plan(planned, jobs))
    assert summary["judge cases"].value == cases
    assert summary["judge calls"].value == pytest.approx(cases * 1.02)
    assert summary["judge tokens"].rests == ("judge_reply_tokens", "rating_prompt_tokens")
    price = cases * 1.02 * (330 * 1.0 + 10 * 2.0) / 1e6
    local = judged_by(planned, "local")
    jobs = [lifelong(local, f"{name}.jsonl").planned for name in ("rejection", "correctness")]
    assert f"would cost about {price:.2f}" in lines(make_plan(local, jobs))["judge cost"].note


@pytest.mark.parametrize(("method", "of_sets"), [("gd", (5, 4, 3, 2)), ("lumoe", (2, 2, 2, 2))])
def test_drift_is_measured_before_and_after_every_task(planned, method, of_sets):
    """Of a sequence on all tasks so far, 14 in all with those before; of an expert on its own."""
    own = planned["lifelong"]
    for most in (25, None):
        drift = own["drift"] | {"questions": most}
        counts = lifelong(
            planned | {"lifelong": own | {"drift": drift}}, "drift.json", method=method, tasks="."
        ).counts
        asked = [sum(min(n, most or n) for n in both) for both in FIRST.values()]
        assert counts == {"questions": sum(n * times for n, times in zip(asked, of_sets, strict=True))}


def test_pocket_tasks_are_counted_from_their_options(run):
    """4 pictures of 10 are asked about, 6 questions each: 8 entities to forget, 4 to retain, of D 8; 12 untouched."""
    config = judged_by(merged({}), "local")
    asked = 4 * 6
    assert lifelong(config, "rejection.jsonl").counts["judge cases"] == 8 * asked * (1 + 2 + 3 + 4)
    assert (
        lifelong(config, "correctness.jsonl").counts["judge cases"] == (4 + 8 + 12 + 20) * asked + 4 * 12 * 60
    )
    few = config | {"lifelong": config["lifelong"] | {"questions": 50}}
    assert lifelong(few, "rejection.jsonl").counts["judge cases"] == 50 * (1 + 2 + 3 + 4)


@pytest.mark.parametrize(
    ("gate", "changed", "counts"),
    [
        ("vlm", {}, {"questions": 2 * 352, "answer tokens": 2 * 352 * 8}),
        ("vlm", {"first": "name"}, {"questions": 2 * 352, "answer tokens": 2 * 352 * 8}),
        ("vlm", {"first": "name", "name_questions": {"other": "Who?"}}, {"questions": 352, "answer tokens": 352 * 8}),
        ("clip", {}, {"pictures encoded": 0}),
        ("clip", {"encoder": "weights/clip"}, {"pictures encoded": 352}),
        ("own", {"threshold": 85}, {"pictures encoded": 0}),
    ],
)  # fmt: skip
def test_gates_are_asked_about_pictures_that_models_are_asked_about(run, gate, changed, counts):
    """4 of 10 pictures of 52 entities of tasks, 10 of 12 untouched ones, 2 of 12 strangers."""
    config = merged({})
    settings = config["lifelong"]["gates"].get(gate, {}) | changed
    planned = job(f"lifelong/{MODEL}/gates/{gate}.jsonl", scale="pocket", wildcards={"model": MODEL},
                  params={"settings": settings})  # fmt: skip
    assert Estimate(planned, Sizes(config)).counts == counts


def test_calls_of_a_gate_s_endpoint_are_named(run):
    config = merged({})
    settings = config["lifelong"]["gates"]["vlm"] | {"asks": "openai"}
    planned = job(f"lifelong/{MODEL}/gates/vlm.jsonl", scale="pocket", wildcards={"model": MODEL},
                  params={"settings": settings})  # fmt: skip
    estimate = Estimate(planned, Sizes(config))
    assert estimate.seconds is None and "704 calls" in estimate.reason


def test_strangers_are_encoded_and_never_rated(run):
    """64 entities of 10 pictures, 12 strangers of 2."""
    config = merged({})
    planned = job(
        f"lifelong/{MODEL}/features.safetensors", scale="pocket", wildcards={"model": MODEL}, params={}
    )
    estimate = Estimate(planned, Sizes(config))
    assert estimate.counts == {"pictures encoded": 640 + 24}
    assert estimate.storage.disk == {"features of pocket-llava": pytest.approx(664 * 0.019)}
    sizes = [size("", "untouched", 3, 0), size("", "stranger", 0) | {"pictures": 5}]
    sets = [*(size(task, role, 2) for task in "ABCD" for role in ("forget", "retain")), *sizes]
    write_json(run / "results/pocket/lifelong/statistics.json", {"sets": sets})
    planned = job(
        f"lifelong/{MODEL}/features.safetensors", scale="pocket", wildcards={"model": MODEL}, params={}
    )
    assert Estimate(planned, Sizes(config)).counts == {"pictures encoded": 16 + 3 + 5}
    assert lifelong(config, "correctness.jsonl").counts["judge cases"] == 2 * (1 + 2 + 3 + 4) + 4 * 3
    write_release(run / "release")
    write_strangers(run / "release")
    own = {"data": "files", "files": {"tasks": str(run / "release")}, "tasks": ["A", "B"], "test_share": None}
    (run / "results/pocket/lifelong/statistics.json").unlink()
    planned = job(
        f"lifelong/{MODEL}/features.safetensors", scale="pocket", wildcards={"model": MODEL}, params={}
    )
    assert Estimate(planned, Sizes(merged({"lifelong": own}))).counts == {"pictures encoded": 7 * 5 + 4}


def test_questions_and_steps_of_the_phase(planned):
    questions = FORGET + RETAIN + 4 * UNTOUCHED
    assert lifelong(planned, "answers.jsonl").counts == {
        "questions": questions,
        "answer tokens": questions * 8,
    }
    params = {"loop": {"batch": 10, "accumulation": 1}, "epochs": None, "stop": None, "max_steps": 30}
    trained = lifelong(planned, "training.json", **params, method_name="gd").counts
    assert trained == {"optimizer steps": 4 * 30, "pictures shown": 4 * 30 * 10 * 2}
    stopped = lifelong(planned, "training.json", **params | {"stop": {"window": 5}}).counts
    assert stopped["optimizer steps"] == pytest.approx(4 * 30 * 0.7)
    epochs = lifelong(planned, "training.json", **params | {"epochs": 1}).counts
    assert epochs["optimizer steps"] == 4 + 3 + 2 + 1


def test_what_the_phase_reads_and_leaves(run):
    """Entities so far: 12, 24, 36 and 52, four pictures of each asked about; 12 untouched ones, all 10."""
    config = judged_by(merged({}), "local")
    answered = lifelong(config, "answers.jsonl").storage
    pictures = (12 + 24 + 36 + 52) * 4 + 4 * 12 * 10
    assert answered.read == {"features": pytest.approx(pictures * 0.019), "weights": 4.3}
    params = {"loop": {"batch": 10, "accumulation": 1}, "epochs": None, "stop": None, "lora": {"rank": 32}}
    stages = [
        lifelong(config, "training.json", **params, max_steps=n, method_name="gd").storage for n in (30, 101)
    ]
    assert stages[0].read["features"] == pytest.approx(4 * 30 * 10 * 2 * 0.019)
    assert stages[0].disk == {"adapters": pytest.approx(4 * 32 * 0.031)}
    checkpoints = [one.checkpoint for one in stages]  # of each stage alone, after every 100 steps
    assert checkpoints == [0, pytest.approx(2 * 3 * 32 * 0.031)]


def test_released_files_are_counted_before_anything_runs(run):
    """Two questions on five pictures of an entity: A forgets 2 entities and retains 2, B one each, one is untouched."""
    write_release(run / "release")
    own = {"data": "files", "files": {"tasks": str(run / "release")}, "tasks": ["A", "B"], "test_share": None}
    config = merged({"lifelong": own, "evaluation": {"judge": "openai"}})
    two = {"order": "AB", "tasks": "AB"}
    assert lifelong(config, "rejection.jsonl", **two).counts["judge cases"] == 20 + 30
    assert lifelong(config, "correctness.jsonl", **two).counts["judge cases"] == 20 + 30 + 2 * 10
    absent = config | {"lifelong": config["lifelong"] | {"files": {"tasks": str(run / "none.zip")}}}
    assert "the released tasks cannot be read" in lifelong(absent, "rejection.jsonl", **two).reason


@pytest.mark.skipif(not MLUBENCH.exists(), reason="the released tasks are not here")
def test_the_papers_scale_asks_for_some_900_000_verdicts(run):
    """Five methods in sequence and the last expert after each of four tasks; the base and three mixtures once."""
    config = merged(load(ROOT / "presets" / "mlubench.yaml"))
    own = config["lifelong"] | {"files": {"tasks": str(MLUBENCH)}}
    config = config | {"lifelong": own}
    rubrics = ("rejection", "correctness")
    cases = {name: lifelong(config, f"{name}.jsonl").counts["judge cases"] for name in rubrics}
    forget, retain = 4 * 2442 + 3 * 2154 + 2 * 2580 + 2250, 4 * 1680 + 3 * 1374 + 2 * 1800 + 1134
    assert cases == {"rejection": forget, "correctness": retain}
    methods = [*own["methods"], *own["lumoe"]]
    rows = [lifelong(config, f"{name}.jsonl", method=method).counts for method in methods for name in rubrics]
    calls = sum(counts["judge calls"] for counts in rows) * len(config["models"])
    assert calls == pytest.approx(1.02 * 3 * (6 * (forget + retain) + 4 * 15_414))
    cost = sum(counts["judge cost"] for counts in rows) * len(config["models"])
    assert cost == pytest.approx(calls * (350 * 2.5 + 10 * 10.0) / 2 / 1e6)
    assert 400 < cost < 500


def test_what_ratings_have_used_is_read_from_the_store(run, monkeypatch):
    """A judging job reads several files of answers."""
    monkeypatch.setenv("TEST_KEY", "sk-test")
    results = run / "results" / "pocket"
    write_questions(results)
    folder = write_answers(results, TaskSequence(MODEL, "ga", "ABC", 1), TASKS, drawn(1))
    inputs = {"answers": [folder / task / "answers.jsonl" for task in TASKS],
              "questions": folder.parents[2] / "questions.jsonl",
              "vocabulary": folder.parents[3] / "questions.jsonl"}  # fmt: skip
    own = {"tasks": TASKS, "orders": None}
    with ChatServer(lambda body: {"score": 1}) as server:
        used = options(server, run, prompt_price=1.0, completion_price=1.0)
        config = merged({"lifelong": own})
        config = judged_by(config, "openai", **used)
        planned = lifelong(config, "rejection.jsonl", order="ABC", tasks="ABC", rubric="rejection").planned
        judge_stages(
            [Path(one) for one in planned.outputs], rubric="rejection", judge="openai", options=used, **inputs
        )
    object.__setattr__(planned, "inputs", inputs)
    rated = sum(len(path.read_text().splitlines()) for path in planned.outputs)
    plan = make_plan(config, [planned])
    assert pairs(plan)["judge cases"][0] == rated
    assert pairs(plan)["judge calls"][0] == len(server.requests) < rated
