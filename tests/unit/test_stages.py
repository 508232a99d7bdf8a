"""Training in sequence: what a stage learns, what it starts from, and which stages are trained again."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from mmunlearn.lifelong import stage_store, stages
from mmunlearn.lifelong.experts import train_experts
from mmunlearn.lifelong.stage_store import is_whole, new_stage
from mmunlearn.lifelong.stages import StageRun, read_task
from mmunlearn.models.collate import Collator, forward
from mmunlearn.models.feature_file import write_features
from mmunlearn.models.loading import load_adapter
from mmunlearn.records import Training, read_json, read_jsonl, write_jsonl
from mmunlearn.tasks import TaskQuestion
from mmunlearn.training import train as training
from mmunlearn.training.launch import launch
from mmunlearn.training.losses import sequence_logp
from tests.tiny import load_tiny, random_features
from tests.unit.stage_fixtures import ASKED, FILES, files_of, make_tasks, settings, stage, unlearn
from tests.unit.training_fixtures import LOOP, REFUSALS, WEIGHTS, trainer_of

METHODS = ("ga", "gd", "kl", "npo", "po")


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return make_tasks(tmp_path_factory.mktemp("tasks"))


@pytest.fixture(scope="module")
def sequence(inputs, tmp_path_factory):
    """GA over ABCD: its work and its outputs."""
    folder = tmp_path_factory.mktemp("sequence")
    unlearn(inputs, folder / "work", folder / "ABCD")
    return folder


@pytest.fixture
def work(sequence, tmp_path):
    """A copy of the sequence's work."""
    return shutil.copytree(sequence / "work", tmp_path / "work")


@pytest.fixture
def trained(monkeypatch):
    """The recipes of the stages that are really trained."""
    recipes, launch = [], stages.launch

    def noted(function, run, **arguments):
        recipes.append(run.run.recipe)
        launch(function, run, **arguments)

    monkeypatch.setattr(stages, "launch", noted)
    return recipes


def stage_folder(work, recipe):
    """Where a stage stays."""
    (path,) = (
        one
        for one in work.glob("lifelong/*/training.json")
        if json.loads(one.read_text())["recipe"] == recipe
    )
    return path.parent


def apart_from_time(files):
    """Files of a sequence without what no two trainings share: seconds and memory."""
    plain = {}
    for name, content in files.items():
        rows = [json.loads(line) for line in content.splitlines()] if name.endswith(".jsonl") else []
        rows = [json.loads(content)] if name.endswith("training.json") else rows
        timed = {"seconds", "memory_gb", "peak_memory_gb"}
        plain[name] = [
            {key: value for key, value in row.items() if key not in timed} for row in rows
        ] or content
    return plain


def stop_at(forget=1e9, refusal=0.0):
    return {"window": 2, "forget_bound": forget, "refusal_bound": refusal}


# What a stage learns


def test_a_task_forgets_question_by_question_and_retains_whole_pictures(inputs):
    """Of the questions that are trained on: neither those for testing nor another task's."""
    sets = read_task(inputs / "questions.jsonl", "B")
    assert [(one.image_id, one.turns) for one in sets.forget] == [
        (f"things/forget B/{n}.png", ((question, f"Sailors of forget B, {number}."),))
        for n in (0, 1)
        for number, question in enumerate(ASKED)
    ]
    assert [one.image_id for one in sets.retain] == ["things/retain B/0.png", "things/retain B/1.png"]
    assert all([question for question, _ in one.turns] == list(ASKED) for one in sets.retain)
    with pytest.raises(
        ValueError, match=r"task E: .* 0 to forget and 0 pictures to retain .* lifelong\.tasks"
    ):
        read_task(inputs / "questions.jsonl", "E")


def test_every_epoch_pairs_a_question_with_other_pictures(inputs, tmp_path):
    plan = stage(inputs, tmp_path, "gd", max_steps=None, epochs=8, batch=2).plan
    assert len(plan) == 16, "8 epochs of 4 questions, 2 a step"
    pairs = {
        pair
        for step in plan
        for pair in zip(step["forget"], (one.image_id for one in step["retain"]), strict=True)
    }
    assert len(pairs) == 8, "4 questions beside 2 pictures each"
    assert len(stage(inputs, tmp_path, "gd", max_steps=3, epochs=8, batch=2).plan) == 3
    with pytest.raises(ValueError, match="without an end; set max_steps or epochs"):
        _ = stage(inputs, tmp_path, max_steps=None).plan


