"""Published pickles become safetensors that the scorers load, and no pickle gets to run code."""
# ruff: noqa: E402 - the packages of the extra `paper` are asked for first

import tarfile
import traceback
from pathlib import Path

import pytest

for package in ("facenet_pytorch", "open_clip", "pyiqa"):
    pytest.importorskip(package)

import torch
from safetensors.torch import load_file

from mmunlearn.scorers.aesthetic import AestheticScorer
from mmunlearn.scorers.distortion import DistortionScorer
from mmunlearn.scorers.face import FaceScorer
from mmunlearn.weights import WeightsError, entry
from mmunlearn.weights.convert import convert_pickled
from tests.tiny_scorers import write_published

SCORERS = {"face": FaceScorer, "distortion": DistortionScorer, "aesthetic": AestheticScorer}


@pytest.fixture(scope="session")
def published(tmp_path_factory):
    return write_published(tmp_path_factory.mktemp("published"), seed=1)


def test_published_pickles_become_what_the_scorers_load(published, tmp_path):
    rows = {"face": "facenet-vggface2", "distortion": "musiq-spaq", "aesthetic": "laion-aesthetic"}
    for name, row in rows.items():
        (how,) = entry(row).convert
        target = tmp_path / name / how.target
        convert_pickled(published[name], target, drop_prefixes=how.drop_prefixes, rename=how.rename)
        SCORERS[name](tmp_path / name)
        original = torch.load(published[name], weights_only=True)
        converted = load_file(tmp_path / name / "model.safetensors")
        assert set(original) - set(converted) == {key for key in original if key.startswith("logits.")}
        assert all(torch.equal(original[key], converted[key]) for key in converted)
        assert [path.name for path in (tmp_path / name).iterdir()] == ["model.safetensors"]


def test_wrapped_shared_and_strided_tensors_are_converted(tmp_path):
    whole = torch.arange(12.0).reshape(3, 4)
    state = {"module.a": whole, "module.b": whole.T, "module.c": whole[1], "d": torch.nn.Parameter(whole)}
    torch.save({"params": state, "epoch": 3}, tmp_path / "x.pth")
    convert_pickled(tmp_path / "x.pth", tmp_path / "new" / "x.safetensors", rename={"module.": "net."})
    converted = load_file(tmp_path / "new" / "x.safetensors")
    expected = {"net.a": whole, "net.b": whole.T, "net.c": whole[1], "d": whole}
    assert set(converted) == set(expected)
    assert all(torch.equal(converted[key], expected[key]) for key in expected)


class Evil:
    """Writes a file when it is unpickled."""

    def __init__(self, path):
        self._path = path

    def __reduce__(self):
        return Path.touch, (self._path,)


def test_a_pickle_that_would_run_code_is_refused(tmp_path):
    torch.save({"a": torch.ones(1), "b": Evil(tmp_path / "ran")}, tmp_path / "x.pth")
    message = r"x\.pth; found: more than tensors \([\w.]+\) or no torch file; do not .*may run code"
    with pytest.raises(WeightsError, match=message) as caught:
        convert_pickled(tmp_path / "x.pth", tmp_path / "x.safetensors")
    assert "False" not in "".join(traceback.format_exception(caught.value)), "torch's advice"
    assert [path.name for path in tmp_path.iterdir()] == ["x.pth"]


@pytest.mark.parametrize("kind", ["TorchScript", "tar", "unknown operand"])
def test_no_refusal_repeats_the_advice_to_load_without_protection(tmp_path, kind):
    source = tmp_path / "x.pth"
    if kind == "TorchScript":
        torch.jit.script(torch.nn.Linear(1, 1)).save(source)
    elif kind == "tar":
        with tarfile.open(source, "w") as archive:
            archive.addfile(tarfile.TarInfo("storages"))
    else:
        source.write_bytes(b"<html>")
    with pytest.raises(WeightsError, match=r"more than tensors or no torch file; do not") as caught:
        convert_pickled(source, tmp_path / "x.safetensors")
    assert "False" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        (None, {}, "found: no such file; run rule fetch_weights"),
        (b"", {}, "found: "),
        (b"<html>", {}, "found: "),
        ("truncated", {}, "found: no whole torch file.*move it away and run rule fetch_weights again"),
        ([torch.ones(1)], {}, "found: a list, no state dict; fetch the right file"),
        ({"a": torch.ones(1), "epoch": 3}, {}, r"no tensors: \['epoch'\]"),
        ({"a": torch.ones(1)}, {"drop_prefixes": ["a"]}, "no tensor to keep; correct `drop_prefixes`"),
        (
            {"x.a": torch.ones(1), "a": torch.ones(1)},
            {"rename": {"x.": ""}},
            "both renamed to a; correct `rename`",
        ),
    ],
)
def test_what_is_no_state_dict_is_refused(tmp_path, content, options, message):
    source, target = tmp_path / "x.pth", tmp_path / "x.safetensors"
    if isinstance(content, bytes):
        source.write_bytes(content)
    elif content == "truncated":
        torch.save({"a": torch.ones(999)}, source)
        source.write_bytes(source.read_bytes()[:2000])
    elif content is not None:
        torch.save(content, source)
    with pytest.raises(WeightsError, match=message) as error:
        convert_pickled(source, target, **options)
    assert str(source) in str(error.value) and not target.exists()
