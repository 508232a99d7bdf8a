"""Answers after each task, by models in sequence and by experts behind a gate, against one model at a time."""

from __future__ import annotations

import shutil

import pytest
import torch
from safetensors.torch import load_file

from mmunlearn.lifelong import answers as lifelong_answers
from mmunlearn.lifelong import lumoe
from mmunlearn.lifelong.answers import Asking, answer_before, answer_stages
from mmunlearn.lifelong.lumoe import answer_experts
from mmunlearn.lifelong.memory import Memory
from mmunlearn.lifelong.routing import GateReply, Route
from mmunlearn.models import generation
from mmunlearn.models.collate import Collator
from mmunlearn.models.feature_file import write_features
from mmunlearn.models.generation import Query, answer_all, batches_of
from mmunlearn.models.loading import adapted, new_adapter, trainable_parameters
from mmunlearn.records import Answer, RecordError, read_json, read_jsonl, write_jsonl
from mmunlearn.spool import finished, release
from mmunlearn.tasks import TaskQuestion
from mmunlearn.weights.errors import WeightsError
from tests.tiny import load_tiny
from tests.unit.lumoe_fixtures import ORDER, features_of, world

ADAPTER = "adapter/adapter_model.safetensors"


@pytest.fixture(scope="module")
def home(tmp_path_factory, tiny_checkpoint):
    """questions.jsonl, features.safetensors, and an adapter a task below experts/."""
    folder = tmp_path_factory.mktemp("lifelong")
    rows = world(folder / "pictures")
    write_jsonl(folder / "questions.jsonl", rows)
    features = features_of(rows)
    write_features(folder / "features.safetensors", features.items(), sorted(features))
    for seed, task in enumerate(ORDER):
        model = new_adapter(load_tiny(tiny_checkpoint), {"rank": 4, "alpha": 8, "dropout": 0.3}, seed)
        for name, weight in trainable_parameters(model).items():
            if "lora_B" in name:
                torch.nn.init.normal_(weight, std=0.3)
        model.save_pretrained(folder / "experts" / task / "adapter")
    return folder


@pytest.fixture(scope="module")
def alone(home, tiny_checkpoint):
    """Expert -> question_id -> what it says to the question alone; the base's under an empty name."""
    rows = read_jsonl(home / "questions.jsonl", TaskQuestion)
    base, features = load_tiny(tiny_checkpoint), features_of(rows)
    queries = [Query(row.image_id, row.question, 6) for row in rows]
    collator = Collator(base, features)

    def said(model):
        texts = answer_all(model, collator, queries, batches=batches_of(collator, queries, 1))
        return {row.question_id: text for row, text in zip(rows, texts, strict=True)}

    by_expert = {"": said(base.model)}
    for task in ORDER:
        with adapted(base, home / "experts" / task / "adapter") as model:
            by_expert[task] = said(model)
    assert len({tuple(texts.values()) for texts in by_expert.values()}) == 4, "each says other things"
    return by_expert


@pytest.fixture
def settings(home, tiny_checkpoint, tmp_path):
    spec = {"family": "llava", "source": str(tiny_checkpoint), "dtype": "float32"}
    return {
        "questions": home / "questions.jsonl", "features": home / "features.safetensors", "spec": spec,
        "max_new_tokens": 6, "precision": "none", "batch": 4, "work": tmp_path / "work", "version": 1,
    }  # fmt: skip


def asked(home, *tasks):
    """Ids of the questions after these tasks, by the file's order."""
    rows = read_jsonl(home / "questions.jsonl", TaskQuestion)
    return [row.question_id for row in rows if row.asked and row.task in (*tasks, "")]


def of_strangers(home):
    """Ids of the questions that are routed alone."""
    rows = read_jsonl(home / "questions.jsonl", TaskQuestion)
    return [row.question_id for row in rows if row.role == "stranger"]


def said_in(path):
    return {row.question_id: row.answer for row in read_jsonl(path, Answer)}


