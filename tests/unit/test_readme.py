"""What messages, presets and documents say to read: the heading, the file and the place in it are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.rules.standin import ROOT

DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
ENDS = {".py", ".smk", ".yaml", ".md", ".j2", ".rst", ".toml", ".csv"}
FOLDERS = (
    "mmunlearn",
    "rules",
    "workflow_scripts",
    "benchmarks",
    "presets",
    "resources",
    "docs",
    "report",
    "envs",
)
SOURCES = [path for name in FOLDERS for path in sorted((ROOT / name).rglob("*")) if path.suffix in ENDS]
SOURCES += [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "config.yaml", ROOT / "Snakefile"]
SAID = re.compile(r"""README(?:\.md)?, (?:section )?["']([^"'{}]+)["']""")
FILE = re.compile(r"(?<![\w/])docs/\w+\.md")
SECTION, PARAGRAPH = r"^#+ (.+)$", r"^\*\*(.+?)\.\*\*"
"""A heading, and the bold words with which a paragraph begins."""
LINK = re.compile(r"\]\(([^)\s]+)\)")


def text_of(path: Path) -> str:
    """Lines of a comment are one text."""
    return re.sub(r"\s*\n\s*#?\s*", " ", path.read_text(encoding="utf-8"))


def found(pattern: str, path: Path) -> list[str]:
    """In what is no code."""
    text = re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    return re.findall(pattern, text, re.MULTILINE)


def anchors(path: Path) -> set[str]:
    """As GitHub makes them of headings."""
    return {re.sub(r"[^\w -]", "", one.lower()).replace(" ", "-") for one in found(SECTION, path)}


def test_headings_that_are_named_are_in_the_readme():
    named = {heading: path.name for path in SOURCES for heading in SAID.findall(text_of(path))}
    assert {"Lifelong unlearning", "The paper scale", "Real and World sets"} <= named.keys()
    known = found(SECTION, ROOT / "README.md") + found(PARAGRAPH, ROOT / "README.md")
    assert {heading: name for heading, name in named.items() if heading not in known} == {}


def test_documents_that_are_named_are_there():
    named = {file: path.name for path in SOURCES for file in FILE.findall(text_of(path))}
    assert "docs/people_and_events.md" in named
    assert {file: name for file, name in named.items() if not (ROOT / file).is_file()} == {}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_to_files_and_headings(path):
    for link in LINK.findall(path.read_text(encoding="utf-8")):
        if "://" in link:
            continue
        file, _, anchor = link.partition("#")
        target = path.parent / file if file else path
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link
