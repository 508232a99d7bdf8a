"""Paper: the run's configuration, Table III with ceiling and comparison, the figure, and the report."""

from __future__ import annotations

import re
from collections import Counter

import yaml
from PIL import Image

from mmunlearn.records import Person, Scores, read_json, read_jsonl, sha256_of
from mmunlearn.reporting.layout import METRICS, read_table
from tests.rules.mini import scored
from tests.rules.standin import ROOT


def expected(world, *, ceiling):
    """(method, target) -> the six metrics with all their digits, from the score files."""
    cells = {}
    for model, recipe, seed, split in map(dict.values, scored(world)):
        path = world.results / "scores" / model / recipe / f"seed-{seed}" / f"{split}.json"
        scores = read_json(path, Scores)
        if (seed == world.config["ceiling_seed"]) == ceiling:
            cells[scores.method, scores.target] = [repr(scores.metrics[name].value) for name in METRICS]
    return cells


def test_the_run_config_is_the_merged_configuration(published):
    text = (published.results / "run_config.yaml").read_text(encoding="utf-8")
    assert yaml.safe_load(text) == published.config


def test_table3_holds_the_scores_of_every_recipe(published):
    rows = read_table(published.results / "tables" / "table3.csv")
    cells = {(row["method"], row["target"]): [row[name] for name in METRICS] for row in rows}
    assert cells == expected(published, ceiling=False)
    assert list(cells) == [(m, t) for m in ("Finetune", "GA", "DPO", "Goal") for t in ("person", "event")]
    assert {(row["model"], row["forget_percent"], row["seed_list"]) for row in rows} == {("tiny", "15", "1")}


def test_the_ceiling_is_the_goal_model_of_the_other_seed(published):
    rows = read_table(published.results / "tables" / "table3_ceiling.csv")
    cells = {(row["method"], row["target"]): [row[name] for name in METRICS] for row in rows}
    assert cells == expected(published, ceiling=True)
    assert {(row["method"], row["seed_list"]) for row in rows} == {("Goal", "101")}


def test_markdown_and_latex_print_the_same_numbers_to_one_decimal(published):
    cells = [f"{float(cell):.1f}" for row in expected(published, ceiling=False).values() for cell in row]
    for name in ("table3.md", "table3.tex"):
        text = (published.results / "tables" / name).read_text(encoding="utf-8")
        assert Counter(re.findall(r"\d+\.\d", text)) >= Counter(cells)


def test_the_comparison_sets_every_method_beside_the_paper(published):
    paper = {
        (row["model"], row["target"]): row
        for row in read_table(ROOT / "resources" / "published" / "pebench_table3.csv")
        if (row["method"], row["forget_percent"]) == ("GA", "15")
    }
    ours = expected(published, ceiling=False)
    rows = read_table(published.results / "tables" / "table3_vs_published.csv")
    compared = [row for row in rows if row["kind"] == "value" and row["method"] == "GA"]
    assert len(compared) == len(paper) * len(METRICS)
    for row in compared:
        assert row["ours"] == ours["GA", row["target"]][METRICS.index(row["metric"])]
        assert float(row["published"]) == float(paper[row["published_model"], row["target"]][row["metric"]])
        assert row["difference"] == "", "another model"


def test_the_figure_is_a_picture_and_a_page(published):
    with Image.open(published.results / "figures" / "fig8.png") as picture:
        assert min(picture.size) > 400 and len(picture.convert("RGB").getcolors(1 << 24)) > 5
    assert (published.results / "figures" / "fig8.pdf").read_bytes().startswith(b"%PDF")


def test_the_report_holds_everything_and_needs_nothing_else(published):
    page = (published.results / "report.html").read_text(encoding="utf-8")
    people = read_jsonl(published.results / "curation" / "people.jsonl", Person)
    assert sum(person.name in page for person in people) >= published.config["report"]["sample_people"]
    assert "15 of 16" in page and all(f"ga-{target}15" in page for target in ("person", "event"))
    manifest = published.results / "images" / "manifest.parquet"
    assert sha256_of(manifest)[:16] in page
    assert page.count("data:image/jpeg;base64,") >= 3 * 2 and "data:image/png;base64," in page
    assert not re.findall(r"<script|(?:src|href)=(?!\"data:|\"#)", page)


def test_the_report_says_what_each_rule_cost(published, tmp_path):
    world = published.copy(tmp_path / "world")
    measured = world.root / "benchmarks" / "mini" / "draw_shard" / "000.tsv"
    measured.parent.mkdir(parents=True)
    measured.write_text("s\th:m:s\tmax_rss\n61.2\t0:01:01\t512.0\n", encoding="utf-8")
    world.run("write_report")
    page = (world.results / "report.html").read_text(encoding="utf-8")
    assert "draw_shard" in page and "1 min 01 s" in page


def test_the_paper_made_again_is_the_same_bytes(published, tmp_path):
    world = published.copy(tmp_path / "world")
    made = [f"tables/table3.{kind}" for kind in ("csv", "md", "tex")] + [
        f"tables/table3_{name}.csv" for name in ("vs_published", "ranks", "differences")
    ]
    made += ["figures/fig8.png", "figures/fig8.pdf", "report.html"]
    for rule in ("make_table3", "plot_figure8", "write_report"):
        world.run(rule)
    for name in made:
        assert sha256_of(world.results / name) == sha256_of(published.results / name), name