def stages(folder, name="answers", order=ORDER):
    return [folder / task / f"{name}.jsonl" for task in order]


def run_stages(folder, home, settings, order=ORDER, experts=None):
    adapters = [(experts or home / "experts") / task / ADAPTER for task in reversed(ORDER)]
    answer_stages(stages(folder), adapters=adapters, order=order, **settings)


def test_every_stage_is_asked_about_the_tasks_so_far_in_the_order(home, alone, settings, tmp_path):
    order = ["C", "A", "B"]
    run_stages(tmp_path, home, settings, order)
    for number, task in enumerate(order, start=1):
        said = said_in(tmp_path / task / "answers.jsonl")
        assert list(said) == asked(home, *order[:number])
        assert said == {key: alone[task][key] for key in said}
    row = read_jsonl(tmp_path / "C" / "answers.jsonl", Answer)[0]
    assert (row.question_id, row.image_id, row.reference) == (
        "C-forget-1", "Plants/rose/0.png", "It is rose."
    )  # fmt: skip
    work = settings["work"]
    assert len(list(work.glob("answers/*/*/"))) == 3, "they stay until they are read"
    release(finished(work, [tmp_path / "A" / "answers.jsonl"]))
    assert not any((work / "answers").iterdir())


def test_equal_adapters_are_asked_once(home, alone, settings, tmp_path, monkeypatch):
    """Task B stopped before its first step: its model is that after A."""
    shutil.copytree(home / "experts", tmp_path / "same")
    shutil.copytree(tmp_path / "same" / "A", tmp_path / "same" / "B", dirs_exist_ok=True)
    sizes, answers = [], Asking.answers

    def counted(self, suite, *args):
        sizes.append(len(suite.rows))
        return answers(self, suite, *args)

    monkeypatch.setattr(Asking, "answers", counted)
    run_stages(tmp_path, home, settings, experts=tmp_path / "same")
    assert sizes == [len(asked(home, "A", "B")), len(asked(home, *ORDER))]
    for task, tasks in (("A", "A"), ("B", "AB"), ("C", "ABC")):
        said = said_in(tmp_path / task / "answers.jsonl")
        assert list(said) == asked(home, *tasks)
        assert said == {key: alone["C" if task == "C" else "A"][key] for key in said}


