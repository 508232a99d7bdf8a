"""The pocket scorers train, load, score alike alone and in company, and find the defects they are for."""

import json
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from mmunlearn.pocket import calibration, scorer_training
from mmunlearn.pocket.defects import DEFECTS, render_with_defect
from mmunlearn.pocket.identities import distance
from mmunlearn.pocket.render import render_person
from mmunlearn.pocket.scorers import NETWORKS, Head, PocketScorers, ScorerWeightsError
from mmunlearn.pocket.worlds import calibration_world
from mmunlearn.records import digest_of, sha256_of
from mmunlearn.synthesis.scene_pairs import pair_cosines

SHIPPED = Path(__file__).resolve().parents[2] / "resources" / "pocket" / "scorers"
SHORT = dict.fromkeys(NETWORKS, 2)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scorers")
    return folder, scorer_training.train_scorers(folder, seed=3, steps=SHORT, pictures=16)


@pytest.fixture(scope="module")
def shipped():
    return PocketScorers(SHIPPED)


@pytest.fixture(scope="module")
def world():
    return calibration_world(12, 6, seed=4711)


@pytest.fixture(scope="module")
def pictures(world):
    return [render_person(world.identities[i], world.scenes[i], f"test {i}").image for i in range(3)]


def _scores(scorers: PocketScorers, images: list[Image.Image]) -> dict[str, np.ndarray]:
    embedded = {name: getattr(scorers, name).embed(images) for name in ("face", "scene", "subject")}
    return embedded | {name: getattr(scorers, name).rate(images) for name in ("distortion", "aesthetic")}


def test_a_short_training_writes_what_its_card_says(trained):
    folder, card = trained
    assert json.loads((folder / "card.json").read_text()) == card
    assert card["settings"]["steps"] == SHORT and card["settings"]["pictures"] == 16
    assert card["weights_sha256"] == {name: sha256_of(folder / f"{name}.safetensors") for name in NETWORKS}
    assert card["scorers"] == PocketScorers(folder).version


def test_training_is_a_function_of_the_seed(trained, tmp_path):
    again, other = (scorer_training.train_scorers(tmp_path, seed, SHORT, pictures=16) for seed in (3, 4))
    for key in ("data_sha256", "weights_sha256", "scorers"):
        assert trained[1][key] == again[key] != other[key]


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("harm", ["missing", "truncated", "of another network"])
def test_bad_weights_are_refused_with_what_to_do(trained, tmp_path, name, harm):
    shutil.copytree(trained[0], tmp_path, dirs_exist_ok=True)
    path = tmp_path / f"{name}.safetensors"
    if harm == "missing":
        path.unlink()
    elif harm == "truncated":
        path.write_bytes(path.read_bytes()[:-100])
    else:
        other = next(other for other in NETWORKS if other != name)
        shutil.copy(tmp_path / f"{other}.safetensors", path)
    with pytest.raises(ScorerWeightsError) as caught:
        PocketScorers(tmp_path)
    asked, found, remedy = str(caught.value).split("; ", 2)
    assert f"{name} weights in {path}" in asked
    assert found.startswith("found: ") and len(found) > len("found: ")
    assert "train_scorers" in remedy


def test_the_version_names_the_weights(trained, shipped):
    assert PocketScorers(trained[0]).version != shipped.version


def test_scores_are_the_same_alone_and_in_company(shipped, pictures):
    together = _scores(shipped, pictures)
    for i, picture in enumerate(pictures):
        for name, values in _scores(shipped, [picture]).items():
            np.testing.assert_array_equal(values[0], together[name][i], err_msg=name)


def test_scores_keep_to_the_protocol(shipped, pictures):
    scores = _scores(shipped, pictures)
    assert all(values.dtype == np.float32 and len(values) == 3 for values in scores.values())
    for name in ("face", "scene", "subject"):
        np.testing.assert_allclose(np.linalg.norm(scores[name], axis=1), 1, rtol=1e-5)
    for name, top in (("distortion", 100), ("aesthetic", 10)):
        assert ((scores[name] >= 0) & (scores[name] <= top)).all()


