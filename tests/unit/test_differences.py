"""Paired differences of methods, and what rests on them: places, ranks, and what the paper's own ranks reach."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmunlearn.reporting.differences import COLUMNS, Standing
from mmunlearn.reporting.layout import FORMS, METHODS, read_table, select
from tests.unit.report_fixtures import write_score, write_table
from tests.unit.test_tables import line_of

PEOPLE = [5.0 * number for number in range(20)]  # what is known of each person: 0 to 95
LEVELS = {"Finetune": 4.0, "PO": 3.0, "GA": 3.0, "GD": 2.0, "KL": 2.0, "DPO": 0.0, "Goal": 5.0}


def known(more: float, odd: float = 0.0) -> list[float]:
    """More of every person, and of every other one more, of the rest less, by `odd`."""
    return [share + more + (odd if number % 2 else -odd) for number, share in enumerate(PEOPLE)]


def tables(folder: Path, levels: dict[str, float], odd: float = 0.0, **settings) -> dict[str, Path]:
    scores = [
        write_score(folder, method, "person", shares={"retain": known(level, odd * place)})
        for place, (method, level) in enumerate(levels.items())
    ]
    return write_table(folder, scores, **settings)


def of_retain(path: Path) -> dict[tuple[str, str], dict[str, str]]:
    rows = select(read_table(path), metric="retain", target="person")
    return {(row["method"], row["other"]): row for row in rows}


def test_a_row_is_a_pair_of_methods_and_its_interval_is_that_of_the_pairs(tmp_path: Path) -> None:
    """People differ by 95 points, the methods by 1 on each: the difference is known, the means are not."""
    paths = tables(tmp_path, LEVELS, odd=0.1)
    rows = read_table(paths["differences"])
    assert tuple(rows[0]) == COLUMNS
    assert len(rows) == 6 * 7 * 6 // 2
    row = of_retain(paths["differences"])["GA", "GD"]
    assert float(row["difference"]) == pytest.approx(1.0)
    assert 0.8 < float(row["low"]) < 1.0 < float(row["high"]) < 1.2
    assert (row["clusters"], row["seeds"], row["reason"]) == ("20", "1", "")
    table = {one["method"]: one for one in read_table(paths["csv"])}
    assert table["GA"]["retain_place"] == "best" and "retain_clusters" in table["GA"]


def test_methods_that_do_not_differ_beyond_the_interval_share_a_place_in_every_table(tmp_path: Path) -> None:
    """PO and GA differ by 0.5 points on the mean, but by 6.5 or -5.5 on each person; likewise GD and KL."""
    shares = {"PO": known(10, 3), "GA": known(9.5, -3), "GD": known(5), "KL": known(5.2, 2), "DPO": known(0)}
    scores = [write_score(tmp_path, name, "person", shares={"retain": part}) for name, part in shares.items()]
    paths = write_table(tmp_path, scores)
    row = of_retain(paths["differences"])["PO", "GA"]
    assert float(row["low"]) < 0 < float(row["high"])
    assert {row["method"]: row["retain_place"] for row in read_table(paths["csv"])} == {
        "PO": "best", "GA": "best", "GD": "second", "KL": "second", "DPO": "",
    }  # fmt: skip
    md, tex = paths["md"].read_text(), paths["tex"].read_text()
    assert [line_of(md, name, "|")[2] for name in shares] == [
        "**57.5**", "**57.0**", "<u>52.5</u>", "<u>52.7</u>", "47.5"
    ]  # fmt: skip
    assert [line_of(tex, name, "&")[2] for name in ("GA", "GD", "DPO")] == [
        r"\textbf{57.0}", r"\underline{52.5}", "47.5"
    ]  # fmt: skip


def test_a_column_of_noise_has_neither_places_nor_ranks(tmp_path: Path) -> None:
    paths = tables(tmp_path, dict.fromkeys(METHODS, 0.0) | {"PO": 0.2, "DPO": 0.1}, odd=1.0)
    assert {row["retain_place"] for row in read_table(paths["csv"])} == {""}
    rows = select(read_table(paths["versus"]), metric="retain", target="person")
    ranks = [row for row in rows if row["kind"] != "value"]
    assert {(row["spearman"], row["reason"]) for row in ranks} == {
        ("", "ours is noise: no two methods differ beyond the interval of their difference")
    }


def test_tied_methods_share_a_rank(tmp_path: Path) -> None:
    """PO and GA, GD and KL are tied: 3.5, 3.5, 1.5, 1.5, 0 wins, whatever their means say."""
    paths = tables(tmp_path, LEVELS | {"PO": 3.02, "KL": 1.99}, odd=0.1)
    standing = Standing(read_table(paths["differences"]))
    place = ("pocket-llava", "5", "person", "retain")
    assert standing.wins(place, ["PO", "GA", "GD", "KL", "DPO"]) == [3.5, 3.5, 1.5, 1.5, 0.0]
    assert (standing.ahead(place, "GA", "GD"), standing.ahead(place, "GD", "GA")) == (1, -1)
    ranks = select(read_table(paths["versus"]), metric="retain", target="person", kind="spearman_unlearning")
    of_llava = select(ranks, published_model="llava-1.5-7b")  # 18.0, 3.3, 9.3, 18.2, 5.8
    assert [float(row["spearman"]) for row in of_llava] == [pytest.approx(-0.0527, abs=1e-4)]


@pytest.mark.parametrize(("low", "high", "sign"), [("0.0", "2.0", 0), ("-2.0", "0.0", 0), ("0.1", "2.0", 1)])
def test_an_interval_that_ends_at_0_is_a_tie(low: str, high: str, sign: int) -> None:
    pair = {"model": "m", "forget_percent": "5", "target": "person", "metric": "retain", "method": "PO"}
    standing = Standing([pair | {"other": "GA", "difference": "1.0", "low": low, "high": high}])
    assert standing.ahead(("m", "5", "person", "retain"), "PO", "GA") == sign


def test_few_people_show_no_difference(tmp_path: Path) -> None:
    """2 forgotten people: 100 against 0 on both of them may be chance."""
    few = {"efficacy": [100.0, 100.0]}, {"efficacy": [0.0, 0.0]}
    scores = [
        write_score(tmp_path, method, "person", shares=few[part]) for part, method in enumerate(("GA", "GD"))
    ]
    paths = write_table(tmp_path, scores)
    (row,) = select(read_table(paths["differences"]), metric="efficacy")
    assert (row["difference"], row["high"], row["clusters"]) == ("100.0", "100.0", "2")
    assert float(row["low"]) == pytest.approx(-100 + 200 * 0.025**0.5)
    assert [one["efficacy_place"] for one in read_table(paths["csv"])] == ["", ""]


def test_seeds_are_pooled_by_person(tmp_path: Path) -> None:
    scores = [
        write_score(tmp_path, method, "person", seed, shares={"retain": known(level + seed)})
        for method, level, seeds in (("GA", 3.0, (1, 2, 3)), ("GD", 2.0, (2, 3, 4)))
        for seed in seeds
    ]
    row = of_retain(write_table(tmp_path, scores)["differences"])["GA", "GD"]
    assert (row["seeds"], row["clusters"]) == ("2", "20")
    assert float(row["difference"]) == pytest.approx(1.0)


def test_a_difference_that_cannot_be_had_says_why(tmp_path: Path) -> None:
    scores = [
        write_score(tmp_path, "GA", "person", retain=None),
        write_score(tmp_path, "GD", "person", retain=4),
    ]
    scores += [
        write_score(tmp_path, "KL", "person", 2, retain=4),
        write_score(tmp_path, "PO", "person", retain=2),
    ]
    rows = of_retain(write_table(tmp_path, scores)["differences"])
    assert rows["GA", "GD"]["reason"] == rows["GD", "KL"]["reason"] == "no seed in which both have a value"
    assert (rows["PO", "GD"]["difference"], rows["PO", "GD"]["low"]) == ("-2.0", "")
    assert rows["PO", "GD"]["reason"] == "scores without sums"


def test_the_papers_own_ranks_are_what_ours_can_reach(tmp_path: Path) -> None:
    """LLaVA against Llama at 5% -0.03, LLaVA at 5% against 10% 0.72: means over twelve columns, by our own function."""
    paths = tables(tmp_path, LEVELS, odd=0.1)
    rows = read_table(paths["ranks"])
    paper = {
        tuple(row[name] for name in ("model", "forget_percent", "other_model", "other_percent")): row
        for row in select(rows, whose="paper")
    }
    assert len(paper) == 3 + 2 * 3
    llava, llama = "llava-1.5-7b", "llama-3.2-vision-11b"
    for key, rho in (((llava, "5", llama, "5"), -0.03), ((llava, "5", llava, "10"), 0.72)):
        assert round(float(paper[key]["spearman"]), 2) == rho and paper[key]["columns"] == "12"
    ours = select(rows, whose="ours")
    assert [(row["model"], row["other_model"]) for row in ours] == [
        ("pocket-llava", llava),
        ("pocket-llava", llama),
    ]
    versus = select(read_table(paths["versus"]), kind="spearman_unlearning", published_model=llava)
    found = [float(row["spearman"]) for row in versus if row["spearman"]]
    assert float(ours[0]["spearman"]) == pytest.approx(sum(found) / len(found))
    assert ours[0]["columns"] == str(len(found))


def test_table_4_has_its_own(tmp_path: Path) -> None:
    levels = {"Finetune": 4.0, "GD": 1.0, "GD+BGD": 2.0, "KL": 1.0, "KL+BGD": 3.0, "Goal": 5.0}
    paths = tables(tmp_path, levels, odd=0.1, table="table4")
    rows = read_table(paths["differences"])
    assert {row["metric"] for row in rows} == set(FORMS["table4"].metrics)
    assert float(of_retain(paths["differences"])["GD", "GD+BGD"]["difference"]) == pytest.approx(-1.0)
    (paper,) = select(read_table(paths["ranks"]), whose="paper")
    assert (paper["forget_percent"], paper["other_percent"], paper["columns"]) == ("5", "5", "10")
