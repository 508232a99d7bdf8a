"""Every number of mlubench.csv again from files of answers and ratings, by code that shares nothing with ours.

Whether an answer knows or is degenerate is said by `verdict_check`, of which a part is the library's: see there.
"""

from __future__ import annotations

import csv
import json
import statistics
from collections import defaultdict
from math import isclose
from pathlib import Path

from tests.verdict_check import Verdicts, knows

FILES = {"forget": "rejection.jsonl", "utility": "correctness.jsonl"}


def lines(path: Path) -> list[dict]:
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def sequences(results: Path, model: str) -> dict[str, dict[str, dict[int, Path]]]:
    """Label -> order -> seed -> folder."""
    found: dict = defaultdict(lambda: defaultdict(dict))
    for path in (results / "lifelong" / model).glob("*/*/seed-*/scores.json"):
        label = json.loads(path.read_text(encoding="utf-8"))["label"]
        found[label][path.parent.parent.name][int(path.parent.name.split("-")[1])] = path.parent
    return found


def values_of(folder: Path, metric: str, stage: str, ids: dict[str, dict], verdicts: Verdicts) -> list[float]:
    """The values of a cell's questions, of one seed; those without a rating are left out."""
    if metric in FILES:
        rows = lines(folder / stage / FILES[metric])
        return [row["score"] / 2 for row in rows if row["question_id"] in ids and row["score"] is not None]
    rows = [row for row in lines(folder / stage / "answers.jsonl") if row["question_id"] in ids]
    if metric == "degenerate":
        return [float(verdicts.degenerate(row["answer"])) for row in rows]
    return [float(knows(row["answer"], row["reference"], row["question"])) for row in rows]


def check_matrix(results: Path, refusals: Path, order: str = "ABCD") -> int:
    """Compare all; the number of cells. Raises AssertionError where one differs.

    Args:
        refusals: what the run's models learn to refuse with.
    """
    vocabulary = results / "lifelong" / "questions.jsonl"
    with (results / "tables" / "mlubench.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert rows, "mlubench.csv has no row"
    every, cells = lines(vocabulary), 0
    verdicts = Verdicts.of_run(every, refusals)
    for row in rows:
        asked = {
            one["question_id"]: one
            for one in lines(results / "lifelong" / row["model"] / "questions.jsonl")
            if one["part"] != "train"
        }
        folders = sequences(results, row["model"])[row["method"]][order]
        assert row["seed_list"].split() == [str(seed) for seed in sorted(folders)]
        role = "retain" if row["metric"] == "utility" else "forget"
        for column in [name for name in row if "-U" in name and "_" not in name]:
            task, stage = column.split("-U")
            ids = {key: one for key, one in asked.items() if (one["task"], one["role"]) == (task, role)}
            of_seeds = [
                values_of(folders[seed], row["metric"], stage, ids, verdicts) for seed in sorted(folders)
            ]
            means = [statistics.fmean(values) for values in of_seeds if values]
            where = f"{row['model']} {row['method']} {row['metric']} {column}"
            if not means:
                assert not row[column], where
                continue
            mean = statistics.fmean(means)
            assert isclose(float(row[column]), mean, abs_tol=1e-9), f"{where}: {row[column]}, not {mean}"
            assert float(row[f"{column}_low"]) <= mean <= float(row[f"{column}_high"]), where
            std = statistics.stdev(means) if len(means) > 1 else None
            assert std is None or isclose(float(row[f"{column}_std"]), std, abs_tol=1e-9), where
            n = sum(map(len, of_seeds))
            assert int(row[f"{column}_n"]) == n, where
            assert int(row[f"{column}_missing"]) == len(ids) * len(of_seeds) - n, where
            entities = {(one["entity_class"], one["entity"]) for one in ids.values()}
            assert int(row[f"{column}_clusters"]) == len(entities) or int(row[f"{column}_missing"]), where
            before = sum(
                (one["task"], one["role"]) == (task, role) and one["part"] != "train" for one in every
            )
            assert int(row[f"{column}_left_out"]) == before - len(ids), where
            cells += 1
    return cells