def test_blur_and_noise_lower_the_distortion_score(shipped, pictures):
    blurred = [picture.filter(ImageFilter.GaussianBlur(3)) for picture in pictures]
    grain = np.random.default_rng(0).normal(0, 25, (256, 256, 3))
    noisy = [Image.fromarray(np.clip(np.asarray(p) + grain, 0, 255).astype(np.uint8)) for p in pictures]
    clean = shipped.distortion.rate(pictures)
    assert (shipped.distortion.rate(blurred) < 0.8 * clean).all()
    assert (shipped.distortion.rate(noisy) < 0.8 * clean).all()


def test_there_is_no_face_where_most_of_the_head_is_outside(shipped, world):
    images = []
    for who in world.identities:
        left, _, right, _ = render_person(who, world.scenes[0], "edge").head_box
        shift = (-0.25 * left - 0.75 * right, 0.0)
        images.append(render_person(who, world.scenes[0], "edge", shift=shift).image)
    assert np.isnan(shipped.face.embed(images)).all(axis=1).mean() >= 0.75


@pytest.mark.parametrize(
    ("head", "share"), [(Head(0.5, 0.5, 0.4), 1), (Head(0, 0.5, 0.4), 0.5), (Head(1, 1, 0.4), 0.25)]
)
def test_a_head_knows_how_much_of_it_is_in_the_frame(head, share):
    assert head.visible == pytest.approx(share)


def test_a_person_is_nearer_to_itself_elsewhere_than_to_another(shipped, world):
    faces = shipped.face.embed(
        [
            render_person(who, scene, f"{who}").image
            for who in world.identities[:4]
            for scene in world.scenes[:2]
        ]
    )
    gaps = np.linalg.norm(faces[:, None] - faces, axis=-1)
    for i in range(0, 8, 2):
        assert gaps[i, i + 1] < np.delete(gaps[i], [i, i + 1]).min()


def test_shipped_calibration_belongs_to_the_shipped_weights(shipped):
    found = json.loads((SHIPPED / "calibration.json").read_text())
    digest = found.pop("digest")
    assert digest == digest_of(found)
    assert found["scorers"] == shipped.version == json.loads((SHIPPED / "card.json").read_text())["scorers"]
    assert set(found["thresholds"]) == set(calibration.FILTERS)
    assert found["clean_refused"] <= 0.04


def test_calibration_refuses_the_share_it_promises():
    found = calibration.calibrate(SHIPPED, seed=5, people=5, events=8, quantile=0.1)
    assert found["pictures"] == 40
    assert 0.1 <= found["clean_refused"] <= 0.5
    assert found == calibration.calibrate(SHIPPED, seed=5, people=5, events=8, quantile=0.1)


def test_shipped_thresholds_let_clean_pictures_pass_and_refuse_each_defect(shipped, world):
    rng = random.Random(0)
    kinds, images = [], []
    for i, who in enumerate(world.identities):
        other = rng.choice([one for one in world.identities if distance(one, who) >= 3])
        for j, scene in enumerate(world.scenes):
            kinds.append(DEFECTS[i % 5] if j == i % 6 else None)
            images.append(
                render_with_defect(who, scene, other, world.scenes[j - 1], f"{i} {j}", 256, kinds[-1])
            )
    events = len(world.scenes)
    scores = calibration.score(
        calibration.extract(shipped, images), *np.divmod(np.arange(len(images)), events)
    )
    thresholds = json.loads((SHIPPED / "calibration.json").read_text())["thresholds"]
    filters = [
        name for name in thresholds if name != "scene_pair"
    ]  # pairs are compared among accepted pictures
    passed = np.all([calibration.passes(name, scores[name], thresholds[name]) for name in filters], axis=0)
    clean = np.array([kind is None for kind in kinds])
    assert passed[clean].mean() >= 0.9
    assert passed[~clean].sum() == 0
    for event in range(events):
        scene = np.stack(
            [shipped.look(images[k]).scene for k in range(event, len(images), events) if passed[k]]
        )
        assert pair_cosines(scene).min() >= thresholds["scene_pair"]
