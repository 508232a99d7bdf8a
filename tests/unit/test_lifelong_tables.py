"""Tables of tasks: pooling, best, the published twin, orders, classes, costs, undoing, and what readers see."""

from __future__ import annotations

import random
import re
from pathlib import Path
from statistics import fmean, stdev

import pytest
from scipy.stats import spearmanr

from mmunlearn.lifelong.scores import ALL, StageScores
from mmunlearn.records import Answer, RecordError, read_json, read_jsonl, write_jsonl
from mmunlearn.reporting.layout import read_table, select, values
from mmunlearn.reporting.lifelong_cells import header, names_of, task_columns
from mmunlearn.reporting.lifelong_typeset import panels
from mmunlearn.reporting.tables import TableError
from mmunlearn.tasks import TaskSequence
from tests.matrix_check import check_matrix
from tests.unit.lifelong_fixtures import (
    BABBLE,
    LABELS,
    MODEL,
    REFUSAL,
    REFUSALS,
    TABLES,
    TASKS,
    drawn,
    make_tables,
    score,
    scored,
    write_answers,
    write_run,
    write_training,
)

COLUMNS = ["A-UA", "A-UB", "A-UC", "B-UB", "B-UC", "C-UC"]


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """Eight methods and two seeds, three of them in another order, too, with their tables."""
    results = tmp_path_factory.mktemp("run")
    write_run(results)
    write_run(results, methods=("ga", "po", "lumoe"), tasks=["C", "A", "B"])
    make_tables(results)
    return results


def table(results: Path, name: str) -> list[dict[str, str]]:
    return read_table(results / "tables" / f"{name}.csv")


def test_every_number_of_the_matrix_is_that_of_its_files(run: Path) -> None:
    assert check_matrix(run, REFUSALS, "ABC") == len(LABELS) * 4 * len(COLUMNS)


def test_columns_and_rows_are_in_the_papers_order(run: Path) -> None:
    text = (run / "tables" / "mlubench.csv").read_text().splitlines()[0]
    assert text.startswith(f"model,method,metric,{','.join(COLUMNS)},A-UA_std,A-UA_low,A-UA_high,A-UA_n,")
    assert text.endswith(",seeds,seed_list,judge,missing_pictures,digest,reason")
    four = header(("model", "method", "metric"), names_of(task_columns("ABCD")))
    assert list(four[:13]) == list(read_table("resources/published/mlubench_tables_2_and_23.csv")[0])[1:]
    rows = table(run, "mlubench")
    assert [row["method"] for row in rows[::4]] == list(LABELS.values())
    assert [row["metric"] for row in rows[:4]] == ["forget", "utility", "knows", "degenerate"]
    assert {(row["seed_list"], row["judge"], row["missing_pictures"], row["reason"]) for row in rows} == {
        ("1 2", "local", "10 of 400", "")
    }


def test_seeds_give_mean_deviation_and_the_width_of_one(run: Path) -> None:
    (row,) = select(table(run, "mlubench"), method="GD", metric="forget")
    cells = [
        read_json(run / "lifelong" / MODEL / "gd" / "ABC" / f"seed-{seed}" / "scores.json", StageScores).at[
            "A", "forget", "B", "forget", ALL
        ]
        for seed in (1, 2)
    ]
    found = [float(row[f"A-UB{part}"]) for part in ("", "_std", "_low", "_high")]
    assert found == pytest.approx([
        fmean(cell.value for cell in cells), stdev(cell.value for cell in cells),
        fmean(cell.low for cell in cells), fmean(cell.high for cell in cells),
    ])  # fmt: skip
    assert (row["A-UB_n"], row["A-UB_left_out"], row["A-UB_clusters"]) == ("24", "2", "6")


def test_order_of_files_does_not_change_a_byte(run: Path, tmp_path: Path) -> None:
    before = {path.name: path.read_bytes() for path in (run / "tables").iterdir()}
    paths = sorted((run / "lifelong").glob("*/*/*/seed-*/scores.json"))
    make_tables(run, scores=random.Random(1).sample(paths, len(paths)))
    assert {path.name: path.read_bytes() for path in (run / "tables").iterdir()} == before


