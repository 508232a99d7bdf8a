"""Photographs from a manifest to Table III, as docs/your_own_pictures.md says, with less training."""

from __future__ import annotations

import csv
import json
import re

import pytest
import yaml

from mmunlearn.records import Question, read_jsonl, read_manifest
from tests.copies import ROOT, copy_workflow
from tests.photographs import write_photographs
from tests.small import Run

pytestmark = pytest.mark.pocket
PAGE = (ROOT / "docs" / "your_own_pictures.md").read_text(encoding="utf-8")
MINE = yaml.safe_load(re.search(r"```yaml\n(.*?)```", PAGE, re.DOTALL)[1])
LESS = {
    "dataset": MINE["dataset"] | {"n_real": 4, "n_world": 4, "n_replay": 4},
    "training": {"finetune": {"epochs": 2}},
    "methods": {"ga": {"max_steps": 2}} | dict.fromkeys(("po", "gd", "kl", "dpo")),
    "figures": {"concept_method": "ga"},
    "ceiling_seed": None,
}
TABLE = "results/mine/tables/table3.csv"
NOBODY = "6 people, 4 events, 24 pictures from 24 candidates"


def test_photographs_go_from_their_manifest_to_table_3(tmp_path):
    run = Run(copy_workflow(tmp_path / "run"), MINE | LESS)
    manifest = write_photographs(run.folder / "data" / "photographs")
    assert NOBODY in run(TABLE, "results/mine/figures/fig4.png", "dataset")
    rows = list(csv.DictReader((run.folder / TABLE).open()))
    assert [(row["method"], row["target"]) for row in rows] == [
        (method, target) for method in ("Finetune", "GA", "Goal") for target in ("person", "event")
    ]
    assert all(row["efficacy"] and row["retain"] and row["world_fact"] for row in rows)
    pictures = read_manifest(run.results / "images" / "manifest.parquet")
    assert len(pictures) == 24 and all(one.accepted and one.distortion is not None for one in pictures)
    filters = json.loads((run.results / "images" / "filters.json").read_text())
    assert (filters["enforced"], filters["accepted"]) == (False, 24)
    assert filters["chain"]["rejected"] == 24, "the pocket filters know drawings alone"
    known = {
        row.question_id: row.answer
        for row in read_jsonl(run.results / "dataset" / "questions.jsonl", Question)
    }
    assert known["p000-e01-person"] == "You see Eileen Collins."
    assert known["p001-e02-person"] == "This is Grace Hopper." and known["p001-e02-event"] == "in a mirror"
    assert "Nothing to be done" in run(TABLE)
    (manifest.parent / "README.txt").write_text("no picture")
    assert "Nothing to be done" in run(TABLE), "what is no picture does not count"
    manifest.write_text(manifest.read_text(encoding="utf-8-sig").replace("from near.", "from afar."))
    plan = run.planned(TABLE)
    assert {"list_pictures", "build_questions", "train_finetuned"} <= plan.keys()