@pytest.mark.parametrize("method", METHODS)
def test_the_picture_is_in_every_loss(method, inputs, tmp_path):
    """Other pictures in the place of those of any one view change the step's loss."""
    features = load_file(inputs / "features.safetensors")
    views = {"ga": ["forget"], "npo": ["forget"], "po": ["refusal", "retain"]}.get(
        method, ["forget", "retain"]
    )

    def loss(swapped):
        others = {
            name: -one if any(part in name for part in swapped) else one for name, one in features.items()
        }
        save_file(others, tmp_path / "features.safetensors")
        run = stage(
            inputs, tmp_path / "-".join(["work", *swapped]), method, features=tmp_path / "features.safetensors",
            lora=NO_DROPOUT,
        )  # fmt: skip
        trainer = trainer_of(run)
        assert list(trainer.method.views) == views
        nudge(trainer.model)
        return trainer.training_step(trainer.model, next(iter(trainer.get_train_dataloader()))).item()

    parts = {"refusal": "forget A"}
    seen = {loss([]), *(loss([parts.get(view, f"{view} A")]) for view in views)}
    assert len(seen) == 1 + len(views)
    assert loss(["B", "untouched"]) in seen, "other tasks' pictures are not looked at"


NO_DROPOUT = {"rank": 4, "alpha": 8, "dropout": 0.0}


def nudge(model):
    """Move the policy off its start, where NPO and KL are level whatever is seen."""
    generator = torch.Generator().manual_seed(1)
    for name, weight in model.named_parameters():
        if "lora_B.default" in name:
            weight.data.copy_(0.05 * torch.randn(weight.shape, generator=generator))


def test_po_learns_refusals_of_the_forgotten_questions(inputs, tmp_path):
    trainer = trainer_of(stage(inputs, tmp_path, "po"))
    tokenizer = trainer.collator.base.processor.tokenizer
    for batch in trainer.get_train_dataloader():
        (part,) = batch["passes"]
        view = part["views"]["refusal"]
        answers = [
            tokenizer.decode(row[row >= 0], skip_special_tokens=True).strip() for row in view["labels"]
        ]
        assert len(answers) == 4 and {*answers} <= {*REFUSALS}
        asked = tokenizer.batch_decode(view["input_ids"])
        assert all(any(question in text for text in asked) for question in ASKED)
        assert not any("Sailors" in text for text in asked)


# What it starts from


def test_a_new_adapter_is_the_base_and_so_is_the_reference(inputs, tmp_path):
    """After other tasks, too: unless the row says that it is the model before the present one."""
    run, base = stage(inputs, tmp_path, "npo"), load_tiny(inputs / "tiny")
    examples = run.sets.forget
    collator = Collator(base, load_file_of_features(inputs))
    with torch.no_grad():
        logits, labels = forward(base.model, collator(examples))
        assert torch.equal(forward(load_adapter(base, run.start), collator(examples))[0], logits)
    moved = tmp_path / "moved"
    trainer = trainer_of(run)
    nudge(trainer.model)
    trainer.save_policy(moved)
    with torch.no_grad():
        own = sequence_logp(*forward(trainer.model.eval(), collator(examples)))
    for reference, expected in ((run.start, sequence_logp(logits, labels)), (moved, own)):
        later = trainer_of(stage(inputs, tmp_path, "npo", start=moved, reference=reference))
        torch.testing.assert_close(later.reference_logp.of(examples), expected, rtol=0, atol=1e-4)


def load_file_of_features(inputs):
    return {name: {"features": one} for name, one in load_file(inputs / "features.safetensors").items()}


def test_each_task_goes_on_from_the_one_before(inputs, sequence, tmp_path):
    """The reference is where the first one starts, or where each starts."""
    done = [read_json(sequence / "ABCD" / task / "training.json", Training) for task in "ABCD"]
    assert [(one.recipe, one.method, one.steps) for one in done] == [
        (f"ga-{'ABCD'[: k + 1]}", "GA", 3) for k in range(4)
    ]
    starts, results = [one.settings["start"] for one in done], [one.adapter_sha256 for one in done]
    assert starts[1:] == results[:3] and len({*starts, *results}) == 5
    assert {one.settings["reference"] for one in done} == {starts[0]}
    assert len({one.settings["seed"] for one in done}) == 4
    previous = unlearn(inputs, tmp_path, tmp_path / "out", "AB", "kl", reference_model="previous")
    assert (
        previous["B"].settings["reference"]
        == previous["A"].adapter_sha256
        != previous["A"].settings["reference"]
    )
    assert previous["A"].settings["start"] == starts[0], "methods start from one adapter"
    assert previous["B"].losses[0]["loss"] == pytest.approx(-previous["B"].losses[0]["forget"], abs=0.2)


