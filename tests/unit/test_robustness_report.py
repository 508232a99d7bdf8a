"""The robustness table pools seeds and says why a value is missing; its figure shows every value once."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmunlearn.records import Attack, Finding, Metric, RecordError, write_json
from mmunlearn.reporting.layout import read_table
from mmunlearn.reporting.robustness import COLUMNS, make_robustness, markdown, robustness_rows
from mmunlearn.reporting.robustness_figure import SHAPES, plot_robustness
from mmunlearn.reporting.tables import TableError
from tests.unit.figure_checks import assert_readable, assert_same_bytes, caught, notes

METHODS = ("Finetune", "PO", "GA", "GD", "KL", "DPO", "Goal")
SETTINGS = {
    "relearning": [(f"step {step}", "recovered") for step in (0, 1, 2, 4, 8, 16)],
    "quantisation": [(s, m) for s in ("unrounded", "8 bit", "4 bit") for m in ("efficacy", "retain")],
    "membership": [(s, "auc") for s in ("loss", "zlib", "min-k", "min-k++")],
    "paraphrase": [
        (s, m) for m in ("efficacy", "generality") for s in ("original", "paraphrased", "worst wording")
    ],
}


def attack(
    name: str, method: str, target: str = "person", seed: int = 1, gap: bool = False, model: str = "m"
) -> Attack:
    """A made-up attack; each value follows from its place."""
    place = METHODS.index(method)
    findings = []
    for number, (setting, metric) in enumerate(SETTINGS[name]):
        value = min(1.0, 0.05 * place + 0.1 * number + 0.01 * seed)
        if name == "relearning":
            value = min(1.0, number * (0.05 + 0.04 * (6 - place)))
        size = 1 if metric == "auc" else 100
        low, high = max(0.0, value - 0.1), min(1.0, value + 0.1)
        result = Metric(value=value * size, n=20, low=low * size, high=high * size, clusters=2)
        findings.append(Finding(setting=setting, metric=metric, result=result))
    if gap:
        lost = Metric(value=None, n=0, reason="nothing was drawn")
        findings[0] = findings[0].model_copy(update={"result": lost})
    return Attack(
        model=model, recipe=method.lower(), method=method, target=target, percent=5, seed=seed, attack=name,
        findings=findings, details={}, digests={"split": str(seed)}, versions={},
    )  # fmt: skip


def all_attacks(**more) -> list[Attack]:
    return [attack(n, m, t, **more) for n in SETTINGS for m in METHODS for t in ("person", "event")]


def table(folder: Path, attacks: list[Attack]) -> Path:
    paths = [folder / f"{number}.json" for number in range(len(attacks))]
    for path, one in zip(paths, attacks, strict=True):
        write_json(path, one)
    make_robustness(paths, folder / "robustness.csv", folder / "robustness.md")
    return folder / "robustness.csv"


def test_rows_have_the_columns_and_the_papers_order(tmp_path):
    rows = read_table(table(tmp_path, all_attacks()[::-1]))
    assert tuple(rows[0]) == COLUMNS
    assert len(rows) == 2 * len(METHODS) * (6 + 6 + 4 + 6)
    assert list(dict.fromkeys(row["method"] for row in rows)) == list(METHODS)
    assert [row["setting"] for row in rows[:6]] == [f"step {step}" for step in (0, 1, 2, 4, 8, 16)]
    assert [float(rows[1][part]) for part in ("value", "low", "high", "n")] == pytest.approx([29, 19, 39, 20])
    assert (rows[1]["std"], rows[1]["clusters"]) == ("", "2")


def test_seeds_are_pooled():
    rows = robustness_rows([attack("membership", "GA", seed=seed) for seed in (2, 1)])
    numbers = {"value": 0.115, "low": 0.015, "high": 0.215, "std": 0.5**0.5 / 100}
    assert {name: float(rows[0][name]) for name in numbers} == pytest.approx(numbers)
    assert {name: text for name, text in rows[0].items() if name not in (*numbers, "digest")} == {
        "model": "m", "forget_percent": "5", "method": "GA", "target": "person", "attack": "membership",
        "setting": "loss", "metric": "auc", "n": "40", "clusters": "2", "seeds": "2", "seed_list": "1 2", "reason": "",
    }  # fmt: skip


def test_a_missing_value_keeps_its_reason():
    (row, *_) = robustness_rows([attack("membership", "GA", gap=True)])
    assert (row["value"], row["n"], row["reason"]) == ("", "0", "nothing was drawn")
    (row, *_) = robustness_rows([attack("membership", "GA", gap=True), attack("membership", "GA", seed=2)])
    assert (row["value"], row["n"], row["reason"]) == (repr(0.1 + 0.02), "20", "seed 1: nothing was drawn")
    assert "GA, person, membership, loss, auc: nothing was drawn" in markdown(
        robustness_rows([attack("membership", "GA", gap=True)])
    )


def test_the_same_attack_twice_and_none_at_all_are_refused(tmp_path):
    with pytest.raises(TableError, match=r"Found seeds .1, 1."):
        robustness_rows([attack("paraphrase", "GA")] * 2)
    with pytest.raises(TableError, match="Found no attack"):
        make_robustness([], tmp_path / "a.csv", tmp_path / "a.md")


@pytest.fixture
def draw(tmp_path, monkeypatch):
    def drawn(attacks: list[Attack]):
        path = table(tmp_path, attacks)
        return caught(monkeypatch, lambda png, pdf: plot_robustness(path, png, pdf))

    return drawn


def test_every_value_is_drawn_where_it_belongs(draw):
    figure = draw(all_attacks())
    assert_readable(figure)
    axes = figure.axes
    assert len(axes) == 2 * 4
    curves = {
        line.get_label(): list(line.get_ydata()) for line in axes[0].lines if line.get_label() in METHODS
    }
    assert set(curves) == set(METHODS) and curves["PO"][1] == 25
    dots = {line.get_label(): line.get_xdata()[0] for line in axes[2].lines if ", " in line.get_label()}
    assert len(dots) == 4 * len(METHODS)
    assert dots["GA, zlib"] == pytest.approx(0.21)
    intervals = [
        tuple(round(end, 4) for end in line.get_xdata()) for line in axes[2].lines if line.get_ls() == "-"
    ]
    assert (0.11, 0.31) in intervals
    of_ga = [line for line in axes[2].lines if line.get_label().startswith("GA, ")]
    assert [line.get_marker() for line in of_ga] == list(SHAPES[:4])
    places = [line.get_ydata()[0] for line in of_ga]
    assert places == sorted(set(places)) and 1.5 < places[0] < places[-1] < 2.5, "GA is the third row"
    assert notes(figure) == ""


def test_a_gap_is_named(draw):
    lost = attack("membership", "GA", gap=True)
    place = (lost.attack, lost.method, lost.target)
    figure = draw([lost if (one.attack, one.method, one.target) == place else one for one in all_attacks()])
    assert notes(figure) == "Gaps: m, person, GA: no membership (loss, nothing was drawn)."


def test_two_models_have_a_block_each(draw):
    figure = draw([*all_attacks(), *all_attacks(model="another")])
    assert_readable(figure)
    assert len(figure.subfigs) == 2


def test_a_figure_needs_rows(tmp_path):
    (tmp_path / "empty.csv").write_text(",".join(COLUMNS) + "\n")
    with pytest.raises(RecordError, match="Found no row"):
        plot_robustness(tmp_path / "empty.csv", tmp_path / "a.png", tmp_path / "a.pdf")


def test_the_bytes_depend_on_the_data_alone(tmp_path):
    path = table(tmp_path, [attack(name, method) for name in SETTINGS for method in ("GA", "Goal")])
    assert_same_bytes(tmp_path, lambda png, pdf: plot_robustness(path, png, pdf))