def test_one_model_that_leads_is_bold_and_references_never_are(run: Path) -> None:
    rows = table(run, "mlubench")
    for metric in ("forget", "utility"):
        best = {row["method"] for row in select(rows, metric=metric) if row["A-UB_place"] == "best"}
        assert best == {"LUMoE"}
    assert not any(row[f"{column}_place"] for row in select(rows, method="Base") for column in COLUMNS)
    assert not any(row[f"{column}_place"] for row in select(rows, metric="knows") for column in COLUMNS)
    (row,) = select(rows, method="PO", metric="forget")
    assert 0.9 < float(row["A-UA"]) < 1 and row["A-UA_place"] == "tied"
    text = (run / "tables" / "mlubench.md").read_text()
    assert "| LUMoE | Forget | **1.000 ± 0.000** |" in text and "| Base | Forget | 0." in text
    assert f"| PO | Forget | {float(row['A-UA']):.3f} ± " in text
    assert "No methods, and never bold: Base." in text
    for said in (
        "Forget quality is the rejection rating",
        "utility the correctness rating",
        "Widths of intervals do",
        "LUMoE forgets nothing: the base still knows (lifelong_undo.csv).",
        "no method is where all have",
    ):
        assert text.index(said) < text.index("| Method |"), said  # fmt: skip
    assert r"LUMoE & Forget & \textbf{1.000 $\pm$ 0.000} &" in (run / "tables" / "mlubench.tex").read_text()


def test_methods_that_are_printed_alike_share_bold_and_where_all_are_nobody_has_it(tmp_path: Path) -> None:
    """GA and GD say the same in task A, and babble apart from that; KL is behind."""

    def says(method: str, seed: int):
        def of(row, stage):
            refuses = method != "kl" and row.task == "A" and row.role == "forget"
            return (REFUSAL, 2) if refuses else (BABBLE, 0)

        return of

    write_run(tmp_path, seeds=(1,), methods=("ga", "gd", "kl"), says=says)
    make_tables(tmp_path)
    rows = select(table(tmp_path, "mlubench"), metric="forget")
    assert [row["A-UA_place"] for row in rows] == ["best", "best", ""]
    assert [row["B-UB_place"] for row in rows] == ["", "", ""]
    assert [row["A-UA_std"] for row in rows] == ["", "", ""]
    text = (tmp_path / "tables" / "mlubench.md").read_text()
    assert "| GD | Forget | **1.000** |" in text and "± is the standard deviation" not in text
    ranks = {
        row["column"]: row
        for row in select(table(tmp_path, "mlubench_ranks"), whose="ours", published_model="llava-v1.6-7b",
                          metric="forget", methods="baselines")
    }  # fmt: skip
    assert float(ranks["A-UA"]["spearman"]) == pytest.approx(
        spearmanr([1, 1, 0], [0.38, 0.33, 0.28]).statistic
    )
    assert (ranks["A-UA"]["n"], ranks["A-UA"]["apart"]) == ("3", "2 of 3")
    found = [ranks["B-UB"][name] for name in ("spearman", "apart", "reason")]
    assert found == ["", "0 of 3", "ours is constant (0)"]


def test_pairs_of_methods_have_paired_differences(run: Path) -> None:
    rows = table(run, "mlubench_differences")
    assert len(rows) == 8 * 7 // 2 * 2 * len(COLUMNS)
    (row,) = select(rows, metric="utility", column="A-UA", method="NPO", other="LUMoE")
    assert -1 <= float(row["low"]) <= float(row["difference"]) <= float(row["high"]) < 0
    matrix = {one["method"]: float(one["A-UA"]) for one in select(table(run, "mlubench"), metric="utility")}
    assert float(row["difference"]) == pytest.approx(matrix["NPO"] - matrix["LUMoE"])
    assert (row["clusters"], row["seeds"], row["reason"]) == ("6", "2", "")


def test_a_pocket_model_stands_beside_each_published_one(run: Path) -> None:
    rows = table(run, "mlubench_vs_published")
    assert values(rows, "published_model") == ["llava-v1.6-7b", "llava-v1.6-13b", "qwen3-vl-4b-instruct"]
    assert not any(row["difference"] for row in rows)
    (row,) = select(rows, published_model="llava-v1.6-13b", metric="utility", column="B-UC", method="KL")
    assert (row["published"], row["reason"]) == ("0.116", "another model: levels do not compare")
    (row,) = select(
        rows, published_model="qwen3-vl-4b-instruct", metric="forget", column="A-UA", method="NPO"
    )
    assert (row["published"], row["reason"]) == ("", "published: no NPO in A-UA")


def test_a_model_of_the_paper_differs_from_its_twin_alone(tmp_path: Path) -> None:
    write_run(tmp_path, seeds=(1,), methods=("ga", "lumoe"))
    published = tmp_path / "published.csv"
    published.write_text(
        f"table,model,method,metric,{','.join(COLUMNS)}\n"
        + "".join(f"2,{MODEL},{method},{metric},0.5,0,0,0,0,0\n" for method in ("GA", "LUMoE")
                  for metric in ("forget", "utility"))
        + "2,other,GA,forget,0,0,0,0,0,0\n"
    )  # fmt: skip
    make_tables(tmp_path, published)
    rows = table(tmp_path, "mlubench_vs_published")
    assert values(rows, "published_model") == [MODEL]
    (row,) = select(rows, metric="forget", column="A-UA", method="LUMoE")
    assert [float(row[name]) for name in ("ours", "published", "difference")] == [1.0, 0.5, 0.5]
    assert row["reason"] == ""


