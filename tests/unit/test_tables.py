"""Tables III and IV: pooling over seeds, missing values, bytes, the published twin, and what readers see."""

from __future__ import annotations

import random
import re
from itertools import pairwise
from pathlib import Path
from statistics import fmean, stdev

import pytest
from scipy.stats import spearmanr

from mmunlearn.ids import TARGETS
from mmunlearn.records import Metric, RecordError, sha256_of
from mmunlearn.reporting.layout import (
    FORMS,
    METHODS,
    TABLE4,
    UNLEARNING,
    is_bound,
    method_order,
    number,
    read_table,
    select,
)
from mmunlearn.reporting.style import LOOKS, look
from mmunlearn.reporting.tables import TableError, columns
from tests.unit.report_fixtures import (
    CEILING_SEED,
    MODEL,
    PUBLISHED,
    write_score,
    write_scores,
    write_table,
)

FIRST = {
    "table3": "model,forget_percent,method,target,efficacy,generality,retain,scope,real,world_fact,efficacy_std,",
    "table4": "model,method,target,efficacy,generality,retain,real,world_fact,forget_percent,efficacy_std,",
}
DIGESTS = {
    "mlubench_representation_drift.csv": "8785a8bdc0e51258db396dfa65af2c7cae784303a9f170b7aad755cb0d2545af",
    "mlubench_tables_2_and_23.csv": "538449dac567d46dfc5f1822c857bd741329670f7aa6e62a887875692d7b2fe4",
    "pebench_table3.csv": "2c743c7811c4d5b86e39b091722232ae2b51c32f346086180d50afa55bc68fe3",
    "pebench_table4.csv": "bf54e8dc1958f0c371b059a776dca75fe2d13522b7fc49d0a4ec6d16c2dcf849",
}
both_tables = pytest.mark.parametrize("table", ["table3", "table4"])


def published(table: str) -> list[dict[str, str]]:
    return read_table(PUBLISHED / f"pebench_{table}.csv")


def line_of(text: str, method: str, mark: str) -> list[str]:
    """The cells of a method's line in Markdown (`|`) or LaTeX (`&`)."""
    (line,) = [one for one in text.splitlines() if one.lstrip("| ").startswith(f"{method} {mark}")]
    return [cell.strip() for cell in line.strip("| ").removesuffix(r" \\").split(mark)][1:]


def test_no_digit_of_the_published_numbers_changes_by_accident() -> None:
    """Whoever corrects one against the papers pins its file anew."""
    assert {path.name: sha256_of(path) for path in PUBLISHED.glob("*.csv")} == DIGESTS


@both_tables
def test_columns_and_order_are_those_of_the_paper(tmp_path: Path, table: str) -> None:
    scores = write_scores(tmp_path, table)
    paths = write_table(tmp_path, random.Random(1).sample(scores, len(scores)), table)
    header = paths["csv"].read_text().splitlines()[0]
    assert header.startswith(FIRST[table])
    assert header == ",".join(columns(FORMS[table])) == paths["ceiling"].read_text().splitlines()[0]
    rows = read_table(paths["csv"])
    assert [(row["method"], row["target"]) for row in rows] == [
        (row["method"], row["target"]) for row in published(table)[: len(rows)]
    ]
    assert len(rows) == 2 * len(FORMS[table].methods)
    for row in rows:
        assert (row["model"], row["forget_percent"], row["reason"]) == (MODEL, "5", "")
        assert bool(row["real_vs_finetuned"]) == (row["target"] == "event")


def test_percents_sort_as_numbers_and_stand_in_blocks_of_their_own(tmp_path: Path) -> None:
    scores = [*write_scores(tmp_path / "a", percent=10), *write_scores(tmp_path / "b", percent=5)]
    paths = write_table(tmp_path, scores)
    assert [row["forget_percent"] for row in read_table(paths["csv"])] == ["5"] * 14 + ["10"] * 14
    assert f"## {MODEL} (10% forget)" in paths["md"].read_text()


