"""Table III: pooling over seeds, missing values, bytes, the published twin, and what readers see."""

from __future__ import annotations

import json
import random
import re
from itertools import pairwise
from pathlib import Path
from statistics import fmean, stdev

import pytest
from scipy.stats import spearmanr

from mmunlearn.records import Metric, RecordError
from mmunlearn.reporting.layout import (
    METHODS,
    TARGETS,
    UNLEARNING,
    blocks,
    is_bound,
    method_order,
    number,
    podium,
    read_table,
    recipe_method,
)
from mmunlearn.reporting.style import LOOKS, look
from mmunlearn.reporting.tables import COLUMNS, TableError
from tests.unit.report_fixtures import CEILING_SEED, MODEL, PUBLISHED, table3, write_score, write_scores

FIRST = "model,forget_percent,method,target,efficacy,generality,retain,scope,real,world_fact"


def _row(path: Path, method: str, target: str) -> dict[str, str]:
    return next(row for row in read_table(path) if (row["method"], row["target"]) == (method, target))


def _versus(path: Path, **wanted: str) -> list[dict[str, str]]:
    return [row for row in read_table(path) if wanted.items() <= row.items()]


def test_columns_and_order_are_those_of_the_paper(tmp_path: Path) -> None:
    paths = table3(tmp_path, write_scores(tmp_path))
    header = paths["csv"].read_text().splitlines()[0]
    assert header.startswith(FIRST + ",")
    assert header == ",".join(COLUMNS) == paths["ceiling"].read_text().splitlines()[0]
    order = [
        (row["model"], row["forget_percent"], row["method"], row["target"])
        for row in read_table(paths["csv"])
    ]
    assert order == [(MODEL, "5", method, target) for method in METHODS for target in TARGETS]
    published = [(row["method"], row["target"]) for row in read_table(PUBLISHED)[: len(order)]]
    assert [one[2:] for one in order] == published


def test_percents_sort_as_numbers(tmp_path: Path) -> None:
    scores = [*write_scores(tmp_path / "a", percent=10), *write_scores(tmp_path / "b", percent=5)]
    rows = read_table(table3(tmp_path, scores)["csv"])
    assert list(dict.fromkeys(row["forget_percent"] for row in rows)) == ["5", "10"]


def test_order_of_files_does_not_change_a_byte(tmp_path: Path) -> None:
    scores = write_scores(tmp_path, seeds=(1, 2, 3))
    sorted_paths = table3(tmp_path / "sorted", scores)
    random.Random(0).shuffle(scores)
    shuffled_paths = table3(tmp_path / "shuffled", scores)
    for name, path in sorted_paths.items():
        assert path.read_bytes() == shuffled_paths[name].read_bytes(), name


def test_one_seed_keeps_its_interval_and_has_no_deviation(tmp_path: Path) -> None:
    score = write_score(tmp_path, "GA", "person", retain=Metric(value=21.346, n=40, low=15.0, high=28.996))
    row = _row(table3(tmp_path, [score])["csv"], "GA", "person")
    assert [row[f"retain{part}"] for part in ("", "_std", "_low", "_high", "_n")] == [
        "21.35", "", "15.00", "29.00", "40",
    ]  # fmt: skip
    assert (row["seeds"], row["seed_list"], row["judge"], row["reason"]) == ("1", "1", "local", "")


def test_several_seeds_give_mean_deviation_and_mean_interval(tmp_path: Path) -> None:
    values = {1: 20.0, 2: 23.5, 5: 31.0}
    scores = [
        write_score(
            tmp_path, "GD", "event", seed, scope=Metric(value=value, n=40, low=value - seed, high=value + 1)
        )
        for seed, value in values.items()
    ]
    row = _row(table3(tmp_path, scores)["csv"], "GD", "event")
    assert row["scope"] == f"{fmean(values.values()):.2f}"
    assert row["scope_std"] == f"{stdev(values.values()):.2f}"
    assert row["scope_low"] == f"{fmean(value - seed for seed, value in values.items()):.2f}"
    assert row["scope_n"] == "120"
    assert (row["seeds"], row["seed_list"]) == ("3", "1 2 5")


