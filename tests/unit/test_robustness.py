"""The attacks' arithmetic against hand-computed numbers and independent references."""

from __future__ import annotations

import math
import weakref
import zlib
from collections.abc import Iterable
from itertools import pairwise

import numpy as np
import pytest
import torch
import yaml

from mmunlearn.ids import Run
from mmunlearn.models.loading import ModelSpec, load_base
from mmunlearn.records import Answer, Person, Question, RecordError, Split, write_json, write_jsonl
from mmunlearn.robustness.membership import (
    Tokens,
    auc,
    auc_interval,
    compare,
    lowest_mean,
    scores,
    token_statistics,
)
from mmunlearn.robustness.paraphrase import paraphrase, pooled
from mmunlearn.robustness.quantisation import quantise, rounded
from mmunlearn.robustness.relearning import constant_rate, from_every_concept, plan_relearning, relearn
from mmunlearn.robustness.target import GenerationSettings, TargetModel
from mmunlearn.robustness.unseen import first_attempt
from mmunlearn.robustness.wordings import read_paraphrases
from mmunlearn.workflow.targets import Targets
from tests.unit.test_config_schema import ROOT, merged

SPLIT = Split(
    target="person",
    percent=5,
    seed=0,
    forgotten=["p0", "p1"],
    forget_train=[f"p{p}-e{e}" for p in (0, 1) for e in range(4)],
    forget_test=[],
    retain=[],
)


def question(image: str) -> Question:
    return Question(
        question_id=f"{image}-person", image_id=image, kind="person", question="Who?", answer="Ada."
    )


ROWS = [question(image) for image in SPLIT.forget_train]


PEOPLE = {"p0": "Ada Lund", "p1": "Bo Ek"}
SCENES = {"e0": "Sailors race their boats home.", "e1": "Children build a snowman."}


@pytest.fixture(params=["person", "event"])
def target(request, tmp_path) -> TargetModel:
    """Four pictures, each in a part of its own; `goal` has never known the scenes, `finetuned` knows everything."""
    images = {f"{person}-{event}": SCENES[event] for person in PEOPLE for event in SCENES}
    split = dict(zip(("forget_train", "forget_test", "retain"), ([one] for one in images), strict=False))
    write_json(
        tmp_path / "split.json", Split(target=request.param, percent=50, seed=0, forgotten=["p0"], **split)
    )
    rest = {"age": 30} | dict.fromkeys(("gender", "job", "birthplace", "appearance"), "-")
    people = [Person(person_id=key, name=name, **rest) for key, name in PEOPLE.items()]
    write_jsonl(tmp_path / "people.jsonl", people)
    rows = [
        Question(question_id=f"{image}-{kind}", image_id=image, kind=kind, question="?", answer=answer)
        for image, scene in images.items()
        for kind, answer in (("person", f"This is {PEOPLE[image[:2]]}."), ("event", scene))
    ]
    write_jsonl(tmp_path / "questions.jsonl", rows)
    write_jsonl(tmp_path / "finetuned.jsonl", answered(rows))
    write_jsonl(tmp_path / "goal.jsonl", answered(rows, "An empty room."))
    (tmp_path / "paraphrases.yaml").write_text("person: [Name, Who]\nevent: [Scene, What]\n")
    files = {name: tmp_path / f"{name}.jsonl" for name in ("questions", "people", "finetuned", "goal")}
    files |= {"split": tmp_path / "split.json", "paraphrases": tmp_path / "paraphrases.yaml"}
    settings = GenerationSettings(questions=2, seed=3, batch=1, max_new_tokens={}, bootstrap=20)
    return TargetModel(
        Run("tiny", "ga-person50", 2),
        ModelSpec("llava", "-", "-"),
        files,
        settings,
        tmp_path,
        1,
        tmp_path / "x",
    )


def answered(rows: Iterable[Question], text: str | None = None) -> list[Answer]:
    """The rows with their true answers, or all with one text."""
    return [
        Answer(
            question_id=row.question_id, image_id=row.image_id, question="?", reference=row.answer,
            answer=row.answer if text is None else text,
        )
        for row in rows
    ]  # fmt: skip


