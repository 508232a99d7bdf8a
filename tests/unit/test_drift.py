"""Drift of representations: centroids as a plain float64 reference has them, paired changes, every family."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mmunlearn.evaluation.intervals import draws, percentiles
from mmunlearn.lifelong.centroids import DISTANCES, ModalitySums, modality_sums
from mmunlearn.lifelong.drift import DriftSettings, compare, measure_drift
from mmunlearn.lifelong.drift_rows import Drift
from mmunlearn.models.collate import Collator
from mmunlearn.models.feature_file import write_features
from mmunlearn.models.loading import new_adapter, trainable_parameters
from mmunlearn.records import RecordError, read_json, read_jsonl, sha256_of, write_jsonl
from mmunlearn.tasks import TaskQuestion, TaskSequence, entity_of
from tests.tiny_vlm import features_of, load_vlm, write_vlm

ASKED = [
    "What is it?",
    "Who is the person in the picture?",
    "Say in one sentence what is happening there, and why.",
]
SETTINGS = {"distance": "euclidean", "questions": None, "seed": 3, "bootstrap": 200}


def question(number: int, image: str, entity: str, text: str, **more: str) -> TaskQuestion:
    cells = {"task": "A", "role": "forget", "part": "test", "entity_class": "Animals"} | more
    return TaskQuestion(
        question_id=f"{cells['task']}-{cells['role']}-{number}", image_id=image, entity=entity, question=text,
        answer="", path="", sha256="", **cells,
    )  # fmt: skip


ROWS = [  # ada is asked twice as often as bo, and not about the same
    question(0, "p0", "ada", ASKED[0]), question(1, "p1", "ada", ASKED[1]), question(2, "p1", "ada", ASKED[2]),
    question(3, "p2", "ada", ASKED[2]), question(4, "p2", "bo", ASKED[0]), question(5, "p0", "bo", ASKED[2]),
]  # fmt: skip


def reference(base, features, rows=ROWS) -> dict[str, np.ndarray]:
    """`picture` and `text`, (hidden,): one question after the other, the library's hidden states, plain sums."""
    collator, model = Collator(base, features), base.model
    pictures, texts = [], []
    for row in rows:
        inputs = collator.prompts([row.question], [row.image_id])
        with torch.no_grad():
            states = model(**inputs, output_hidden_states=True, use_cache=False).hidden_states[-1][0]
        states = states.to(torch.float64).numpy()
        ids = inputs["input_ids"][0].tolist()
        of_picture = [
            state for state, one in zip(states, ids, strict=True) if one == model.config.image_token_id
        ]
        of_text = [
            state for state, one in zip(states, ids, strict=True) if one != model.config.image_token_id
        ]
        assert len(of_picture) >= 4 and len(of_text) > 4
        pictures.append(sum(of_picture) / len(of_picture))
        texts.append(sum(of_text) / len(of_text))
    return {"picture": sum(pictures) / len(rows), "text": sum(texts) / len(rows)}


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    names = ("llava", "llava_next", "qwen3_vl", "mllama")
    return {name: write_vlm(name, tmp_path_factory.mktemp(name)) for name in names}


@pytest.mark.parametrize("family", ["llava", "llava_next", "qwen3_vl", "other"])
def test_centroids_are_those_of_a_float64_reference_whatever_the_batch(checkpoints, family):
    base = load_vlm(family, checkpoints["llava_next" if family == "other" else family])
    features = features_of(base)
    expected, of_bo = reference(base, features), reference(base, features, ROWS[4:])
    for batch in (1, 6):
        found = modality_sums(Collator(base, features), ROWS, batch=batch, precision="none")
        assert (found.counts.tolist(), found.sums.dtype) == ([4, 2], np.float64)
        picture, text = found.centroids()
        np.testing.assert_allclose(picture, expected["picture"], atol=2e-6)
        np.testing.assert_allclose(text, expected["text"], atol=2e-6)
        np.testing.assert_allclose(found.sums[0, 1] / 2, of_bo["picture"], atol=2e-6)
    assert np.linalg.norm(expected["picture"] - expected["text"]) > 0.5, "or nothing would tell them apart"


def test_states_in_16_bits_are_added_up_in_64(checkpoints):
    base = load_vlm("llava", checkpoints["llava"], dtype="bfloat16")
    features = features_of(base)
    found = modality_sums(Collator(base, features), ROWS, batch=1, precision="none").centroids()
    expected = reference(base, features)
    np.testing.assert_allclose(found, [expected["picture"], expected["text"]], rtol=1e-12, atol=1e-15)


