"""Figure 4: what its panels show, that it can be read, and that its bytes depend on the data alone."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.text import Text
from PIL import Image

from mmunlearn.curation.attributes import categories, continents, sample_attributes
from mmunlearn.records import Event, Person, RecordError, write_jsonl
from mmunlearn.reporting.figure4 import GENDERS, INKS, plot_figure4
from tests.unit.figure_checks import assert_readable, assert_same_bytes, caught

POCKET = Path(__file__).parents[2] / "resources" / "pocket"
LETTERS = ("(a)", "(b)", "(c)", "(d)", "(e)")
Plot = Callable[[Path, Path], dict[str, Axes]]


def write_people(folder: Path, n: int = 60, **changed: Any) -> Path:
    """People as the paper's curation draws them; `changed` replaces fields by a list, cyclically."""
    rows = [one.model_dump(include={"age", "gender", "job", "birthplace"}) for one in sample_attributes(n, 1)]
    people = [
        Person(
            person_id=f"p{number:03d}", name=f"Name {number}", appearance="tall",
            **row | {field: values[number % len(values)] for field, values in changed.items()},
        )
        for number, row in enumerate(rows)
    ]  # fmt: skip
    write_jsonl(folder / "people.jsonl", people)
    return folder / "people.jsonl"


def write_events(folder: Path, *descriptions: str) -> Path:
    rows = [
        Event(event_id=f"e{number}", theme=f"theme {number}", description=text)
        for number, text in enumerate(descriptions)
    ]
    write_jsonl(folder / "events.jsonl", rows)
    return folder / "events.jsonl"


@pytest.fixture
def plot(monkeypatch: pytest.MonkeyPatch) -> Plot:
    """Draws the figure and gives its panels by letter."""

    def panels(people: Path, events: Path) -> dict[str, Axes]:
        figure = caught(monkeypatch, lambda *out: plot_figure4(people, events, *out))
        axes = {one.get_title(loc="left"): one for one in figure.axes}
        assert tuple(axes) == LETTERS
        return axes

    return panels


def bars(axes: Any) -> dict[str, float]:
    """Label -> length of horizontal bars, from top to bottom."""
    labels = [label.get_text() for label in axes.get_yticklabels()]
    return dict(zip(labels, (bar.get_width() for bar in axes.patches), strict=True))


def test_two_runs_are_the_same_bytes_in_colour(tmp_path: Path) -> None:
    events = write_events(
        tmp_path, "Lanterns glow.", "Across the bay lanterns drift.", "Lanterns and a Kite."
    )
    assert_same_bytes(tmp_path, lambda *out: plot_figure4(write_people(tmp_path), events, *out))
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.width == 1440 and len(picture.convert("RGB").getcolors(1 << 24)) > 50


def test_known_professions_and_regions_are_grouped(tmp_path: Path, plot: Plot) -> None:
    panels = plot(write_people(tmp_path), write_events(tmp_path, "A regatta."))
    assert {name.lower() for name in bars(panels["(a)"])} <= {name.lower() for name in categories().values()}
    assert set(bars(panels["(b)"])) == set(continents().values())
    assert sum(bars(panels["(a)"]).values()) == sum(bars(panels["(b)"]).values()) == 60
    assert panels["(a)"].get_title(loc="right") == "n = 60 people"
    assert [panels[letter].get_ylabel() for letter in LETTERS[:2]] == ["Profession", "Region"]


def test_unknown_ones_are_shown_as_written_and_the_rest_is_told(tmp_path: Path, plot: Plot) -> None:
    jobs = ["kite maker", *(f"job {number}" for number in range(19)), "kite maker"]
    panels = plot(write_people(tmp_path, 21, job=jobs), write_events(tmp_path, "A regatta."))
    lengths = bars(panels["(a)"])
    assert len(lengths) == 17 and next(iter(lengths.items())) == ("Kite maker", 2)
    assert panels["(a)"].get_xlabel() == "and 3 others, 1 each"
    assert panels["(b)"].get_xlabel() == ""


def test_what_nobody_knows_is_said(tmp_path: Path, plot: Plot) -> None:
    """Of people on pictures that were found, the name alone is known."""
    write_jsonl(tmp_path / "people.jsonl", [Person(person_id=f"p{n}", name=f"Ada {n}") for n in range(3)])
    panels = plot(tmp_path / "people.jsonl", write_events(tmp_path, ""))
    for letter in LETTERS:
        assert [text.get_text() for text in panels[letter].texts] == ["not known"], letter
        assert not panels[letter].patches
    mixed = [
        Person(person_id="p0", name="Ada 0"),
        Person(person_id="p1", name="Ada 1", age=30, gender="Female"),
    ]
    write_jsonl(tmp_path / "people.jsonl", mixed)
    panels = plot(tmp_path / "people.jsonl", write_events(tmp_path, "A regatta."))
    assert sum(bar.get_height() for bar in panels["(c)"].patches) == 1


def test_what_is_all_different_gets_no_bars(tmp_path: Path, plot: Plot) -> None:
    panels = plot(POCKET / "people.jsonl", write_events(tmp_path, "A regatta."))
    for letter in LETTERS[:2]:
        assert not panels[letter].patches
        assert [text.get_text() for text in panels[letter].texts] == ["40 different ones"]
    few = write_people(tmp_path, 3, job=["kite maker", "bell founder", "cooper"])
    lengths = bars(plot(few, tmp_path / "events.jsonl")["(a)"])
    assert list(lengths) == ["Bell founder", "Cooper", "Kite maker"], "all of them have room"


