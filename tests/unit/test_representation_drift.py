"""The drift table: columns as published, seeds pooled, the paper's numbers beside ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmunlearn.lifelong.drift_rows import Drift, SetDrift
from mmunlearn.records import write_json
from mmunlearn.reporting.layout import read_table, select
from mmunlearn.reporting.lifelong_drift import COLUMNS, drift_rows, make_representation_drift, set_tables
from mmunlearn.reporting.tables import TableError
from tests.unit.lifelong_fixtures import write_statistics

PUBLISHED = Path(__file__).parents[2] / "resources/published/mlubench_representation_drift.csv"
LABELS = {"ga": "GA", "po": "PO", "lumoe": "LUMoE"}
STAGES = {False: [("A", "A"), ("B", "A"), ("B", "B")], True: [("", "A"), ("", "B"), ("A", "A"), ("B", "B")]}


def drift(label: str = "GA", seed: int = 1, *, experts: bool = False, model: str = "m", **changed) -> Drift:
    """Made up: the gap is 10 before, and grows by a tenth of the stage's number and a hundredth of the seed."""
    sets = []
    for role in ("forget", "retain"):
        for after, task in STAGES[experts]:
            change = (0.1 * " AB".index(after or " ") + 0.01 * seed) if after else 0.0
            numbers = {"original": 10.0, "unlearned": 10 + change, "change": change, "low": change - 0.5}
            numbers |= {"high": change + 0.5, "picture": 0.25, "text": 1.5}
            sets.append(SetDrift(task=task, role=role, after=after, n=20, entities=8, **numbers | changed))
    return Drift(
        model=model, method=label.lower(), order="AB", seed=seed, experts=experts, distance="euclidean",
        sets=sets, digests={"A": str(seed)}, versions={},
    )  # fmt: skip


def made(folder: Path, *drifts: Drift) -> tuple[list, str]:
    paths = [folder / f"{number}.json" for number in range(len(drifts))]
    for path, one in zip(paths, drifts, strict=True):
        write_json(path, one)
    statistics = write_statistics(folder / "statistics.json")
    outputs = (folder / "a.csv", folder / "a.md")
    make_representation_drift(
        *outputs, drifts=paths, statistics=statistics, published=PUBLISHED, labels=LABELS
    )
    return read_table(folder / "a.csv"), (folder / "a.md").read_text(encoding="utf-8")


def test_the_table_has_the_published_columns_and_a_row_a_stage(tmp_path):
    rows, text = made(tmp_path, drift(), drift("LUMoE", experts=True))
    assert "Pictures missing: 10 of 400; their questions are not in." in text
    assert tuple(rows[0]) == COLUMNS and COLUMNS[:5] == (
        "model",
        "task",
        "original",
        "unlearned",
        "delta_gap",
    )
    assert [(row["set"], row["after"], row["task"]) for row in select(rows, method="GA")[:4]] == [
        ("forget", "A", "A"), ("forget", "B", "A"), ("forget", "B", "B"), ("retain", "A", "A"),
    ]  # fmt: skip
    places = [
        (row["after"], row["task"], row["delta_gap"][:4])
        for row in select(rows, method="LUMoE", set="forget")
    ]
    assert places == [
        ("base", "A", "0.0"),
        ("base", "B", "0.0"),
        ("expert A", "A", "0.11"),
        ("expert B", "B", "0.21"),
    ]
    first = rows[0] | {"digest": ""}
    assert first == dict.fromkeys(COLUMNS, "") | {
        "model": "m", "task": "A", "original": "10.0", "unlearned": "10.11", "delta_gap": "0.11", "method": "GA",
        "order": "AB", "set": "forget", "after": "A", "distance": "euclidean", "low": "-0.39", "high": "0.61",
        "picture": "0.25", "text": "1.5", "n": "20", "entities": "8", "seeds": "1", "seed_list": "1",
            "missing_pictures": "10 of 400",
        "published_model": "qwen3-vl-4b-instruct", "published_original": "20.727", "published_unlearned": "22.353",
        "published_delta_gap": "1.626",
    }  # fmt: skip