def test_padding_is_no_text_and_no_picture(checkpoints):
    """Where the family does not say how long a prompt is, as `other`, prompts of two lengths are padded."""
    base = load_vlm("other", checkpoints["llava_next"])
    features, rows = features_of(base), [question(0, "p0", "a", ASKED[0]), question(1, "p1", "a", ASKED[0])]
    collator = Collator(base, features)
    mask = collator.prompts([row.question for row in rows], [row.image_id for row in rows])["attention_mask"]
    assert 0 in mask, "the pictures have other shapes, hence other numbers of tokens"
    one, two = (modality_sums(collator, rows, batch=batch, precision="none").centroids() for batch in (1, 2))
    np.testing.assert_allclose(two, one, atol=2e-6)


PLAIN = ModalitySums(np.array([1.0, 2.0]), np.array([[[3.0, 0], [0, 0]], [[0, 0], [0, 12.0]]]))


def test_a_set_has_the_mean_over_its_questions_and_two_distances():
    """Picture (3 + 0) / 3 = (1, 0), text (0, 12 / 3) = (0, 4); of entities' means it would be (1.5, 0) and (0, 3)."""
    assert PLAIN.centroids().tolist() == [[1, 0], [0, 4]]
    assert PLAIN.centroids(np.array([[2, 0], [0, 1]])).tolist() == [[[3, 0], [0, 0]], [[0, 0], [0, 6]]]
    assert DISTANCES["euclidean"](*PLAIN.centroids()) == pytest.approx(17**0.5)
    assert DISTANCES["cosine"](*PLAIN.centroids()) == pytest.approx(1)
    assert DISTANCES["cosine"](np.array([1.0, 1]), np.array([2.0, 0])) == pytest.approx(1 - 0.5**0.5)


def test_gap_displacement_and_the_change_of_the_gap():
    after = ModalitySums(PLAIN.counts, PLAIN.sums + np.array([[[0, 0], [9.0, 0]], [[0, -3], [0, 0]]]))
    found = compare(PLAIN, after, DriftSettings(**SETTINGS), seed=1)  # picture (4, 0), text (0, 3)
    assert found["reason"] == "no intervals where a set has fewer than six entities"
    numbers = {"original": 17**0.5, "unlearned": 5, "change": 5 - 17**0.5, "picture": 3, "text": 1}
    assert {name: found[name] for name in numbers} == pytest.approx(numbers)
    assert not {"low", "high"} & found.keys()


@pytest.mark.parametrize("distance", DISTANCES)
def test_the_change_is_drawn_again_in_pairs_over_entities(distance):
    rng = np.random.default_rng(0)
    before = ModalitySums(rng.integers(1, 5, 8).astype(float), rng.normal(size=(2, 8, 3)))
    after = ModalitySums(before.counts, before.sums + 0.1 * rng.normal(size=(2, 8, 3)))
    found = compare(before, after, DriftSettings(**SETTINGS | {"distance": distance}), seed=5)
    changes = []
    for times in draws((("",),) * 8, 5, 200):
        gaps = []
        for one in (after, before):
            picture, text = (
                sum(times[k] * part[k] for k in range(8)) / sum(times * one.counts) for part in one.sums
            )
            gaps.append(DISTANCES[distance](picture, text))
        changes.append(gaps[0] - gaps[1])
    assert (found["low"], found["high"]) == pytest.approx(percentiles(np.array(changes), 8))
    assert found["low"] < found["change"] < found["high"]
    same = compare(before, before, DriftSettings(**SETTINGS), seed=5)
    assert {same[name] for name in ("change", "low", "high", "picture", "text")} == {0}


@pytest.fixture
def stages(checkpoints, tmp_path):
    """Inputs of `measure_drift` for tasks A and B: A's adapter changes nothing, B's does."""

    def make(family: str = "llava", place: str = "m/ga/AB/seed-1") -> dict:
        base = load_vlm(family, checkpoints[family])
        features = features_of(base)
        write_features(tmp_path / "features.safetensors", features.items(), list(features))
        rows = [
            question(number, f"p{number % 3}", f"e{number % 7}", ASKED[number % 3], task=task, role=role)
            for task in "AB"
            for role in ("forget", "retain")
            for number in range(9)
        ]
        rows.append(question(99, "gone", "e0", ASKED[0], part="train"))
        write_jsonl(tmp_path / "questions.jsonl", rows)
        adapters = []
        for task in "AB":
            model = new_adapter(
                load_vlm(family, checkpoints[family]), {"rank": 2, "alpha": 4, "dropout": 0.0}, 0
            )
            for name, weight in trainable_parameters(model).items():
                if task == "B" and "lora_B" in name:
                    torch.nn.init.normal_(weight, std=0.3)
            adapters.append(tmp_path / place / task / "adapter" / "adapter_model.safetensors")
            model.save_pretrained(adapters[-1].parent)
        return {
            "output": tmp_path / place / "drift.json", "sequence": TaskSequence.of(place),
            "questions": tmp_path / "questions.jsonl", "features": tmp_path / "features.safetensors",
            "adapters": adapters, "experts": False, "settings": SETTINGS, "batch": 4, "work": tmp_path / "work",
            "spec": {"family": family, "source": str(checkpoints[family]), "dtype": "float32"},
        }  # fmt: skip

    return make


