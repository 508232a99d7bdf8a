"""The lifelong section: numbers as in their tables, collapse told from knowing, a page that needs nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mmunlearn.records import RecordError
from mmunlearn.reporting.layout import read_table, select, write_table
from mmunlearn.reporting.lifelong_blocks import matrix_blocks, outcome_blocks, verdict, versus_blocks
from mmunlearn.reporting.lifelong_drift import COLUMNS, drift_rows
from mmunlearn.reporting.lifelong_page import write_lifelong_report
from mmunlearn.reporting.lifelong_section import lifelong_section
from mmunlearn.reporting.page import write_report
from tests.unit.lifelong_tables import METHODS, matrix, share, untouched, write_all
from tests.unit.page_checks import Page, rows_of
from tests.unit.report_fixtures import SECTIONS, report_inputs
from tests.unit.test_representation_drift import LABELS, drift

SHOWN = ("GA", "GD", "GA, stopped", "Base", "LUMoE")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("tables")
    drifts = [drift(), drift("LUMoE", experts=True)]
    write_table(folder / "representation_drift.csv", COLUMNS, drift_rows(drifts, LABELS, []))
    return write_all(folder, "AB", SHOWN)


def page_of(files: list[Path], folder: Path) -> str:
    write_lifelong_report(files, folder / "lifelong.html", scale="pocket", seed=1)
    return (folder / "lifelong.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def text(files: list[Path], tmp_path_factory: pytest.TempPathFactory) -> str:
    return page_of(files, tmp_path_factory.mktemp("page"))


def test_the_page_is_whole_needs_nothing_else_and_says_the_same_of_the_same(files, text, tmp_path):
    page = Page(text)
    assert page.open == [] and page.without_alt == 0
    assert len(set(page.ids)) == len(page.ids)
    assert all(address.startswith(("data:", "#")) for address in page.addresses)
    assert not {"script", "iframe", "object"} & set(page.tags)
    assert page.tags.count("img") == 2 and "default-src 'none'" in text
    assert page_of(files[::-1], tmp_path) == text


def test_the_matrix_shows_the_numbers_of_its_table(files, text):
    lines = [
        (head, cells)
        for head, cells in rows_of(text, "lifelong")
        if len(cells) == 3 and "interval" in cells[0]
    ]
    rows = select(read_table(next(path for path in files if path.stem == "mlubench")), metric="utility")
    utility = lines[len(SHOWN) : 2 * len(SHOWN)]
    for (head, cells), row in zip(utility, rows, strict=True):
        assert head == row["method"]
        assert cells == [
            f"{float(row[name]):.2f} interval {float(row[f'{name}_low']):.2f}–{float(row[f'{name}_high']):.2f}"
            for name in ("A-UA", "A-UB", "B-UB")
        ]
    assert text.count('<span class="best">') == 2
    assert text.count("<td>40 on 8</td>") == 6
    anchors = re.findall(r'<tr class="anchor">\s*<th scope="row">(.*?)</th>', text)
    assert set(anchors) - {"m and llava-v1.6-7b, forget quality, baselines (4)"} == {"GD", "Base"}, (
        "without a cost"
    )


@pytest.mark.parametrize(
    ("shares", "words"),
    [
        ((0.0, 0.0, 0.98, 0.0), "collapsed"),
        ((0.0, 0.97, 0.0, 0.98), "still knows"),
        ((0.9, 0.05, 0.01, 0.95), "refuses, and keeps the rest"),
        ((0.74, 0.24, 0.01, 0.93), "refuses, but knows 0.24; keeps the rest"),
        ((0.74, 0.11, 0.01, 0.4), "refuses, but knows 0.11; refuses the rest"),
        ((1.0, 0.0, 0.0, 0.05), "refuses, the rest as well"),
        ((0.4, 0.2, 0.1, 0.9), "errs"),
        ((0.4, 0.2, 0.1, 0.3), "errs, on the rest as well"),
        ((0.4, None, 0.1, 0.3), ""),
    ],
)
def test_collapse_is_told_from_knowing_and_refusing_from_losing_the_rest(shares, words):
    """Forget quality, still known, degenerate, utility: the first two methods have the same forget quality."""
    assert verdict(*shares) == words


def test_the_outcome_is_the_mean_over_tasks_after_the_last():
    (block,) = outcome_blocks(matrix("ABC"), untouched("ABC"), METHODS)
    cells = next(row["cells"] for row in block["rows"] if row["label"] == "KL")
    means = [
        sum(share("KL", name, x, 2) for x in range(3)) / 3
        for name in ("forget", "knows", "degenerate", "utility")
    ]
    assert [cell["main"] for cell in cells[:4]] == [f"{mean:.2f}" for mean in means]
    assert cells[4]["main"] == f"{share('KL', 'utility', 0, 2):.2f}"
    rows = matrix("ABC")
    rows[0]["B-UC"] = ""
    (block,) = outcome_blocks(rows, [], METHODS)
    assert [cell["main"] for cell in block["rows"][0]["cells"]][::5] == ["–", "–"], (
        "no mean, and no word for it"
    )


def test_of_many_tasks_the_last_column_of_each_is_printed():
    blocks = matrix_blocks(matrix("ABCDEFGH", SHOWN), SHOWN)
    assert blocks[0]["heads"] == [f"{task}-UH" for task in "ABCDEFGH"]
    assert "the others are in mlubench.csv" in blocks[0]["caption"]
    assert len(matrix_blocks(matrix("ABCDEF", SHOWN), SHOWN)[0]["heads"]) == 21


def test_every_part_is_shown_and_says_how_to_read_it(text):
    words = " ".join(re.sub("<[^>]*>", " ", text).split())
    assert "m and llava-v1.6-7b, forget quality, baselines (4) −0.40" in words
    assert "GA 0.90 published 0.38" in words and "Base 0.90" not in words
    assert "LUMoE, seed 1, task A 40 1.00 0.05 0.97 interval 0.90–1.00" in words
    assert "GA, stopped, seed 1 10 ended by forget bound 8 ended by forget bound 6.0 s 0.5 MB 8.8 MB" in words
    assert "LUMoE, after B 0.80 interval 0.80–0.80 0.15" in words
    assert "Forget quality, AB Forget quality, BA Utility, AB" in words
    assert "GA, after task B +0.210 interval −0.290 to 0.710" in words
    assert "Rank ρ of methods. In parentheses how many; baselines: GA; all: with LUMoE." in words
    assert "Training seeds 1 (one run)" in words and "LUMoE, after B 0.80 interval 0.80–0.80" in words
    for told in (
        "Widths of intervals do not compare",
        "halves are coarse, read the numbers",
        "where it holds 0, no change is shown",
        "come from the local rules whatever judge rates, with their errors (docs/judges.md)",
        "Ranks rest on the methods that both have (4)",
        "in our selection runs they changed places",
        "That GD is better than KL, or GA than NPO",
        "the sign or the size of the gap's change",
        "knows 0.",
    ):
        assert told in words
    assert "What the judge cannot tell. The local judge compares words" in words


def page_of_rows(rows: list[dict[str, str]], folder: Path) -> str:
    """The page of mlubench.csv alone."""
    write_table(folder / "mlubench.csv", list(rows[0]), rows)
    return page_of([folder / "mlubench.csv"], folder)


def test_bold_is_the_best_alone_and_the_page_says_so(tmp_path):
    rows = matrix("AB", ("GA", "GD"))
    rows[4]["A-UA_place"] = "tied"
    page = page_of_rows(rows, tmp_path)
    assert page.count('<span class="best">') == 2, "GA in both metrics, not GD, which is tied with it"
    words = " ".join(re.sub("<[^>]*>", "", page).split())
    assert "The best of the methods is bold, with all that are like it to three decimals" in words
    assert "is tied in mlubench.csv" in words and "bold, with all that do not differ" not in words


@pytest.mark.parametrize(
    ("judge", "limits"), [("openai/my-local-model", False), ("local, openai/gpt-4o", True), ("local", True)]
)
def test_the_local_judge_alone_has_its_limits(tmp_path, judge, limits):
    page = page_of_rows([row | {"judge": judge} for row in matrix("A", ("GA",))], tmp_path)
    assert ("What the judge cannot tell" in page) == limits
    assert f"<dd>{judge}</dd>" in page


@pytest.mark.parametrize(("models", "said"), [(("hippocket-7b",), 0), (("llava", "pocket-llava"), 1)])
def test_the_pocket_scale_is_said_of_pocket_models(tmp_path, models, said):
    rows = [row for model in models for row in matrix("A", ("GA",), model)]
    page = page_of_rows(rows, tmp_path)
    assert page.count("pocket scale illustrates") == said and f"<dd>{', '.join(models)}</dd>" in page


def test_another_judge_has_no_such_limits_and_absent_tables_leave_no_trace(files, tmp_path):
    rows = [row | {"judge": "gpt-4o"} for row in matrix("AB", SHOWN, "llava-v1.6-7b")]
    page = page_of_rows(rows, tmp_path)
    assert "What the judge cannot tell" not in page and "pocket scale illustrates" not in page
    headings = re.findall('<h3 id="lifelong-([a-z]*)"', page)
    assert headings == ["outcome", "matrix", "limits"]
    assert "<img" not in page


def test_without_the_matrix_there_is_no_section_and_no_page(files, tmp_path):
    assert lifelong_section([]) is None
    others = [path for path in files if path.stem != "mlubench"]
    assert lifelong_section(others) is None
    with pytest.raises(RecordError, match=r"Asked for a page of mlubench\.csv\. Found lifelong_classes"):
        write_lifelong_report(others, tmp_path / "page.html", scale="pocket", seed=1)


def test_names_from_data_are_escaped(tmp_path):
    rows = matrix("AB", ("GA", "GD"), "<i>m</i>")
    write_table(tmp_path / "mlubench.csv", list(rows[0]), rows)
    assert "<i>" not in page_of([tmp_path / "mlubench.csv"], tmp_path)


def test_published_columns_alone_stand_beside_ours():
    place = {"model": "m", "published_model": "p", "metric": "forget", "method": "GA"}
    rows = [
        place | {"column": name, "ours": "0.5", "published": twin}
        for name, twin in (("A-UA", "0.4"), ("E-UE", ""))
    ]
    (block,) = versus_blocks(rows)
    assert block["heads"] == ["A-UA"]


def test_the_report_has_the_section_where_the_phase_has_run(files, tmp_path):
    inputs = report_inputs(tmp_path)
    pages = []
    for more in ({}, {"lifelong": []}, {"lifelong": files}):
        write_report(**inputs, **more, page=tmp_path / "report.html")
        pages.append((tmp_path / "report.html").read_text(encoding="utf-8"))
    plain, empty, whole = pages
    assert plain == empty and 'id="lifelong"' not in plain and "numbers" not in Page(plain).ids
    sections = [name for name in Page(whole).ids if not name.startswith("lifelong-")]
    order = [name for name in sections if name in (*SECTIONS, "lifelong")]
    assert order == [*SECTIONS[:8], "lifelong", *SECTIONS[8:]]
    assert "#lifelong" in Page(whole).addresses and Page(whole).open == []