def test_rank_correlations_say_how_many_methods_they_rest_on(run: Path) -> None:
    rows = table(run, "mlubench_ranks")
    assert "p" not in rows[0] and {row["whose"] for row in rows} == {"ours", "paper"}
    (row,) = select(
        rows, whose="ours", published_model="llava-v1.6-7b", metric="utility", column="A-UA", methods="all"
    )
    assert row["n"] == "5" and -1 <= float(row["spearman"]) <= 1
    (row,) = select(
        rows,
        whose="ours",
        published_model="qwen3-vl-4b-instruct",
        metric="forget",
        column="A-UA",
        methods="baselines",
    )
    assert (row["n"], row["spearman"]) == ("2", "") and "fewer than 3 have no order" in row["reason"]
    (row,) = select(
        rows, whose="paper", model="llava-v1.6-7b", published_model="llava-v1.6-13b", metric="forget", column="A-UA",
        methods="baselines",
    )  # fmt: skip
    assert row["n"] == "4" and float(row["spearman"]) == pytest.approx(0.8)


def test_untouched_entities_and_classes_have_tables_of_their_own(run: Path) -> None:
    rows = table(run, "lifelong_untouched")
    assert list(rows[0])[:8] == ["model", "method", "metric", "role", "entity_class", "UA", "UB", "UC"]
    assert {row["metric"] for row in rows} == {"utility", "knows", "degenerate"}
    (row,) = select(rows, method="LUMoE", metric="utility", entity_class="all")
    assert (row["UA"], row["UA_n"], row["UA_left_out"]) == ("1.0", "34", "1")
    rows = select(table(run, "lifelong_classes"), method="GA", metric="forget")
    assert [row["entity_class"] for row in rows] == ["all", "mean of classes", "Animals", "Personage"]
    (matrix,) = select(table(run, "mlubench"), method="GA", metric="forget")
    cell = {row["entity_class"]: float(row["A-UB"]) for row in rows}
    assert (
        cell["all"]
        == float(matrix["A-UB"])
        == pytest.approx((4 * cell["Animals"] + 8 * cell["Personage"]) / 12)
    )
    assert cell["mean of classes"] == pytest.approx((cell["Animals"] + cell["Personage"]) / 2)


def test_orders_are_means_over_the_last_stage_and_over_all(run: Path) -> None:
    rows = table(run, "lifelong_orders")
    assert values(rows, "order") == ["ABC", "CAB"] and len(rows) == 2 * (len(LABELS) + 3)
    (row,) = select(rows, method="PO", order="ABC", metric="utility")
    (matrix,) = select(table(run, "mlubench"), method="PO", metric="utility")
    assert float(row["all"]) == pytest.approx(fmean(float(matrix[column]) for column in COLUMNS))
    assert float(row["last"]) == pytest.approx(
        fmean(float(matrix[column]) for column in ("A-UC", "B-UC", "C-UC"))
    )
    assert float(row["all_low"]) < float(row["all"]) < float(row["all_high"])
    assert (row["all_n"], row["last_n"], row["all_clusters"]) == ("140", "70", "18")


def test_costs_grow_by_an_adapter_a_task_for_experts_alone(run: Path) -> None:
    rows = table(run, "lifelong_cost")
    assert {row["method"] for row in rows} == set(LABELS.values()) - {"Base"}
    names = (
        "tasks",
        "stage",
        "steps",
        "stop_reason",
        "seconds",
        "seconds_so_far",
        "adapters",
        "adapter_bytes",
    )
    found = {
        method: [
            [row[name] for name in (*names, "memory_bytes")]
            for row in select(rows, method=method, order="CAB", seed="2")
        ]
        for method in ("LUMoE", "GA")
    }
    assert found["LUMoE"] == [
        ["1", "C", "0", "end of C", "0.25", "0.25", "1", "1000", "51200"],
        ["2", "A", "30", "end of A", "1.5", "1.75", "2", "2000", "52400"],
        ["3", "B", "20", "end of B", "0.5", "2.25", "3", "3000", "53600"],
    ]
    assert found["GA"][2] == ["3", "B", "20", "end of B", "0.5", "2.25", "1", "1000", "51200"]
    assert "| GA, stopped | 1 | 30 | 20 | 0 |" in (run / "tables" / "mlubench.md").read_text()


