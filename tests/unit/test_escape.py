"""Text of others in LaTeX, Markdown, CSV and figures: it is shown as it is, and does nothing."""

from __future__ import annotations

import csv

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmunlearn.escape import code, guard, latex, markdown, unguard
from mmunlearn.reporting import style
from mmunlearn.reporting.layout import read_table, write_table
from tests.unit import report_fixtures

HOSTILE = 'R&D_{5%}$ #\\x^~|<b>`"*[u](v)\n=1'

LATEX = [
    ("GD+BGD", "GD+BGD"),
    ("a\\b", r"a\textbackslash{}b"),
    ("x^2~y", r"x\textasciicircum{}2\textasciitilde{}y"),
    ("50% & $1 #2 a_b {c}", r"50\% \& \$1 \#2 a\_b \{c\}"),
    ("a\nb\r\n\tc\u2028d", "a b c d"),
    ("<a|b>", r"\textless{}a\textbar{}b\textgreater{}"),
    ('"q"', "''q''"),
    ("*[x]", "{*}{[}x{]}"),
    ("a---b", "a-{}-{}-b"),
    ("a\x00\x1bb", "ab"),
]
MARKDOWN = [
    ("GD+BGD (5%)", "GD+BGD (5%)"),
    ("a|b", r"a\|b"),
    ("a\nb\r\n# c", r"a b \# c"),
    ("<script>x</script> &amp;", "&lt;script>x&lt;/script> &amp;amp;"),
    ("`x` *y* _z_ ~w~ $v$", r"\`x\` \*y\* \_z\_ \~w\~ \$v\$"),
    ("![a](b) \\", r"\!\[a\](b) \\"),
    ("> a", r"\> a"),
]
CELLS = [
    ("=cmd|' /C calc'!A0", True),
    ("+1+1", True),
    ("-cmd", True),
    ("@SUM(A1)", True),
    ("\t=1", True),
    ("\r=1", True),
    ("\n=1", True),
    ("＝1+1", True),
    ("'=1", True),
    ("-", True),
    ("-0.5", False),
    ("+1e-05", False),
    ("'tis", False),
    ("GD+BGD", False),
    ("", False),
]


@pytest.mark.parametrize(("text", "expected"), LATEX)
def test_latex(text: str, expected: str) -> None:
    assert latex(text) == expected


@pytest.mark.parametrize(("text", "expected"), MARKDOWN)
def test_markdown(text: str, expected: str) -> None:
    assert markdown(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"), [("a", "`a`"), ("a`b", "``a`b``"), ("`a", "`` `a ``"), ("a|b", r"`a\|b`")]
)
def test_a_code_span_holds_what_it_is_given(text: str, expected: str) -> None:
    assert code(text) == expected


@pytest.mark.parametrize(("text", "guarded"), CELLS)
def test_a_cell_that_a_spreadsheet_would_run_is_guarded(tmp_path, text: str, guarded: bool) -> None:
    write_table(tmp_path / "a.csv", ["name", "n"], [{"name": text, "n": "1"}])
    with open(tmp_path / "a.csv", newline="", encoding="utf-8") as handle:
        (row,) = csv.DictReader(handle)
    text = text.replace("\r", "\n")
    assert row["name"] == ("'" + text if guarded else text)
    assert read_table(tmp_path / "a.csv") == [{"name": text, "n": "1"}]


@given(st.text(st.characters(exclude_characters="\r"), max_size=12))
def test_a_guard_is_taken_off_again(text: str) -> None:
    assert unguard(guard(text)) == text


def test_a_hostile_label_harms_no_table(tmp_path) -> None:
    """As a method's label, a model's name and a judge's reason."""
    lost = report_fixtures.Metric(value=None, n=0, reason=HOSTILE)
    scores = [report_fixtures.write_score(tmp_path, "GA", "person", model="m", scope=lost)]
    for path in scores:
        path.write_text(path.read_text().replace('"GA"', report_fixtures.json.dumps(HOSTILE)))
    paths = report_fixtures.write_table(tmp_path, scores)
    md, tex = paths["md"].read_text(), paths["tex"].read_text()
    (line,) = [one for one in md.splitlines() if one.startswith(f"| {markdown(HOSTILE)} | ")]
    assert line.replace(r"\|", "").count("|") == 14 and "<b>" not in md
    assert f"- {markdown(HOSTILE)}, person: scope: {markdown(HOSTILE)}" in md
    (line,) = [one for one in tex.splitlines() if one.startswith(latex(HOSTILE))]
    assert line.replace(r"\&", "").count("&") == 12
    assert read_table(paths["csv"])[0]["method"] == HOSTILE


def test_dollars_in_a_figure_are_dollars(tmp_path) -> None:
    """matplotlib would take what is between two for mathematics, or stop."""
    figure = style.new_figure(2, 2)
    axes = figure.subplots()
    axes.plot([1], [1], label=r"a $\frac{ b$ c")
    axes.set_title(r"$\oops$ _x_")
    axes.legend()
    style.save_figure(figure, tmp_path / "a.png", tmp_path / "a.pdf")
    texts = [axes.title, *axes.get_legend().get_texts()]
    assert [text.get_parse_math() for text in texts] == [False, False]
