"""The tower in the loop: equal answers and gradients with and without stored features, one run of it a picture."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image
from torch.utils.data import DataLoader

from mmunlearn.lifelong.centroids import modality_sums
from mmunlearn.models import collate, tower
from mmunlearn.models.collate import Collator, forward
from mmunlearn.models.example import Example
from mmunlearn.models.families import FAMILIES
from mmunlearn.models.features import encode
from mmunlearn.models.generation import Query, answer_all, batches_of
from mmunlearn.models.identity import stamps
from mmunlearn.models.loading import autocast, new_adapter, trainable_parameters
from mmunlearn.models.picture_list import PictureList, open_features
from mmunlearn.records import PictureRow, RecordError, sha256_of, write_jsonl
from mmunlearn.training.losses import sequence_logp
from tests.tiny_vlm import BUILDERS, load_vlm, pictures, write_gemma, write_vlm
from tests.unit.test_drift import ROWS

NAME, EVENT = "Who is the person in the picture?", "What is happening in the picture?"
EXAMPLES = [  # of p0 twice: a picture may have two rows in a batch
    Example("p0", ((NAME, "This is Mira Okonjo."), (EVENT, "Sailors race home across the harbour."))),
    Example("p1", ((EVENT, "A judge waves the flag."),)),
    Example("p2", ((NAME, "This is Ada Lund."), (EVENT, "Nothing."))),
    Example("p0", ((EVENT, "I do not know."),)),
]
LORA = {"rank": 4, "alpha": 8, "dropout": 0.3}
TOWERS = {
    "llava": "vision_tower",
    "llava_next": "vision_tower",
    "mllama": "vision_model",
    "qwen3_vl": "visual",
}


def write_list(folder: Path, seed: int = 0) -> Path:
    """pictures.jsonl, and the pictures beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for image_id, picture in pictures(seed).items():
        picture.save(path := folder / f"{image_id}.png")
        rows.append(PictureRow(image_id=image_id, path=str(path), sha256=sha256_of(path)))
    write_jsonl(folder / "pictures.jsonl", rows)
    return folder / "pictures.jsonl"


@pytest.fixture(scope="module")
def listed(tmp_path_factory) -> PictureList:
    return PictureList(write_list(tmp_path_factory.mktemp("pictures")))


@pytest.fixture(scope="module", params=sorted(BUILDERS))
def checkpoint(request, tmp_path_factory):
    return request.param, write_vlm(request.param, tmp_path_factory.mktemp(request.param))


def stored(base, listed):
    """What is kept of the pictures, each encoded alone."""
    with torch.no_grad():
        return {image_id: base.encode([one.open()])[0] for image_id, one in listed.items()}


def watched(base) -> list[tuple[bool, ...]]:
    """Grows by a row a run of the tower: whether it trains, has gradients, is under autocast."""
    runs = []
    module = getattr(base.model.model, TOWERS[base.family])
    module.register_forward_hook(
        lambda one, *_: runs.append((one.training, torch.is_grad_enabled(), torch.is_autocast_enabled("cpu")))
    )
    return runs


def step(base, features, *, packed, precision="none", checkpointing=False):
    """Log-probabilities of EXAMPLES, the logits' gradient on every LoRA weight, and the collator."""
    model = new_adapter(base, LORA, 0)
    for name, weight in trainable_parameters(model).items():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.1)
    if checkpointing:
        base.model.gradient_checkpointing_enable({"use_reentrant": False})
    model.train()
    collator = Collator(base, features, packed=packed)
    torch.manual_seed(7)  # of dropout, which the tower must not draw from
    with autocast(precision, "cpu"):
        logp = sequence_logp(*forward(model, collator.with_features(collator(EXAMPLES))))
    (-logp.mean()).backward()
    assert model.training and base.model.training and getattr(base.model.model, TOWERS[base.family]).training
    gradients = {name: weight.grad for name, weight in trainable_parameters(model).items()}
    assert all(one.any() for one in gradients.values())
    return logp.detach(), gradients, collator


