"""Where gates send pictures: shares counted anew by hand, intervals, and what is refused."""

from __future__ import annotations

import pytest

from mmunlearn.evaluation.intervals import cluster_sums, interval
from mmunlearn.files import RecordError
from mmunlearn.lifelong.gate_accuracy import gate_rows
from mmunlearn.lifelong.routing import Route
from mmunlearn.records import write_jsonl
from mmunlearn.reporting.layout import read_table, select
from mmunlearn.reporting.lifelong_gate import COLUMNS, make_lifelong_gate
from mmunlearn.reporting.tables import TableError
from mmunlearn.seeds import derive_seed
from mmunlearn.tasks import shown_after
from tests.unit.lifelong_fixtures import write_statistics
from tests.unit.lumoe_fixtures import ORDER, world

LABELS = {"ga": "GA", "lumoe-oracle": "LUMoE, oracle gate", "lumoe": "LUMoE"}
GATES = {"lumoe": "vlm", "lumoe-oracle": "oracle"}


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    return world(tmp_path_factory.mktemp("pictures"), pictures=2)


def routes_of(rows, experts, problems=()):
    """Entity -> expert; the base's where it is not named."""
    return [
        Route(
            question_id=row.question_id, expert=experts.get(row.entity, ""),
            problem="the reply is a refusal" if row.entity in problems else "",
        )
        for row in rows
    ]  # fmt: skip


EXPERTS = {"red fox": "A", "Ada Lund": "B", "bus": "B", "Bo Ek": "A", "nobody": "B"}
"""Of the four forgotten entities two are sent rightly, one wrongly, and Mira Okonjo stays with the base."""


def after_b(rows):
    return shown_after(rows, ORDER, "B")


def test_shares_are_of_pictures_by_set_and_class(rows):
    known = {row.question_id: row for row in rows}
    routes = routes_of(after_b(rows), EXPERTS, ["Mira Okonjo"])
    found = {(row.role, row.entity_class): row for row in gate_rows(routes, known, seed=1, resamples=100)}
    shares = {key: {name: one.value for name, one in row.shares.items()} for key, row in found.items()}
    assert shares == {
        ("forget", ""): {"right": 0.5, "wrong": 0.25, "base": 0.25},
        ("forget", "Animals"): {"right": 1, "wrong": 0, "base": 0},
        ("forget", "Personage"): {"right": 0, "wrong": 0.5, "base": 0.5},
        ("forget", "Vehicles"): {"right": 1, "wrong": 0, "base": 0},
        ("retain", ""): {"wrong": 0.5, "base": 0.5},
        ("retain", "Animals"): {"wrong": 0, "base": 1},
        ("retain", "Personage"): {"wrong": 1, "base": 0},
        ("untouched", ""): {"wrong": 0, "base": 1},
        ("stranger", ""): {"wrong": 1, "base": 0},
    }
    sizes = {
        key: (row.shares["base"].n, row.shares["base"].clusters, row.unusable) for key, row in found.items()
    }
    assert sizes["forget", ""] == (4, 4, 1) and sizes["retain", ""] == (2, 2, 0)
    assert sizes["untouched", ""] == (2, 1, 0), "two pictures of one owl, asked two questions each"
    sums = cluster_sums([1, 0, 1, 0], ["red fox", "Ada Lund", "bus", "Mira Okonjo"])
    low, high = interval(sums, seed=1, resamples=100, ends=(0, 1))
    right = found["forget", ""].shares["right"]
    assert (right.low, right.high) == (low, high) and 0 < low < 0.5 < high < 1


def test_entities_of_one_name_in_two_classes_are_two(rows):
    """As in scores and drift: intervals are over them."""
    named = [row.model_copy(update={"entity": "red fox"}) if row.entity == "bus" else row for row in rows]
    routes = routes_of(after_b(rows), EXPERTS)
    found = gate_rows(routes, {row.question_id: row for row in named}, seed=1, resamples=100)
    assert found == gate_rows(routes, {row.question_id: row for row in rows}, seed=1, resamples=100)
    assert found[0].shares["right"].clusters == 4


def test_routes_of_other_questions_and_pictures_on_two_ways_are_refused(rows):
    known = {row.question_id: row for row in after_b(rows)}
    with pytest.raises(RecordError, match="question C-forget-1 is asked for, but the model has no such"):
        gate_rows(routes_of(shown_after(rows, ORDER, "C"), {}), known, seed=1, resamples=9)
    routes = routes_of(after_b(rows), EXPERTS)
    routes[0] = routes[0].model_copy(update={"expert": "B"})
    with pytest.raises(
        RecordError, match=r"picture Animals/red fox/0\.png is asked for, but its questions go to several"
    ):
        gate_rows(routes, known, seed=1, resamples=9)