def test_missing_values_are_empty_with_the_reason_and_never_zero(tmp_path: Path) -> None:
    score = write_score(
        tmp_path, "KL", "event",
        efficacy=Metric(value=None, n=0, missing=40, reason="judge unreachable; 40 of 40"),
        real=None,
        scope=Metric(value=0.0, n=40, low=0.0, high=0.0),
    )  # fmt: skip
    paths = table3(tmp_path, [score])
    row = _row(paths["csv"], "KL", "event")
    assert (row["efficacy"], row["efficacy_low"], row["real"]) == ("", "", "")
    assert (row["efficacy_missing"], row["scope"]) == ("40", "0.00")
    assert row["reason"] == "efficacy: judge unreachable, 40 of 40; real: not scored"
    assert row["reason"] in paths["md"].read_text()
    versus = _versus(paths["versus"], method="KL", target="event", metric="efficacy")
    assert {(one["ours"], one["difference"]) for one in versus} == {("", "")}
    assert {one["reason"] for one in versus} == {"ours: judge unreachable, 40 of 40"}


def test_a_seed_without_a_value_is_left_out_and_named(tmp_path: Path) -> None:
    lost = Metric(value=None, n=0, reason="no answers")
    scores = [write_score(tmp_path, "PO", "person", 1, retain=Metric(value=80, n=40)),
              write_score(tmp_path, "PO", "person", 2, retain=lost)]  # fmt: skip
    row = _row(table3(tmp_path, scores)["csv"], "PO", "person")
    assert (row["retain"], row["retain_std"], row["seeds"]) == ("80.00", "", "2")
    assert row["reason"] == "retain: seed 2 left out (no answers)"


def test_real_vs_finetuned_is_for_events_only(tmp_path: Path) -> None:
    for row in read_table(table3(tmp_path, write_scores(tmp_path))["csv"]):
        assert bool(row["real_vs_finetuned"]) == (row["target"] == "event")
        assert row["reason"] == ""


def test_the_ceiling_stands_apart(tmp_path: Path) -> None:
    paths = table3(tmp_path, write_scores(tmp_path))
    assert {row["seed_list"] for row in read_table(paths["csv"])} == {"1"}
    ceiling = read_table(paths["ceiling"])
    assert [(row["method"], row["target"]) for row in ceiling] == [("Goal", "person"), ("Goal", "event")]
    assert {row["seed_list"] for row in ceiling} == {str(CEILING_SEED)}
    assert ceiling[1]["efficacy"] == "81.40"


def test_the_printed_table_shows_both_bounds_and_the_ceiling(tmp_path: Path) -> None:
    paths = table3(tmp_path, write_scores(tmp_path))
    for kind, mark in (("md", "|"), ("tex", "&")):
        text = paths[kind].read_text()
        lines = [line.lstrip("| ") for line in text.splitlines()]
        starts = [line.partition(f" {mark}")[0] for line in lines if line.count(mark) > 11]
        last = f"Goal, seed {CEILING_SEED}"
        assert starts[-len(METHODS) - 1 :] == [*METHODS, last], kind
        (line,) = (line for line in lines if line.startswith(last))
        assert "81.4" in line and "textbf" not in line and "**" not in line
        assert "another seed before the same judge" in text
    assert "Seeds: 1. " in paths["md"].read_text()
    alone = table3(tmp_path / "alone", [write_score(tmp_path, "GA", "person")], None)
    assert "another seed" not in alone["md"].read_text()


def test_without_a_ceiling_seed_its_table_has_no_rows(tmp_path: Path) -> None:
    assert read_table(table3(tmp_path, [write_score(tmp_path, "GA", "person")], None)["ceiling"]) == []


def test_errors_say_what_to_do(tmp_path: Path) -> None:
    score = write_score(tmp_path, "GA", "person")
    with pytest.raises(TableError, match=r"Asked for .*Found seeds \[1, 1\].*Pass each file once"):
        table3(tmp_path, [score, score])
    with pytest.raises(TableError, match=r"Found none of a seed other.*Score a model"):
        table3(tmp_path, [score], ceiling_seed=1)
    score.write_text("{}")
    with pytest.raises(RecordError, match="not a Scores"):
        table3(tmp_path, [score])


