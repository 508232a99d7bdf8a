"""What messages, presets and documents say to read: the heading, the file and the place in it are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mmunlearn.reporting import (
    lifelong_cost,
    lifelong_data,
    lifelong_differences,
    lifelong_drift,
    lifelong_gate,
    lifelong_published,
    lifelong_tables,
)
from mmunlearn.reporting.lifelong_cells import PARTS, header
from mmunlearn.workflow.lifelong import REPORTED, TABLES
from tests.pocket.test_photographs import LESS, PAGE
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


COLUMNS = {
    "mlubench": header(lifelong_tables.FIRST, ["X-UY"], (*PARTS, "place")),
    "mlubench_vs_published": lifelong_published.VERSUS_COLUMNS,
    "mlubench_ranks": lifelong_published.RANK_COLUMNS,
    "mlubench_differences": lifelong_differences.DIFFERENCE_COLUMNS,
    "lifelong_gate": lifelong_gate.COLUMNS,
    "lifelong_untouched": header(lifelong_tables.CLASSES, ["UY"]),
    "lifelong_classes": header(lifelong_tables.CLASSES, ["X-UY"]),
    "lifelong_orders": header(lifelong_tables.ORDERS, ["last", "all"]),
    "lifelong_cost": lifelong_cost.COST_COLUMNS,
    "lifelong_undo": lifelong_cost.UNDO_COLUMNS,
    "lifelong_data": lifelong_data.COLUMNS,
    "representation_drift": lifelong_drift.COLUMNS,
}
"""Table of the lifelong phase -> its columns."""


def test_every_column_of_the_lifelong_tables_is_explained():
    """In the section of its table, or in that of what tables have in common."""
    assert COLUMNS.keys() >= {
        *REPORTED,
        *(name.removesuffix(".csv") for name in TABLES if name.endswith(".csv")),
    }
    text = (ROOT / "docs/lifelong_tables.md").read_text(encoding="utf-8")
    _, common, *sections = re.split(r"^## ", text, flags=re.MULTILINE)
    own = {title.removesuffix(".csv"): body for title, _, body in (one.partition("\n") for one in sections)}
    assert own.keys() == COLUMNS.keys()
    for name, columns in COLUMNS.items():
        said = set(re.findall(r"`([^`]+)`", common + own[name]))
        assert [one for one in columns if not said & {one, f"_{one.partition('_')[2]}"}] == [], name


def test_the_page_on_pictures_says_how_much_less_its_test_trains():
    page = re.sub(r"\s+", " ", PAGE)
    methods = {name: row for name, row in LESS["methods"].items() if row}
    epochs, steps = LESS["training"]["finetune"]["epochs"], methods["ga"]["max_steps"]
    assert list(methods) == ["ga"]
    assert f"with less training (epochs: {epochs}; of methods GA alone, {steps} steps)" in page
