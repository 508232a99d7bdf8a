"""Fingerprints of weights; resources/weights.yaml: entries complete, pins with sources, wrong rows refused."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from mmunlearn.weights import WeightsError, entries, entry, fingerprint, known
from mmunlearn.weights.lock import lock_path
from mmunlearn.workflow.reading import extended
from tests.unit.hub_standin import REPO, TINY, Fetch, place

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes `tiny`, with changes, the only weights that there are."""
    path = tmp_path / "weights.yaml"
    monkeypatch.setattr(entries, "RESOURCE", path)
    return lambda **change: path.write_text(yaml.safe_dump({"tiny": {**TINY, **change}}), encoding="utf-8")


@pytest.fixture
def fetch(tmp_path: Path, tiny: Callable[..., None]) -> Fetch:
    tiny()
    return Fetch(tmp_path / "run")


def test_fingerprint_follows_the_recorded_checksums(fetch: Fetch, tmp_path: Path) -> None:
    home = place(fetch.folder / "tiny")
    unlocked = fingerprint(home)
    assert unlocked == fingerprint(place(tmp_path / "copy"))
    fetch()
    locked = fingerprint(home)
    (home / "notes.txt").unlink()
    assert fingerprint(home) == locked
    copy = Fetch(tmp_path / "second")
    copy(source=home)
    assert fingerprint(copy.folder / "tiny") == locked
    (home / "config.json").write_bytes(b"{}")
    with pytest.raises(
        WeightsError, match=r"config\.json of 19 bytes, .* records; found 2 bytes; move the file away"
    ):
        fingerprint(home)
    lock_path(home).unlink()
    assert fingerprint(home) not in (locked, unlocked)


def test_fingerprint_of_nothing_says_what_is_missing(fetch: Fetch, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=rf"tiny/config\.json(.|\n)*They come from {REPO}"):
        fingerprint(tmp_path / "tiny")
    with pytest.raises(WeightsError, match="restore the folder, or name another one"):
        fingerprint(tmp_path / "unknown")
    fetch.folder.mkdir(parents=True)
    lock_path(fetch.folder / "tiny").write_text("{}")
    with pytest.raises(WeightsError, match="is no lock"):
        fingerprint(fetch.folder / "tiny")


def test_fingerprint_loads_nothing_heavy() -> None:
    code = (
        "import sys, mmunlearn.weights\n"
        "print({'torch', 'numpy', 'huggingface_hub', 'safetensors'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"


def test_unknown_names_get_the_nearest_one() -> None:
    assert "flux-dev" in known() and "flux-deb" not in known()
    with pytest.raises(WeightsError, match=r"asked for weights 'flux-deb'; .*did you mean 'flux-dev'"):
        entry("flux-deb")


def test_all_that_configurations_load_from_the_folder_of_weights_is_known() -> None:
    files = [ROOT / "config.yaml", *(ROOT / "presets").glob("*.yaml")]
    names = {
        name
        for file in files
        for name in re.findall(r": weights/([^\s,}]+)", file.read_text(encoding="utf-8"))
    }
    assert len(names) > 5 and names <= set(known())


@pytest.mark.parametrize("name", known())
def test_every_entry_is_complete(name: str) -> None:
    row = entry(name)
    assert row.files and row.licence
    assert not [file for file in row.files if file.endswith((".pt", ".pth", ".bin")) and not row.convert]
    assert (row.url or "https://").startswith("https://")


def test_every_pin_of_the_resource_cites_its_source() -> None:
    text = entries.RESOURCE.read_text()
    rows = yaml.safe_load(text).values()
    pins = [
        value
        for row in rows
        for value in (row.get("revision"), *row["sha256"].values(), *row.get("sha256_prefix", {}).values())
        if value
    ]
    cited = re.findall(r":\s+(\S+?)\}?\s+# source: \S+", text)
    assert sorted(pins) == sorted(cited)


@pytest.mark.parametrize(
    "change",
    [
        {"url": "https://example.org/x"},
        {"repo": None},
        {"sha256": {}},
        {"sha256": {"config.json": "abc"}},
        {"sha256_prefix": {"other": "0" * 8}},
        {"revision": "main"},
        {"files": ["../config.json"], "sha256": {"../config.json": None}},
        {"convert": [{"from": "other.bin", "to": "model.safetensors"}]},
        {"colour": "red"},
    ],
)
def test_a_wrong_row_is_refused(tiny: Callable[..., None], change: dict[str, Any]) -> None:
    tiny(**change)
    with pytest.raises(WeightsError, match=r"found a wrong row in weights\.yaml \(tiny.*; correct it"):
        entry("tiny")


@pytest.mark.parametrize("preset", sorted(path.name for path in (ROOT / "presets").glob("*.yaml")))
def test_the_plan_and_doctor_give_weights_one_size(preset):
    """`plan.weights_mb` of a preset, beside the gigabytes that are fetched."""
    sizes = extended(ROOT / "presets" / preset).get("plan", {}).get("weights_mb", {"value": {}})["value"]
    for name in sizes.keys() & set(known()):
        assert sizes[name] == pytest.approx(1000 * entry(name).gigabytes, rel=0.03), name
    assert preset not in ("paper.yaml", "mlubench.yaml") or len(sizes.keys() & set(known())) >= 4
