"""The plan's arithmetic against numbers worked out by hand, and against what the code really does."""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mmunlearn.config import ConfigError, check

from mmunlearn import samples
from mmunlearn.evaluation.sampling import Sample, pick
from mmunlearn.ids import parse_recipe
from mmunlearn.records import Answer, Question, Split, SuiteQuestion, write_json, write_jsonl
from mmunlearn.workflow.job import PlannedJob
from mmunlearn.workflow.planning import sizes
from mmunlearn.workflow.planning.actual import made, measured, read_benchmark
from mmunlearn.workflow.planning.estimate import assumptions, estimate_jobs, totals
from mmunlearn.workflow.planning.plan import make_plan
from mmunlearn.workflow.planning.show import WIDTH, amount, duration, show_plan
from mmunlearn.workflow.planning.work import KNOWN, LIGHT, NO_ESTIMATE, OTHER_PASSES, PASSES, work_of
from tests.unit.judge_fixtures import store_verdicts, texts
from tests.unit.test_config_schema import ROOT, load, merged

POCKET = merged({})
PAPER = merged(load(ROOT / "presets" / "paper.yaml"))
HEADER = "s\th:m:s\tmax_rss\tcpu_time\n"


def job(rule: str, benchmark: Path | None = None, gpus: int = 0, **wildcards: Any) -> PlannedJob:
    own = {name: str(value) for name, value in wildcards.items()}
    return PlannedJob(rule, own, (), benchmark, gpus, to_run=True, target=False)


def counts(config: dict[str, Any], rule: str, **wildcards: Any) -> dict[str, float]:
    return dict(estimate_jobs(config, [job(rule, **wildcards)])[0].work.counts)


def test_pictures_of_both_scales():
    assert (sizes.cells(POCKET), sizes.cells(PAPER)) == (40 * 20, 200 * 40)
    # one by one until valid: the mean of a geometric distribution, 800 / 0.78, but for the cut at 15 attempts
    assert sizes.candidates(POCKET, 0.78) == pytest.approx(800 / 0.78)
    # whole batches of five: a second one where all five fail, 1 in 32 cells, a third in 1 of 1024, five batches at most
    assert sizes.candidates(PAPER, 0.5) == pytest.approx(8000 * 5 * sum(1 / 32**k for k in range(5)))
    assert sizes.candidates(PAPER, 0.0) == 8000 * 25
    assert sizes.candidates(PAPER, 1.0) == 40_000


def test_shards_draw_all_pictures_also_where_the_last_one_is_smaller():
    config = merged({"curation": {"n_people": 7}, "images": {"people_per_shard": 3}})
    assert [sizes.shard_people(config, shard) for shard in range(3)] == [3, 3, 1]
    drawn = [counts(config, "draw_shard", shard=f"{shard:03d}")["pictures drawn"] for shard in range(3)]
    assert sum(drawn) == pytest.approx(sizes.candidates(config, 0.78))


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
    assert sizes.forgotten_pictures(config, split) == pictures
    assert sizes.forget_questions(config, parse_recipe(f"gd-{split}")) == questions


@pytest.mark.parametrize(
    ("config", "recipe", "questions"),
    [
        (POCKET, "finetuned", (800 + 100, 800 + 100, 360)),
        (POCKET, "gd-event05@8", (40 + 60, 40 + 60 + 60, 60)),  # Figure 7: 60 of each set
        (POCKET, "gd-person05-1", (40, 40, 0)),  # Figure 9: the splits' own questions
        (PAPER, "ga-person10", (8000 + 200, 8000 + 200, 500 * 18)),
        (PAPER, "po-person05@4", (400 + 500 + 200, 400 + 200, 500)),
    ],
)
def test_questions_of_a_recipe(config, recipe, questions):
    assert tuple(sizes.asked(config, parse_recipe(recipe)).values()) == questions