def test_an_expert_that_is_dropped_gives_back_what_was_known(tmp_path: Path) -> None:
    """With its expert A is known again after C; dropped, of B the people alone are still refused: 8 of 14 questions."""

    def says(method: str, seed: int):
        return lambda row, stage: (row.answer, 0) if (row.task, stage) == ("A", "C") else (REFUSAL, 2)

    write_run(tmp_path, seeds=(1,), methods=("base", "lumoe"), says=says)
    make_tables(tmp_path)
    rows = table(tmp_path, "lifelong_undo")
    assert [(row["method"], row["task"], row["n"]) for row in rows] == [
        ("LUMoE", "A", "12"), ("LUMoE", "B", "14"), ("LUMoE", "C", "14")
    ]  # fmt: skip
    assert [float(row["before"]) for row in rows] == [1.0] * 3
    assert [float(row["with_expert"]) for row in rows] == [1.0, 0.0, 0.0]
    assert [float(row["without_expert"]) for row in rows] == pytest.approx([1.0, 6 / 14, 1.0])
    assert {row["missing_pictures"] for row in rows} == {"10 of 400"}
    (matrix,) = select(table(tmp_path, "mlubench"), method="LUMoE", metric="forget")
    assert matrix["B-UB"] == "1.0" and matrix["B-UB_place"] == "", "nobody is best who is alone"
    assert all(float(row["low"]) < float(row["without_expert"]) <= float(row["high"]) <= 1 for row in rows)


def test_what_may_not_be_concluded_is_said_below_the_table(run: Path) -> None:
    text = (run / "tables" / "mlubench.md").read_text()
    said = text[text.index("## What may not be concluded") :]
    rows = select(table(run, "mlubench_differences"), method="GD", other="KL", metric="utility")
    ahead = [sum(float(row["low"]) > 0 for row in rows), sum(float(row["high"]) < 0 for row in rows)]
    counted = f"utility: GD is ahead in {ahead[0]}, KL in {ahead[1]}, neither in {6 - sum(ahead)} of 6 cells"
    assert "- GD against KL: no ranking" in said and counted in said
    assert "- GA against NPO: no ranking" in said and "modality gap's change" in said
    assert (
        "Rank correlations with the published tables (mlubench_ranks.csv) rest on few methods (3 to 5): noise"
        in said
    )


def test_counts_seeds_and_judge_are_in_both_captions(run: Path) -> None:
    for name in ("md", "tex"):
        text = re.sub(r"[{}$\\]", "", (run / "tables" / f"mlubench.{name}").read_text())
        assert "Training seeds: 1 2. Judge: local." in text
        assert "Answers a cell, over seeds: forget A 24, B 28, C 28; utility A 24, B 22, C 24." in text
        assert "could not answer them before: 3 test questions" in text
        assert "Pictures missing: 10 of 400" in text
        assert (
            "No rating is missing. The local judge compares words: it takes a right answer in other words"
            in text
        )


def digests_of(results: Path) -> dict[tuple[str, ...], str]:
    """Table and a row's keys -> its digest, of all tables."""
    found = {}
    for path in make_tables(results).values():
        for row in read_table(path) if path.suffix == ".csv" else []:
            theirs = row.get("whose") == "paper" or "not in this run" in row.get("reason", "")
            assert row["missing_pictures"] == ("" if theirs else "10 of 400"), path.name
            assert re.fullmatch("[0-9a-f]{16}", row["digest"]), path.name
            key = (path.stem, *(row[name] for name in KEYS if row.get(name)))
            assert key not in found
            found[key] = row["digest"]
    return found


KEYS = (
    *(
        "whose",
        "model",
        "published_model",
        "method",
        "other",
        "metric",
        "column",
        "methods",
        "role",
        "entity_class",
    ),
    *("order", "seed", "stage", "task"),
)