@pytest.fixture
def make(tmp_path, rows):
    write_jsonl(tmp_path / "m" / "questions.jsonl", rows)

    def run(paths, questions=("m",)):
        make_lifelong_gate(
            routes=paths, questions=[tmp_path / name / "questions.jsonl" for name in questions],
            statistics=write_statistics(tmp_path / "statistics.json"),
            csv=tmp_path / "gate.csv", md=tmp_path / "gate.md", orders={"ABC": ORDER, "CAB": ["C", "A", "B"]},
            labels=LABELS, gates=GATES, bootstrap=50,
        )  # fmt: skip
        return read_table(tmp_path / "gate.csv")

    def write(method, order, seed, task, routes):
        path = tmp_path / "m" / method / order / f"seed-{seed}" / task / "routes.jsonl"
        write_jsonl(path, routes)
        return path

    run.write, run.folder = write, tmp_path
    return run


def test_a_row_a_method_order_stage_and_set_pooled_over_seeds(make, rows):
    """Right .5 in seed 1 and 1.0 in seed 2; methods as the labels are ordered, stages as their order's tasks."""
    told = {"red fox": "A", "Ada Lund": "A", "bus": "B", "Mira Okonjo": "B"}
    paths = [make.write("lumoe", "ABC", 2, "B", routes_of(after_b(rows), told))]
    paths += [make.write("lumoe", "ABC", 1, "B", routes_of(after_b(rows), EXPERTS))]
    paths += [
        make.write("lumoe", "CAB", 1, task, routes_of(shown_after(rows, "CAB", task), {})) for task in "BAC"
    ]
    paths += [make.write("lumoe-oracle", "ABC", 1, "B", routes_of(after_b(rows), told))]
    table = make(paths)
    assert tuple(table[0]) == COLUMNS
    places = dict.fromkeys((row["method"], row["gate"], row["order"], row["stage"]) for row in table)
    assert list(places) == [
        ("LUMoE, oracle gate", "oracle", "ABC", "B"), ("LUMoE", "vlm", "ABC", "B"),
        *(("LUMoE", "vlm", "CAB", task) for task in "CAB"),
    ]  # fmt: skip
    [row] = select(table, method="LUMoE", order="ABC", set="forget", entity_class="")
    assert (row["right"], row["wrong"], row["base"]) == ("0.75", "0.125", "0.125")
    assert float(row["right_std"]) == pytest.approx(0.5 / 2**0.5)
    known = {one.question_id: one for one in rows}
    ends = [
        gate_rows(
            routes_of(after_b(rows), experts), known, seed=derive_seed(seed, "bootstrap"), resamples=50
        )[0]
        for seed, experts in ((1, EXPERTS), (2, told))
    ]
    assert float(row["right_low"]) == pytest.approx(sum(one.shares["right"].low for one in ends) / 2)
    assert (row["n"], row["clusters"], row["seeds"], row["seed_list"]) == ("8", "4", "2", "1 2")
    assert row["missing_pictures"] == "10 of 400"
    [retain] = select(table, method="LUMoE", order="ABC", set="retain", entity_class="")
    assert (retain["right"], retain["wrong"], retain["base"]) == ("", "0.25", "0.75")
    again = make(paths[::-1])
    assert again == table, "in whatever order the files are named"
    make.write("lumoe", "ABC", 2, "B", routes_of(after_b(rows), EXPERTS))
    [other] = select(make(paths), method="LUMoE", order="ABC", set="forget", entity_class="")
    assert other["digest"] != row["digest"]


def test_the_printed_table_shows_stages_and_classes(make, rows):
    make([make.write("lumoe", "ABC", 1, "B", routes_of(after_b(rows), EXPERTS))])
    lines = (make.folder / "gate.md").read_text().splitlines()
    [whole] = [line for line in lines if line.startswith("| LUMoE, B |")]
    shares = [cell.split()[0] for cell in whole.strip("| ").split(" | ")[1:]]
    assert shares == ["0.50", "0.25", "0.25", "0.50", "1.00", "0.00"], (
        "what is left is of strangers' other pictures"
    )
    assert any("chosen because the base knows them" in line for line in lines)
    assert any(line.endswith("Pictures missing: 10 of 400; their questions are not in.") for line in lines)
    [people] = [line for line in lines if line.startswith("| LUMoE, Personage |")]
    assert people.split(" | ")[5] == "–", "no untouched person"


def test_without_a_gate_the_table_has_no_row(make):
    assert make([]) == []
    assert (make.folder / "gate.md").read_text().endswith("No row of `lifelong.lumoe` has a gate.\n")


def test_a_model_without_questions_is_named(make, rows):
    path = make.write("lumoe", "ABC", 1, "B", routes_of(after_b(rows), {}))
    with pytest.raises(TableError, match=r"questions of m, .*Found those of no model"):
        make([path], questions=())
