"""The lifelong phase of the default pocket run: its contracts, and numbers that other code finds again."""

from __future__ import annotations

import csv
import json
from itertools import pairwise

import pytest
import yaml

from tests.matrix_check import check_matrix

pytestmark = pytest.mark.pocket
COLUMNS = ["A-UA", "A-UB", "A-UC", "A-UD", "B-UB", "B-UC", "B-UD", "C-UC", "C-UD", "D-UD"]


@pytest.fixture(scope="session")
def lifelong(pocket):
    """The results, with the lifelong phase."""
    pocket("lifelong")
    return pocket.results


def table(results, name: str) -> list[dict[str, str]]:
    with (results / "tables" / f"{name}.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_every_number_of_the_matrix_is_found_again_in_the_judgements(pocket, lifelong):
    config = yaml.safe_load((lifelong / "lifelong" / "run_config.yaml").read_text())["lifelong"]
    rows = len(config["methods"]) + len(config["lumoe"])
    assert check_matrix(lifelong, pocket.folder / config["train"]["refusals"]) == rows * 4 * len(COLUMNS)


def test_the_matrix_has_the_columns_of_the_paper_and_says_what_it_rests_on(lifelong):
    rows = table(lifelong, "mlubench")
    assert list(rows[0])[:13] == ["model", "method", "metric", *COLUMNS]
    assert {"GA", "GD", "KL", "NPO", "LUMoE"} <= {row["method"] for row in rows}
    for row in rows:
        assert row["reason"] == "" and row["judge"] == "local" and row["missing_pictures"].startswith("0 of ")
        assert all(
            float(row[f"{name}_low"]) <= float(row[name]) <= float(row[f"{name}_high"]) for name in COLUMNS
        )


def test_experts_hold_what_they_learnt_and_give_it_back(lifelong):
    scores = json.loads(next(lifelong.glob("lifelong/*/lumoe/*/seed-*/scores.json")).read_text())
    assert scores["digests"] and scores["versions"]
    undone = [row for row in table(lifelong, "lifelong_undo") if row["method"] == "LUMoE"]
    assert {row["task"] for row in undone} == set("ABCD")
    for row in undone:
        assert float(row["before"]) == 1.0 and float(row["with_expert"]) < float(row["without_expert"])
    memory = [
        int(row["memory_bytes"]) for row in table(lifelong, "lifelong_cost") if row["method"] == "LUMoE"
    ]
    assert len({after - before for before, after in pairwise(memory)}) == 1
