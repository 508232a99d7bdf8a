"""What differs from the paper: one list, which the README and the report show whole."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from mmunlearn.reporting.page import DEVIATIONS
from tests.unit.test_config_schema import ROOT, load, merged

PARTS = yaml.safe_load(DEVIATIONS.read_text(encoding="utf-8"))
ROWS = [row for part in PARTS for row in part["rows"]]
PAPER = merged(load(ROOT / "presets" / "paper.yaml"))


def test_every_row_says_what_the_paper_says_and_what_is_done_here() -> None:
    assert all(set(part) == {"title", "rows"} for part in PARTS)
    assert all(set(row) == {"what", "paper", "here"} and all(row.values()) for row in ROWS)
    of_paper = [row["what"] for part in PARTS[:-1] for row in part["rows"]]
    assert len(set(of_paper)) == len(of_paper), "one row a topic"


def test_the_readme_has_the_same_list() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    section = re.search(r"## What differs from the paper\n(.*?)\n## ", readme, re.DOTALL)[1]
    items = [" ".join(item.split()) for item in re.findall(r"^- (.*(?:\n  .*)*)", section, re.MULTILINE)]
    assert items == [f"**{row['what']}.** Paper: {row['paper']} Here: {row['here']}" for row in ROWS]
    assert re.findall(r"^\*\*(.*)\*\*$", section, re.MULTILINE) == [part["title"] for part in PARTS]


@pytest.mark.parametrize(
    ("what", "key", "value", "text"),
    [
        ("Generator", "images.size", 1024, "1024 pixels"),
        ("Generator", "images.flux.steps", 28, "28 steps"),
        ("Generator", "images.guidance_scales", [3.5, 2.5, 3.0, 4.0, 4.5], "3.5, 2.5, 3.0, 4.0 and 4.5"),
        ("World", "dataset.n_world", 500, "500 pictures"),
        ("Rates", "training.max_grad_norm", 1.0, "the norm 1"),
        (
            "LoRA",
            "training.lora",
            {"rank": 128, "alpha": 256, "dropout": 0.05},
            "Rank 128, alpha 256, dropout 0.05",
        ),
        ("Until one is valid", "images.max_attempts", 5 * PAPER["images"]["candidates"], "Five batches"),
        ("Means", "training.average", "sample", "`training.average: sample`"),
        ("BGD", "methods.gd+bgd.event_cap", 0.5, "one half"),
        ("Figure 7", "figures.steps", [2, 4, 8, 16, 32], "2, 4, 8, 16 and 32"),
        ("Figure 7", "figures.questions", 500, "500 questions"),
    ],
)
def test_its_numbers_are_the_paper_preset_s(what: str, key: str, value: Any, text: str) -> None:
    found = PAPER
    for name in key.split("."):
        found = found[name]
    assert found == value and text in next(row["here"] for row in ROWS if row["what"] == what)