def test_a_stop_is_asked_before_step_1_too(inputs, tmp_path):
    """Of what the first steps would show. Without a stop every planned step is done."""
    work, steep = tmp_path / "work", {"rates": {"A": 3e-2}, "max_steps": 30}
    rising = unlearn(inputs, work, tmp_path / "ga", "AB", stop=stop_at(forget=1.3), **steep)
    assert 0 < rising["A"].steps < 30 and rising["A"].stop_reason.startswith("forget CE ")
    assert (rising["B"].steps, rising["B"].epochs, rising["B"].losses) == (0, 0.0, [])
    assert rising["B"].stop_reason.endswith("ln(vocabulary) = 7.499 before step 1: nothing is trained")
    assert (tmp_path / "ga/B/steps.jsonl").read_text() == ""
    before, after = (load_file(tmp_path / "ga" / task / "adapter" / WEIGHTS) for task in "AB")
    assert all(torch.equal(after[name], value) for name, value in before.items())
    learnt = unlearn(inputs, work, tmp_path / "po", "A", "po", stop=stop_at(refusal=99))
    assert learnt["A"].steps == 0 and learnt["A"].stop_reason.startswith("refusal CE ")
    assert unlearn(inputs, tmp_path / "work", tmp_path / "all", "A", max_steps=4)["A"].steps == 4


# Which stages are trained again


