"""Figure 7: scores at their steps, gaps that are named, stops that are marked."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mmunlearn.records import Metric, RecordError, Scores, Training, write_json
from mmunlearn.reporting import figure7
from mmunlearn.reporting.figure7 import place, plot_figure7
from mmunlearn.reporting.layout import METRICS, UNITS
from mmunlearn.reporting.style import look
from tests.unit.figure_checks import assert_readable, assert_same_bytes, caught, notes

STEPS = (2, 4, 8, 16, 32)
METHODS = ("PO", "GA", "SimNPO")


def value(method: str, target: str, step: int, metric: str) -> float:
    return round(random.Random(f"{method} {target} {step} {metric}").uniform(1, 99), 2)


class Run:
    """Score and training files below a folder; `lost` says why a (method, step, metric) has no value."""

    def __init__(self, folder: Path, lost: dict[tuple[str, int, str], str] | None = None) -> None:
        self.folder, self.lost = folder, lost or {}
        self.scores: list[Path] = []
        self.ends: list[Path] = []
        self.trainings: list[Path] = []

    def score(self, recipe: str, method: str, target: str, step: int, model: str = "m") -> Path:
        metrics = {
            name: Metric(value=None if why else value(method, target, step, name), n=8, reason=why)
            for name in METRICS
            for why in [self.lost.get((method, step, name), "")]
        }
        path = self.folder / model / recipe / f"{target}05.json"
        write_json(path, Scores(
            model=model, recipe=recipe, method=method, target=target, percent=5, seed=1, judge="local",
            metrics=metrics, details={}, digests={}, versions={},
        ))  # fmt: skip
        return path

    def training(self, recipe: str, steps: int, model: str = "m", seed: int = 1) -> None:
        path = self.folder / model / recipe / f"training-{seed}.json"
        write_json(path, Training(
            model=model, recipe=recipe, seed=seed, method=recipe.split("-")[0], steps=steps, epochs=1,
            stop_reason="bound", losses=[], seconds=1, peak_memory_gb=1, trainable_parameters=1, settings={},
            versions={}, adapter_sha256="",
        ))  # fmt: skip
        self.trainings.append(path)

    def add(self, steps: tuple[int, ...] = STEPS, models: tuple[str, ...] = ("m",)) -> Run:
        for model in models:
            for target in ("person", "event"):
                self.ends.append(self.score("finetuned", "Finetune", target, 0, model))
                self.ends.append(self.score(f"goal-{target}05", "Goal", target, 0, model))
                for method in METHODS:
                    for step in steps:
                        recipe = f"{method.lower()}-{target}05@{step}"
                        self.scores.append(self.score(recipe, method, target, step, model))
        return self

    def plot(self, png: Path, pdf: Path) -> None:
        plot_figure7(self.scores, self.ends, self.trainings, png, pdf)


@pytest.fixture
def draw(monkeypatch: pytest.MonkeyPatch) -> Any:
    return lambda run: caught(monkeypatch, figure7, run.plot)


def panel(figure: Figure, row: int, metric: str) -> Axes:
    return figure.axes[len(METRICS) * row + METRICS.index(metric)]


def line(axes: Axes, label: str) -> Any:
    found = [one for one in axes.lines if one.get_label() == label]
    assert len(found) == 1, label
    return found[0]


def test_scores_stand_at_their_steps_from_the_finetuned_model_on(tmp_path: Path, draw: Any) -> None:
    figure = draw(Run(tmp_path).add())
    for row, target in enumerate(("person", "event")):
        for metric in METRICS:
            axes = panel(figure, row, metric)
            assert axes.get_title() == UNITS[target][metric]
            start = value("Finetune", target, 0, metric)
            for method in METHODS:
                drawn = line(axes, method)
                assert list(drawn.get_xdata()) == [0, 1, 2, 3, 4, 5]
                assert list(drawn.get_ydata()) == [
                    start,
                    *(value(method, target, step, metric) for step in STEPS),
                ]
            assert line(axes, "Finetune").get_ydata()[0] == start
            assert set(line(axes, "Goal").get_ydata()) == {value("Goal", target, 0, metric)}
    labels = [text.get_text() for text in panel(figure, 1, "real").get_xticklabels()]
    assert labels == ["0", "2", "4", "8", "16", "32"]
    assert notes(figure) == ""
    assert_readable(figure)


def test_a_score_of_its_own_at_step_0_comes_before_the_finetuned_ones(tmp_path: Path, draw: Any) -> None:
    figure = draw(Run(tmp_path).add((0, 8)))
    drawn = line(panel(figure, 0, "retain"), "GA")
    assert list(drawn.get_ydata()) == [value("GA", "person", step, "retain") for step in (0, 8)]


def test_a_missing_value_is_a_gap_and_named_with_its_reason(tmp_path: Path, draw: Any) -> None:
    run = Run(tmp_path, {("GA", 8, "real"): "judge unreachable"}).add()
    run.scores = [path for path in run.scores if "simnpo-event05@4" not in str(path)]
    figure = draw(run)
    gap = line(panel(figure, 0, "real"), "GA").get_ydata()
    assert np.isnan(gap).tolist() == [False, False, False, True, False, False]
    assert np.isnan(line(panel(figure, 1, "scope"), "SimNPO").get_ydata()).sum() == 1
    assert "person, GA: no Real at step 8 (judge unreachable)" in notes(figure)
    assert "event, SimNPO: no Efficacy at step 4 (not scored)" in notes(figure)
    assert "and " in notes(figure) and "more." in notes(figure)
    assert_readable(figure)


def test_ends_that_are_not_scored_are_named_and_not_drawn(tmp_path: Path, draw: Any) -> None:
    run = Run(tmp_path).add()
    run.ends = [path for path in run.ends if "event05" not in path.name]
    figure = draw(run)
    labels = [one.get_label() for one in panel(figure, 1, "retain").lines]
    assert "Goal" not in labels and "Finetune" not in labels
    assert np.isnan(line(panel(figure, 1, "retain"), "PO").get_ydata()[0])
    assert "event, Goal: no Efficacy" in notes(figure)


def test_a_stop_is_a_hollow_marker_and_a_flat_line_after_it(tmp_path: Path, draw: Any) -> None:
    run = Run(tmp_path).add()
    run.training("ga-person05@16", 16)
    run.training("ga-person05@32", 20)
    run.training("po-person05", 8)
    run.training("simnpo-person05", 99)
    run.training("simnpo-person05", 3, seed=2)
    run.training("ga-event05@32", 32)
    figure = draw(run)
    axes = panel(figure, 0, "efficacy")
    moving, halt = line(axes, "GA"), line(axes, "GA ended")
    assert list(moving.get_xdata()) == [0, 1, 2, 3, 4, 4.25]
    assert (halt.get_xdata()[0], halt.get_ydata()[0]) == (4.25, value("GA", "person", 32, "efficacy"))
    assert halt.get_markerfacecolor() == "white"
    assert line(axes, "PO ended").get_xdata()[0] == 3
    assert list(line(axes, "PO").get_xdata()) == [0, 1, 2, 3]
    for other in (panel(figure, 1, "efficacy"), axes):
        assert "SimNPO ended" not in [one.get_label() for one in other.lines]
    assert "GA ended" not in [one.get_label() for one in panel(figure, 1, "efficacy").lines]
    assert figure.legends[0].get_texts()[-1].get_text() == "ended (hollow)"


def test_methods_have_their_look_everywhere(tmp_path: Path, draw: Any) -> None:
    figure = draw(Run(tmp_path).add())
    for axes in figure.axes:
        for method in METHODS:
            drawn = line(axes, method)
            assert (drawn.get_markerfacecolor(), drawn.get_marker()) == (
                look(method).colour,
                look(method).marker,
            )
    assert look("SimNPO") != look("a method of somebody's")


def test_several_models_stand_below_each_other(tmp_path: Path, draw: Any) -> None:
    figure = draw(Run(tmp_path).add(models=("llava-1.5-7b", "llama-3.2-vision-11b")))
    assert [block.get_suptitle().split(",")[0] for block in figure.subfigs] == [
        "llava-1.5-7b", "llama-3.2-vision-11b",
    ]  # fmt: skip
    assert len(figure.axes) == 4 * len(METRICS)
    assert_readable(figure)


def test_two_runs_and_any_order_are_the_same_bytes(tmp_path: Path) -> None:
    run = Run(tmp_path).add()
    assert_same_bytes(tmp_path, run.plot)
    run.scores.reverse()
    run.plot(tmp_path / "c.png", tmp_path / "c.pdf")
    assert (tmp_path / "c.png").read_bytes() == (tmp_path / "a.png").read_bytes()


def test_places_are_even_and_in_proportion_between() -> None:
    assert [place(step, (0, 2, 4, 8)) for step in (0, 1, 2, 5, 8, 50)] == [0, 0.5, 1, 2.25, 3, 3]


def test_scores_without_a_step_or_none_at_all_are_refused(tmp_path: Path) -> None:
    run = Run(tmp_path)
    with pytest.raises(RecordError, match=r"Found no score of any step\. Name"):
        run.plot(tmp_path / "a.png", tmp_path / "a.pdf")
    run.scores = [run.score("ga-person05", "GA", "person", 0)]
    with pytest.raises(RecordError, match=r"Found scores of ga-person05, which names no step\. Pass"):
        run.plot(tmp_path / "a.png", tmp_path / "a.pdf")
