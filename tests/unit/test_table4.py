"""Table IV: the paper's columns and rows, winners, gains, empty cells, seeds, and the published twin."""

from __future__ import annotations

import random
import re
from pathlib import Path
from statistics import fmean, stdev

import pytest
from scipy.stats import spearmanr

from mmunlearn.records import Metric, Scores, write_json
from mmunlearn.reporting.layout import TABLE4, TARGETS, read_table
from mmunlearn.reporting.tables import TableError, columns, make_table4

PUBLISHED = Path(__file__).parents[2] / "resources/published/pebench_table4.csv"
FIRST = "model,method,target,efficacy,generality,retain,real,world_fact"
RECIPES = {"Finetune": "finetuned", "Goal": "goal-both05"}
MADE_UP = {"Mine+BGD": 61.0, "NPO": 62.0, "SimNPO": 63.0, "GD": 50.0, "Goal": 100.0, "Finetune": 1.0}


def write_score(
    folder: Path, method: str, target: str, *, seed: int = 1, percent: int = 5, model: str = "pocket",
    **changed: Metric | float,
) -> Path:  # fmt: skip
    """Scores of one recipe on one split, as `score_answers` writes them; `changed` replaces metrics by name."""
    recipe = RECIPES.get(method, f"{method.lower()}-both{percent:02d}")
    rng = random.Random(f"{method} {target}")
    values = {name: rng.randrange(1, 1000) / 10 for name in (*TABLE4.metrics, "scope")} | changed
    metrics = {
        name: value if isinstance(value, Metric) else Metric(value=value, n=9, low=value - 2, high=value + 3)
        for name, value in values.items()
    }
    if target == "event":
        metrics["real_vs_finetuned"] = Metric(value=50.0, n=9)
    score = Scores(
        model=model, recipe=recipe, method=method, target=target, percent=percent, seed=seed, judge="local",
        metrics=metrics, details={}, digests={"answers": f"{recipe}-{seed}"}, versions={},
    )  # fmt: skip
    path = folder / model / recipe / f"seed-{seed}" / f"{target}{percent:02d}.json"
    write_json(path, score)
    return path


def write_scores(folder: Path, **changed) -> list[Path]:
    return [write_score(folder, method, target, **changed) for method in TABLE4.methods for target in TARGETS]


def table4(folder: Path, scores: list[Path], ceiling_seed: int | None = 101) -> dict[str, Path]:
    paths = {kind: folder / f"table4.{kind}" for kind in ("csv", "md", "tex")}
    paths |= {"versus": folder / "table4_vs_published.csv", "ceiling": folder / "table4_ceiling.csv"}
    outputs = {f"out_{name}": path for name, path in paths.items()}
    make_table4(scores, **outputs, published=PUBLISHED, ceiling_seed=ceiling_seed)
    return paths


def line_of(text: str, method: str, mark: str) -> list[str]:
    """The cells of a method's line in Markdown (`|`) or LaTeX (`&`)."""
    (line,) = [one for one in text.splitlines() if one.lstrip("| ").startswith(f"{method} {mark}")]
    return [cell.strip() for cell in line.strip("| ").removesuffix(r" \\").split(mark)][1:]


def test_columns_and_rows_are_those_of_the_paper(tmp_path):
    paths = table4(tmp_path, random.Random(1).sample(write_scores(tmp_path), 12))
    header = paths["csv"].read_text().splitlines()[0]
    assert header.startswith(FIRST + ",forget_percent,efficacy_std,")
    assert header == ",".join(columns(TABLE4)) and "scope" not in header
    rows = read_table(paths["csv"])
    published = [(row["method"], row["target"]) for row in read_table(PUBLISHED)[:12]]
    assert [(row["method"], row["target"]) for row in rows] == published
    assert {(row["model"], row["forget_percent"], row["reason"]) for row in rows} == {("pocket", "5", "")}
    assert [bool(row["real_vs_finetuned"]) for row in rows] == [False, True] * 6


def test_order_of_files_does_not_change_a_byte(tmp_path):
    scores = write_scores(tmp_path)
    first, second = table4(tmp_path / "a", scores), table4(tmp_path / "b", scores[::-1])
    for name, path in first.items():
        assert path.read_bytes() == second[name].read_bytes(), name