@both_tables
def test_order_of_files_does_not_change_a_byte(tmp_path: Path, table: str) -> None:
    scores = write_scores(tmp_path, table, seeds=(1, 2, 3))
    before, after = (
        write_table(tmp_path / "a", scores, table),
        write_table(tmp_path / "b", scores[::-1], table),
    )
    for name, path in before.items():
        assert path.read_bytes() == after[name].read_bytes(), name


def test_one_seed_keeps_its_interval_and_has_no_deviation(tmp_path: Path) -> None:
    score = write_score(tmp_path, "GA", "person", retain=Metric(value=21.346, n=40, low=15.0, high=28.996))
    (row,) = read_table(write_table(tmp_path, [score])["csv"])
    assert [row[f"retain{part}"] for part in ("", "_std", "_low", "_high", "_n")] == [
        "21.346", "", "15.0", "28.996", "40",
    ]  # fmt: skip
    assert (row["seeds"], row["seed_list"], row["judge"], row["reason"]) == ("1", "1", "local", "")
    assert (row["retain_clusters"], row["world_fact_doubtful"]) == ("0", "0")


@both_tables
def test_several_seeds_give_mean_deviation_and_mean_interval(tmp_path: Path, table: str) -> None:
    values = {1: 20.0, 2: 23.5, 5: 31.0}
    scores = [
        write_score(
            tmp_path, "GD", "event", seed, retain=Metric(value=value, n=40, low=value - seed, high=value + 1)
        )
        for seed, value in values.items()
    ]
    paths = write_table(tmp_path, scores, table)
    (row,) = read_table(paths["csv"])
    assert [float(row[name]) for name in ("retain", "retain_std", "retain_low")] == pytest.approx(
        [fmean(values.values()), stdev(values.values()), fmean(v - seed for seed, v in values.items())]
    )
    assert (row["retain_n"], row["seeds"], row["seed_list"]) == ("120", "3", "1 2 5")
    width = len(FORMS[table].metrics)
    texts = {mark: line_of(paths[kind].read_text(), "GD", mark) for kind, mark in (("md", "|"), ("tex", "&"))}
    assert [len(cells) for cells in texts.values()] == [2 * width] * 2
    assert texts["|"][width + 2] == "**24.8 ± 5.6**"
    assert texts["&"][width + 2] == r"\textbf{24.8 $\pm$ 5.6}"


@both_tables
def test_missing_values_are_empty_with_the_reason_and_never_zero(tmp_path: Path, table: str) -> None:
    score = write_score(
        tmp_path, "KL", "event",
        efficacy=Metric(value=None, n=0, missing=40, reason="judge unreachable; 40 of 40"),
        real=None,
        generality=Metric(value=0.0, n=40, low=0.0, high=0.0),
    )  # fmt: skip
    paths = write_table(tmp_path, [score], table)
    (row,) = read_table(paths["csv"])
    assert (row["efficacy"], row["efficacy_low"], row["real"]) == ("", "", "")
    assert (row["efficacy_missing"], row["generality"]) == ("40", "0.0")
    assert row["reason"] == "efficacy: judge unreachable, 40 of 40; real: not scored"
    assert f"- KL, event: {row['reason']}" in paths["md"].read_text()
    assert line_of(paths["md"].read_text(), "KL", "|")[len(FORMS[table].metrics)] == "–"
    versus = select(read_table(paths["versus"]), method="KL", target="event", metric="efficacy")
    assert {(one["ours"], one["difference"]) for one in versus} == {("", "")}
    assert {one["reason"] for one in versus} == {"ours: judge unreachable, 40 of 40"}


def test_a_seed_without_a_value_is_left_out_and_named(tmp_path: Path) -> None:
    lost = Metric(value=None, n=0, reason="no answers")
    scores = [
        write_score(tmp_path, "PO", "person", 1, retain=80),
        write_score(tmp_path, "PO", "person", 2, retain=lost),
    ]
    (row,) = read_table(write_table(tmp_path, scores)["csv"])
    assert (row["retain"], row["retain_std"], row["seeds"]) == ("80.0", "", "2")
    assert row["reason"] == "retain: seed 2 left out (no answers)"