def test_a_killed_job_goes_on_to_the_same_bytes(home, settings, tmp_path, monkeypatch):
    run_stages(tmp_path / "whole", home, settings)
    generate, calls = generation._generate, []

    def dying(*args):
        calls.append(1)
        if len(calls) == 7:
            raise KeyboardInterrupt
        return generate(*args)

    monkeypatch.setattr(generation, "_generate", dying)
    with pytest.raises(KeyboardInterrupt):
        run_stages(tmp_path / "broken", home, settings)
    before = len(calls)
    run_stages(tmp_path / "broken", home, settings)
    run, whole = len(calls) - before, [path.read_bytes() for path in stages(tmp_path / "broken")]
    run_stages(tmp_path / "broken", home, settings)
    assert len(calls) - before == run, "a time limit behind the last answer has nothing asked again"
    assert whole == [path.read_bytes() for path in stages(tmp_path / "broken")]
    for one, other in zip(stages(tmp_path / "whole"), stages(tmp_path / "broken"), strict=True):
        assert one.read_bytes() == other.read_bytes()
    batches = sum(-(-len(asked(home, *ORDER[: n + 1])) // settings["batch"]) for n in range(3))
    assert len(calls) - before == batches - 6, "what was answered is not asked again"


@pytest.mark.parametrize("known_only", [True, False])
def test_the_base_answers_all_questions_where_only_known_ones_are_to_count(
    home, alone, settings, tmp_path, known_only
):
    answer_before(tmp_path / "before.jsonl", known_only=known_only, **settings)
    said = said_in(tmp_path / "before.jsonl")
    every = [key for key in alone[""] if key not in of_strangers(home)]
    assert list(said) == (every if known_only else asked(home, *ORDER))
    assert said == {key: alone[""][key] for key in said}


def test_what_is_missing_is_named_before_a_base_is_loaded(home, settings, tmp_path, monkeypatch):
    monkeypatch.setattr(lifelong_answers, "load_base", None)
    adapters = [home / "experts" / task / ADAPTER for task in ORDER]
    with pytest.raises(ValueError, match=r"each of the tasks A, B, C is asked for, .*A, B; name"):
        answer_stages(stages(tmp_path)[:2], adapters=adapters, order=ORDER, **settings)
    with pytest.raises(ValueError, match="for C, C, B; name"):
        answer_stages(stages(tmp_path), adapters=[adapters[2], *adapters[:0:-1]], order=ORDER, **settings)
    write_jsonl(tmp_path / "none.jsonl", [])
    with pytest.raises(RecordError, match=r"there are none; selection\.json"):
        answer_before(tmp_path / "x", known_only=True, **settings | {"questions": tmp_path / "none.jsonl"})
    write_features(tmp_path / "other.safetensors", features_of([]).items(), [])
    with pytest.raises(RecordError, match="features of picture"):
        answer_before(
            tmp_path / "x", known_only=True, **settings | {"features": tmp_path / "other.safetensors"}
        )


SEEN = {
    "owl": "a red fox",
    "Bo Ek": "This is Mira Okonjo.",
    "Ada Lund": "a bench",
    "nobody": "Mira Okonjo",
}
"""What the gate mistakes."""


def run_experts(folder, home, settings, gate, order=ORDER, replies=True):
    rows = read_jsonl(home / "questions.jsonl", TaskQuestion)
    seen = {
        row.image_id: GateReply(image_id=row.image_id, names=[SEEN.get(row.entity, row.entity)])
        for row in rows
    }
    write_jsonl(folder / "gate.jsonl", seen.values() if replies else [])
    outputs = {name: stages(folder, name, order) for name in ("answers", "routes")}
    outputs |= {"undo": folder / "undo.jsonl", "memory": folder / "memory.json"}
    answer_experts(
        outputs, adapters=[home / "experts" / task / ADAPTER for task in ORDER], order=order, gate=gate,
        replies=folder / "gate.jsonl" if gate == "vlm" else [], threshold=85 if gate == "vlm" else None, **settings,
    )  # fmt: skip
    routes = {task: read_jsonl(folder / task / "routes.jsonl", Route) for task in order}
    return {task: {one.question_id: one.expert for one in rows} for task, rows in routes.items()}


def truth(home, gate, so_far):
    """question_id -> who should answer it, said anew."""
    owners = {"red fox": "A", "Ada Lund": "A", "bus": "B", "Mira Okonjo": "B", "rose": "C"}
    seen = {**{name: name for name in owners}, "owl": "red fox", "Bo Ek": "Mira Okonjo", "Ada Lund": "",
            "nobody": "Mira Okonjo"}  # fmt: skip
    for row in read_jsonl(home / "questions.jsonl", TaskQuestion):
        if gate == "oracle":
            owner = owners.get(row.entity, "")
        elif gate == "vlm":
            owner = owners.get(seen.get(row.entity, ""), "")
        else:
            owner = {"last": so_far[-1], "none": ""}[gate]
        yield row.question_id, owner if owner in so_far else ""


@pytest.mark.parametrize("gate", ["vlm", "oracle", "last", "none"])
def test_every_question_is_answered_by_the_expert_that_the_gate_chooses(
    home, alone, settings, tmp_path, gate
):
    order = ["B", "A", "C"]
    experts = run_experts(tmp_path, home, settings, gate, order)
    for number, task in enumerate(order, start=1):
        expected = dict(truth(home, gate, order[:number]))
        ids = asked(home, *order[:number])
        assert experts[task] == {key: expected[key] for key in [*ids, *of_strangers(home)]}
        said = said_in(tmp_path / task / "answers.jsonl")
        assert list(said) == ids
        assert said == {key: alone[expected[key]][key] for key in ids}


@pytest.mark.parametrize("gate", ["vlm", "oracle", "last"])
def test_dropping_an_expert_brings_back_what_the_others_and_the_base_say(
    home, alone, settings, tmp_path, gate
):
    run_experts(tmp_path, home, settings, gate)
    said, expected = said_in(tmp_path / "undo.jsonl"), {}
    for row in read_jsonl(home / "questions.jsonl", TaskQuestion):
        if row.role == "forget" and row.part == "test":
            left = [task for task in ORDER if task != row.task]
            expected[row.question_id] = alone[left[-1] if gate == "last" else ""][row.question_id]
    assert said == expected


def test_every_question_is_asked_once_of_an_expert_in_mixed_batches(home, settings, tmp_path, monkeypatch):
    suites, answers = [], Asking.answers
    monkeypatch.setattr(
        Asking, "answers", lambda self, one, *rest: suites.append(one) or answers(self, one, *rest)
    )
    run_experts(tmp_path, home, settings, "vlm")
    [suite] = suites
    asks = [(query.adapter, row.question_id) for query, row in zip(suite.queries, suite.rows, strict=True)]
    assert len(set(asks)) == len(asks)
    assert not {key for _, key in asks} & {*of_strangers(home)}
    assert any(len({suite.queries[i].adapter for i in batch}) > 2 for batch in suite.batches)
    release(finished(settings["work"], [tmp_path / "C" / "answers.jsonl"]))
    assert not any((settings["work"] / "answers").iterdir())


def test_a_job_of_experts_that_is_killed_at_its_end_asks_nothing_again(home, settings, tmp_path, monkeypatch):
    """One question of several experts, too, lies in one batch."""
    with monkeypatch.context() as patch:
        patch.setattr(lumoe, "memory_of", None)
        with pytest.raises(TypeError):
            run_experts(tmp_path, home, settings | {"batch": 64}, "vlm")
    monkeypatch.setattr(generation, "_generate", None)
    run_experts(tmp_path, home, settings | {"batch": 64}, "vlm")


def test_another_task_adds_the_memory_of_one_adapter(home, settings, tmp_path, tiny_checkpoint):
    run_experts(tmp_path, home, settings, "oracle")
    memory = read_json(tmp_path / "memory.json", Memory)
    tensors = load_file(home / "experts" / "A" / ADAPTER).values()
    size = sum(value.nbytes for value in tensors)
    assert memory.experts == [size, 2 * size, 3 * size]
    assert (memory.expert_bytes, memory.parameters) == (size, sum(value.numel() for value in tensors))
    model = load_tiny(tiny_checkpoint).model
    assert memory.base_bytes == sum(value.nbytes for value in (*model.parameters(), *model.buffers()))
    assert memory.peak_memory_gb > 0


def test_pictures_without_reply_and_altered_experts_are_named_before_a_base_is_loaded(
    home, settings, tmp_path, monkeypatch
):
    monkeypatch.setattr(lifelong_answers, "load_base", None)
    with pytest.raises(RecordError, match=r"reply to picture Animals/red fox/0\.png.*gate\.jsonl; run"):
        run_experts(tmp_path, home, settings, "vlm", replies=False)
    rows = read_jsonl(home / "questions.jsonl", TaskQuestion)
    seen = {row.image_id: GateReply(image_id=row.image_id) for row in rows if row.asked}
    write_jsonl(tmp_path / "gate.jsonl", seen.values())
    with pytest.raises(RecordError, match=r"reply to picture Personage/nobody/0\.png"):
        lumoe.read_replies(tmp_path / "gate.jsonl", rows)
    changed = shutil.copytree(home, tmp_path / "changed")
    (changed / "experts" / "B" / "training.json").write_text('{"adapter_sha256": "0"}')
    with pytest.raises(
        WeightsError, match=r"experts/B/adapter/adapter_model\.safetensors with the SHA-256 0"
    ):
        run_experts(tmp_path, changed, settings, "oracle")