def test_the_best_and_the_second_are_marked_and_the_bounds_are_not(tmp_path):
    levels = {"Finetune": 99.0, "GD": 40.0, "GD+BGD": 46.3, "KL": 46.26, "KL+BGD": 44.0, "Goal": 100.0}
    scores = [
        write_score(tmp_path, method, target, retain=level)
        for method, level in levels.items()
        for target in TARGETS
    ]
    paths = table4(tmp_path, scores)
    md, tex = paths["md"].read_text(), paths["tex"].read_text()
    assert line_of(md, "GD+BGD", "|")[2] == "**46.3** <sub>+6.3</sub>"
    assert line_of(md, "KL", "|")[2] == "**46.3**", "values that print alike share their place"
    assert line_of(md, "KL+BGD", "|")[2] == "<u>44.0</u> <sub>−2.3</sub>", (
        "a gain is that of the printed numbers"
    )
    assert [line_of(md, method, "|")[2] for method in ("Finetune", "GD", "Goal")] == ["99.0", "40.0", "100.0"]
    assert line_of(tex, "GD+BGD", "&")[2] == r"\textbf{46.3}$_{+6.3}$"
    assert line_of(tex, "KL+BGD", "&")[2] == r"\underline{44.0}$_{-2.3}$"
    assert len(line_of(md, "GD", "|")) == len(line_of(tex, "GD", "&")) == 10
    assert tex.count("{") == tex.count("}") and not re.search(r"(?<!\\)%(?! Needs)", tex)
    assert tex.isascii() and "Table IV" in md


def test_the_papers_own_numbers_print_the_papers_gains(tmp_path):
    """Its `GD+BGD 93.2+6.3 92.5+6.5 11.2−1.8 54.3+25.7 77.3+5.9`."""
    scores = [
        write_score(
            tmp_path, method, "person", model="llava-1.5-7b",
            **{name: float(row[name]) for name in TABLE4.metrics},
        )
        for method, row in
        {one["method"]: one for one in read_table(PUBLISHED)[:12] if one["target"] == "person"}.items()
    ]  # fmt: skip
    cells = line_of(table4(tmp_path, scores)["md"].read_text(), "GD+BGD", "|")
    assert re.findall(r"[+−]\d+\.\d", " ".join(cells)) == ["+6.3", "+6.5", "−1.8", "+25.7", "+5.9"]
    assert cells[5:] == ["–"] * 5, "the event target was not scored"


def test_an_empty_cell_says_why_is_never_zero_and_has_no_gain(tmp_path):
    lost = Metric(value=None, n=0, missing=9, reason="all 9 judgements are missing")
    scores = [write_score(tmp_path, "GD", "event", efficacy=lost), write_score(tmp_path, "GD+BGD", "event")]
    paths = table4(tmp_path, scores)
    row = read_table(paths["csv"])[0]
    assert (row["efficacy"], row["efficacy_low"], row["efficacy_missing"]) == ("", "", "9")
    assert row["reason"] == "efficacy: all 9 judgements are missing"
    md = paths["md"].read_text()
    assert f"- GD, event: {row['reason']}" in md
    assert line_of(md, "GD", "|")[5] == "–"
    assert "<sub>" not in line_of(md, "GD+BGD", "|")[5] and "<sub>" in line_of(md, "GD+BGD", "|")[6]
    (versus,) = [
        one
        for one in read_table(paths["versus"])
        if (one["kind"], one["method"], one["target"], one["metric"]) == ("value", "GD", "event", "efficacy")
        and one["published_model"] == "llava-1.5-7b"
    ]
    assert (versus["ours"], versus["difference"]) == ("", "")
    assert versus["reason"] == "ours: all 9 judgements are missing"


def test_several_seeds_give_mean_and_deviation(tmp_path):
    values = {1: 20.0, 2: 23.5, 3: 31.0}
    scores = [
        write_score(tmp_path, method, "person", seed=seed, retain=value + shift)
        for seed, value in values.items()
        for method, shift in (("GD", 0), ("GD+BGD", 5))
    ]
    paths = table4(tmp_path, scores)
    row = read_table(paths["csv"])[0]
    assert (
        row["retain"] == f"{fmean(values.values()):.2f}"
        and row["retain_std"] == f"{stdev(values.values()):.2f}"
    )
    assert row["retain_low"] == f"{fmean(values.values()) - 2:.2f}"
    assert (row["retain_n"], row["seeds"], row["seed_list"]) == ("27", "3", "1 2 3")
    assert line_of(paths["md"].read_text(), "GD+BGD", "|")[2] == "**29.8 ± 5.6** <sub>+5.0</sub>"
    assert r"\textbf{29.8 $\pm$ 5.6}$_{+5.0}$" in paths["tex"].read_text()


