"""The plan's arithmetic against numbers worked out by hand, and against what the code really does."""

from __future__ import annotations

import json
import re
import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mmunlearn.dataset.splits import make_split
from mmunlearn.evaluation.sampling import Sample, pick
from mmunlearn.ids import TARGETS, Run, parse_recipe
from mmunlearn.records import Question, SuiteQuestion, write_json
from mmunlearn.training.methods import METHODS
from mmunlearn.workflow.benchmark import read_benchmark
from mmunlearn.workflow.plan import Plan, make_plan
from mmunlearn.workflow.show import WIDTH, amount, count, duration, show_plan
from mmunlearn.workflow.sizes import Sizes
from mmunlearn.workflow.targets import Targets
from mmunlearn.workflow.work import Estimate, PlannedJob
from tests.unit.judge_fixtures import store_verdicts, texts
from tests.unit.plan_fixtures import ADAPTER, PAPER, POCKET, Config, job, lines, write
from tests.unit.test_config_schema import merged

HEADER = "s\th:m:s\tmax_rss\tcpu_time\n"


def counts(config: Config, *outputs: str, **fields: Any) -> dict[str, float]:
    return dict(Estimate(job(*outputs, scale=config["scale"], **fields), Sizes(config)).counts)


def pairs(plan: Plan) -> dict[str, tuple[float, float]]:
    """What has been made or used so far, and what was expected of the same jobs."""
    return {line.name: (line.actual.value, line.actual.estimate) for line in plan.totals if line.actual}


@pytest.mark.parametrize(
    ("config", "split", "pictures", "questions"),
    [
        (POCKET, "person05", 2 * 20, 2 * 10),
        (POCKET, "event05", 1 * 40, 1 * 20),
        (POCKET, "both05", 2 * 20 + 40 - 2, 20 + 20),
        (PAPER, "person05", 10 * 40, 10 * 20),
        (PAPER, "event15", 6 * 200, 6 * 100),
        (PAPER, "both05", 10 * 40 + 2 * 200 - 10 * 2, 200 + 200),
    ],
)
def test_what_a_split_forgets(config, split, pictures, questions):
    assert Sizes(config).forgotten(split) == pictures
    assert Sizes(config).forget_questions(parse_recipe(f"gd-{split}")) == questions


def questions_of(config: Config, recipe: str) -> tuple[int, int, int]:
    """Questions for people, events and objects of all suites."""
    run, total = Run(next(iter(config["models"])), recipe, 1), Counter()
    for suite in ("dataset", "real", "world"):
        total.update(Sizes(config).questions(run, suite))
    return total["person"], total["event"], total["object"]


@pytest.mark.parametrize(
    ("config", "recipe", "questions"),
    [
        (POCKET, "finetuned", (800 + 100, 800 + 100, 360)),
        (POCKET, "gd-event05@8", (40 + 60, 40 + 60 + 60, 60)),  # Figure 7: 60 of each set
        (POCKET, "gd-person05-1", (40, 40, 0)),  # Figure 9: the splits' own questions
        (PAPER, "ga-person10", (8000 + 200, 8000 + 200, 500 * 18)),
        (PAPER, "po-person05@4", (400 + 500 + 200, 400 + 200, 500)),
        (merged({"evaluation": {"retain_sample": 50}}), "gd-person05", (40 + 50 + 100, 40 + 100, 360)),
        (merged({"evaluation": {"retain_sample": 50}}), "finetuned", (230, 230, 360)),
        (merged({"evaluation": {"retain_sample": 1000}}), "gd-both05", (800 + 100, 800 + 100, 360)),
    ],
)
def test_questions_of_a_recipe(config, recipe, questions):
    assert questions_of(config, recipe) == questions