def test_every_row_says_of_how_many_pictures_and_of_which_inputs_it_is(tmp_path: Path) -> None:
    """Where GD answers otherwise, the rows that rest on it alone have other digests; likewise of a last expert."""
    write_run(tmp_path, seeds=(1,), methods=("ga", "gd", "lumoe"))
    before = digests_of(tmp_path)
    assert {f"{key[0]}.csv" for key in before} == {name for name in TABLES.values() if name.endswith("csv")}
    scored(tmp_path, drawn("other"), "gd", "GD")
    after = digests_of(tmp_path)
    of_gd = {key for key in before if "GD" in key or key[:2] == ("mlubench_ranks", "ours")}
    changed = {key for key in before if after[key] != before[key]}
    assert changed == {key for key in of_gd if key[0] != "lifelong_cost"}
    write_training(
        tmp_path / "lifelong" / MODEL / "experts" / "seed-1", "C", seconds=9.0, peak_memory_gb=0.75
    )
    assert digests_of(tmp_path) == after, "what was timed is not what was made"
    write_training(tmp_path / "lifelong" / MODEL / "experts" / "seed-1", "C", steps=9)
    later = digests_of(tmp_path)
    changed = {key for key in after if later[key] != after[key]}
    assert changed == {("lifelong_cost", MODEL, "LUMoE", "ABC", "1", "C")}
    undo = tmp_path / "lifelong" / MODEL / "lumoe" / "ABC" / "seed-1" / "undo.jsonl"
    write_jsonl(undo, [row.model_copy(update={"answer": "?"}) for row in read_jsonl(undo, Answer)])
    assert {key[0] for key, digest in digests_of(tmp_path).items() if digest != later[key]} == {
        "lifelong_undo"
    }


def test_sizes_of_adapters_are_those_of_the_files_that_the_rule_names(run: Path) -> None:
    with pytest.raises(KeyError):
        make_tables(run, adapters=[])


def test_more_columns_than_fit_are_set_in_several_tables() -> None:
    four, twenty = panels(task_columns("ABCD")), panels(task_columns([f"T{n}" for n in range(20)]))
    assert [names_of(panel) for panel in four] == [names_of(task_columns("ABCD"))]
    assert sum(map(len, twenty)) == 210 and max(map(len, twenty)) == 12
    assert names_of(twenty[0])[:2] == ["T0-UT0", "T0-UT1"]


def test_missing_ratings_leave_a_dash_and_a_reason(tmp_path: Path) -> None:
    def says(method: str, seed: int):
        model = drawn(seed)
        return lambda row, stage: (
            model(row, stage)[0],
            None if method == "gd" and row.role == "retain" else 1,
        )

    write_run(tmp_path, seeds=(1, 2), methods=("ga",), says=says)
    for seed in (1, 2):
        sequence = TaskSequence(MODEL, "gd", "ABC", seed)
        folder = write_answers(tmp_path, sequence, TASKS, says("gd", seed))
        score(tmp_path, sequence, label="GD", max_missing_share=1.0)
        for task in TASKS:
            write_training(folder, task)
    make_tables(tmp_path)
    (row,) = select(table(tmp_path, "mlubench"), method="GD", metric="utility")
    assert (row["A-UA"], row["A-UA_n"], row["A-UA_missing"]) == ("", "0", "24")
    assert row["reason"].startswith("A-UA: all 12 ratings are missing; A-UB: ")
    text = (tmp_path / "tables" / "mlubench.md").read_text()
    assert "|  | Utility | – | – |" in text and "- GD, utility: A-UA: all 12 ratings are missing" in text
    assert "Ratings missing: 140." in text
    (row,) = select(table(tmp_path, "lifelong_orders"), method="GD", metric="utility")
    assert row["all"] == "" and row["reason"].startswith("last: no value in A-UC, B-UC, C-UC")
    assert check_matrix(tmp_path, REFUSALS, "ABC") == 2 * 4 * 6 - 6


def test_scores_that_make_no_table_are_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"Asked for the matrix of order BAC\. Found scores of 22 sequences"):
        make_tables(run, order="BAC")
    paths = sorted((run / "lifelong").glob("*/*/*/seed-*/scores.json"))
    with pytest.raises(TableError, match=r"a seed of Base, ABC, of pocket-llava\. Found seeds \[1, 1"):
        make_tables(run, scores=[*paths, paths[0]])
    moved = tmp_path / "lifelong" / MODEL / "kl" / "ABC" / "seed-1" / "scores.json"
    moved.parent.mkdir(parents=True)
    moved.write_bytes(paths[0].read_bytes())
    with pytest.raises(
        RecordError, match=r"scores of pocket-llava/kl/ABC/seed-1\. Found those of pocket-llava/base"
    ):
        make_tables(run, scores=[moved])
    undo = tmp_path / "lifelong" / MODEL / "lumoe" / "ABC" / "seed-1" / "undo.jsonl"
    undo.parent.mkdir(parents=True)
    whole = run / "lifelong" / MODEL / "lumoe" / "ABC" / "seed-1" / "undo.jsonl"
    write_jsonl(undo, read_jsonl(whole, Answer)[1:])
    with pytest.raises(RecordError, match=r"for the 12 answers on what task A forgets\. Found 11"):
        make_tables(run, undo=[undo])