@both_tables
def test_the_ceiling_is_printed_below_goal_and_stands_apart_as_data(tmp_path: Path, table: str) -> None:
    paths = write_table(tmp_path, write_scores(tmp_path, table), table)
    assert {row["seed_list"] for row in read_table(paths["csv"])} == {"1"}
    assert [(row["method"], row["target"], row["seed_list"]) for row in read_table(paths["ceiling"])] == [
        ("Goal", target, str(CEILING_SEED)) for target in TARGETS
    ]
    last = f"Goal, seed {CEILING_SEED}"
    for kind, mark in (("md", "|"), ("tex", "&")):
        text = paths[kind].read_text()
        starts = [
            line.lstrip("| ").partition(f" {mark}")[0] for line in text.splitlines() if line.count(mark) > 9
        ]
        assert starts[-len(FORMS[table].methods) - 1 :] == [*FORMS[table].methods, last], kind
        assert not re.search(r"textbf|\*\*", "".join(line_of(text, last, mark)))
        assert "another seed before the same judge" in text
    assert "Seeds: 1. " in paths["md"].read_text()


def test_without_a_ceiling_seed_there_is_no_ceiling(tmp_path: Path) -> None:
    paths = write_table(tmp_path, [write_score(tmp_path, "GA", "person")], ceiling_seed=None)
    assert read_table(paths["ceiling"]) == []
    assert "another seed" not in paths["md"].read_text()


def test_a_table_says_for_which_target_it_has_no_ceiling(tmp_path: Path) -> None:
    scores = [path for path in write_scores(tmp_path) if path.parts[-3:-1] != ("goal-person05", "seed-101")]
    text = write_table(tmp_path, scores)["md"].read_text()
    assert "really be reached. None was trained for person unlearning." in text
    assert line_of(text, "Goal, seed 101", "|")[:6] == ["–"] * 6
    assert "None was trained" not in write_table(tmp_path, write_scores(tmp_path))["md"].read_text()


@both_tables
def test_errors_say_what_to_do(tmp_path: Path, table: str) -> None:
    score = write_score(tmp_path, "GD", "person")
    with pytest.raises(
        TableError, match=r"Asked for .*Found seeds \[1, 1\].*Pass each file once.*label of its own"
    ):
        write_table(tmp_path, [score, score], table)
    title = FORMS[table].title
    with pytest.raises(
        TableError, match=rf"Asked for {title} of 1 .*Found none of a seed other.*Name a model"
    ):
        write_table(tmp_path, [score], table, ceiling_seed=1)
    score.write_text("{}")
    with pytest.raises(RecordError, match="not a Scores"):
        write_table(tmp_path, [score], table)


@both_tables
def test_each_method_is_set_beside_each_published_model(tmp_path: Path, table: str) -> None:
    paths, form = write_table(tmp_path, write_scores(tmp_path, table), table), FORMS[table]
    rows = read_table(paths["versus"])
    keys = ("kind", "published_model", "target", "metric", "method")
    assert len({tuple(row[key] for key in keys) for row in rows}) == len(rows)
    assert len(rows) == 2 * 2 * len(form.metrics) * (len(form.methods) + 2)
    ours = {(row["method"], row["target"]): row for row in read_table(paths["csv"])}
    theirs = {
        (row["model"], row["method"], row["target"]): row
        for row in published(table)
        if row.get("forget_percent", "5") == "5"
    }

    def pair(row: dict[str, str], method: str) -> tuple[float, float]:
        both = ours[method, row["target"]], theirs[row["published_model"], method, row["target"]]
        return tuple(float(one[row["metric"]]) for one in both)

    for row in rows:
        if row["kind"] == "value":
            assert (float(row["ours"]), float(row["published"])) == pair(row, row["method"])
            assert row["difference"] == "", "another model"
            continue
        methods = form.unlearning if row["kind"] == "spearman_unlearning" else form.methods
        assert row["rows"] == str(len(methods))
        if not row["spearman"]:
            assert re.fullmatch(r"published is constant \(.*\)", row["reason"])
            continue
        expected = spearmanr(*zip(*(pair(row, method) for method in methods), strict=True)).statistic
        assert float(row["spearman"]) == pytest.approx(expected, abs=5e-5)
    assert sum(bool(row["spearman"]) for row in rows) > 30
    assert (len(form.unlearning), len(form.methods)) == {"table3": (5, 7), "table4": (4, 6)}[table]