def test_what_a_sample_asks_is_what_is_counted():
    """The counts of Figures 7 and 9 against questions that are really drawn."""
    pictures = {f"p{p}-e{e}": (f"p{p}", f"e{e}") for p in range(40) for e in range(20)}
    dataset = [
        Question.model_construct(question_id=f"{name}-{kind}", image_id=name, kind=kind)
        for name in pictures
        for kind in TARGETS
    ]
    real = [
        SuiteQuestion.model_construct(question_id=f"{k}-{i}", kind=k) for k in TARGETS for i in range(100)
    ]
    world = [
        SuiteQuestion.model_construct(question_id=f"w{i}", subset=f"s{i % 3}", answer="yes", kind="object")
        for i in range(360)
    ]
    splits = {
        f"{target}05": make_split(
            {name: concepts[place] for name, concepts in pictures.items()}, target=target, percent=5, seed=1
        )
        for place, target in enumerate(TARGETS)
    }
    for recipe in ("gd-event05@8", "gd-person05@2", "gd-person05-1"):
        row = Targets(POCKET).row(Run("pocket-llava", recipe, 1))
        suites = {"dataset": dataset, "real": real, "world": world}
        drawn = pick(suites, [splits[name] for name in row.sample_splits], Sample(**row.sample))
        kinds = Counter(question.kind for questions in drawn.values() for question in questions)
        assert (kinds["person"], kinds["event"], kinds["object"]) == questions_of(POCKET, recipe), recipe