@pytest.mark.parametrize(
    ("packed", "more"),
    [(True, {}), (False, {}), (True, {"precision": "bf16"}), (True, {"checkpointing": True})],
)
def test_gradients_are_those_of_stored_features_and_the_tower_runs_once_a_picture(
    checkpoint, listed, packed, more
):
    """LoRA's dropout is on; the tower is frozen, still, and outside of autocast."""
    dtype = "float64" if not more else "float32"
    plain, base = load_vlm(*checkpoint, dtype=dtype), load_vlm(*checkpoint, dtype=dtype)
    expected, gradients, _ = step(plain, stored(plain, listed), packed=packed, **more)
    runs = watched(base)
    logp, found, collator = step(base, listed, packed=packed, **more)
    assert torch.equal(logp, expected)
    assert all(torch.equal(found[name], one) for name, one in gradients.items())
    assert runs == [(False, False, False)] * 3
    collator.with_features(collator(EXAMPLES[::-1]))
    assert len(runs) == 3, "features of the views and batches before are at hand"


def test_features_encoded_in_batches_change_answers_and_gradients_by_rounding_alone(checkpoint, listed):
    """As the rule encode_images stores them: three pictures a pass of the tower."""
    base, again = load_vlm(*checkpoint), load_vlm(*checkpoint)
    kept = dict(encode(base, listed, batch=3))
    queries = [Query(image, text, 6) for image in listed for text in (NAME, EVENT)]
    expected, found = (answer_all(one.model, Collator(one, features), queries, batches=[[*range(6)]])
                       for one, features in ((base, kept), (again, listed)))  # fmt: skip
    assert found == expected
    expected, gradients, _ = step(base, kept, packed=True)
    logp, found, _ = step(again, listed, packed=True)
    torch.testing.assert_close(logp, expected, rtol=1e-5, atol=1e-5)
    for name, gradient in gradients.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-5 * gradient.abs().max().item())


def test_answers_are_those_of_stored_features_and_a_pictures_questions_meet(checkpoint, listed, monkeypatch):
    """Windows of two pictures, all that stays at hand: batches never cross them, nor mix lengths of answers."""
    monkeypatch.setattr(tower, "RECENT", 2)
    monkeypatch.setattr(collate, "RECENT", 2)
    base = load_vlm(*checkpoint)
    texts = (NAME, "What?", EVENT, "Who waves the flag, and why? " * 3)
    queries = [Query(image, text, 6 + i % 2) for i, text in enumerate(texts) for image in listed]

    def asked(features, batch):
        collator = Collator(base, features)
        batches = batches_of(collator, queries, batch)
        return batches, answer_all(base.model, collator, queries, batches=batches)

    kept = stored(base, listed)
    _, expected = asked(kept, 4)
    assert len(set(expected)) > 3
    runs = watched(base)
    batches, found = asked(listed, 3)
    assert found == expected and len(runs) == 3
    assert (
        sorted(i for one in batches for i in one) == list(range(len(queries))) and max(map(len, batches)) == 3
    )
    for one in batches:
        assert len({queries[i].max_new_tokens for i in one}) == 1
        assert {queries[i].image_id for i in one} <= {"p0", "p1"} or {queries[i].image_id for i in one} == {
            "p2"
        }
    collator = Collator(base, kept)
    assert collator.windows(["p0", "p1", "p2"]) == [0, 0, 0], "with stored features as ever"


def test_states_of_drift_are_those_of_stored_features(checkpoint, listed, monkeypatch):
    """Prompts of one length go together, within windows of two pictures."""
    monkeypatch.setattr(tower, "RECENT", 2)
    monkeypatch.setattr(collate, "RECENT", 2)
    if checkpoint[0] == "mllama":
        pytest.skip("its pictures are no tokens")
    base = load_vlm(*checkpoint)
    kept = modality_sums(Collator(base, stored(base, listed)), ROWS, batch=2, precision="none")
    runs = watched(base)
    made = modality_sums(Collator(base, listed), ROWS, batch=2, precision="none")
    np.testing.assert_allclose(made.sums, kept.sums, rtol=1e-6, atol=1e-6)
    assert len(runs) == 3


def test_a_layout_needs_the_size_of_a_picture_alone(checkpoint, tmp_path):
    """Also of one that lies on its side by its EXIF; nothing is decoded, nor is the tower run."""
    base, rows, exif = load_vlm(*checkpoint), [], Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    for image_id, size in {"wide": (90, 40), "tall": (40, 90), "turned": (90, 40)}.items():
        path = tmp_path / f"{image_id}.jpg"
        Image.new("RGB", size, "teal").save(path, exif=exif if image_id == "turned" else Image.Exif())
        rows.append(PictureRow(image_id=image_id, path=str(path), sha256=sha256_of(path)))
    write_jsonl(tmp_path / "list.jsonl", rows)
    listed = PictureList(tmp_path / "list.jsonl")
    kept, runs = stored(base, listed), watched(base)
    known, unknown = Collator(base, kept), Collator(base, listed)
    shapes = {}
    for image_id in listed:
        example = Example(image_id, ((NAME, "This is Ada Lund."), (EVENT, "Nothing.")))
        one, other = (collator([example]) for collator in (known, unknown))
        assert torch.equal(one["input_ids"], other["input_ids"])
        assert torch.equal(one["position_ids"], other["position_ids"])
        assert known.prompt(EVENT, image_id) == unknown.prompt(EVENT, image_id)
        shapes[image_id] = one["position_ids"].tolist()
    assert shapes["turned"] == shapes["tall"] and not runs
    assert (shapes["wide"] == shapes["tall"]) == (checkpoint[0] in ("llava", "mllama")), (
        "others go by the shape"
    )