def test_versus_holds_every_comparison_once(tmp_path: Path) -> None:
    rows = read_table(table3(tmp_path, write_scores(tmp_path))["versus"])
    keys = [
        tuple(row[key] for key in ("kind", "published_model", "target", "metric", "method")) for row in rows
    ]
    assert len(set(keys)) == len(keys) == 2 * 2 * 6 * (7 + 2)
    value = _versus(tmp_path / "table3_vs_published.csv", published_model="llama-3.2-vision-11b", method="GA",
                    target="event", metric="generality", kind="value")[0]  # fmt: skip
    assert (value["published"], value["difference"]) == ("47.50", ""), "another model"


@pytest.mark.parametrize(
    ("kind", "methods"), [("spearman_unlearning", UNLEARNING), ("spearman_all_rows", METHODS)]
)
def test_spearman_is_scipys_on_the_tables_numbers(
    tmp_path: Path, kind: str, methods: tuple[str, ...]
) -> None:
    paths = table3(tmp_path, write_scores(tmp_path))
    found = 0
    for row in _versus(paths["versus"], kind=kind):
        ours = [float(_row(paths["csv"], method, row["target"])[row["metric"]]) for method in methods]
        theirs = [
            float(one[row["metric"]])
            for method in methods
            for one in read_table(PUBLISHED)
            if (one["model"], one["forget_percent"], one["method"], one["target"])
            == (row["published_model"], "5", method, row["target"])
        ]
        if row["spearman"]:
            found += 1
            assert float(row["spearman"]) == pytest.approx(spearmanr(ours, theirs).statistic, abs=5e-5)
            assert row["rows"] == str(len(methods))
        else:
            assert len(set(ours)) == 1
    assert found > 20


def test_a_constant_column_has_no_correlation_and_says_so(tmp_path: Path) -> None:
    flat = Metric(value=100, n=40)
    scores = [write_score(tmp_path, method, "person", efficacy=flat) for method in METHODS]
    rows = _versus(
        table3(tmp_path, scores)["versus"], kind="spearman_unlearning", target="person", metric="efficacy"
    )
    assert {(row["spearman"], row["reason"]) for row in rows} == {("", "ours is constant (100.00)")}


def test_a_missing_method_has_no_correlation_and_is_named(tmp_path: Path) -> None:
    scores = [write_score(tmp_path, method, "person") for method in METHODS if method not in ("PO", "KL")]
    rows = _versus(table3(tmp_path, scores)["versus"], kind="spearman_all_rows", target="person")
    assert {(row["spearman"], row["rows"], row["reason"]) for row in rows} == {
        ("", "5", "missing values: PO, KL")
    }


def test_a_percent_that_was_not_published_is_said_not_guessed(tmp_path: Path) -> None:
    paths = table3(tmp_path, [write_score(tmp_path, "GA", "person", percent=20)])
    rows = _versus(paths["versus"], kind="value", method="GA", target="person")
    assert {(row["published"], row["difference"], row["reason"]) for row in rows} == {
        ("", "", "published: no GA at 20%")
    }


def test_best_and_second_are_among_the_unlearning_methods_and_share_places(tmp_path: Path) -> None:
    values = {"Finetune": 99, "PO": 80.04, "GA": 80.0, "GD": 75, "KL": 60, "DPO": 75, "Goal": 100}
    scores = [
        write_score(tmp_path, method, "person", retain=Metric(value=value, n=4))
        for method, value in values.items()
    ]
    paths = table3(tmp_path, scores)
    block = blocks(read_table(paths["csv"]))[(MODEL, "5")]
    assert podium(block, "person", "retain") == {"PO": "best", "GA": "best", "GD": "second", "DPO": "second"}
    assert "| **80.0** |" in paths["md"].read_text()
    assert r"\underline{75.0}" in paths["tex"].read_text()