def test_a_retain_sample_asks_less():
    config = merged({"evaluation": {"retain_sample": 50}})
    assert sizes.asked(config, parse_recipe("gd-person05")) == {
        "person": 40 + 50 + 100,
        "event": 40 + 100,
        "object": 360,
    }
    assert sizes.asked(config, parse_recipe("finetuned")) == {"person": 230, "event": 230, "object": 360}


def test_trainings_of_both_scales():
    assert counts(POCKET, "train_finetuned", model="pocket-llava", seed=1) == {
        "optimizer steps": 5 * 125,  # 800 pictures and 200 of replay in batches of 8
        "pictures shown": 5 * 1000,
    }
    assert counts(POCKET, "train_goal", model="pocket-llava", split="event05")["pictures shown"] == 5 * 960
    # DPO: 0.7 of 160 steps, 10 questions in two views, each with a reference pass worth a third
    shown = counts(POCKET, "train_traced", model="pocket-llava", method="dpo", split="person05")[
        "pictures shown"
    ]
    assert shown == pytest.approx(112 * 10 * (2 + 2 / 3))
    # paper: 200 questions in steps of 4 x 16, five times: 1000 / 64 rounded up; Llama's own batch of 2: 1000 / 32
    for model, steps in (("llava-1.5-7b", 16), ("llama-3.2-vision-11b", 32)):
        row = counts(PAPER, "train_traced", model=model, method="gd", split="person05")
        assert row == {"optimizer steps": steps, "pictures shown": steps * (2048 // steps)}
    one = counts(PAPER, "train_concept", model="llava-1.5-7b", method="gd", split="person05", concept=3)
    assert one == {"optimizer steps": 5, "pictures shown": 5 * 20 * 2}  # 20 questions: less than a batch


def test_one_job_asks_several_adapters():
    asked = counts(PAPER, "answer_steps", model="llava-1.5-7b", method="po", split="person05", seed=1)
    assert asked["questions"] == 5 * (400 + 500 + 200 + 400 + 200 + 500)  # after each of five steps
    asked = counts(PAPER, "answer_concepts", model="llava-1.5-7b", seed=1)
    assert asked["questions"] == (10 + 2) * (400 + 400)  # ten people and two events, each on the splits' own
    assert asked["answer tokens"] == 12 * 400 * (9 + 59)
    one, five = (
        estimate_jobs(
            merged({"figures": {"steps": steps}}),
            [job("answer_steps", model="pocket-llava", method="gd", split="event05")],
        )[0]
        for steps in ([2], [2, 4, 8, 16, 32])
    )
    assert five.seconds - 6.5 == pytest.approx(5 * (one.seconds - 6.5)), "the base is loaded once"


def test_what_a_sample_asks_is_what_is_counted():
    """The counts of Figures 7 and 9 against questions that are really drawn."""
    people, events = range(40), range(20)
    names = {(p, e): f"p{p:02d}_e{e:02d}" for p in people for e in events}
    own = [
        Question.model_construct(question_id=f"{name}-{kind}", image_id=name, kind=kind)
        for name in names.values()
        for kind in ("person", "event")
    ]
    real = [
        SuiteQuestion.model_construct(question_id=f"{kind}-{i}", kind=kind)
        for kind in ("person", "event")
        for i in range(100)
    ]
    world = [
        SuiteQuestion.model_construct(question_id=f"w{i}", subset=f"s{i % 3}", answer="yes", kind="object")
        for i in range(360)
    ]
    splits = {}
    for target, gone in (
        ("person", {names[p, e] for p in (0, 1) for e in events}),
        ("event", {names[p, 0] for p in people}),
    ):
        rest = sorted(set(names.values()) - gone)
        splits[f"{target}05"] = Split.model_construct(
            target=target, forget_train=sorted(gone), forget_test=[], retain=rest
        )
    for recipe in ("gd-event05@8", "gd-person05@2", "gd-person05-1"):
        found = samples.sample(POCKET, recipe)
        used = [splits[Path(path).stem] for path in samples.splits(POCKET, recipe)]
        suites = pick({"dataset": own, "real": real, "world": world}, used, Sample(**found))
        drawn = Counter(row.kind for rows in suites.values() for row in rows)
        expected = sizes.asked(POCKET, parse_recipe(recipe))
        assert {kind: drawn[kind] for kind in expected} == expected, recipe


def test_judge_cases_of_the_paper_and_their_cost():
    jobs = [
        job("judge_answers", model=model, recipe=recipe, seed=seed, split=split)
        for model in PAPER["models"]
        for split in ("event05", "event10", "event15")
        for recipe, seed in [*((f"{m}-{split}", 1) for m in ("goal", "po", "ga", "gd", "kl", "dpo")),
                             ("finetuned", 1), (f"goal-{split}", 101)]
    ]  # fmt: skip
    embedded = judged_by(PAPER, "local")
    local = {line.name: line for line in totals(embedded, estimate_jobs(embedded, jobs))}
    assert local["judge cases"].value == 2 * 8 * (2 + 4 + 6) * 200 == 38_400
    assert local["judge calls"].value == 0 and local["judge calls"].note == "local judge: no calls"
    assert local["judge cost"].value == 0 and "gpt-4o-mini would cost about 2.88" in local["judge cost"].note
    asking = judged_by(PAPER, "openai", prompt_price=0.3, completion_price=0.5, concurrency=4)
    found = estimate_jobs(asking, jobs)
    asked = {line.name: line for line in totals(asking, found)}
    assert asked["judge calls"].value == pytest.approx(38_400 * 1.02)
    assert asked["judge tokens"].value == pytest.approx(38_400 * 1.02 * (450 + 10))
    cost = 38_400 * 1.02 * (450 * 0.3 + 10 * 0.5) / 1e6
    assert asked["judge cost"].value == pytest.approx(cost)
    assert asked["judge cost"].rests == (
        "evaluation.openai.prompt_price",
        "evaluation.openai.completion_price",
    )
    assert found[0].seconds == pytest.approx(400 * 1.02 * 2.0 / 4 + 5)
    batches = judged_by(PAPER, "openai", prompt_price=0.3, completion_price=0.5, batch_api=True)
    found = estimate_jobs(batches, jobs)
    assert found[0].seconds is None and found[0].reason == "a batch takes up to 24 hours"
    lines = {line.name: line for line in totals(batches, found)}
    assert lines["CPU-hours"].note == "without judge_answers: no estimate"
    halved = lines["judge cost"]
    assert halved.value == pytest.approx(cost / 2) and "halved" in halved.note


def judged_by(config: dict[str, Any], judge: str, **options: Any) -> dict[str, Any]:
    own = config["evaluation"]
    return config | {"evaluation": own | {"judge": judge, "openai": own["openai"] | options}}


@pytest.fixture
def judging(tmp_path) -> tuple[dict[str, Any], PlannedJob]:
    """A judge with a store, and a job that has judged two sentences, one of them twice."""
    config = judged_by(
        POCKET, "openai", store=str(tmp_path / "v.sqlite"), prompt_price=2.0, completion_price=10.0
    )
    said = {"answers": ("a", "a", "b"), "finetuned": ("f", "f", "f"), "goal": ("g", "g", "g")}
    files = {name: tmp_path / f"{name}.jsonl" for name in said}
    for name, row in said.items():
        rows = [
            Answer(question_id=f"i{n}-event", image_id=f"i{n}", question="?", reference="", answer=text)
            for n, text in enumerate(row)
        ]
        write_jsonl(files[name], rows)
    split = Split(
        target="event",
        percent=5,
        seed=1,
        forgotten=["e"],
        forget_train=["i0", "i1"],
        forget_test=["i2"],
        retain=[],
    )
    write_json(tmp_path / "event05.json", split.model_dump())
    (tmp_path / "judged.jsonl").write_text("{}\n{}\n{}\n")
    done = replace(
        job("judge_answers", split="event05"),
        outputs=(tmp_path / "judged.jsonl",),
        inputs=files | {"split": tmp_path / "event05.json"},
    )
    return config, done


def test_what_the_judge_has_used_is_read_from_the_verdicts_of_planned_jobs(judging):
    config, done = judging
    store_verdicts(
        config["evaluation"]["openai"], *(texts(test, "f", "g") for test in ("a", "b", "of another recipe"))
    )
    plan = make_plan(config, [done, job("judge_answers", split="event05")])
    calls = 40 * 1.02
    assert plan.done["judge cases"] == (3, 40)
    assert plan.done["judge calls"] == (2, pytest.approx(calls))
    assert plan.done["judge tokens"] == (2 * 410, pytest.approx(calls * 460))
    assert plan.done["judge cost"] == (
        pytest.approx(2 * (400 * 2 + 10 * 10) / 1e6),
        pytest.approx(calls * (450 * 2 + 10 * 10) / 1e6),
    )
    text = " ".join(show_plan(plan).split())
    assert "verdicts for 2 of the 2 different cases" in text
    assert "ledger (all runs and judges," in text and "3 calls, 1,230 tokens, cost 0.0027" in text
    assert plan.as_json()["notes"] == plan.notes
    local = make_plan(judged_by(config, "local"), [done])
    assert "judge calls" not in local.done and not local.notes
    assert not make_plan(config, [job("judge_answers", split="event05")]).notes, "nothing is judged yet"


def test_verdicts_without_token_counts_are_told(judging):
    config, done = judging
    store_verdicts(config["evaluation"]["openai"], texts("a", "f", "g"), tokens=None)
    plan = make_plan(config, [done])
    assert plan.done["judge calls"][0] == 1 and plan.done["judge tokens"][0] == 0
    assert (
        "1 of the 2 different cases" in plan.notes[0]
        and "1 of them came without token counts" in plan.notes[0]
    )


@pytest.mark.parametrize("what", ["absent", "damaged", "empty", "locked", "answers gone", "answers damaged"])
def test_a_store_or_an_answer_that_cannot_be_read_is_a_reason_and_no_error(judging, monkeypatch, what):
    config, done = judging
    store = Path(config["evaluation"]["openai"]["store"])
    monkeypatch.setattr("mmunlearn.evaluation.judge.store.LOOK", 0.1)
    reasons = {"absent": "no such file", "damaged": "not a database", "empty": "form 0", "locked": "locked",
               "answers gone": "No such file", "answers damaged": "no answer"}  # fmt: skip
    if what not in ("absent", "damaged", "empty"):
        store_verdicts(config["evaluation"]["openai"], texts("a", "f", "g"))
    if what in ("damaged", "empty"):
        store.write_bytes(b"no database at all " * 99 if what == "damaged" else b"")
    elif what == "answers gone":
        done.inputs["goal"].unlink()
    elif what == "answers damaged":
        done.inputs["goal"].write_text('{"question_id": "i0-event"}\n')
    before = {path: path.stat().st_mtime_ns for path in store.parent.iterdir()}
    with closing(sqlite3.connect(store if what == "locked" else ":memory:", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        plan = make_plan(config, [done])
    assert {path: path.stat().st_mtime_ns for path in store.parent.iterdir()} == before, "only read"
    assert "judge calls" not in plan.done and plan.done["judge cases"] == (3, 40)
    assert plan.notes[0].startswith("What the judge has used so far cannot be told.")
    assert reasons[what] in plan.notes[0]


def test_a_curator_that_is_a_language_model_is_priced():
    config = PAPER | {"curation": PAPER["curation"] | {"backend": "openai"}}
    lines = totals(config, estimate_jobs(config, [job("curate_people"), job("curate_events")]))
    cost = {line.name: line.value for line in lines}
    assert cost["text calls"] == pytest.approx(240 * 1.2)
    assert cost["text cost"] == pytest.approx(240 * 1.2 * (600 * 2.5 + 150 * 10) / 1e6)


def test_the_passes_of_a_step_are_those_of_the_methods():
    from mmunlearn.training.methods import METHODS
    from mmunlearn.training.methods.building import build_method

    assert set(PASSES) == set(METHODS) and OTHER_PASSES == 2
    for name in METHODS:
        method = build_method(name, {})
        batches = len({view.split("_")[0] for view in method.views})  # BGD splits the forget batch in two
        seen = len({*method.reference, *method.reference_logp})
        assert PASSES[name] == pytest.approx(batches + seen / 3), name


def test_gpu_hours_count_every_gpu_and_processes_share_the_pictures():
    config = merged({"training": {"processes": 4}})
    one, four = (
        estimate_jobs(c, [job("train_finetuned", model="pocket-llava", gpus=4)])[0] for c in (POCKET, config)
    )
    assert one.seconds == pytest.approx(5000 * 0.0135 + 6.5)
    assert four.seconds == pytest.approx(5000 * 0.0135 / 4 + 6.5)
    hours = {line.name: line.value for line in totals(config, [four])}
    assert hours["GPU-hours"] == pytest.approx(4 * four.seconds / 3600) and hours["CPU-hours"] == 0


def test_what_nobody_can_tell_is_named_and_not_zero():
    strange = [
        job("fetch_weights", weights="x"),
        job("a_new_rule"),
        job("train_goal", model="mine", split="person05"),
    ]
    config = merged({"models": {"mine": POCKET["models"]["pocket-llava"]}})
    found = estimate_jobs(config, strange)
    assert [one.seconds for one in found] == [None] * 3
    assert [one.reason for one in found] == [
        "depends on your connection",
        "the plan knows no rule 'a_new_rule'",
        "plan.train_seconds names no value for mine",
    ]
    assert "without a_new_rule, fetch_weights, train_goal: no estimate" in totals(config, found)[1].note
    assert work_of(PAPER, job("build_reference_set", set="real"), lambda name: 0.0).reason.startswith(
        "depends"
    )


def test_every_rule_of_the_workflow_is_known_or_says_why_not():
    import re

    text = "\n".join(path.read_text() for path in sorted((ROOT / "rules").glob("*.smk")))
    rules = set(re.findall(r"^rule (\w+):|^use rule \w+ as (\w+) with", text, re.MULTILINE))
    rules = {name for pair in rules for name in pair if name}
    unknown = rules - set(KNOWN) - LIGHT - set(NO_ESTIMATE)
    assert unknown == {"pocket_models", "review_texts", "review_page", "review_sample", "export_dataset"}
    assert not (LIGHT | set(KNOWN) | set(NO_ESTIMATE)) - rules


def test_estimate_beside_actual_reads_planned_jobs_alone(tmp_path):
    own, other = tmp_path / "train_goal" / "a.tsv", tmp_path / "train_goal" / "stale.tsv"
    own.parent.mkdir()
    own.write_text(HEADER + "90\t0:01:30\t2048\t80\n")
    other.write_text(HEADER + "9999\t2:46:39\t2048\t80\n")
    estimates = estimate_jobs(
        POCKET,
        [
            job("train_goal", own, model="pocket-llava", split="event05"),
            job("build_questions", tmp_path / "none.tsv"),
        ],
    )
    row = measured(estimates)["train_goal"]
    assert (row.jobs, row.stale, row.memory) == (1, 1, 2048)
    assert row.hours == 90 / 3600
    assert row.expected == pytest.approx((4800 * 0.0135 + 6.5) / 3600)
    text = show_plan(make_plan(POCKET, [one.job for one in estimates]))
    assert "1.5 min    1.2 min   1.26" in text and "what 1 planned jobs took" in text


def test_counts_come_from_what_jobs_have_made(tmp_path):
    answers = tmp_path / "dataset.jsonl"
    answers.write_text('{"a": 1}\n{"a": 2}\n')
    training, filters = tmp_path / "training.json", tmp_path / "filters.json"
    training.write_text('{"steps": 34}')
    filters.write_text('{"candidates": 1024}')
    jobs = [
        replace(job("answer_questions", model="pocket-llava", recipe="gd-person05-0"), outputs=(answers,)),
        replace(
            job("train_traced", model="pocket-llava", method="ga", split="person05"), outputs=(training,)
        ),
        replace(job("check_images"), outputs=(filters,)),
        replace(job("judge_answers", split="event05"), outputs=(tmp_path / "not-yet.jsonl",)),
        job("draw_shard", shard="000"),
    ]
    done = made(estimate_jobs(POCKET, jobs))
    assert done["questions"] == (2, 80)
    assert done["optimizer steps"] == (34, pytest.approx(42))
    assert done["pictures drawn"] == (1024, pytest.approx(800 / 0.78 / 4))
    assert "judge cases" not in done


@pytest.mark.parametrize(
    ("text", "found"),
    [(HEADER + "0.3\t0:00:00\t-\t0\n", (0.3, None)), (HEADER + "1\tx\t5\t0\n3\tx\t7\t0\n", (2, 7)),
     (HEADER, None), (HEADER + "-\t-\t-\t-\n", None), ("", None)],
)  # fmt: skip
def test_a_benchmark_file_may_lack_what_was_not_measured(tmp_path, text, found):
    path = tmp_path / "one.tsv"
    path.write_text(text)
    assert read_benchmark(path) == found
    assert read_benchmark(tmp_path / "none.tsv") is None and read_benchmark(None) is None


def test_every_used_assumption_is_printed_with_unit_and_source():
    jobs = [
        job("draw_shard", shard="000", gpus=1),
        job("answer_questions", gpus=1, model="llava-1.5-7b", recipe="finetuned"),
    ]
    text = show_plan(make_plan(PAPER, jobs, ["evaluate"]))
    assert max(map(len, text.splitlines())) <= WIDTH
    for name in (
        "acceptance",
        "draw_seconds",
        "question_seconds",
        "model_job_seconds",
        "evaluation.openai.prompt_price",
    ):
        row = assumptions(PAPER)[name]
        line = next(line for line in text.splitlines() if line.startswith(f"{name} ") and row.unit in line)
        assert row.source.split()[0] in line
    assert "target evaluate: 2 jobs, 2 to run" in text
    assert "text_calls" not in text  # rests on nothing that is planned


def test_numbers_for_people():
    assert [amount(x) for x in (0, 3, 0.0135, 12.34, 41290.3)] == ["0", "3", "0.013", "12.3", "41,290"]
    assert [duration(x) for x in (84.7, 1.5, 0.1, 0.001)] == ["84.7 h", "1.5 h", "6 min", "3.6 s"]


@pytest.mark.parametrize(
    ("overlay", "message"),
    [
        ({"draw_second": {"value": 1.0}}, "unknown key 'plan.draw_second': did you mean 'draw_seconds'"),
        ({"draw_seconds": {"valeu": 1.0}}, "unknown key 'plan.draw_seconds.valeu': did you mean 'value'"),
        ({"draw_seconds": 1.0}, "plan.draw_seconds"),
        ({"acceptance": {"value": 1.5}}, "plan.acceptance.value"),
        ({"train_seconds": {"value": {"pocket-llava": -1}}}, "plan.train_seconds.value"),
    ],
)
def test_a_wrong_assumption_is_refused(overlay, message):
    with pytest.raises(ConfigError, match=message):
        check(merged({"plan": overlay}))