def test_the_truth_is_recovered_and_what_the_goal_says_is_forgotten(target):
    rows = target.questions_on(["p1-e1", "p0-e0"])
    assert [row.question_id for row in rows] == [f"{one}-{target.split.target}" for one in ("p0-e0", "p1-e1")]
    known, unknown = answered(rows), answered(rows, "An empty room.")
    assert (target.recovery(known), target.recovery(unknown)) == ([100.0, 100.0], [0.0, 0.0])
    assert (target.efficacy(known), target.efficacy(unknown)) == ([0.0, 0.0], [100.0, 100.0])


@pytest.mark.parametrize("target", ["event"], indirect=True)
def test_events_are_not_judged_without_an_anchor(target):
    write_jsonl(target.files["goal"], [])
    with pytest.raises(RecordError, match="asked for the answer to p0-e0-event, but it has none"):
        target.efficacy(answered(target.questions_on(["p0-e0"])))


def test_all_recipes_are_asked_the_same_few_and_an_interval_is_of_the_run_s_seed(target):
    rows = target.questions_on(f"{person}-{event}" for person in PEOPLE for event in SCENES)
    assert [row.image_id for row in target.sample(rows)] == ["p1-e0", "p1-e1"]
    assert set(target.clusters(rows)) == set(PEOPLE if target.split.target == "person" else SCENES)
    result = target.finding("original", "efficacy", [0.0, 100.0] * 10).result
    assert (result.value, result.n, result.clusters) == (50.0, 20, 20)
    assert (result.low, result.high) == pytest.approx((20.0, 68.4913), abs=1e-3)
    few = target.finding("original", "efficacy", [0.0, 100.0] * 10, ["p0", "p1"] * 10).result
    assert few.clusters == 2 and few.low < 2 and few.high > 98


def test_each_half_is_asked_in_every_wording(target):
    """The name is told on the training half in the trained wording, and on the other half when asked for `Who`."""
    calls = []

    def answers(rows, wording=None):
        calls.append((rows[0].image_id, wording))
        return answered(rows, None if calls[-1] in {("p0-e0", None), ("p0-e1", other)} else "An empty room.")

    target.answers, other = answers, {"person": "Who", "event": "What"}[target.split.target]
    findings, details = paraphrase(target)
    assert {(one.setting, one.metric): one.result.value for one in findings} == {
        ("original", "efficacy"): 0.0, ("paraphrased", "efficacy"): 100.0, ("worst wording", "efficacy"): 0.0,
        ("original", "generality"): 100.0, ("paraphrased", "generality"): 50.0,
        ("worst wording", "generality"): 0.0,
    }  # fmt: skip
    assert details["by_wording"]["generality"][1] == {"wording": other, "value": 0.0}
    assert len(calls) == 2 * 3 and calls[1][1] not in (None, other)


# Membership


def test_auc_counts_wins_and_half_the_ties():
    assert auc([3, 1], [2, 1]) == (1 + 1 + 0 + 0.5) / 4
    assert auc([1, 1], [1, 1, 1]) == 0.5
    assert auc([5, 6], [1, 2]) == 1 and auc([1, 2], [5, 6]) == 0


def test_auc_is_that_of_the_ranks():
    rng = np.random.default_rng(0)
    members, others = rng.integers(0, 9, 40) + 1, rng.integers(0, 9, 30)
    pooled_scores = np.concatenate([members, others])
    ranks = np.array(
        [(pooled_scores < one).sum() + ((pooled_scores == one).sum() + 1) / 2 for one in members]
    )
    u = ranks.sum() - 40 * 41 / 2
    assert auc(members, others) == pytest.approx(u / (40 * 30))


