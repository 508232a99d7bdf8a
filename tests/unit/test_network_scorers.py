"""The paper's five networks: they load strictly from local files and compute what their packages compute."""
# ruff: noqa: E402 - the packages of the extra `paper` are asked for first

import inspect
import json
import shutil
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest

for package in ("facenet_pytorch", "open_clip", "pyiqa", "skimage"):
    pytest.importorskip(package)

import facenet_pytorch
import open_clip
import pyiqa
import torch
import transformers
from PIL import Image
from safetensors.torch import load_file, save_file
from skimage import data

from mmunlearn.scorers import face, networks, subject
from mmunlearn.scorers.aesthetic import AestheticHead, AestheticScorer
from mmunlearn.scorers.distortion import DistortionScorer
from mmunlearn.scorers.face import FaceScorer
from mmunlearn.scorers.networks import NetworkScorers
from mmunlearn.scorers.scene import SceneScorer
from mmunlearn.scorers.subject import SubjectScorer, crop_box, largest
from mmunlearn.weights import WeightsError
from tests.tiny_scorers import write_dino, write_scorers

ROOT = Path(__file__).resolve().parents[2]
FACES = {"one": 1, "two": 2, "noise": 0, "tiny": 0}
CLASSES = {
    "face": FaceScorer,
    "scene": SceneScorer,
    "subject": SubjectScorer,
    "distortion": DistortionScorer,
    "aesthetic": AestheticScorer,
}


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    return write_scorers(tmp_path_factory.mktemp("scorers"))


@pytest.fixture(scope="session")
def scorers(folders):
    return NetworkScorers(_options(folders))


@pytest.fixture(scope="session")
def pictures():
    astronaut = Image.fromarray(data.astronaut()).resize((256, 256))
    two = Image.new("RGB", (512, 256))
    two.paste(astronaut, (0, 0))
    two.paste(astronaut, (256, 0))
    noise = np.random.default_rng(0).integers(0, 256, (80, 120, 3), dtype=np.uint8)
    return {
        "one": astronaut,
        "two": two,
        "noise": Image.fromarray(noise),
        "tiny": Image.new("RGB", (15, 40), (200, 30, 30)),
    }


@pytest.fixture(scope="session")
def measured(scorers, pictures):
    return {name: scorers.measure(picture) for name, picture in pictures.items()}


def _options(folders, **other):
    paths = {name: str(path) for name, path in folders.items()}
    return paths | {"device": "cpu", "subject_crop": "person", "quick_gelu": True} | other


def _same(one, two):
    return all(np.array_equal(vars(one)[key], vars(two)[key], equal_nan=True) for key in vars(one))


# --- all five


@pytest.mark.parametrize("name", FACES)
def test_measurements_have_the_promised_shapes(measured, name):
    one = measured[name]
    assert one.faces == FACES[name]
    for feature, width in ((one.face, 512), (one.scene, 32), (one.subject, 32)):
        assert feature.shape == (width,) and feature.dtype == np.float32
        assert np.isnan(feature).all() or np.linalg.norm(feature) == pytest.approx(1, abs=1e-6)
    assert np.isnan(one.face).all() == (one.faces != 1)
    assert np.isnan(one.subject).all() == (one.faces == 0)
    assert type(one.distortion) is float and type(one.aesthetic) is float
    assert np.isfinite([one.distortion, one.aesthetic]).all()


