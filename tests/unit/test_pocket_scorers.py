"""The pocket scorers train, load, score one picture at a time, and find the defects they are for."""

import json
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter

from mmunlearn.pocket import calibration, scorer_training
from mmunlearn.pocket.defects import render_with_defect
from mmunlearn.pocket.identities import distance
from mmunlearn.pocket.render import render_person
from mmunlearn.pocket.scorers import NETWORKS, Head, PocketScorers
from mmunlearn.pocket.worlds import calibration_world
from mmunlearn.records import DEFECTS, digest_of, sha256_of
from mmunlearn.synthesis.scene_pairs import pair_cosines
from mmunlearn.weights import WeightsError

SHIPPED = Path(__file__).resolve().parents[2] / "resources" / "pocket" / "scorers"
SHORT = dict.fromkeys(NETWORKS, 2)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scorers")
    return folder, scorer_training.train_scorers(folder, seed=3, steps=SHORT, pictures=8)


@pytest.fixture(scope="module")
def shipped():
    return PocketScorers({"weights": SHIPPED})


@pytest.fixture(scope="module")
def world():
    return calibration_world(12, 6, seed=4711)


@pytest.fixture(scope="module")
def pictures(world):
    return [render_person(world.identities[i], world.scenes[i], f"test {i}").image for i in range(3)]


def test_a_short_training_writes_what_its_card_says(trained):
    folder, card = trained
    assert json.loads((folder / "card.json").read_text()) == card
    assert card["settings"]["steps"] == SHORT and card["settings"]["pictures"] == 8
    assert card["weights_sha256"] == {name: sha256_of(folder / f"{name}.safetensors") for name in NETWORKS}
    assert card["scorers"] == PocketScorers({"weights": folder}).version


def test_training_is_a_function_of_the_seed(trained, tmp_path):
    again, other = (scorer_training.train_scorers(tmp_path, seed, SHORT, pictures=8) for seed in (3, 4))
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
    with pytest.raises(WeightsError) as caught:
        PocketScorers({"weights": tmp_path})
    asked, found, remedy = str(caught.value).split("; ", 2)
    assert f"{name} weights in {path}" in asked
    assert found.startswith("found: ") and len(found) > len("found: ")
    assert "train_scorers" in remedy


def test_scores_keep_to_the_protocol_whatever_the_threads(shipped, pictures):
    threads = torch.get_num_threads()
    for picture in pictures:
        scores = shipped.measure(picture)
        for features in (scores.face, scores.scene, scores.subject):
            assert features.dtype == np.float32
            assert np.linalg.norm(features) == pytest.approx(1, rel=1e-5)
        assert (scores.faces, 0 <= scores.distortion <= 100, 0 <= scores.aesthetic <= 10) == (1, True, True)
        torch.set_num_threads(2)
        again = shipped.measure(picture)
        assert torch.get_num_threads() == 2
        torch.set_num_threads(threads)
        np.testing.assert_equal(vars(scores), vars(again))


def test_blur_and_noise_lower_the_distortion_score(shipped, pictures):
    grain = np.random.default_rng(0).normal(0, 25, (256, 256, 3))
    for picture in pictures:
        noisy = Image.fromarray(np.clip(np.asarray(picture) + grain, 0, 255).astype(np.uint8))
        least = 0.8 * shipped.measure(picture).distortion
        assert shipped.measure(picture.filter(ImageFilter.GaussianBlur(3))).distortion < least
        assert shipped.measure(noisy).distortion < least


def test_there_is_no_face_where_most_of_the_head_is_outside(shipped, world):
    faces = []
    for who in world.identities:
        left, _, right, _ = render_person(who, world.scenes[0], "edge").head_box
        shift = (-0.25 * left - 0.75 * right, 0.0)
        scores = shipped.measure(render_person(who, world.scenes[0], "edge", shift=shift).image)
        assert np.isnan(scores.face).all() == (scores.faces == 0)
        faces.append(scores.faces)
    assert faces.count(0) >= 0.75 * len(faces)


@pytest.mark.parametrize(
    ("head", "share"), [(Head(0.5, 0.5, 0.4), 1), (Head(0, 0.5, 0.4), 0.5), (Head(1, 1, 0.4), 0.25)]
)
def test_a_head_knows_how_much_of_it_is_in_the_frame(head, share):
    assert head.visible == pytest.approx(share)


def test_a_person_is_nearer_to_itself_elsewhere_than_to_another(shipped, world):
    pairs = [(who, scene) for who in world.identities[:4] for scene in world.scenes[:2]]
    faces = np.stack([shipped.measure(render_person(*pair, f"{pair[0]}").image).face for pair in pairs])
    gaps = np.linalg.norm(faces[:, None] - faces, axis=-1)
    for i in range(0, 8, 2):
        assert gaps[i, i + 1] < np.delete(gaps[i], [i, i + 1]).min()


def test_shipped_calibration_belongs_to_the_shipped_weights(shipped):
    card = json.loads((SHIPPED / "calibration.json").read_text())
    digest = card.pop("digest")
    assert digest == digest_of(card)
    assert card["scorers"] == shipped.version == json.loads((SHIPPED / "card.json").read_text())["scorers"]


def test_calibration_refuses_the_share_it_promises():
    card = calibration.calibrate(SHIPPED, seed=5, people=5, events=6, quantile=0.1)
    assert card["pictures"] == 30
    assert 0.1 <= card["clean_refused"] <= 0.5


def test_calibration_is_a_function_of_the_seed():
    first, again, other = (calibration.calibrate(SHIPPED, seed, people=2, events=2) for seed in (5, 5, 6))
    assert first == again
    assert first["thresholds"] != other["thresholds"]


def test_shipped_thresholds_let_clean_pictures_pass_and_refuse_each_defect(shipped, world):
    rng = random.Random(0)
    defects, images = [], []
    for i, who in enumerate(world.identities):
        other = rng.choice([one for one in world.identities if distance(one, who) >= 3])
        for j, scene in enumerate(world.scenes):
            defects.append(DEFECTS[i % 5] if j == i % 6 else None)
            images.append(
                render_with_defect(who, scene, other, world.scenes[j - 1], f"{i} {j}", 256, defects[-1])
            )
    people, events = np.divmod(np.arange(len(images)), len(world.scenes))
    features = calibration.extract(shipped, images)
    scores = calibration.score(features, people, events)
    thresholds = json.loads((SHIPPED / "calibration.json").read_text())["thresholds"]
    filters = thresholds.keys() - {"scene_pair"}  # pairs are compared among accepted pictures
    passed = np.all([calibration.passes(name, scores[name], thresholds[name]) for name in filters], axis=0)
    clean = np.array([defect is None for defect in defects])
    assert passed[clean].mean() >= 0.9
    assert passed[~clean].sum() == 0
    for event in np.unique(events):
        assert pair_cosines(features["scene"][passed & (events == event)]).min() >= thresholds["scene_pair"]