@both_tables
def test_a_published_model_is_set_beside_itself_alone(tmp_path: Path, table: str) -> None:
    scores = write_scores(tmp_path, table, model="llava-1.5-7b")
    rows = read_table(write_table(tmp_path, scores, table)["versus"])
    assert {row["published_model"] for row in rows} == {"llava-1.5-7b"}
    for row in select(rows, kind="value"):
        expected = float(row["ours"]) - float(row["published"])
        assert float(row["difference"]) == pytest.approx(expected, abs=6e-3)


def test_a_constant_column_has_no_correlation_and_says_so(tmp_path: Path) -> None:
    scores = [write_score(tmp_path, method, "person", efficacy=100) for method in METHODS]
    rows = read_table(write_table(tmp_path, scores)["versus"])
    rows = select(rows, kind="spearman_unlearning", target="person", metric="efficacy")
    assert {(row["spearman"], row["reason"]) for row in rows} == {("", "ours is constant (100.0)")}


def test_a_missing_method_has_no_correlation_and_is_named(tmp_path: Path) -> None:
    scores = [write_score(tmp_path, method, "person") for method in METHODS if method not in ("PO", "KL")]
    rows = select(
        read_table(write_table(tmp_path, scores)["versus"]), kind="spearman_all_rows", target="person"
    )
    assert {(row["spearman"], row["rows"], row["reason"]) for row in rows} == {
        ("", "5", "missing values: PO, KL")
    }


@both_tables
def test_a_percent_that_was_not_published_is_said_not_guessed(tmp_path: Path, table: str) -> None:
    paths = write_table(tmp_path, [write_score(tmp_path, "GD", "person", percent=20)], table)
    rows = select(read_table(paths["versus"]), kind="value", method="GD", target="person")
    assert {(row["published"], row["difference"], row["reason"]) for row in rows} == {
        ("", "", "published: no GD at 20%")
    }


def test_best_and_second_are_among_the_unlearning_methods_and_share_places(tmp_path: Path) -> None:
    values = {"Finetune": 99, "PO": 80.04, "GA": 80.0, "GD": 75, "KL": 60, "DPO": 75, "Goal": 100}
    scores = [write_score(tmp_path, method, "person", retain=value) for method, value in values.items()]
    paths = write_table(tmp_path, scores)
    md, tex = paths["md"].read_text(), paths["tex"].read_text()
    assert [line_of(md, method, "|")[2] for method in METHODS] == [
        "99.0", "**80.0**", "**80.0**", "<u>75.0</u>", "60.0", "<u>75.0</u>", "100.0"
    ]  # fmt: skip
    assert [line_of(tex, method, "&")[2] for method in ("GA", "GD")] == [
        r"\textbf{80.0}",
        r"\underline{75.0}",
    ]
    assert tex.count("{") == tex.count("}")
    assert not re.search(r"(?<!\\)%(?! Needs)", tex)