def test_auc_interval_holds_the_value_and_is_repeatable():
    rng = np.random.default_rng(1)
    members, others = rng.normal(0.5, 1, 50), rng.normal(0, 1, 50)
    low, high = auc_interval(members, others, seed=3, resamples=300)
    assert low < auc(members, others) < high
    assert (low, high) == auc_interval(members, others, seed=3, resamples=300)
    assert auc_interval([2.0], [1.0], seed=0, resamples=10) == pytest.approx((0.025, 1.0)), "one pair"
    people = [f"p{number // 4}" for number in range(len(members))]
    assert auc_interval(members, others, seed=3, resamples=300, clusters=people) != (low, high)
    wide = auc_interval(members, others, seed=3, resamples=300, clusters=["p0", "p1"] * (len(members) // 2))
    assert wide[0] < 0.1 and wide[1] > 0.95, "two people say little"


def test_token_statistics_against_a_distribution_computed_by_hand():
    # after softmax: 0.5, 0.25, 0.25, 0 at the place before the only answer token, which is token 1
    logits = torch.log(torch.tensor([[[0.5, 0.25, 0.25, 0.0], [1.0, 1.0, 1.0, 1.0]]]))
    (one,) = token_statistics(logits, torch.tensor([[-100, 1]]))
    mean = -(0.5 * math.log(2) + 0.5 * math.log(4))
    variance = 0.5 * math.log(2) ** 2 + 0.5 * math.log(4) ** 2 - mean**2
    assert one.logp == pytest.approx([-math.log(4)])
    assert one.mean == pytest.approx([mean])
    assert one.deviation == pytest.approx([math.sqrt(variance)])


def test_token_statistics_leave_out_what_is_no_answer():
    labels = torch.tensor([[-100, 2, 1, -100], [-100, 0, -100, -100]])
    first, second = token_statistics(torch.randn(2, 4, 3), labels)
    assert len(first.logp) == 2 and len(second.logp) == 1


def test_lowest_mean_takes_one_token_at_least():
    values = np.array([-1.0, -5.0, -2.0, -4.0, -3.0])
    assert lowest_mean(values, 0.2) == -5
    assert lowest_mean(values, 0.59) == -4.5
    assert lowest_mean(values, 0.01) == -5
    assert lowest_mean(values, 1.0) == -3


def test_the_four_scores():
    tokens = Tokens(np.array([-1.0, -3.0]), np.array([-2.0, -2.0]), np.array([0.5, 2.0]))
    text = "This is Ada Lund."
    assert scores(tokens, text, 0.5) == pytest.approx(
        {"loss": -2, "zlib": -2 / len(zlib.compress(text.encode())), "min-k": -3, "min-k++": -0.5}
    )


def test_a_certain_token_has_no_deviation_and_a_finite_score():
    tokens = Tokens(np.array([0.0]), np.array([0.0]), np.array([0.0]))
    assert scores(tokens, "a", 0.2)["min-k++"] == 0


def test_a_score_that_is_not_finite_is_no_area():
    result = compare("loss", [float("nan"), 1.0], [0.0, 0.0], seed=1, resamples=9).result
    assert result.value is None and "not finite" in result.reason
    assert compare("loss", [2.0, 1.0], [0.0, 0.0], seed=1, resamples=9).result.value == 1.0


# Quantisation


def test_rounding_to_a_grid_by_hand():
    weight = torch.tensor([[7.0, -3.4, 1.6, 0.0], [0.07, 0.034, -0.07, 0.016]])
    assert torch.allclose(
        rounded(weight, 4), torch.tensor([[7.0, -3, 2, 0], [0.07, 0.03, -0.07, 0.02]]), atol=1e-6
    )


def test_every_group_has_a_scale_of_its_own():
    weight = torch.tensor([[7.0, 3.4, 0.07, 0.034, 1.0]])
    assert torch.allclose(rounded(weight, 4, 2), torch.tensor([[7.0, 3, 0.07, 0.03, 1.0]]), atol=1e-6)


@pytest.mark.parametrize(("bits", "group"), [(8, None), (4, 16), (4, 5), (2, 7)])
def test_rounding_moves_no_weight_by_more_than_half_a_step(bits, group):
    weight = torch.randn(6, 33, generator=torch.Generator().manual_seed(0))
    coarse = rounded(weight, bits, group)
    bounds = [0, *range(group, 33, group), 33] if group else [0, 33]
    for start, stop in pairwise(bounds):
        part = weight[:, start:stop]
        step = part.abs().amax(1, keepdim=True) / (2 ** (bits - 1) - 1)
        assert ((coarse[:, start:stop] - part).abs() <= step / 2 + 1e-6).all()
        assert len(coarse[0, start:stop].unique()) <= 2**bits - 1
    assert torch.allclose(rounded(coarse, bits, group), coarse, atol=1e-6)


def test_zeros_and_the_type_stay():
    assert not rounded(torch.zeros(2, 3), 4, 2).any()
    assert rounded(torch.ones(2, 3, dtype=torch.bfloat16), 8).dtype is torch.bfloat16
    with pytest.raises(ValueError, match="2 bits or more"):
        rounded(torch.ones(2, 2), 1)


class Merged(torch.nn.Module):
    """A model whose decoder is one linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.decoder, self.lm_head = torch.nn.Linear(6, 3), torch.nn.Linear(3, 6)

    def get_decoder(self) -> torch.nn.Module:
        return self.decoder

    def merge_and_unload(self) -> Merged:
        return self


def test_the_decoder_is_rounded_from_its_own_weights_each_time_and_the_head_is_not(target):
    """8 bits with one scale a channel, 4 bits with one a group; efficacy on forget_train, the rest on retain."""
    target.model = model = Merged()
    weight, head, seen = model.decoder.weight.detach().clone(), model.lm_head.weight.detach().clone(), []

    def answers(rows):
        seen.append((rows[0].image_id, model.decoder.weight.detach().clone()))
        return answered(rows)

    target.answers = answers
    findings, details = quantise(target, bits=[4, 8], group=2)
    assert [one for one, _ in seen] == ["p0-e0", "p1-e0"] * 3
    for (_, weights), expected in zip(
        seen[::2], (weight, rounded(weight, 4, 2), rounded(weight, 8)), strict=True
    ):
        assert torch.equal(weights, expected)
    assert torch.equal(model.lm_head.weight, head)
    assert [(one.setting, one.metric, one.result.value) for one in findings[:2]] == [
        ("unrounded", "efficacy", 0.0), ("unrounded", "retain", 100.0),
    ]  # fmt: skip
    assert details["linears"] == 1 and list(details["relative_error"]) == ["4 bit", "8 bit"]


# Paraphrases


def test_a_question_counts_once_however_many_wordings():
    assert pooled([100, 0], [[100, 100], [0, 50]]) == {"paraphrased": [50, 75], "worst wording": [0, 0]}


def test_shipped_paraphrases_are_not_the_trained_wording():
    shipped = yaml.safe_load((ROOT / "config.yaml").read_text())["dataset"]["questions"]
    for name in ("pocket", "pebench"):
        for kind, wordings in read_paraphrases(ROOT / "resources" / name / "paraphrases.yaml").items():
            assert len(set(wordings)) == len(wordings) >= 4 and shipped[kind] not in wordings


def test_a_file_without_a_kind_is_refused(tmp_path):
    path = tmp_path / "paraphrases.yaml"
    path.write_text("person: [Who]\n")
    with pytest.raises(RecordError, match=r"questions of kind event.*`event:`"):
        read_paraphrases(path)


# Relearning


def test_as_many_samples_come_from_every_concept_and_depend_on_no_order():
    rows = from_every_concept(ROWS, SPLIT, 4, seed=1)
    assert sorted(row.image_id[:2] for row in rows) == ["p0", "p0", "p1", "p1"]
    assert from_every_concept(ROWS[::-1], SPLIT, 4, seed=1) == rows
    assert from_every_concept(ROWS, SPLIT, 2, seed=1) == rows[:2]


@pytest.mark.parametrize("n", [0, 8, 9])
def test_some_must_be_left_to_ask(n):
    with pytest.raises(ValueError, match="set it to 1 to 7"):
        from_every_concept(ROWS, SPLIT, n, seed=1)


@pytest.mark.parametrize(("n", "batch", "sizes"), [(4, 4, [4] * 5), (3, 2, [2, 1, 2, 1, 2]), (2, 8, [2] * 5)])
def test_a_plan_has_as_many_steps_as_asked(n, batch, sizes):
    plan = plan_relearning(ROWS[:n], steps=5, batch=batch, seed=0)
    assert [len(step["retain"]) for step in plan] == sizes


@pytest.mark.parametrize(
    ("batch", "at_once", "size"),
    [(4, None, (4, 1)), (4, 8, (4, 1)), (4, 2, (2, 2)), (4, 3, (2, 2)), (20, 4, (4, 5))],
)
def test_what_does_not_fit_at_once_is_accumulated(batch, at_once, size):
    rest = {"learning_rate": 1e-3, "weight_decay": 0.0, "max_grad_norm": 1.0}
    made = constant_rate(batch, at_once, **rest)
    assert (made.batch, made.accumulation) == size
    assert (made.schedule, made.warmup_steps) == ("constant", 0)


# Unseen pictures


@pytest.mark.parametrize(
    ("tried", "batch", "scales", "first"),
    [(1, 1, 3, 3), (3, 1, 3, 3), (4, 1, 3, 6), (5, 5, 3, 15), (5, 5, 1, 5)],
)
def test_unseen_pictures_begin_a_batch_at_the_first_guidance_scale(tried, batch, scales, first):
    assert first_attempt(tried, batch, scales) == first
    assert first >= tried and first % batch == 0 and first % scales == 0


# Targets


def test_finetuned_and_goal_are_always_attacked():
    files = Targets(merged({"robustness": {"methods": ["ga"]}})).attacks
    runs = ["finetuned", "finetuned", "goal-person05", "ga-person05", "goal-event05", "ga-event05"]
    splits = ["person05", "event05", "person05", "person05", "event05", "event05"]
    assert [path for path in files if path.endswith("paraphrase.json")] == [
        f"<results>/robustness/pocket-llava/{recipe}/seed-1/{split}/paraphrase.json"
        for recipe, split in zip(runs, splits, strict=True)
    ]
    assert len(Targets(merged({})).attacks) == 2 * 7 * 4


def relearner(finetuned, tmp_path, output):
    write_jsonl(tmp_path / "people.jsonl", [])
    names = {"adapter": "adapter/adapter_model.safetensors", "split": "person50.json"}
    names |= {"questions": "questions.jsonl", "features": "features.safetensors"}
    files = {name: finetuned / file for name, file in names.items()} | {"people": tmp_path / "people.jsonl"}
    spec = ModelSpec("llava", str(finetuned / "tiny"), "float32")
    settings = GenerationSettings(None, 0, 4, {"person": 3, "event": 3}, 10)
    return TargetModel(
        Run("tiny", "ga-person50", 1), spec, files, settings, tmp_path / "work", 1, tmp_path / output
    )


OPTIMISER = {"learning_rate": 1e-3, "weight_decay": 0.0, "max_grad_norm": 1.0}


@pytest.mark.parametrize("precision", ["none", "bf16"])
def test_the_base_that_relearning_trained_is_gone_when_the_other_is_asked(
    finetuned, tmp_path, monkeypatch, precision
):
    target = relearner(finetuned, tmp_path, "x")
    loaded, alive = [], []

    def load(*args, **more):
        loaded.append(weakref.ref((base := load_base(*args, **more)).model))
        return base

    for module in ("training.train", "robustness.target"):
        monkeypatch.setattr(f"mmunlearn.{module}.load_base", load)
    monkeypatch.setattr(
        TargetModel, "answers", lambda _, rows: alive.append([one() is not None for one in loaded]) or rows
    )
    monkeypatch.setattr(TargetModel, "recovery", lambda _, answers: [1.0] * len(answers))
    relearn(target, samples=2, steps=[0, 1], batch=2, at_once=None, precision=precision, **OPTIMISER)
    assert alive == [[False, True]] * 2
    assert list((tmp_path / "work" / "relearning").iterdir()) == []


def test_two_jobs_that_relearn_the_same_work_apart_and_older_work_goes(finetuned, tmp_path, monkeypatch):
    """Two scales of one world that share `work`; each clears its own place of what other settings have left."""
    seen = []

    def killed(run, folder, steps):
        seen.append((folder, sorted(path.name for path in folder.parent.iterdir())))
        raise KeyboardInterrupt

    monkeypatch.setattr("mmunlearn.robustness.relearning.take_steps", killed)
    settings = {"samples": 2, "steps": [0, 1], "batch": 2, "at_once": None, "precision": "none"}
    for output, rate in (("x", 1e-3), ("y", 1e-3), ("x", 1e-4)):
        with pytest.raises(KeyboardInterrupt):
            relearn(relearner(finetuned, tmp_path, output), **settings, **OPTIMISER | {"learning_rate": rate})
    (x, _), (y, _), (later, beside) = seen
    assert x.name == y.name and x.parent != y.parent
    assert later.parent == x.parent and beside == [later.name] != [x.name] and y.exists()