def draws_of(config: Config, acceptance: float, batch: int, max_attempts: int, people: int = 200) -> float:
    """Pictures that all shards of so many people draw."""
    assumed = config["plan"] | {"acceptance": config["plan"]["acceptance"] | {"value": acceptance}}
    params = {"people_per_shard": people, "batch": batch, "max_attempts": max_attempts}
    names = [f"images/shards/{k:03d}.parquet" for k in range(-(-config["curation"]["n_people"] // people))]
    return sum(counts(config | {"plan": assumed}, name, params=params)["pictures drawn"] for name in names)


def test_pictures_that_are_there_are_as_many_as_are_assumed_and_drawn_once():
    """Of 40 people at 20 events half of the cells have a picture; 5% of the people are 2."""
    config = merged({"plan": {"cell_pictures": {"value": 0.5}}})
    sizes = Sizes(config)
    assert (sizes.cells, sizes.forgotten("person05"), sizes.pictures("dataset")) == (400, 20, 400)
    assert draws_of(config, 0.3, 1, 1) == 400
    there = config | {"images": config["images"] | {"generator": "files"}}
    shard = job("images/shards/000.parquet", params={"people_per_shard": 40, "batch": 1, "max_attempts": 1})
    found = lines(make_plan(there, [shard]))
    assert (found["pictures drawn"].value, found["pictures opened"].value) == (0, 400), "nothing is drawn"
    assert "pictures opened" not in lines(make_plan(config, [shard]))
    drafts = [counts(config, f"curation/drafts/{name}") for name in ("pictures.jsonl", "people.jsonl")]
    assert drafts == [{}, {}]


def test_pictures_are_drawn_until_one_is_accepted():
    # one by one until valid: the mean of a geometric distribution, 800 / 0.78, but for the cut at 15 attempts
    assert draws_of(POCKET, 0.78, 1, 15) == pytest.approx(800 / 0.78)
    # whole batches of five: a second one where all five fail, 1 in 32 cells, a third in 1 of 1024, five batches at most
    assert draws_of(PAPER, 0.5, 5, 25) == pytest.approx(8000 * 5 * sum(1 / 32**k for k in range(5)))
    assert draws_of(PAPER, 0.0, 5, 25) == 8000 * 25
    assert draws_of(PAPER, 1.0, 5, 25) == 40_000
    few = merged({"curation": {"n_people": 7}})
    last_is_smaller = draws_of(few, 0.78, 1, 15, people=3)
    assert last_is_smaller == pytest.approx(draws_of(few, 0.78, 1, 15))
    # membership needs another picture of every cell that it asks about: 60 of each forgotten half, here 20
    unseen = counts(POCKET, "robustness/unseen/event05.parquet", params={"batch": 5, "max_attempts": 15})
    assert unseen["unseen pictures"] == pytest.approx(20 * 5 * sum(0.22 ** (5 * k) for k in range(3)))


def training_of(
    config: Config, *recipes: str, model: str = "pocket-llava", **params: Any
) -> dict[str, float]:
    files = [f"models/{model}/{recipe}/seed-1/{ADAPTER}" for recipe in recipes]
    return counts(config, *files, params={"epochs": None, "max_steps": 500} | params)


def test_trainings_of_both_scales():
    finetune = {"loop": {"batch": 8, "accumulation": 1}, "epochs": 5}
    assert training_of(POCKET, "finetuned", **finetune) == {
        "optimizer steps": 5 * 125,  # 800 pictures and 200 of replay in batches of 8
        "pictures shown": 5 * 1000,
    }
    assert training_of(POCKET, "goal-event05", **finetune)["pictures shown"] == 5 * 960
    # DPO: 0.7 of 160 steps, 10 questions in two views, each with a reference pass worth a third
    few = {"loop": {"batch": 10, "accumulation": 1}, "max_steps": 160}
    whole = training_of(POCKET, "dpo-person05", **few)
    assert whole == {"optimizer steps": 112, "pictures shown": pytest.approx(112 * 10 * (2 + 2 / 3))}
    refusing = training_of(
        POCKET, "dpo-person05", **few, options={"reference": "refusals"}
    )  # a pass for its reference
    assert refusing["pictures shown"] == pytest.approx(112 * 10 * (3 + 2 / 3))
    one = training_of(PAPER, "gd-person05-3", loop={"batch": 4, "accumulation": 16}, epochs=5)
    assert one == {"optimizer steps": 5, "pictures shown": 5 * 20 * 2}  # 20 questions: less than a batch


def test_a_traced_training_ends_with_its_last_step_or_its_own_end():
    loop = {"batch": 10, "accumulation": 1}
    steps = [f"gd-event05@{step}" for step in (2, 32, 8)]
    whole = training_of(POCKET, *steps, loop=loop, max_steps=60)
    assert whole == {"optimizer steps": 32, "pictures shown": 32 * 10 * 2}
    assert training_of(POCKET, *steps, loop=loop, max_steps=20)["optimizer steps"] == 14  # 0.7 of them


def test_one_job_asks_several_adapters():
    files = [f"answers/pocket-llava/gd-event05@{step}/seed-1/world.jsonl" for step in (2, 4)]
    one, two = Estimate(job(files[0]), Sizes(POCKET)), Estimate(job(*files), Sizes(POCKET))
    assert two.counts == {"questions": 2 * 60, "answer tokens": 2 * 60 * 3}
    once = 6.5 + 4.3 / 500  # the base is loaded once
    assert two.seconds - once == pytest.approx(2 * (one.seconds - once))
    assert two.storage.read == {"features": pytest.approx(2 * 60 * 0.019), "weights": 4.3}


def test_attacks_ask_the_forget_set_many_times():
    params = {"attacks": {"relearning": {"steps": [0, 1, 4], "batch": 4}, "quantisation": {"bits": [8, 4]}}}
    fields = {"wildcards": {"model": "pocket-llava", "split": "event05"}, "params": params}
    names = ("relearning", "quantisation", "membership", "paraphrase")
    files = [f"robustness/pocket-llava/ga-event05/seed-1/event05/{name}.json" for name in names]
    times = 3 + 3 + 6  # at each step; at full and two widths; in the trained and five other wordings
    assert counts(POCKET, *files, **fields) == {
        "questions": 40 * times,
        "answer tokens": 40 * times * 45,
        "answers weighed": 40,
        "pictures relearned": 4 * 4,
    }


def test_the_passes_of_a_step_are_those_of_the_methods():
    from mmunlearn.training.methods.building import build_method

    for name, entry in METHODS.items():
        method = build_method(name, {})
        batches = len({view.split("_")[0] for view in method.views})  # BGD splits the forget batch in two
        seen = len({*method.reference, *method.reference_logp})
        assert entry.passes == pytest.approx(batches + seen / 3), name


def test_gpu_hours_count_every_gpu_and_processes_share_the_pictures():
    params = {"epochs": 5, "loop": {"batch": 8, "accumulation": 1}}
    training = job(f"models/pocket-llava/finetuned/seed-1/{ADAPTER}", params=params, gpus=4)
    four = merged({"training": {"processes": 4}})
    besides = 6.5 + (4.3 + 5000 * 0.019) / 500
    assert Estimate(training, Sizes(POCKET)).seconds == pytest.approx(5000 * 0.0135 + besides)
    seconds = 5000 * 0.0135 / 4 + besides
    hours = lines(make_plan(four, [training]))
    assert hours["GPU-hours"].value == pytest.approx(4 * seconds / 3600) and hours["CPU-hours"].value == 0


def judged_by(config: Config, judge: str, **options: Any) -> Config:
    evaluation = config["evaluation"]
    return config | {"evaluation": evaluation | {"judge": judge, "openai": evaluation["openai"] | options}}


def judging_of(judge: str) -> list[PlannedJob]:
    """Eight recipes on two splits of the paper's: 400 and 800 sentences each."""
    names = [
        f"judgements/llava-1.5-7b/gd/seed-{k}/{split}.jsonl"
        for split in ("event05", "event10")
        for k in range(8)
    ]
    return [job(name, scale="paper", params={"judge": judge}, rule="judge_answers") for name in names]


def test_cases_of_the_judge_and_their_cost():
    cases = 8 * (400 + 800)
    local = lines(make_plan(judged_by(PAPER, "local"), judging_of("local")))
    assert (
        local["judge cases"].value == cases and local["judge calls"].value == local["judge cost"].value == 0
    )
    assert local["judge calls"].note == "local judge: no calls"
    price = cases * 1.02 * (450 * 0.15 + 10 * 0.6) / 1e6
    assert f"gpt-4o-mini would cost about {price:.2f}" in local["judge cost"].note
    prices = {"prompt_price": 0.3, "completion_price": 0.5}
    config = judged_by(PAPER, "openai", **prices, concurrency=4)
    called = lines(make_plan(config, judging_of("openai")))
    cost = cases * 1.02 * (450 * 0.3 + 10 * 0.5) / 1e6
    values = [called[f"judge {name}"].value for name in ("calls", "tokens", "cost")]
    assert values == pytest.approx([cases * 1.02, cases * 1.02 * (450 + 10), cost])
    assert Estimate(judging_of("openai")[0], Sizes(config)).seconds == pytest.approx(400 * 1.02 * 2.0 / 4 + 5)
    plan = make_plan(judged_by(PAPER, "openai", **prices, batch_api=True), judging_of("openai"))
    assert plan.rules[0].hours is None and plan.rules[0].reason == "a batch takes up to 24 hours"
    assert lines(plan)["CPU-hours"].note == "without judge_answers: no estimate"
    halved = lines(plan)["judge cost"]
    assert halved.value == pytest.approx(cost / 2) and "halved" in halved.note


def test_a_curator_that_is_a_language_model_is_priced():
    jobs = [
        job(f"curation/drafts/{what}.jsonl", scale="paper", params={"curator": "openai", "n": n})
        for what, n in (("people", 200), ("events", 40))
    ]
    total = lines(make_plan(PAPER, jobs))
    assert total["text calls"].value == pytest.approx(240 * 1.2)
    assert total["text cost"].value == pytest.approx(240 * 1.2 * (600 * 2.5 + 150 * 10) / 1e6)
    assert "text calls" not in lines(make_plan(PAPER, [replace(jobs[0], params={"curator": "shipped"})]))


def test_what_nobody_can_tell_is_named_and_not_zero():
    config = merged({"models": {"mine": POCKET["models"]["pocket-llava"]}})
    jobs = [
        job("weights/x.json", rule="fetch_weights"),
        job("dataset/real.jsonl", rule="build_reference_set", params={"source": "files"}),
        job("lifelong/a.json", rule="a_new_rule", gpus=0),
        job("features/mine/real.safetensors", rule="encode_images", model="mine"),
        job("answers/mine/finetuned/seed-1/real.jsonl", rule="answer_questions", model="mine"),
        replace(job(rule="pretrain_model"), outputs=(Path("results/pocket-models/card.json"),)),
        job("tables/new.csv", rule="a_new_table"),
        job(rule="all", target=True),
    ]
    plan = make_plan(config, jobs)
    reasons = {row.rule: row.reason for row in plan.rules if row.hours is None and not row.target}
    assert reasons == {
        "fetch_weights": "depends on your connection",
        "build_reference_set": "depends on the size of your collections",
        "a_new_rule": "nobody has said how long lifelong/ takes",
        "answer_questions": "plan.feature_mb names no value for mine",
        "encode_images": "plan.feature_mb names no value for mine",
        "pretrain_model": "its card in resources/pocket says how long it took",
    }
    assert f"without {', '.join(sorted(reasons))}: no estimate" in lines(plan)["CPU-hours"].note
    assert {row.rule: row.rests[-1] for row in plan.rules if row.hours} == {
        "a_new_table": "light_job_seconds"
    }
    assert lines(plan)["disk"].note.endswith(
        "without plan.weights_mb of x, plan.feature_mb of mine, plan.weights_mb of mine: no value"
    )


def test_estimate_beside_actual_reads_planned_jobs_alone(run):
    measured = write(run / "benchmarks" / "a.tsv", HEADER + "90\t0:01:30\t2048\t80\n")
    write(run / "benchmarks" / "stale.tsv", HEADER + "9999\t2:46:39\t2048\t80\n")
    params = {"epochs": 5, "loop": {"batch": 8, "accumulation": 1}}
    training = job(f"models/pocket-llava/goal-event05/seed-1/{ADAPTER}", params=params, benchmark=measured)
    plan = make_plan(POCKET, [training, job("tables/a.csv", benchmark=run / "none.tsv", rule="a_table")])
    actual = plan.rules[0].actual
    assert (actual.jobs, actual.stale, actual.memory, actual.value) == (1, 1, 2048, 90 / 3600)
    assert actual.estimate == pytest.approx((4800 * 0.0135 + (4.3 + 4800 * 0.019) / 500 + 6.5) / 3600)
    text = show_plan(plan)
    assert "1.5 min    1.2 min   1.26" in text and "what 1 planned jobs took" in text
    assert "held 2.0 GiB. 1 of the jobs are to run again" in text


def test_counts_come_from_what_jobs_have_made(run):
    results = run / "results" / "pocket"
    write(results / "answers/pocket-llava/gd-person05-0/seed-1/dataset.jsonl", '{"a": 1}\n{"a": 2}\n')
    write(results / "models/pocket-llava/ga-person05/seed-1/training.json", '{"steps": 34}')
    write(results / "images/filters.json", '{"candidates": 1024}')
    params = {"epochs": None, "max_steps": 60, "loop": {"batch": 10, "accumulation": 1}}
    model = "models/pocket-llava/ga-person05/seed-1"
    shard = {"people_per_shard": 10, "batch": 1, "max_attempts": 15}
    jobs = [
        job("answers/pocket-llava/gd-person05-0/seed-1/dataset.jsonl"),
        job(f"{model}/training.json", f"{model}/{ADAPTER}", params=params),
        job("images/filters.json"),
        job("judgements/pocket-llava/finetuned/seed-1/event05.jsonl", params={"judge": "local"}),
        job("images/shards/000.parquet", params=shard),
    ]
    assert pairs(make_plan(POCKET, jobs)) == {
        "questions": (2, 80),
        "optimizer steps": (34, pytest.approx(42)),
        "pictures drawn": (1024, pytest.approx(800 / 0.78 / 4)),
    }


@pytest.mark.parametrize(
    ("text", "found"),
    [(HEADER + "0.3\t0:00:00\t-\t0\n", (0.3, 0)), (HEADER + "1\tx\t5\t0\n3\tx\t7\t0\n", (2, 7)),
     (HEADER, None), (HEADER + "-\t-\t-\t-\n", None), ("", None)],
)  # fmt: skip
def test_a_benchmark_file_may_lack_what_was_not_measured(tmp_path, text, found):
    path = tmp_path / "one.tsv"
    path.write_text(text)
    assert read_benchmark(path) == found
    assert read_benchmark(tmp_path / "none.tsv") is None and read_benchmark(None) is None


@pytest.fixture
def judging(run) -> tuple[Config, PlannedJob]:
    """A judge with a store, and a job that has judged two sentences, one of them twice."""
    config = judged_by(POCKET, "openai", store=str(run / "v.sqlite"), prompt_price=2.0, completion_price=10.0)
    files = {name: run / f"{name}.jsonl" for name in ("answers", "finetuned", "goal")}
    for name, sentences in zip(files, ("aab", "fff", "ggg"), strict=True):
        rows = [
            {"question_id": f"i{n}-event", "image_id": f"i{n}", "answer": text}
            for n, text in enumerate(sentences)
        ]
        files[name].write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    files["split"] = run / "event05.json"
    images = {"forget_train": ["i0", "i1"], "forget_test": ["i2"], "retain": []}
    write_json(files["split"], {"target": "event", "percent": 5, "seed": 1, "forgotten": ["e"], **images})
    finished = job("judgements/m/r/seed-1/event05.jsonl", params={"judge": "openai", "rubric": "g-eval"})
    write(run / finished.outputs[0], "{}\n{}\n{}\n")
    return config, replace(finished, inputs=files)


def test_what_the_judge_has_used_is_read_from_the_verdicts_of_planned_jobs(judging):
    config, finished = judging
    options = config["evaluation"]["openai"]
    store_verdicts(options, *(texts(test, "f", "g") for test in ("a", "of another recipe")))
    store_verdicts(options, texts("b", "f", "g"), tokens=None)
    other = job("judgements/m/r/seed-2/event05.jsonl", params={"judge": "openai"})
    plan = make_plan(config, [finished, other])
    calls = 40 * 1.02
    assert pairs(plan)["judge cases"] == (3, 40)
    assert pairs(plan)["judge calls"] == (2, pytest.approx(calls))
    assert pairs(plan)["judge tokens"] == (410, pytest.approx(calls * 460))
    cost = (400 * 2 + 10 * 10) / 1e6, calls * (450 * 2 + 10 * 10) / 1e6
    assert pairs(plan)["judge cost"] == pytest.approx(cost)
    text = " ".join(show_plan(plan).split())
    assert "verdicts for 2 of the 2 different cases" in text and "1 of them came without token counts" in text
    assert "ledger (all runs and judges," in text and "3 calls, " in text
    local = make_plan(judged_by(config, "local"), [replace(finished, params={"judge": "local"})])
    assert lines(local)["judge calls"].actual is None and not local.notes
    assert not make_plan(config, [other]).notes, "nothing is judged yet"


@pytest.mark.parametrize(
    ("what", "reason"),
    [("absent", "no such file"), ("locked", "locked"), ("gone", "No such file"), ("damaged", "no answer")],
)
def test_a_store_or_an_answer_that_cannot_be_read_is_no_error(judging, monkeypatch, what, reason):
    config, finished = judging
    store = Path(config["evaluation"]["openai"]["store"])
    monkeypatch.setattr("mmunlearn.evaluation.judge.store.LOOK", 0.1)
    if what != "absent":
        store_verdicts(config["evaluation"]["openai"], texts("a", "f", "g"))
    if what == "gone":
        finished.inputs["goal"].unlink()
    elif what == "damaged":
        finished.inputs["goal"].write_text('{"question_id": "i0-event"}\n')
    before = {path: path.stat().st_mtime_ns for path in store.parent.iterdir()}
    with closing(sqlite3.connect(store if what == "locked" else ":memory:", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        plan = make_plan(config, [finished])
    assert {path: path.stat().st_mtime_ns for path in store.parent.iterdir()} == before, "only read"
    assert lines(plan)["judge calls"].actual is None and lines(plan)["judge cases"].actual.value == 3
    assert plan.notes[0].startswith("What the judge has used so far cannot be told.")
    assert reason in plan.notes[0]


def test_every_used_assumption_is_printed_with_unit_and_source():
    shard = {"people_per_shard": 1, "batch": 5, "max_attempts": 25}
    jobs = [
        job("images/shards/000.parquet", scale="paper", gpus=1, params=shard),
        job("answers/llava-1.5-7b/finetuned/seed-1/real.jsonl", scale="paper", gpus=1, model="llava-1.5-7b"),
    ]
    text = show_plan(make_plan(PAPER, jobs, ["evaluate"]))
    assert max(map(len, text.splitlines())) <= WIDTH
    for name in ("acceptance", "draw_seconds", "question_seconds", "model_job_seconds"):
        row = PAPER["plan"][name]
        line = next(line for line in text.splitlines() if line.startswith(f"{name} ") and row["unit"] in line)
        assert row["source"].split()[0] in line
    assert re.search("evaluation.openai.prompt_price +0.15  a million tokens", text)
    assert "pocket-llava" not in text and "llama" not in text, "the rates of the models that are planned"
    assert "target evaluate: 2 jobs, 2 to run" in text
    assert "text_calls" not in text  # rests on nothing that is planned


def test_numbers_for_people():
    assert [amount(x) for x in (0, 3, 0.0135, 12.34, 41290.3)] == ["0", "3", "0.013", "12.3", "41,290"]
    assert [amount(x) for x in (249.96, 999.97, 84.7)] == ["250", "1,000", "84.7"]
    assert count("pictures drawn", 84.7) == "85" and count("judge cost", 84.7) == "84.7"
    assert count("GB read", 84.7) == count("disk GB", 84.7) == "84.7"
    assert [duration(x) for x in (84.7, 1.5, 0.1, 0.001)] == ["84.7 h", "1.5 h", "6 min", "3.6 s"]