def test_the_papers_own_numbers_print_the_papers_gains(tmp_path: Path) -> None:
    """Its `GD+BGD 93.2+6.3 92.5+6.5 11.2−1.8 54.3+25.7 77.3+5.9`."""
    scores = [
        write_score(
            tmp_path, row["method"], "person", model=row["model"],
            **{name: float(row[name]) for name in TABLE4.metrics},
        )
        for row in select(published("table4"), model="llava-1.5-7b", target="person")
    ]  # fmt: skip
    paths = write_table(tmp_path, scores, "table4")
    cells = line_of(paths["md"].read_text(), "GD+BGD", "|")
    assert re.findall(r"[+−]\d+\.\d", " ".join(cells)) == ["+6.3", "+6.5", "−1.8", "+25.7", "+5.9"]
    assert cells[5:] == ["–"] * 5, "the event target was not scored"
    assert line_of(paths["tex"].read_text(), "GD+BGD", "&")[2] == "11.2$_{-1.8}$"
    assert paths["tex"].read_text().isascii()


def test_a_gain_needs_both_values(tmp_path: Path) -> None:
    lost = Metric(value=None, n=0, reason="all judgements are missing")
    scores = [write_score(tmp_path, "GD", "event", efficacy=lost)]
    scores += [write_score(tmp_path, method, "event") for method in ("GD+BGD", "Mine+BGD")]
    md = write_table(tmp_path, scores, "table4")["md"].read_text()
    assert ["<sub>" in cell for cell in line_of(md, "GD+BGD", "|")[5:]] == [False, True, True, True, True]
    assert "<sub>" not in "".join(line_of(md, "Mine+BGD", "|")), "without its base method there is none"


@both_tables
def test_methods_that_the_paper_lacks_compete_and_are_set_beside_nothing(tmp_path: Path, table: str) -> None:
    values = {"Finetune": 1, "GD": 50, "SimNPO": 63, "Mine": 62, "Goal": 100}
    scores = [write_score(tmp_path, method, "person", retain=value) for method, value in values.items()]
    paths = write_table(tmp_path, scores[::-1], table)
    assert [row["method"] for row in read_table(paths["csv"])] == list(values)
    md = paths["md"].read_text()
    assert [line_of(md, method, "|")[2] for method in ("SimNPO", "Mine")] == ["**63.0**", "<u>62.0</u>"]
    rows = select(read_table(paths["versus"]), method="SimNPO", metric="retain", target="person")
    assert {(row["kind"], row["ours"], row["published"], row["reason"]) for row in rows} == {
        ("value", "63.0", "", "published: no SimNPO at 5%")
    }


def test_numbers_are_rounded_once_where_they_are_printed(tmp_path: Path) -> None:
    """56.9474 is not 57.0 by way of 56.95. A gain is that of the numbers: 11.38, not 56.9 - 45.6."""
    values = {"GD": 45.0649, "GD+BGD": 56.4474}
    scores = [
        write_score(tmp_path, method, "person", seed, efficacy=value + seed - 1)
        for method, value in values.items()
        for seed in (1, 2)
    ]
    paths = write_table(tmp_path, scores, "table4")
    row = {row["method"]: row for row in read_table(paths["csv"])}["GD+BGD"]
    assert float(row["efficacy"]) == pytest.approx(56.9474, abs=1e-12)
    assert line_of(paths["md"].read_text(), "GD+BGD", "|")[0] == "**56.9 ± 0.7** <sub>+11.4</sub>"
    assert line_of(paths["tex"].read_text(), "GD+BGD", "&")[0] == r"\textbf{56.9 $\pm$ 0.7}$_{+11.4}$"


def test_numbers_and_names() -> None:
    assert [number(value) for value in (-0.001, 2.005, None, float("nan"))] == ["0.00", "2.00", "", ""]
    order = [
        "Finetune",
        "PO",
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


def test_every_method_has_its_own_look_and_its_own_grey() -> None:
    assert len({(one.colour, one.marker) for one in LOOKS.values()}) == len(LOOKS)
    greys = [
        sum(
            part * int(look(method).colour[at : at + 2], 16) for part, at in ((0.30, 1), (0.59, 3), (0.11, 5))
        )
        for method in UNLEARNING
    ]
    assert min(b - a for a, b in pairwise(sorted(greys))) > 15
    assert len({look(method).marker for method in METHODS}) == len(METHODS)