def test_a_score_depends_on_nothing_that_went_before(measured, folders, pictures, monkeypatch):
    """Nor does loading touch torch's random numbers, or reach for the hub."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)  # sockets are blocked nevertheless
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    fresh = NetworkScorers(_options(folders))
    assert _same(measured["one"], fresh.measure(pictures["one"]))
    assert torch.equal(before, torch.random.get_rng_state())


def test_faces_are_searched_once_and_clip_runs_once(scorers, pictures, monkeypatch):
    calls, detect, encode = [], facenet_pytorch.MTCNN.detect, open_clip.model.CLIP.encode_image
    monkeypatch.setattr(facenet_pytorch.MTCNN, "detect", lambda *a: calls.append("faces") or detect(*a))
    monkeypatch.setattr(open_clip.model.CLIP, "encode_image", lambda *a: calls.append("clip") or encode(*a))
    scorers.measure(pictures["one"])
    assert sorted(calls) == ["clip", "faces"]


def test_other_modes_are_read_as_rgb(scorers, pictures):
    grey = pictures["noise"].convert("L")
    assert _same(scorers.measure(grey), scorers.measure(grey.convert("RGB")))


def test_the_version_is_of_code_weights_and_options_but_not_of_device_or_place(
    folders, tmp_path, monkeypatch
):
    version = NetworkScorers(_options(folders)).version
    assert version == NetworkScorers(_options(folders, device="auto")).version
    assert version == NetworkScorers(dict(reversed(_options(folders).items()))).version
    assert version != NetworkScorers(_options(folders, subject_crop="face")).version
    assert version != NetworkScorers(_options(folders, quick_gelu=False)).version
    moved = Path(shutil.copytree(folders["aesthetic"], tmp_path / "moved"))
    assert version == NetworkScorers(_options(folders, aesthetic=str(moved))).version
    state = load_file(moved / "model.safetensors")
    save_file({key: value + 1 for key, value in state.items()}, moved / "model.safetensors")
    assert version != NetworkScorers(_options(folders, aesthetic=str(moved))).version
    monkeypatch.setattr(networks, "CODE_VERSION", networks.CODE_VERSION + 1)
    assert version != NetworkScorers(_options(folders)).version


def test_the_version_needs_neither_torch_nor_weights(folders):
    options = _options(folders)
    code = (
        "import json, sys\nfrom mmunlearn.scorers.networks import NetworkScorers\n"
        "print(NetworkScorers(json.loads(sys.argv[1])).version, {'torch', 'safetensors'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", code, json.dumps(options)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [NetworkScorers(options).version, "set()"]


# --- each


def test_the_face_is_found_cut_and_embedded_as_facenet_does(scorers, folders, pictures):
    boxes = scorers.networks.face.detect(pictures["one"])
    assert boxes.shape == (1, 4) and boxes.dtype == np.float32
    assert boxes[0] == pytest.approx([91, 31, 134, 88], abs=1)
    network = facenet_pytorch.InceptionResnetV1().eval()
    network.load_state_dict(load_file(folders["face"] / "model.safetensors"))
    with torch.no_grad():
        expected = network(facenet_pytorch.MTCNN(image_size=160)(pictures["one"])[None])[0].numpy()
    np.testing.assert_allclose(scorers.networks.face.embed(pictures["one"]), expected, atol=1e-6)


def test_two_faces_are_counted_and_the_largest_comes_first(scorers, pictures):
    boxes = scorers.networks.face.detect(pictures["two"])
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    assert len(boxes) == 2 and areas[0] >= areas[1] and (largest(boxes[::-1]) == boxes[0]).all()


def test_detection_has_mtcnns_own_limits():
    defaults = inspect.signature(facenet_pytorch.MTCNN).parameters
    assert list(face.DETECTION_THRESHOLDS) == defaults["thresholds"].default
    assert defaults["min_face_size"].default == face.SMALLEST_FACE


def test_clip_features_are_open_clips(scorers, folders, pictures):
    scene = scorers.networks.scene
    name = f"local-dir:{folders['scene']}"
    model, transform = open_clip.create_model_from_pretrained(name, force_quick_gelu=True)
    texts = ["a regatta in the harbour", "a photo of a man " * 60]
    images = [pictures["one"], pictures["noise"], pictures["tiny"]]
    with torch.no_grad():
        seen = model.eval().encode_image(torch.stack([transform(image) for image in images]), normalize=True)
        read = model.encode_text(open_clip.get_tokenizer(name)(texts), normalize=True)
    np.testing.assert_allclose(scene.embed_images(images), seen.numpy(), atol=1e-6)
    np.testing.assert_allclose(scene.embed_images(images, batch=2), seen.numpy(), atol=1e-6)
    np.testing.assert_allclose(scene.embed_texts(texts), read.numpy(), atol=1e-6)
    assert scene.embed_texts([]).shape == scene.embed_images([]).shape == (0, scene.width) == (0, 32)
    assert np.linalg.norm(scene.embed_texts(texts), axis=1) == pytest.approx([1, 1], abs=1e-6)


def test_quick_gelu_is_another_network(scorers, folders, pictures):
    plain = SceneScorer(folders["scene"], quick_gelu=False).embed_images([pictures["one"]])
    assert np.abs(plain - scorers.networks.scene.embed_images([pictures["one"]])).max() > 1e-4


def test_dino_gives_its_class_token(folders, pictures):
    model = transformers.ViTModel.from_pretrained(folders["subject"], add_pooling_layer=False).eval()
    pixels = torch.from_numpy(np.asarray(pictures["one"].resize((32, 32), Image.Resampling.BILINEAR)).copy())
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    with torch.no_grad():
        token = model(((pixels / 255 - mean) / std).permute(2, 0, 1)[None]).last_hidden_state[0, 0]
    scorer = SubjectScorer(folders["subject"], crop="none")
    feature = scorer.embed(pictures["one"], np.empty((0, 4)))
    np.testing.assert_allclose(feature, (token / token.norm()).numpy(), atol=1e-5)


@pytest.mark.parametrize("crop", ["person", "face"])
def test_dino_sees_the_crop_around_the_largest_face(folders, pictures, crop):
    boxes = np.array([[150, 30, 165, 50], [90, 30, 135, 85]], dtype=np.float32)
    scorer, whole = (SubjectScorer(folders["subject"], crop=kind) for kind in (crop, "none"))
    cut = pictures["one"].crop(crop_box(boxes[1], (256, 256), crop))
    assert (scorer.embed(pictures["one"], boxes) == whole.embed(cut, boxes[:0])).all()
    assert np.isnan(scorer.embed(pictures["one"], boxes[:0])).all()


def test_crops_have_the_documented_proportions():
    box = np.array([400, 200, 500, 320])
    assert crop_box(box, (2000, 2000), "face") == (350, 140, 550, 380)
    assert crop_box(box, (2000, 2000), "person") == (200, 80, 700, 1100)
    assert crop_box(box, (600, 400), "person") == (200, 80, 600, 400)
    assert crop_box(np.array([-20.5, -10, 30, 40]), (100, 90), "face") == (0, 0, 56, 65)
    assert tuple(networks.CHOICES["subject_crop"]) == subject.CROPS


def test_dinov2_is_taken_too(tmp_path, pictures):
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "mlp_ratio": 2}
    config = transformers.Dinov2Config(**sizes, image_size=28, patch_size=14)
    model = transformers.Dinov2Model(config).eval()
    model.save_pretrained(tmp_path)
    sides = {"size": {"shortest_edge": 32}, "crop_size": {"height": 28, "width": 28}}
    transformers.BitImageProcessor(**sides).save_pretrained(tmp_path)
    processor = transformers.AutoImageProcessor.from_pretrained(tmp_path, backend="pil")
    with torch.no_grad():
        pooled = model(**processor(images=pictures["one"], return_tensors="pt")).pooler_output[0]
    feature = SubjectScorer(tmp_path, crop="none").embed(pictures["one"], np.empty((0, 4)))
    np.testing.assert_allclose(feature, (pooled / pooled.norm()).numpy(), atol=1e-6)


def test_distortion_is_pyiqas_musiq_spaq(scorers, folders, pictures, tmp_path):
    path = tmp_path / "musiq.pth"
    torch.save(load_file(folders["distortion"] / "model.safetensors"), path)
    metric = pyiqa.create_metric("musiq-spaq", device="cpu", pretrained_model_path=str(path))
    for name in ("noise", "tiny"):
        score = scorers.networks.distortion.rate(pictures[name])
        assert score == pytest.approx(float(metric(pictures[name])), abs=1e-5)


def test_aesthetic_is_the_published_heads_product_of_matrices(folders):
    state = load_file(folders["aesthetic"] / "model.safetensors")
    features = np.random.default_rng(1).normal(size=(3, 32)).astype(np.float32)
    expected = features
    for layer in (0, 2, 4, 6, 7):
        expected = (
            expected @ state[f"layers.{layer}.weight"].numpy().T + state[f"layers.{layer}.bias"].numpy()
        )
    rating = AestheticScorer(folders["aesthetic"]).rate(features)
    assert rating.shape == (3,) and rating.dtype == np.float32
    np.testing.assert_allclose(rating, expected[:, 0], atol=1e-6)


# --- refusals


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("harm", ["no folder", "missing", "truncated", "empty", "of another network"])
def test_bad_weights_are_refused_with_what_to_do(folders, tmp_path, name, harm):
    (source,) = folders[name].glob("*.safetensors")
    folder, path = tmp_path / name, tmp_path / name / source.name
    if harm != "no folder":
        shutil.copytree(folders[name], folder, ignore=shutil.ignore_patterns("*.safetensors"))
    if harm == "truncated":
        with source.open("rb") as file:
            path.write_bytes(
                file.read(source.stat().st_size // 2 if name not in ("face", "distortion") else 10**5)
            )
    if harm == "empty":
        path.write_bytes(b"")
    if harm == "of another network":
        save_file({"surplus.weight": torch.ones(2)}, path, metadata={"format": "pt"})
    with pytest.raises(WeightsError, match=r"asked for .*; found: .*; rule fetch_weights .*") as error:
        CLASSES[name](folder)
    assert str(folder) in str(error.value)


@pytest.mark.parametrize("name", ["scene", "subject", "aesthetic"])
@pytest.mark.parametrize("harm", ["missing key", "unexpected key", "shape"])
def test_one_wrong_tensor_is_enough(folders, tmp_path, name, harm):
    folder = Path(shutil.copytree(folders[name], tmp_path / name))
    (path,) = folder.glob("*.safetensors")
    state = load_file(path)
    key = max(state, key=lambda one: state[one].ndim)
    if harm == "unexpected key":
        state["surplus.weight"], key = torch.ones(1), "surplus.weight"
    elif harm == "missing key":
        del state[key]
    else:
        state[key] = torch.ones(*(size + 1 for size in state[key].shape))
    save_file(state, path, metadata={"format": "pt"})
    with pytest.raises(WeightsError, match="rule fetch_weights") as error:
        CLASSES[name](folder)
    assert key.rsplit(".", 2)[-2] in str(error.value)


def test_a_damaged_clip_config_is_refused(folders, tmp_path):
    folder = Path(shutil.copytree(folders["scene"], tmp_path / "scene"))
    (folder / "open_clip_config.json").write_text('{"model_cfg": {')
    with pytest.raises(WeightsError, match="open_clip cannot load"):
        SceneScorer(folder)


def test_dino_never_loads_a_pickle(folders, tmp_path):
    folder = write_dino(tmp_path / "dino")
    (folder / "model.safetensors").unlink()
    torch.save(load_file(folders["subject"] / "model.safetensors"), folder / "pytorch_model.bin")
    with pytest.raises(WeightsError, match=r"model\.safetensors; found: no such file"):
        SubjectScorer(folder)


def test_a_head_for_another_clip_is_refused(folders, tmp_path):
    save_file(AestheticHead(768).state_dict(), tmp_path / "model.safetensors")
    wrong = NetworkScorers(_options(folders, aesthetic=str(tmp_path)))
    with pytest.raises(
        WeightsError, match=r"features of 768 numbers and a CLIP that gives 32; name the CLIP"
    ):
        wrong.measure(Image.new("RGB", (32, 32)))


def test_missing_folders_are_refused_by_the_version(folders, tmp_path):
    with pytest.raises(WeightsError, match=r"none; found: no such folder; rule fetch_weights"):
        _ = NetworkScorers(_options(folders, face=str(tmp_path / "none"))).version


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"subject_crop": "hand"}, r"subject_crop must be one of .*'person'.*; found 'hand'; choose one"),
        ({"device": "tpu"}, r"device must be one of .*; found 'tpu'"),
        ({"quick_gelu": "yes"}, r"quick_gelu must be one of \[True, False\]; found 'yes'"),
        ({"facce": "x"}, r"remove \['facce'\]"),
    ],
)
def test_wrong_options_are_refused(folders, change, message):
    with pytest.raises(ValueError, match=message):
        NetworkScorers(_options(folders, **change))


def test_missing_options_are_named():
    with pytest.raises(ValueError, match=r"found face; add \['aesthetic', .*\], remove \[\]"):
        NetworkScorers({"face": "x"})
    with pytest.raises(ValueError, match="asked for the subject's crop 'hand'"):
        SubjectScorer("nowhere", crop="hand")


def test_a_missing_gpu_is_said(folders, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(RuntimeError, match=r"found no GPU.*set images\.device to auto"):
        _ = NetworkScorers(_options(folders, device="cuda")).networks


def test_missing_packages_and_libraries_are_said(folders, monkeypatch):
    monkeypatch.delitem(sys.modules, "mmunlearn.scorers.face")
    monkeypatch.setitem(sys.modules, "facenet_pytorch", None)
    with pytest.raises(ImportError, match=r"facenet_pytorch.*; install the extra `paper`: make paper"):
        _ = NetworkScorers(_options(folders)).networks
    monkeypatch.setitem(
        sys.modules, "facenet_pytorch", types.ModuleType("facenet_pytorch")
    )  # as a broken one
    with pytest.raises(ImportError, match=r"found: cannot import name 'MTCNN'.*; install the system library"):
        _ = NetworkScorers(_options(folders)).networks


@pytest.mark.parametrize("name", CLASSES)
def test_weights_that_are_not_finite_are_refused(folders, tmp_path, name):
    folder = Path(shutil.copytree(folders[name], tmp_path / name))
    (path,) = folder.glob("*.safetensors")
    state = load_file(path)
    key = next(key for key in state if state[key].is_floating_point() and state[key].numel())
    state[key] = torch.full_like(state[key], float("nan"))
    save_file(state, path, metadata={"format": "pt"})
    with pytest.raises(WeightsError, match=rf"{path}; found: not finite: .*{key.rsplit('.', 1)[-1]}"):
        CLASSES[name](folder)