@pytest.mark.parametrize(
    ("ages", "labels", "bins", "expected"),
    [
        ([18, 29, 30, 47, 79, 41], ["18–29", "30–44", "45–59", "60–79"], "band", [2, 2, 1, 1]),
        ([17, 25, 29, 47, 20, 41], ["10", "20", "30", "40", "50"], "decade", [1, 3, 0, 2]),
        ([80, 80, 80, 79, 75, 72], ["70", "80", "90"], "decade", [3, 3]),
    ],
)
def test_ages_are_stacked_by_gender(
    tmp_path: Path, plot: Plot, ages: list[int], labels: list[str], bins: str, expected: list[int]
) -> None:
    people = write_people(tmp_path, 6, age=ages, gender=["Female", "Male"])
    panels = plot(people, write_events(tmp_path, "A regatta."))
    tops: dict[float, float] = {}
    for bar in panels["(c)"].patches:
        tops[bar.get_x()] = tops.get(bar.get_x(), 0) + bar.get_height()
    assert list(tops.values()) == expected
    assert [label.get_text() for label in panels["(c)"].get_xticklabels()] == labels
    assert panels["(c)"].get_xlabel() == f"Age in years, by {bins}"
    assert [bar.get_height() for bar in panels["(d)"].patches] == [3, 3]


def test_genders_differ_in_hatching_and_in_grey(tmp_path: Path, plot: Plot) -> None:
    people = write_people(tmp_path, gender=["Female", "Male", "nonbinary"])
    panels = plot(people, write_events(tmp_path, "A regatta."))
    styles = {(bar.get_facecolor(), bar.get_hatch()) for bar in panels["(d)"].patches}
    assert len(styles) == 3
    assert len({hatch for _, hatch in GENDERS}) == len(GENDERS)
    first, second = (luminance(colour) for colour, _ in GENDERS[:2])
    assert first - second > 0.4


@pytest.mark.parametrize("world", ["pocket", "paper"])
def test_every_text_is_readable_and_inside(tmp_path: Path, plot: Plot, world: str) -> None:
    people = POCKET / "people.jsonl" if world == "pocket" else write_people(tmp_path, 200)
    panels = plot(people, POCKET / "events.jsonl")
    assert_readable(panels["(a)"].figure.figure)
    for letter, axes in panels.items():
        titles = [one for one in axes.findobj(Text) if one.get_text().startswith(("(", "n = "))]
        boxes = sorted((one.get_window_extent() for one in titles), key=lambda box: box.x0)
        assert all(left.x1 + 5 < right.x0 for left, right in pairwise(boxes)), letter


def test_the_cloud_holds_the_events_words_in_its_panel(tmp_path: Path, plot: Plot) -> None:
    people = write_people(tmp_path)
    events = write_events(
        tmp_path, "Lanterns glow.", "Across the bay lanterns drift.", "Lanterns and a Kite."
    )
    cloud = plot(people, events)["(e)"]
    cloud.figure.figure.draw_without_rendering()
    sizes = {text.get_text(): text.get_fontsize() for text in cloud.texts}
    assert set(sizes) == {"lanterns", "glow", "bay", "drift", "kite"}
    assert max(sizes, key=sizes.get) == "lanterns"
    panel = cloud.get_window_extent()
    for text in cloud.texts:
        box = text.get_window_extent()
        assert panel.x0 - 2 <= box.x0 and box.x1 <= panel.x1 + 2 and panel.y0 - 4 <= box.y0, text.get_text()


def test_words_of_the_cloud_do_not_cover_each_other(tmp_path: Path, plot: Plot) -> None:
    """In half transparent black, a spot that is inked once is grey and one that is inked twice is darker."""
    cloud = plot(write_people(tmp_path), POCKET / "events.jsonl")["(e)"]
    figure = cloud.figure.figure
    for text in cloud.texts:
        text.set(color="black", alpha=0.5)
    figure.canvas.draw()
    red = Image.fromarray(np.asarray(figure.canvas.buffer_rgba())[:, :, 0].copy())
    box = cloud.get_window_extent()
    panel = red.crop((int(box.x0), int(red.height - box.y1), int(box.x1), red.height)).histogram()
    assert sum(panel[120:200]) > 1000
    assert sum(panel[:110]) < 0.001 * sum(panel[120:200])


@pytest.mark.parametrize("ink", INKS)
def test_words_stand_out_from_the_page(ink: str) -> None:
    assert 1.05 / (luminance(ink) + 0.05) > 6


def luminance(colour: str) -> float:
    """Relative luminance as WCAG defines it."""
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in to_rgb(colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("empty", ["people", "events"])
def test_nobody_or_nothing_is_refused(tmp_path: Path, empty: str) -> None:
    files = {"people": write_people(tmp_path), "events": write_events(tmp_path, "A regatta.")}
    files[empty].write_text("")
    with pytest.raises(RecordError, match=rf"{empty}\.jsonl\. Found no row"):
        plot_figure4(**files, png=tmp_path / "fig4.png", pdf=tmp_path / "fig4.pdf")
    assert not (tmp_path / "fig4.png").exists()
