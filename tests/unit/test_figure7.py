"""Figure 7: scores at their steps, gaps that are named, stops that are marked."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mmunlearn.ids import TARGETS
from mmunlearn.records import Metric, RecordError
from mmunlearn.reporting.figure7 import plot_figure7
from mmunlearn.reporting.layout import METRICS, UNITS
from mmunlearn.reporting.style import look
from tests.unit.figure_checks import assert_readable, assert_same_bytes, caught, notes
from tests.unit.report_fixtures import recipe_of, write_score, write_training

STEPS = (2, 4, 8, 16, 32)
METHODS = ("PO", "GA", "SimNPO")


def value(method: str, target: str, step: int, metric: str) -> float:
    return round(random.Random(f"{method} {target} {step} {metric}").uniform(1, 99), 2)


def write_scores(
    folder: Path,
    steps: Sequence[int] = STEPS,
    models: Sequence[str] = ("m",),
    lost: tuple[str, int, str] | None = None,
) -> list[Path]:
    """Scores after every step, of the finetuned and of the goal model; one of a `lost` (method, step, metric)."""
    paths = []
    runs = [("Finetune", 0), ("Goal", 0), *product(METHODS, steps)]
    for model, target, (method, step) in product(models, TARGETS, runs):
        values = {name: value(method, target, step, name) for name in METRICS}
        if lost and (method, step) == lost[:2]:
            values[lost[2]] = Metric(value=None, n=0, reason="judge unreachable")
        recipe = recipe_of(method, target) + (f"@{step}" if method in METHODS else "")
        paths.append(write_score(folder, method, target, model=model, recipe=recipe, **values))
    return paths


@pytest.fixture
def draw(monkeypatch: pytest.MonkeyPatch) -> Any:
    return lambda scores, trainings=(): caught(
        monkeypatch, lambda *out: plot_figure7(scores, trainings, *out)
    )


def panel(figure: Figure, row: int, metric: str) -> Axes:
    return figure.axes[len(METRICS) * row + METRICS.index(metric)]


def line(axes: Axes, label: str) -> Any:
    (match,) = [one for one in axes.lines if one.get_label() == label]
    return match


def test_scores_stand_at_their_steps_from_the_finetuned_model_on(tmp_path: Path, draw: Any) -> None:
    figure = draw(write_scores(tmp_path))
    for (row, target), metric in product(enumerate(TARGETS), METRICS):
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
            style = look(method)
            assert (drawn.get_markerfacecolor(), drawn.get_marker()) == (style.colour, style.marker)
        assert line(axes, "Finetune").get_ydata()[0] == start
        assert set(line(axes, "Goal").get_ydata()) == {value("Goal", target, 0, metric)}
    labels = [text.get_text() for text in panel(figure, 1, "real").get_xticklabels()]
    assert labels == ["0", "2", "4", "8", "16", "32"]
    assert notes(figure) == ""
    assert_readable(figure)


def test_a_score_of_its_own_at_step_0_comes_before_the_finetuned_ones(tmp_path: Path, draw: Any) -> None:
    drawn = line(panel(draw(write_scores(tmp_path, (0, 8))), 0, "retain"), "GA")
    assert list(drawn.get_ydata()) == [value("GA", "person", step, "retain") for step in (0, 8)]


def test_a_missing_value_is_a_gap_and_named_with_its_reason(tmp_path: Path, draw: Any) -> None:
    scores = write_scores(tmp_path, lost=("GA", 8, "real"))
    figure = draw([path for path in scores if "simnpo-event05@4" not in str(path)])
    gap = line(panel(figure, 0, "real"), "GA").get_ydata()
    assert np.isnan(gap).tolist() == [False, False, False, True, False, False]
    assert np.isnan(line(panel(figure, 1, "scope"), "SimNPO").get_ydata()).sum() == 1
    assert "person, GA: no Real at step 8 (judge unreachable)" in notes(figure)
    assert "event, SimNPO: no Efficacy at step 4 (not scored)" in notes(figure)
    assert "and " in notes(figure) and "more." in notes(figure)
    assert_readable(figure)


def test_bounds_that_are_not_scored_are_named_and_not_drawn(tmp_path: Path, draw: Any) -> None:
    scores = write_scores(tmp_path)
    figure = draw([path for path in scores if "@" in str(path) or path.stem == "person05"])
    labels = [one.get_label() for one in panel(figure, 1, "retain").lines]
    assert "Goal" not in labels and "Finetune" not in labels
    assert np.isnan(line(panel(figure, 1, "retain"), "PO").get_ydata()[0])
    assert "event, Goal: no Efficacy" in notes(figure)


def test_a_stop_is_a_hollow_marker_and_a_flat_line_after_it(tmp_path: Path, draw: Any) -> None:
    ends = {"ga-person05": 20, "po-person05": 8, "simnpo-person05": 99, "ga-event05": 32, "finetuned": 3}
    trainings = [
        write_training(tmp_path / f"{recipe}.json", recipe, steps, "m") for recipe, steps in ends.items()
    ]
    trainings.append(write_training(tmp_path / "other.json", "simnpo-person05", 3, "m", seed=2))
    figure = draw(write_scores(tmp_path), trainings)
    axes = panel(figure, 0, "efficacy")
    moving, halt = line(axes, "GA"), line(axes, "GA ended")
    assert list(moving.get_xdata()) == [0, 1, 2, 3, 4, 4.25], "20 is a quarter of the way from 16 to 32"
    assert (halt.get_xdata()[0], halt.get_ydata()[0]) == (4.25, value("GA", "person", 32, "efficacy"))
    assert halt.get_markerfacecolor() == "white"
    assert line(axes, "PO ended").get_xdata()[0] == 3
    assert list(line(axes, "PO").get_xdata()) == [0, 1, 2, 3]
    ended = [one.get_label() for row in (0, 1) for one in panel(figure, row, "efficacy").lines]
    assert sorted(label for label in ended if label.endswith("ended")) == ["GA ended", "PO ended"]
    assert figure.legends[0].get_texts()[-1].get_text() == "ended (hollow)"


def test_several_models_stand_below_each_other(tmp_path: Path, draw: Any) -> None:
    models = ("llava-1.5-7b", "llama-3.2-vision-11b")
    figure = draw(write_scores(tmp_path, models=models))
    assert tuple(block.get_suptitle().split(",")[0] for block in figure.subfigs) == models
    assert len(figure.axes) == 4 * len(METRICS)
    assert_readable(figure)


def test_any_order_of_files_gives_the_same_bytes(tmp_path: Path) -> None:
    scores = write_scores(tmp_path, (2, 4))
    orders = iter((scores, scores[::-1]))
    assert_same_bytes(tmp_path, lambda *out: plot_figure7(next(orders), [], *out))


def test_scores_without_a_step_or_none_at_all_are_refused(tmp_path: Path) -> None:
    out = (tmp_path / "a.png", tmp_path / "a.pdf")
    with pytest.raises(RecordError, match=r"Found no score of any step\. Name"):
        plot_figure7([], [], *out)
    with pytest.raises(RecordError, match=r"Found scores of ga-person05, which names no step\. Pass"):
        plot_figure7([write_score(tmp_path, "GA", "person")], [], *out)