def test_seeds_are_pooled_and_a_missing_one_is_named():
    row = drift_rows([drift(seed=3), drift(seed=1)], LABELS, [])[0]
    assert float(row["delta_gap"]) == pytest.approx(0.12)
    assert float(row["std"]) == pytest.approx(0.02 / 2**0.5)
    assert [row[name] for name in ("n", "entities", "seeds", "seed_list", "reason")] == [
        "40",
        "8",
        "2",
        "1 3",
        "",
    ]
    lost = drift(seed=2, original=None, change=None, reason="no picture tokens")
    row = drift_rows([drift(), lost], LABELS, [])[0]
    assert (row["delta_gap"], row["std"], row["reason"]) == ("0.11", "", "seed 2: no picture tokens")
    row = drift_rows([drift(original=None, unlearned=None, change=None, reason="none")], LABELS, [])[0]
    assert (row["delta_gap"], row["reason"]) == ("", "none")
    rows = drift_rows([drift()], LABELS, [])
    (forget, _) = set_tables([row | {"reason": "few"} for row in rows])
    assert forget.reasons == ["Few: tasks A, B."] and forget.seeds == "Training seeds: 1 (one run)"
    assert set_tables([rows[0] | {"reason": "few"}, *rows[1:]])[0].reasons == [
        "Few: GA, task A after A, of 3 rows."
    ]
    with pytest.raises(TableError, match=r"Found seeds \[1, 1\]"):
        drift_rows([drift(), drift()], LABELS, [])


def test_a_method_is_spelt_by_the_label_that_its_row_has_now():
    rows = drift_rows([drift(), drift("PO")], LABELS | {"ga": "GA, renamed"}, [])
    assert [line.label for line in set_tables(rows)[0].moved][::2] == [
        "GA, renamed, after the task itself",
        "PO, after the task itself",
    ]


def test_methods_keep_their_order_and_what_is_printed_is_what_the_table_holds():
    rows = drift_rows([drift("PO"), drift("GA"), drift("LUMoE", experts=True)], LABELS, read_table(PUBLISHED))
    forget, retain = set_tables(rows)
    assert (forget.role, retain.role, forget.tasks) == ("forget", "retain", ["A", "B"])
    assert [line.label for line in forget.gaps] == [
        "Gap before", "PO, after the task itself", "PO, after task B", "GA, after the task itself",
        "GA, after task B", "LUMoE, the task's expert", "LUMoE, left to the base",
        "qwen3-vl-4b-instruct, published: before", "qwen3-vl-4b-instruct, published: change",
    ]  # fmt: skip
    assert forget.gaps[0].cells == [("10.000", "")] * 2
    assert forget.gaps[1].cells == [("+0.110", "−0.390 to 0.610"), ("+0.210", "−0.290 to 0.710")]
    assert forget.gaps[2].cells == [("+0.210", "−0.290 to 0.710")] * 2
    zero = {"change": 0.0, "low": 0.0, "high": 0.0}
    assert set_tables(drift_rows([drift(**zero)], LABELS, []))[0].gaps[1].cells == [("+0.000", "")] * 2
    assert forget.gaps[-1].cells == [("+1.626", ""), ("+0.987", "")]
    assert forget.moved[0].cells == [("0.250 / 1.500", "")] * 2


def test_ours_stands_beside_the_published_model_of_its_name(tmp_path):
    twice = [
        {"model": name, "task": "A", "original": "1", "unlearned": "2", "delta_gap": "1"} for name in "mn"
    ]
    assert drift_rows([drift(model="n")], LABELS, twice)[0]["published_model"] == "n"
    assert drift_rows([drift(model="other")], LABELS, twice)[0]["published_model"] == "m"
    rows, text = made(tmp_path, drift(model="qwen3-vl-4b-instruct", change=-0.25))
    assert "gives no formula" in text and "Missing" not in text and "−0.250 <sub>" in text
    assert rows[0]["published_delta_gap"] == "1.626"
