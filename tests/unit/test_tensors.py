"""Safetensors files are read strictly, tensor by tensor, however large they are."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from mmunlearn.models.feature_file import FeatureTable, write_features
from mmunlearn.weights.errors import WeightsError
from mmunlearn.weights.tensors import DTYPES, TensorFile, finite, read_tensors

REMEDY = "get it anew"
HUGE = 200 * 10**9  # bytes, more than any machine of ours has


def raw(path: Path, header: object, data: bytes = b"", size: int | None = None) -> Path:
    """A file with any header; its data may be a hole of the disk."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    if size is not None:
        os.truncate(path, 8 + len(text) + size)
    return path


def test_every_type_is_read_as_it_was_written(tmp_path):
    values = {
        name: torch.arange(6).reshape(2, 3).to(getattr(torch, name))
        for name, _ in DTYPES.values()
        if name != "bool"
    }
    values |= {"bool": torch.tensor([True, False]), "scalar": torch.tensor(2.5), "empty": torch.empty(0, 3)}
    save_file(values, tmp_path / "t.safetensors")
    found = read_tensors(
        tmp_path / "t.safetensors", {name: one.shape for name, one in values.items()}, REMEDY
    )
    assert found.keys() == values.keys()
    for name, value in values.items():
        assert (found[name].dtype, found[name].shape) == (value.dtype, value.shape)
        assert torch.equal(found[name].flatten().view(torch.uint8), value.flatten().view(torch.uint8))
    found["float32"] += 1  # a copy: nothing of this reaches the file
    assert torch.equal(TensorFile(tmp_path / "t.safetensors", REMEDY)["float32"], values["float32"])


def test_a_file_far_larger_than_memory_is_read_where_it_is_asked(tmp_path):
    rows = {
        "p0": {"dtype": "F32", "shape": [HUGE // 4], "data_offsets": [0, HUGE]},
        "p1": {"dtype": "BF16", "shape": [2, 4], "data_offsets": [HUGE, HUGE + 16]},
    }
    try:
        path = raw(tmp_path / "features.safetensors", rows, size=HUGE + 16)
    except OSError as error:
        pytest.skip(f"the file system has no sparse files of this size: {error}")
    with path.open("r+b") as file:
        file.seek(-16, os.SEEK_END)
        file.write(torch.full((8,), 1.5, dtype=torch.bfloat16).view(torch.uint8).numpy().tobytes())
    table = FeatureTable(path)
    assert list(table) == ["p0", "p1"]
    assert torch.equal(table["p1"]["features"], torch.full((2, 4), 1.5, dtype=torch.bfloat16))
    table.require(["p0", "p1"])


ROW = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.mark.parametrize(
    ("header", "size", "message"),
    [
        ({"a": ROW}, 7, r"\d+ bytes, not \d+"),
        ({"a": ROW}, 9, r"\d+ bytes, not \d+"),
        ({"a": ROW | {"shape": [3]}}, 8, r"gives a 8 bytes for shape \[3\]"),
        ({"a": ROW | {"shape": [-2, -1]}}, 8, "gives a 8 bytes"),
        ({"a": ROW | {"data_offsets": [-8, 0]}}, 0, "gives a 8 bytes"),
        ({"a": ROW | {"shape": [2.0]}}, 8, r"gives a 8 bytes for shape \[2.0\]"),
        ({"a": ROW, "b": ROW}, 8, "lets b overlap another tensor"),
        ({"a": ROW | {"data_offsets": [8, 16]}}, 16, "leaves a gap before it"),
        (b"[" * 100_000, 0, "nested too deeply"),
        ({"a": ROW | {"dtype": "Q4"}}, 8, "row of a cannot be read"),
        ({"a": {"shape": [2]}}, 8, "row of a cannot be read"),
        ({"a": 3}, 8, "row of a cannot be read"),
        ([1], 0, "holds no tensors"),
        (b"{not json", 0, "no whole safetensors file.*Expecting"),
        (b"\xff\xfe\x00", 0, "no whole safetensors file"),
    ],
)
def test_a_damaged_header_is_refused_by_name(tmp_path, header, size, message):
    path = raw(tmp_path / "t.safetensors", header, size=size)
    with pytest.raises(WeightsError, match=rf"t\.safetensors; found: .*{message}.*; get it anew"):
        TensorFile(path, REMEDY)


@pytest.mark.parametrize("content", [b"", b"half", (10**15).to_bytes(8, "little") + b"{}"])
def test_what_is_no_such_file_is_refused_by_name(tmp_path, content):
    path = tmp_path / "t.safetensors"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"t\.safetensors; found: .*too few for its header"):
        FeatureTable(path)


def test_missing_unexpected_misshapen_and_not_finite_tensors_are_named(tmp_path):
    path = tmp_path / "t.safetensors"
    save_file({"a": torch.ones(2), "b": torch.ones(3), "d": torch.ones(1)}, path)
    with pytest.raises(
        WeightsError,
        match=r"t\.safetensors; found: .*missing: c; unexpected: d; misshapen: b \[3\] instead of \[2\]; get it anew",
    ):
        read_tensors(path, {"a": (2,), "b": (2,), "c": (1,)}, REMEDY)
    for wrong in (float("nan"), float("inf"), -float("inf")):
        save_file({"a": torch.tensor([1.0, wrong]), "b": torch.ones(3)}, path)
        with pytest.raises(WeightsError, match=r"not finite: a; get it anew"):
            read_tensors(path, None, REMEDY)


def test_finite_numbers_whose_sum_overflows_are_finite():
    large = torch.full((3,), 6e4, dtype=torch.float16)
    assert finite(large) and finite(torch.full((3,), 3e38)) and finite(torch.full((3,), 3e38).bfloat16())
    assert not finite(torch.tensor([float("inf"), -float("inf")], dtype=torch.float16))
    assert finite(torch.tensor([1, 2])) and finite(torch.empty(0))


def test_features_of_another_model_or_without_a_picture_are_refused_before_they_are_used(tmp_path, tiny_base):
    from mmunlearn.models.collate import Collator

    path, good = tmp_path / "suite.safetensors", torch.ones(16, 32)
    again = re.escape(f"snakemake --cores 1 {path} --forcerun {path}") + "$"
    for features, message in (
        (
            {"features": torch.ones(16, 31)},
            r"of another model: a float32 \[16, 31\] instead of float32 \[any, 32\]",
        ),
        ({"features": good.half()}, r"of another model: a float16 \[16, 32\]"),
        ({"features": good[0]}, r"of another model: a float32 \[32\]"),
        ({"states": good}, r"missing: a; unexpected: a#states"),
        ({"features": good, "grid": torch.ones(3).int()}, r"unexpected: a#grid"),
    ):
        write_features(path, [("a", features)], ["a"])
        with pytest.raises(WeightsError, match=rf"suite\.safetensors; found: .*{message}.*{again}"):
            Collator(tiny_base, FeatureTable(path))
    write_features(path, [("a", {"features": good})], ["a"])
    with pytest.raises(
        ValueError,
        match=r"picture b \(and of 1 more, such as c\) are asked for, .*none in .*suite\.safetensors; .*"
        + again,
    ):
        FeatureTable(path).require(["a", "b", "c", "b"])
    write_features(path, [("a", {"features": good.clone().fill_(float("nan"))})], ["a"])
    with pytest.raises(WeightsError, match=rf"suite\.safetensors; found: .*not finite: a; .*{again}"):
        Collator(tiny_base, FeatureTable(path)).prompt("Who?", "a")