def test_other_makes_all_inputs_of_the_pictures_themselves(listed, tmp_path):
    base = load_vlm("other", write_gemma(tmp_path))
    collator, known = Collator(base, listed), Collator(base, stored(base, listed))
    assert not collator.runs_tower
    logits, _ = forward(base.model, collator.with_features(collator(EXAMPLES)))
    expected, _ = forward(base.model, known(EXAMPLES))
    assert torch.equal(logits, expected)
    assert collator.prompts([NAME], ["p1"])["pixel_values"].equal(
        known.prompts([NAME], ["p1"])["pixel_values"]
    )


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_features_have_the_models_dtype(checkpoint, listed, dtype):
    base = load_vlm(*checkpoint, dtype=dtype)
    with autocast("bf16", "cpu"):
        features = Collator(base, listed).features("p0")
    kept = stored(base, listed)["p0"]
    assert features.keys() == kept.keys() and all(features[name].equal(one) for name, one in kept.items())
    assert {one.dtype for one in features.values() if one.is_floating_point()} == {getattr(torch, dtype)}


def test_other_processes_prepare_the_pictures(checkpoint, listed):
    """The tower is run by none of them."""
    base = load_vlm(*checkpoint)
    assert pickle.loads(pickle.dumps(listed))["p1"] == listed["p1"]
    runs, collator = watched(base), Collator(base, listed)
    (batch,) = DataLoader([EXAMPLES], batch_size=None, num_workers=1, collate_fn=collator)
    assert (
        not runs
        and set(batch["pixels"]) == {"p0", "p1", "p2"}
        and batch["pictures"] == ["p0", "p1", "p2", "p0"]
    )
    shown = collator.with_features(batch)["image_features"]
    assert [one.keys() for one in shown] == [base.stored.keys()] * 4


def test_a_picture_that_is_not_as_listed_is_named(checkpoint, tmp_path):
    base, path = load_vlm(*checkpoint), write_list(tmp_path / "a")
    listed = PictureList(path)
    again = (
        rf"listed in {re.escape(str(path))}, but .*run the rule that wrote the latter again \(--forcerun\)"
    )
    Image.new("RGB", (60, 40)).save(tmp_path / "a/p0.png")
    with pytest.raises(RecordError, match=rf"p0\.png is {again.replace('.*', 'it is not the one listed; ')}"):
        Collator(base, listed)(EXAMPLES)
    (tmp_path / "a/p1.png").write_bytes(b"no picture")
    with pytest.raises(RecordError, match=rf"p1\.png is {again}"):
        Collator(base, listed).prompts([NAME], ["p1"])
    if checkpoint[0] != "mllama":  # whose picture is one token
        with pytest.raises(RecordError, match=r"p1\.png is .*cannot be read"):
            Collator(base, listed).check(EXAMPLES)
    (tmp_path / "a/p2.png").unlink()
    listed.require(["p0", "p1"])
    with pytest.raises(RecordError, match=rf"p2\.png is {again.replace('.*', 'there is no such file; ')}"):
        listed.require(["p0", "p2"])
    with pytest.raises(RecordError, match=rf"picture p9 is asked for, but it is not listed in {path}"):
        listed.require(["p9"])


def test_a_list_stands_for_the_bytes_of_its_pictures(tmp_path):
    one, same, other = (write_list(tmp_path / name, seed) for name, seed in (("a", 0), ("b", 0), ("c", 1)))
    assert stamps([one]) == stamps([same]) != stamps([other]), "wherever and whenever it was written"
    assert isinstance(open_features(one), PictureList)
    with pytest.raises(FileNotFoundError):
        open_features(tmp_path / "none.safetensors")


def test_every_family_but_other_has_a_tower_of_its_own():
    assert {name for name in FAMILIES if FAMILIES.load(name).frozen} == set(TOWERS)