def test_the_texts_have_all_cells_and_the_deviation(tmp_path: Path) -> None:
    paths = table3(tmp_path, write_scores(tmp_path, seeds=(1, 2)))
    lines = [line for line in paths["md"].read_text().splitlines() if line.startswith("| GA |")]
    assert len(lines) == 1
    assert lines[0].count("|") == 14
    assert " ± " in lines[0]
    tex = paths["tex"].read_text()
    body = [line for line in tex.splitlines() if line.startswith("GA &")]
    assert body[0].count("&") == 12
    assert r" $\pm$ " in body[0]
    assert tex.count("{") == tex.count("}")
    assert not re.search(r"(?<!\\)%(?! Needs)", tex)


def test_numbers_and_names() -> None:
    assert [number(value) for value in (-0.001, 2.005, None, float("nan"))] == ["0.00", "2.00", "", ""]
    assert sorted(["Goal", "NPO", "PO", "Finetune"], key=method_order) == ["Finetune", "PO", "NPO", "Goal"]
    recipes = (
        "finetuned",
        "goal-event10",
        "gd+bgd-both05",
        "simnpo-person05@8",
        "ga-event05-1",
        "mine-both05",
    )
    labels = ["Finetune", "Goal", "GD+BGD", "SimNPO", "GA", "MINE"]
    assert [recipe_method(name) for name in recipes] == labels
    order = [
        "Finetune",
        "GA",
        "GD",
        "GD+BGD",
        "KL",
        "KL+BGD",
        "NPO",
        "SimNPO",
        "A made-up one",
        "Mine",
        "Goal",
    ]
    assert sorted(random.Random(1).sample(order, len(order)), key=method_order) == order
    bounds = ("Goal", "Goal, seed 101", "Finetune", "GD", "Goals")
    assert [is_bound(label) for label in bounds] == [True, True, True, False, False]


def test_methods_that_the_paper_lacks_compete_and_are_set_beside_nothing(tmp_path: Path) -> None:
    scores = [write_score(tmp_path, method, "person", retain=Metric(value=50, n=4)) for method in METHODS]
    more = json.loads(scores[1].read_text()) | {"method": "SimNPO", "recipe": "simnpo-person05"}
    more["metrics"]["retain"]["value"] = 60.0
    scores.append(tmp_path / "simnpo.json")
    scores[-1].write_text(json.dumps(more))
    paths = table3(tmp_path, scores)
    order = [row["method"] for row in read_table(paths["csv"])]
    assert order == [*METHODS[:-1], "SimNPO", "Goal"]
    places = podium(blocks(read_table(paths["csv"]))[(MODEL, "5")], "person", "retain")
    assert places == {"SimNPO": "best"} | dict.fromkeys(UNLEARNING, "second")
    rows = _versus(paths["versus"], kind="value", method="SimNPO", metric="retain", target="person")
    assert {(row["ours"], row["published"], row["reason"]) for row in rows} == {
        ("60.00", "", "published: no SimNPO at 5%")
    }
    for row in _versus(paths["versus"], kind="spearman_unlearning", target="person", metric="efficacy"):
        assert row["rows"] == "5"


def test_a_published_model_is_set_beside_itself_alone(tmp_path: Path) -> None:
    scores = []
    for path in write_scores(tmp_path / "own"):
        scores.append(tmp_path / f"{len(scores)}.json")
        scores[-1].write_text(json.dumps(json.loads(path.read_text()) | {"model": "llava-1.5-7b"}))
    rows = read_table(table3(tmp_path, scores)["versus"])
    assert {row["published_model"] for row in rows} == {"llava-1.5-7b"}
    assert len(rows) == 2 * 6 * (7 + 2)
    for row in rows:
        if row["kind"] == "value":
            assert float(row["difference"]) == pytest.approx(
                float(row["ours"]) - float(row["published"]), abs=1e-6
            )


def test_every_method_has_its_own_look_and_its_own_grey() -> None:
    assert len({(one.colour, one.marker) for one in LOOKS.values()}) == len(LOOKS)
    greys = sorted(
        sum(
            part * int(look(method).colour[at : at + 2], 16) for part, at in ((0.30, 1), (0.59, 3), (0.11, 5))
        )
        for method in UNLEARNING
    )
    assert min(b - a for a, b in pairwise(greys)) > 15
    assert len({look(method).marker for method in METHODS}) == len(METHODS)