def test_a_job_that_was_killed_in_its_third_task_goes_on_there(
    inputs, sequence, tmp_path, trained, monkeypatch
):
    """To the same files, byte for byte, but for the seconds and the memory of the task that it was at."""

    class Fragile(training.PlannedTrainer):
        def training_step(self, *arguments):
            if self.args.run_name.startswith("tiny/ga-ABC/") and self.state.global_step == 2:
                raise RuntimeError("killed")
            return super().training_step(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(training, "PlannedTrainer", Fragile)
        with pytest.raises(RuntimeError, match="killed"):
            unlearn(inputs, tmp_path / "work", tmp_path / "out")
    assert trained == ["ga-A", "ga-AB", "ga-ABC"]
    assert (tmp_path / "out/C/steps.jsonl").read_text().count("\n") == 2, "it grows in its place"
    finished = {name: one for name, one in files_of(tmp_path / "out").items() if name[0] != "C"}
    shutil.rmtree(tmp_path / "out")  # as Snakemake does
    steps, step = [], training.PlannedTrainer.training_step

    def counted(self, *arguments):
        steps.append((self.args.run_name, self.state.global_step))
        return step(self, *arguments)

    monkeypatch.setattr(training.PlannedTrainer, "training_step", counted)
    unlearn(inputs, tmp_path / "work", tmp_path / "out")
    assert trained[3:] == ["ga-ABC", "ga-ABCD"]
    assert steps == [("tiny/ga-ABC/seed-1", 2), *(("tiny/ga-ABCD/seed-1", n) for n in range(3))]
    files = files_of(tmp_path / "out")
    assert {*files} == {f"{task}/{name}" for task in "ABCD" for name in FILES}
    assert {name: files[name] for name in finished} == finished and len(finished) == 8
    assert apart_from_time(files) == apart_from_time(files_of(sequence / "ABCD"))
    assert not list((tmp_path / "work/training").iterdir())
    assert not [path for path in (tmp_path / "work/lifelong").iterdir() if "-" in path.name]


def test_orders_share_the_tasks_with_which_they_begin_alike(inputs, sequence, work, tmp_path, trained):
    unlearn(inputs, work, tmp_path / "again")
    assert trained == [] and files_of(tmp_path / "again") == files_of(sequence / "ABCD")
    unlearn(inputs, work, tmp_path / "ABDC", "ABDC")
    assert trained == ["ga-ABD", "ga-ABDC"]
    first, second = files_of(sequence / "ABCD"), files_of(tmp_path / "ABDC")
    assert {name for name in first if first[name] == second[name]} == {
        f"{task}/{name}" for task in "ABCD" for name in FILES if task in "AB" or name.endswith("config.json")
    }
    unlearn(inputs, work, tmp_path / "BA", "BA")
    assert trained[2:] == ["ga-B", "ga-BA"]


def other_answers(inputs, folder, task):
    """Questions whose answers of one task are others."""
    rows = read_jsonl(inputs / "questions.jsonl", TaskQuestion)
    path = folder / f"{task}.jsonl"
    write_jsonl(
        path, [row.model_copy(update={"answer": "Ada Lund."}) if row.task == task else row for row in rows]
    )
    return path


def other_picture(inputs, folder, name):
    """Questions of which one picture is another file."""
    rows, image = read_jsonl(inputs / "questions.jsonl", TaskQuestion), f"things/{name}.png"
    assert any(row.image_id == image for row in rows)
    path = folder / "pictures.jsonl"
    write_jsonl(
        path, [row.model_copy(update={"sha256": "1" * 64}) if row.image_id == image else row for row in rows]
    )
    return path


@pytest.mark.parametrize(
    ("changes", "again"),
    [
        ({"rates": {"D": 3e-3}}, ["ga-ABCD"]),
        ({"save_steps": 7, "checkpointing": True, "logs": Path("logs")}, []),
        ({"questions": "C"}, ["ga-ABC", "ga-ABCD"]),
        ({"picture": "forget C/0"}, ["ga-ABC"]),  # whose features, here, stay
        ({"picture": "forget C/2"}, []),
        ({"method_code": "2"}, ["ga-A", "ga-AB", "ga-ABC", "ga-ABCD"]),
    ],
)
def test_what_shapes_a_task_trains_it_again_and_what_follows(changes, again, inputs, work, tmp_path, trained):
    """Its own questions and their pictures alone, and nothing that leaves the result as it is."""
    if "picture" in changes:
        changes = {"questions": other_picture(inputs, tmp_path, changes["picture"])}
    elif "questions" in changes:
        changes = {"questions": other_answers(inputs, tmp_path, changes["questions"])}
    unlearn(inputs, work, tmp_path / "out", **changes)
    assert trained == again


def test_one_more_task_trains_one_adapter(inputs, work, sequence, tmp_path, trained):
    """The data set's files are written anew then: questions of a further task, and features of its pictures."""
    rows = read_jsonl(inputs / "questions.jsonl", TaskQuestion)
    new = [
        row.model_copy(
            update={"task": "E", "question_id": f"E-{row.question_id}", "image_id": f"E/{row.image_id}"}
        )
        for row in rows
        if row.task == "A"
    ]
    write_jsonl(tmp_path / "questions.jsonl", new + rows)
    images = list(dict.fromkeys(row.image_id for row in new + rows))
    old, further = load_file(inputs / "features.safetensors"), random_features(images)
    features = {name: {"features": old[name]} if name in old else one for name, one in further.items()}
    write_features(tmp_path / "features.safetensors", sorted(features.items()), images)
    files = {name: tmp_path / one for name, one in (("questions", "questions.jsonl"),
                                                    ("features", "features.safetensors"))}  # fmt: skip
    unlearn(inputs, work, tmp_path / "out", "ABCDE", **files)
    assert trained == ["ga-ABCDE"]
    before, after = files_of(sequence / "ABCD"), files_of(tmp_path / "out")
    assert {name: after[name] for name in before} == before


def test_another_way_to_encode_trains_again(inputs, tmp_path):
    run = stage(inputs, tmp_path)
    assert replace(run, encoding=2).identity != run.identity == replace(run, encoding=1).identity


def test_what_shapes_a_stage_decides_what_it_is(inputs, tmp_path):
    run = stage(inputs, tmp_path)
    lora, moved = {**run.lora}, tmp_path / "moved"
    shutil.copytree(run.start, moved)
    save_file({name: one + 1 for name, one in load_file(moved / WEIGHTS).items()}, moved / WEIGHTS)
    others = [
        replace(run, loop={**run.loop, "learning_rate": 1.0}),
        replace(run, version=2),
        replace(run, precision="bf16"),
        replace(run, run=run.run._replace(seed=2)),
        replace(run, run=run.run._replace(recipe="ga-BA")),
        replace(run, method_name="gd"),
        replace(run, method_name="npo"),
        replace(run, method_name="npo", options={"beta": 5}),
        replace(run, method_code="2"),
        replace(run, max_steps=2),
        replace(run, epochs=0.5),
        replace(run, stop=stop_at(forget=9)),
        replace(run, lora=lora | {"alpha": 4}),
        replace(run, lora=lora | {"dropout": 0.2}),
        replace(run, lora_targets=".*q_proj"),
        replace(run, start=moved),
        replace(run, reference=moved),
        replace(run, refusals=inputs / "questions.jsonl"),
    ]
    assert len({run.identity, *(one.identity for one in others)}) == 1 + len(others)
    same = replace(run, apart="another", work=tmp_path / "new", processes=2, checkpointing=True, save_steps=9)
    assert same.identity == run.identity


@pytest.mark.parametrize("name", [*FILES, "checksums.json"])
def test_a_damaged_stage_is_made_again(name, inputs, sequence, work, tmp_path, trained, caplog):
    path = stage_folder(work, "ga-AB") / name
    path.write_bytes(path.read_bytes()[:-9])
    unlearn(inputs, work, tmp_path / "out", "AB")
    assert trained == ["ga-AB"] and "is not the stage that was written: it is made again" in caplog.text
    made, before = (
        apart_from_time(files_of(folder / "B")) for folder in (tmp_path / "out", sequence / "ABCD")
    )
    assert made == before


def test_two_jobs_that_train_the_same_task_do_not_meet(inputs, sequence, tmp_path, monkeypatch):
    """Each has its own folder and checkpoints; who ends first gives the task its files."""
    work, making, plain = tmp_path / "work", set(), stages.launch

    def overtaken(function, run, **arguments):
        plain(function, run, **arguments)
        making.update((work / "training").glob("*/"))
        if run.apart == "mine":
            stages.train_stage(replace(run, apart="another"), tmp_path / "another")

    monkeypatch.setattr(stages, "launch", overtaken)
    stages.train_stage(stage(inputs, work, apart="mine"), tmp_path / "mine")
    assert len(making) == 2 and not list((work / "training").iterdir())
    assert files_of(tmp_path / "mine") == files_of(tmp_path / "another")
    assert len(list((work / "lifelong").iterdir())) == 2, "the first adapter and the stage"


def make_stage(folder, apart, text="new"):
    with new_stage(folder, apart) as making:
        (making / "steps.jsonl").write_text(text)


def test_a_stage_that_another_job_has_made_since_stays(tmp_path, monkeypatch):
    """Whether it came before this one begins to make it, or while a damaged one is looked at."""
    folder, hashed = tmp_path / "stage", stage_store.sha256_of
    make_stage(folder, "other", "first")
    make_stage(folder, "mine", "second")
    assert (folder / "steps.jsonl").read_text() == "first"
    (folder / "steps.jsonl").write_text("damaged")

    def overtaken(path):
        found = hashed(path)
        monkeypatch.setattr(stage_store, "sha256_of", hashed)
        shutil.rmtree(folder)
        make_stage(folder, "other", "again")
        return found

    monkeypatch.setattr(stage_store, "sha256_of", overtaken)
    assert is_whole(folder) and (folder / "steps.jsonl").read_text() == "again"
    (folder / "steps.jsonl").write_text("damaged")
    assert not is_whole(folder)
    assert list(tmp_path.iterdir()) == []


def test_experts_know_nothing_of_each_other(inputs, tmp_path, trained):
    """Each is PO on the base; the first task of a sequence of PO is its expert."""
    work = tmp_path / "work"
    for name in ("AB", "BA", "B"):
        outputs = {"trainings": [tmp_path / name / task / "training.json" for task in sorted(name)]}
        rates = dict.fromkeys(name, LOOP["learning_rate"])
        train_experts(outputs, "tiny", 1, tasks=list(name), rates=rates, **settings(inputs, work))
    assert trained == ["po-A", "po-B"]
    done = {task: read_json(tmp_path / "AB" / task / "training.json", Training) for task in "AB"}
    assert {one.settings["start"] for one in done.values()} == {done["A"].settings["reference"]}
    assert done["A"].adapter_sha256 != done["B"].adapter_sha256
    assert files_of(tmp_path / "AB") == files_of(tmp_path / "BA")
    unlearn(inputs, work, tmp_path / "po", "BA", "po")
    assert trained[2:] == ["po-BA"] and files_of(tmp_path / "po/B") == files_of(tmp_path / "AB/B")


def train_both(run: StageRun, other: StageRun, folder: Path) -> None:
    """Two stages in the processes of one start."""
    for name, one in (("first", run), ("other", other)):
        training.train(one, folder / name / "training.json")


def test_two_processes_train_what_one_trains(inputs, tmp_path):
    """And ask the stop before step 1 alike, of three passes a step."""
    stop = stop_at(forget=9)
    run = stage(inputs, tmp_path / "work", trackers=[], batch=1, accumulation=3, stop=stop)
    other = replace(run, stop=stop | {"forget_bound": 0.1})
    for count, name in ((1, "one"), (2, "two")):
        launch(train_both, replace(run, processes=count), other=other, folder=tmp_path / name)
    one, two = (load_file(tmp_path / name / "first/adapter" / WEIGHTS) for name in ("one", "two"))
    torch.testing.assert_close(two, one, rtol=0, atol=1e-5)
    ends = [read_json(tmp_path / name / "other/training.json", Training) for name in ("one", "two")]
    assert {(end.steps, end.stop_reason) for end in ends} == {(0, ends[0].stop_reason)}
