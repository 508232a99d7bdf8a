"""A run of the shipped workflow over outputs that are no longer what its jobs have written."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.copies import copy_workflow

PLACE = "results/pocket/curation"


@pytest.fixture
def curate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., subprocess.CompletedProcess]:
    """Run target `curate` in a copy, where the test runs, too."""
    monkeypatch.chdir(copy_workflow(tmp_path / "copy"))
    inherited = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "SNAKEMAKE_PROFILE")}

    def run(*arguments: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "-m", "snakemake", "--cores", "2", *arguments, "curate"],
            env=inherited, capture_output=True, text=True, timeout=300,
        )  # fmt: skip

    assert run().returncode == 0
    return run


def contents() -> dict[str, bytes]:
    return {path.as_posix(): path.read_bytes() for path in Path(PLACE).rglob("*.jsonl")}


def change(path: Path, content: bytes) -> None:
    """Write a file anew with its old time."""
    status = path.stat()
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_damaged_outputs_are_said_and_made_again_by_the_same_command(curate):
    """One is cut, which the start sees; the draft that it is made of has another byte, which its job sees."""
    whole, people, draft = contents(), Path(PLACE, "people.jsonl"), Path(PLACE, "drafts", "people.jsonl")
    change(people, people.read_bytes()[:2000])
    change(draft, draft.read_bytes().replace(b"Fumiko", b"Fumika"))
    failed = curate()
    assert failed.returncode == 1 and f"{people}: 2000 bytes in 6 lines; rule accept_texts" in failed.stderr
    assert f"{draft}: as many bytes, but others; rule curate_people has written" in failed.stderr
    assert "Run the same command again" in failed.stderr
    cured = curate()
    assert cured.returncode == 0 and f"{draft}: as many bytes" in cured.stderr
    assert contents() == whole and not any(Path(".snakemake/incomplete").iterdir())
    planned = str(curate("-n"))
    assert "Nothing to be done" in planned and "as their jobs" not in planned and "no record" not in planned


def test_an_edit_is_kept_and_counts_when_it_is_put_back(curate):
    """Of people.jsonl, on which the list of prompts rests."""
    people = Path(PLACE, "people.jsonl")
    whole, receipt = people.read_bytes(), Path("results/.receipts/pocket/curation/people.jsonl.json")
    found, edit = receipt.with_suffix(".found"), whole.replace(b"Fumiko", b"Fumi")
    people.write_bytes(edit)
    said = curate()
    assert said.returncode == 0 and f"kept as {found}" in said.stderr and f"remove {receipt}" in said.stderr
    assert people.read_bytes() == whole and found.read_bytes() == edit
    people.write_bytes(found.read_bytes())
    receipt.unlink()
    after = curate()
    assert after.returncode == 0 and people.read_bytes() == edit and "as their jobs" not in after.stderr
    assert "Fumi " in Path(PLACE, "prompts.jsonl").read_text()
