"""Digests of code: what a rule's result rests on is in them, wherever it is imported from."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mmunlearn.workflow import job


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the library whose digests are taken."""
    folder = tmp_path / "mmunlearn"
    shutil.copytree(job.LIBRARY, folder, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(job, "LIBRARY", folder)
    return folder


def changed(library: Path, edited: str, *modules: str) -> bool:
    """Whether an edit of a file changes the digest of modules."""
    file = library / edited
    text = file.read_text()
    digests = []
    for content in (text, text + "\n# edited\n"):
        file.write_text(content)
        job.code_digest.cache_clear()
        digests.append(job.code_digest(*modules))
    file.write_text(text)
    return digests[0] != digests[1]


@pytest.mark.parametrize(
    ("edited", "module"),
    [
        ("ids.py", "evaluation/judge"),  # kinds of questions
        ("verdicts.py", "review"),
        ("evaluation/rouge.py", "reporting"),  # Figure 9
        ("reporting/report.html.j2", "reporting"),
        ("dataset/card.py", "dataset/export.py"),
    ],
)
def test_what_is_imported_counts(library, edited, module):
    assert changed(library, edited, module)


def test_what_is_not_imported_does_not(library):
    assert not changed(library, "training/losses.py", "reporting")
    assert not changed(library, "workflow/plan.py", "evaluation")