def measured(inputs: dict, **changed) -> Drift:
    measure_drift(**inputs | changed)
    return read_json(inputs["output"], Drift)


def test_every_stage_is_measured_on_the_tasks_so_far(stages, checkpoints):
    inputs = stages()
    found = measured(inputs)
    assert (found.model, found.method, found.order, found.seed) == (
        "m",
        "ga",
        "AB",
        1,
    )
    places = [(row.after, row.task, row.role) for row in found.sets]
    assert places == [(y, x, role) for y, x in ("AA", "BA", "BB") for role in ("forget", "retain")]
    assert {(row.n, row.entities) for row in found.sets} == {(9, 7)}
    for row in found.sets:
        moved = (row.change, row.picture, row.text)
        assert moved == (0, 0, 0) if row.after == "A" else all(moved)
        assert row.change == row.unlearned - row.original and row.low <= row.change <= row.high
    assert found.digests["B"] == sha256_of(inputs["adapters"][1])
    base = load_vlm("llava", checkpoints["llava"])
    rows = [row for row in _rows(inputs) if (row.task, row.role, row.part) == ("B", "retain", "test")]
    plain = modality_sums(Collator(base, features_of(base)), rows, batch=3, precision="none").centroids()
    assert found.sets[-1].original == pytest.approx(np.linalg.norm(plain[0] - plain[1]), rel=1e-5)


def test_experts_are_measured_on_their_own_task_and_the_base_does_not_move(stages):
    inputs = stages(place="m/lumoe/AB/seed-1")
    found = measured(inputs, experts=True)
    places = [(row.after, row.task) for row in found.sets if row.role == "forget"]
    assert places == [("", "A"), ("", "B"), ("A", "A"), ("B", "B")]
    assert all(
        (row.change, row.low, row.high, row.text) == (0, 0, 0, 0) for row in found.sets if not row.after
    )
    assert all(row.text for row in found.sets if row.after == "B")


def test_a_set_may_be_sampled_or_empty(stages):
    inputs = stages()
    sampled = [measured(inputs, settings=SETTINGS | {"questions": 2, "seed": seed}) for seed in (0, 0, 1)]
    assert {row.n for row in sampled[0].sets} == {2}
    assert sampled[0] == sampled[1] != sampled[2]
    write_jsonl(inputs["questions"], [row for row in _rows(inputs) if row.role == "forget"])
    empty = measured(inputs).sets[1]
    assert (empty.role, empty.n, empty.change) == ("retain", 0, None)
    assert empty.reason == "the base answers none of its questions"


def test_a_model_whose_pictures_are_no_tokens_gets_a_reason(stages):
    found = measured(stages("mllama")).sets
    assert len(found) == 6 and {row.change for row in found} == {None}
    assert {row.reason for row in found} == {
        "pictures are no tokens of MllamaForConditionalGeneration's text, so that they have no last hidden state"
    }


def test_a_picture_without_features_is_named_before_a_model_is_loaded(stages):
    inputs = stages()
    lost = _rows(inputs)[0].model_copy(update={"image_id": "Animals/ada/1.png"})
    write_jsonl(inputs["questions"], [lost])
    with pytest.raises(RecordError, match=r"features of picture Animals/ada/1\.png"):
        measure_drift(**inputs | {"spec": {"family": "llava", "source": "nowhere", "dtype": "float32"}})


def _rows(inputs: dict) -> list[TaskQuestion]:
    return read_jsonl(inputs["questions"], TaskQuestion)


def test_entities_of_two_classes_may_share_a_name():
    one, other = (question(0, "p0", "Mercury", "", entity_class=name) for name in ("Planets", "Musicians"))
    assert entity_of(one) != entity_of(other)
