"""What stands in params for code and for files: what counts, and what does not."""

from __future__ import annotations

import copy
import os
import pickle
import shutil
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from mmunlearn import digests
from mmunlearn.digests import checksums
from mmunlearn.records import sha256_of, write_json
from mmunlearn.weights.lock import Fact, Lock
from mmunlearn.workflow import identity
from mmunlearn.workflow.data_params import NETWORKS
from mmunlearn.workflow.identity import Contents, Recorded
from mmunlearn.workflow.params import Params
from tests.copies import ROOT


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("library")
    for name in ("mmunlearn", "workflow_scripts"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.fixture
def library(copied: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the code whose digests are taken."""
    monkeypatch.setattr(identity, "LIBRARY", copied / "mmunlearn")
    return copied


EDIT = "\nEDITED = True\n"


def changed(library: Path, edited: str, script: str, *modules: str, edit: str = EDIT) -> bool:
    """Whether an edit of a file changes the digest of a script's code."""
    file = library / edited
    text = file.read_text()
    found = []
    for content in (text, text + edit):
        file.write_text(content)
        found.append(repr(identity.code_digest(script, *modules)(None)))
    file.write_text(text)
    return found[0] != found[1]


@pytest.mark.parametrize(
    ("edited", "script", "module"),
    [
        ("mmunlearn/ids.py", "judge_answers", "evaluation/judge"),  # kinds of questions
        ("mmunlearn/verdicts.py", "review_page", "review"),
        ("mmunlearn/evaluation/rouge.py", "plot_figure9", "reporting"),
        ("mmunlearn/reporting/report.html.j2", "write_report", "reporting"),
        ("mmunlearn/dataset/card.py", "export_dataset", "dataset/export.py"),
        ("workflow_scripts/plot_figure4.py", "plot_figure4", "reporting"),
    ],
)
def test_what_is_imported_counts(library, edited, script, module):
    assert changed(library, edited, script, module)


@pytest.mark.parametrize(
    ("edited", "edit"),
    [
        ("mmunlearn/training/losses.py", EDIT),
        ("mmunlearn/workflow/plan.py", EDIT),
        ("mmunlearn/workflow/job.py", EDIT),
        ("workflow_scripts/plot_figure7.py", EDIT),
        ("mmunlearn/reporting/figure4.py", "\n\n# a remark\n"),
        ("mmunlearn/reporting/figure4.py", '\n"""A text."""\n'),
    ],
)
def test_what_decides_nothing_does_not(library, edited, edit):
    assert not changed(library, edited, "plot_figure4", "reporting", edit=edit)


OWN = {
    "__init__.py": "",
    "bounded.py": "import own.terms\nfrom . import bounds\nfrom .deep.more import least\n",
    "terms.py": "ONE = 1\n", "bounds.py": "from mmunlearn.training.losses import ga\n", "unused.py": "",
    "deep/__init__.py": "", "deep/more.py": "def least():\n    from own.deep import terms\n", "deep/terms.py": "",
}  # fmt: skip


@pytest.mark.parametrize("edited", OWN)
def test_what_a_method_of_another_package_imports_from_there_counts(edited, tmp_path, monkeypatch):
    (tmp_path / "own" / "deep").mkdir(parents=True)
    for name, text in OWN.items():
        (tmp_path / "own" / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    before = repr(identity.method_digest("own.bounded:Bounded"))
    (tmp_path / "own" / edited).write_text(OWN[edited] + EDIT)
    counts = repr(identity.method_digest("own.bounded:Bounded")) != before
    assert counts == (edited != "unused.py")


CONFIG: dict[str, Any] = yaml.safe_load((ROOT / "config.yaml").read_text())
FILES = ("curation.shipped.people", "training.unlearn.refusals", "robustness.paraphrases")
FOLDERS = (
    "images.flux.source", *(f"images.networks.{name}" for name in NETWORKS),
    *(f"dataset.files.{name}" for name in ("people", "events", "clip", "pope", "coco")), "models.pocket-llava.source",
    "weights.sources.flux-dev", "review.verdicts", "images.pocket.weights",
)  # fmt: skip


def configured(place: str, path: str) -> dict[str, Any]:
    config = copy.deepcopy(CONFIG)
    config["images"] |= {"generator": "pocket" if "pocket" in place else "flux", "scorers": "networks"}
    config["dataset"]["reference_sets"] = "files"
    *sections, key = place.split(".")
    section = config
    for name in sections:
        section = section[name]
    section[key] = path
    return config


def recorded(config: dict[str, Any]) -> str:
    """All params in which a place stands, as Snakemake compares them."""
    params = Params(config)
    wildcards = SimpleNamespace(model="pocket-llava", weights="flux-dev")
    sets = [params.set_options(SimpleNamespace(set=name)) for name in ("real", "world")]
    functions = (params.model, params.refusals, params.paraphrases, params.weights, params.verdict_files)
    return repr([params.pictures, params.curator("people"), sets, *(one(wildcards) for one in functions)])


@pytest.mark.parametrize("place", FILES + FOLDERS)
def test_a_place_counts_by_its_bytes(place, tmp_path, monkeypatch):
    """Moved or touched it is the same; one byte is another; and it is one of the params."""
    monkeypatch.chdir(tmp_path)
    name = "model.csv" if place == "review.verdicts" else "model.safetensors"
    first, second = Path("first"), Path("elsewhere/second")
    file, moved = (path if place in FILES else path / name for path in (first, second))
    for path in (file, moved):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"weights")
    os.utime(moved, (1, 1))
    before = recorded(configured(place, str(first)))
    assert recorded(configured(place, str(second))) == before
    moved.write_bytes(b"Weights")
    assert recorded(configured(place, str(second))) != before


def test_a_script_has_the_text_or_the_path():
    for kind in (str, Path):
        value = pickle.loads(pickle.dumps({"a": [Recorded("some/file", lambda: "digest", kind)]}, protocol=4))
        assert value == {"a": [kind("some/file")]} and type(value["a"][0]) in (str, type(Path()))


@pytest.fixture
def large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """Two files that count as large and old, and `read`, which fails where one is read."""
    monkeypatch.setattr(digests, "SMALL", 3)
    paths = {name: tmp_path / "model" / name for name in ("a", "b")}
    for name, path in paths.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"large {name}")
        os.utime(path, (1e9, 1e9))
    return paths


def unread(path: Path) -> str:
    raise AssertionError(f"{path} is read again")


def test_a_large_file_is_read_once(large, tmp_path, monkeypatch):
    expected = {name: sha256_of(path) for name, path in large.items()}
    assert checksums(large, tmp_path / "store") == expected
    with monkeypatch.context() as patched:
        patched.setattr(digests, "sha256_of", unread)
        assert checksums(large, tmp_path / "store") == expected
        with pytest.raises(AssertionError, match="read again"):
            checksums(large, tmp_path / "other")
    large["b"].write_text("larGe b")  # the size is the same
    assert checksums(large, tmp_path / "store") == expected | {"b": sha256_of(large["b"])}


def test_a_file_that_may_still_be_written_to_is_not_remembered(large, tmp_path, monkeypatch):
    os.utime(large["a"])
    checksums(large, tmp_path / "store")
    status = large["a"].stat()
    large["a"].write_text("lArge a")
    os.utime(large["a"], ns=(status.st_atime_ns, status.st_mtime_ns))  # within one tick of the clock
    assert checksums(large, tmp_path / "store")["a"] == sha256_of(large["a"])
    (record,) = (tmp_path / "store").iterdir()
    record.write_text("half a rec")
    assert checksums(large, tmp_path / "store")["b"] == sha256_of(large["b"])


def test_a_lock_vouches_for_older_files_and_a_receipt_for_a_folder_that_is_gone(large, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    facts = {name: Fact(sha256=sha256_of(path), size=path.stat().st_size) for name, path in large.items()}
    lock = Lock(name="model", origin="placed", address=None, revision=None, files=facts, converted={})
    contents = {
        name: Contents(tmp_path / "receipts", str(tmp_path)) for name in ("read", "lock", "new", "receipt")
    }
    model = str(tmp_path / "model")
    read = repr(contents["read"].of(model))
    shutil.rmtree("work")
    write_json(tmp_path / "model.lock.json", lock)
    with monkeypatch.context() as patched:
        patched.setattr(digests, "sha256_of", unread)
        assert repr(contents["lock"].of(model)) == read
    large["a"].write_text("LARGE A")
    os.utime(large["a"], (time.time() + 9,) * 2)
    assert repr(contents["new"].of(model)) != read
    shutil.rmtree(model)
    assert repr(contents["receipt"].of(model)) == "<files nothing there>"
    write_json(tmp_path / "receipts" / "model.json", lock)
    assert repr(contents["receipt"].of(model)) == read


def test_what_lay_there_when_the_run_began_is_recorded(tmp_path):
    file = tmp_path / "refusals.txt"
    file.write_text("no")
    contents = Contents(tmp_path, str(tmp_path))
    param = contents.of(str(file))
    contents.settle()
    file.write_text("No")
    assert (
        repr(param) == repr(contents.of(str(file))) != repr(Contents(tmp_path, str(tmp_path)).of(str(file)))
    )