def test_several_percents_stand_in_blocks_of_their_own(tmp_path):
    scores = [*write_scores(tmp_path / "a", percent=10), *write_scores(tmp_path / "b", percent=5)]
    paths = table4(tmp_path, scores)
    assert [row["forget_percent"] for row in read_table(paths["csv"])] == ["5"] * 12 + ["10"] * 12
    assert "## pocket (10% forget)" in paths["md"].read_text()
    unpublished = [row for row in read_table(paths["versus"]) if row["forget_percent"] == "10"]
    assert {row["reason"] for row in unpublished if row["method"] == "GD"} == {"published: no GD at 10%"}


def test_methods_of_ones_own_stand_before_goal_by_name(tmp_path):
    scores = [write_score(tmp_path, method, "person", retain=level) for method, level in MADE_UP.items()]
    paths = table4(tmp_path, scores)
    order = [row["method"] for row in read_table(paths["csv"])]
    assert order == ["Finetune", "GD", "NPO", "SimNPO", "Mine+BGD", "Goal"]
    md = paths["md"].read_text()
    assert line_of(md, "SimNPO", "|")[2] == "**63.0**" and line_of(md, "NPO", "|")[2] == "<u>62.0</u>"
    assert line_of(md, "Mine+BGD", "|")[2] == "61.0", "without its base method there is no gain"
    extra = {row["reason"] for row in read_table(paths["versus"]) if row["method"] == "SimNPO"}
    assert "published: no SimNPO at 5%" in extra


def test_versus_sets_a_pocket_model_beside_each_published_one(tmp_path):
    paths = table4(tmp_path, write_scores(tmp_path))
    ours = {(row["method"], row["target"]): row for row in read_table(paths["csv"])}
    theirs = {(row["model"], row["method"], row["target"]): row for row in read_table(PUBLISHED)}
    rows = read_table(paths["versus"])
    assert len(rows) == 2 * 2 * 5 * (6 + 2)
    for row in rows:
        place = (row["method"], row["target"])
        if row["kind"] == "value":
            published = float(theirs[row["published_model"], *place][row["metric"]])
            assert (float(row["published"]), row["ours"]) == (published, ours[place][row["metric"]])
            assert row["difference"] == "", "another model"
            continue
        methods = TABLE4.unlearning if row["kind"] == "spearman_unlearning" else TABLE4.methods
        pairs = [
            (float(ours[method, row["target"]][row["metric"]]),
             float(theirs[row["published_model"], method, row["target"]][row["metric"]]))
            for method in methods
        ]  # fmt: skip
        assert float(row["spearman"]) == pytest.approx(
            spearmanr(*zip(*pairs, strict=True)).statistic, abs=5e-5
        )
        assert row["rows"] == str(len(methods)) and len(TABLE4.unlearning) == 4


def test_versus_sets_a_published_model_beside_itself(tmp_path):
    paths = table4(tmp_path, write_scores(tmp_path, model="llama-3.2-vision-11b"))
    rows = read_table(paths["versus"])
    assert {row["published_model"] for row in rows} == {"llama-3.2-vision-11b"}
    for row in rows:
        if row["kind"] == "value":
            assert float(row["difference"]) == pytest.approx(
                float(row["ours"]) - float(row["published"]), abs=6e-3
            )


def test_the_ceiling_is_printed_below_goal_and_stands_apart_as_data(tmp_path):
    scores = write_scores(tmp_path)
    before = table4(tmp_path, scores)["csv"].read_bytes()
    scores += [write_score(tmp_path, "Goal", target, seed=101, retain=91.5) for target in TARGETS]
    paths = table4(tmp_path, scores)
    assert paths["csv"].read_bytes() == before, "neither rows nor numbers of the table change"
    ceiling = read_table(paths["ceiling"])
    assert [(row["method"], row["target"], row["retain"]) for row in ceiling] == [
        ("Goal", "person", "91.50"), ("Goal", "event", "91.50"),
    ]  # fmt: skip
    for kind, mark in (("md", "|"), ("tex", "&")):
        text = paths[kind].read_text()
        assert "another seed" in text and line_of(text, "Goal, seed 101", mark)[2] == "91.5"
        assert text.index("Goal, seed 101 ") > text.index("Goal " + mark)
    assert "Seeds: 1. " in paths["md"].read_text()


def test_errors_say_what_to_do(tmp_path):
    with pytest.raises(TableError, match=r"Asked for Table IV\. Found no scores\. Name a percent"):
        table4(tmp_path, [])
    both = write_score(tmp_path, "GD", "person")
    with pytest.raises(TableError, match=r"Found seeds \[1, 1\].*only recipes of Table IV.*label of its own"):
        table4(tmp_path, [both, both])
