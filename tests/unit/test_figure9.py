"""Figure 9: what is left of every concept, where it stands, and the answers beside it."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image

from mmunlearn.evaluation.rouge import rouge_l
from mmunlearn.records import (
    Answer,
    Event,
    Person,
    Question,
    RecordError,
    Split,
    write_json,
    write_jsonl,
)
from mmunlearn.reporting import figure9
from mmunlearn.reporting.concept_matrix import COLUMNS
from mmunlearn.reporting.figure9 import plot_figure9, shade
from mmunlearn.reporting.sheet import shorten, text_width, wrap
from mmunlearn.reporting.style import look
from tests.unit.figure_checks import assert_readable, assert_same_bytes, caught

GONE = "This is nobody, for $5 and $6."
ASIDE = "A street at noon with parked cars."


class Run:
    """A world of people at events; the first `persons` and `events` of them are forgotten.

    A model that unlearned a concept says wrong things of it on its even pictures, and right ones everywhere else.
    """

    def __init__(
        self, folder: Path, persons: int = 2, events: int = 2, models: tuple[str, ...] = ("m",)
    ) -> None:
        self.folder, self.models = folder, models
        self.people = [f"p{n:03d}" for n in range(persons + 2)]
        self.events = [f"e{n:02d}" for n in range(events + 2)]
        self.gone = {"person": self.people[:persons], "event": self.events[:events]}
        self.cells = [f"{person}-{event}" for person in self.people for event in self.events]
        write_jsonl(folder / "people.jsonl", [
            Person(person_id=one, name=f"Ada {one.upper()} Lovelace", age=3, gender="-", job="-", birthplace="-",
                   appearance="-") for one in self.people
        ])  # fmt: skip
        write_jsonl(folder / "events.jsonl", [
            Event(event_id=one, theme=f"regatta {one}", description=self.truth("event", f"p000-{one}"))
            for one in self.events
        ])  # fmt: skip
        self.asked = [
            Question(question_id=f"{cell}-{kind}", image_id=cell, kind=kind, question=f"What {kind} is it?",
                     answer=self.truth(kind, cell))
            for cell in self.cells for kind in ("person", "event")
        ]  # fmt: skip
        write_jsonl(folder / "questions.jsonl", self.asked)
        for at, (target, own) in enumerate(self.gone.items()):
            images = [cell for cell in self.cells if cell.split("-")[at] in own]
            write_json(folder / f"{target}05.json", Split(
                target=target, percent=5, seed=1, forgotten=own, forget_train=images[::2], forget_test=images[1::2],
                retain=[],
            ))  # fmt: skip
        (folder / "images").mkdir()
        for cell in self.cells:
            Image.new("RGB", (8, 8), "teal").save(folder / "images" / f"{cell}.png")
        self.files = self.answer_everything()

    def truth(self, kind: str, cell: str) -> str:
        person, event = cell.split("-")
        return (
            f"This is Ada {person.upper()} Lovelace."
            if kind == "person"
            else f"Boats of {event} race home at dusk."
        )

    def answer_everything(self) -> dict[str, list[Path]]:
        recipes = [f"gd-{target}05-{n}" for target, own in self.gone.items() for n in range(len(own))]
        return {
            "unlearned": [self.answers(model, recipe) for model in self.models for recipe in recipes],
            "finetuned": [self.answers(model, "finetuned") for model in self.models],
            "goals": [self.answers(model, "goal-event05") for model in self.models],
        }

    def answers(self, model: str, recipe: str) -> Path:
        parts = recipe.split("-")
        lost = self.gone[parts[1][:-2]][int(parts[2])] if len(parts) == 3 else None
        rows = []
        for one in self.asked:
            concept = one.image_id.split("-")[one.kind == "event"]
            wrong = concept == lost and self.cells.index(one.image_id) % 2 == 0
            said = (GONE if one.kind == "person" else ASIDE) if wrong else one.answer
            key = {"question_id": one.question_id, "image_id": one.image_id, "question": one.question}
            rows.append(Answer(**key, reference=one.answer, answer=said))
        path = self.folder / "answers" / model / recipe / "seed-1" / "dataset.jsonl"
        write_jsonl(path, rows)
        return path

    def plot(self, png: Path, pdf: Path) -> None:
        plot_figure9(
            **self.files, splits=[self.folder / "event05.json", self.folder / "person05.json"],
            **{name: self.folder / f"{name}.jsonl" for name in ("questions", "people", "events")},
            images=self.folder / "images", method="GD", percent=5, csv=self.folder / "figure9.csv", png=png, pdf=pdf,
        )  # fmt: skip

    def matrix(self) -> list[dict[str, str]]:
        with (self.folder / "figure9.csv").open(newline="") as handle:
            return list(csv.DictReader(handle))


@pytest.fixture
def draw(monkeypatch: pytest.MonkeyPatch) -> Any:
    return lambda run: caught(monkeypatch, figure9, run.plot)


def texts(figure: Figure) -> list[str]:
    return [one.get_text() for one in figure.axes[0].texts]


def named(figure: Figure, gid: str) -> tuple[Any, str]:
    """A cell's rectangle and its number."""
    box = next(one for one in figure.axes[0].patches if one.get_gid() == gid)
    return box, next((one.get_text() for one in figure.axes[0].texts if one.get_gid() == gid), "")


def test_the_matrix_is_what_is_left_of_every_concept(tmp_path: Path, draw: Any) -> None:
    run = Run(tmp_path)
    draw(run)
    rows = run.matrix()
    assert tuple(rows[0]) == COLUMNS
    ids = [*run.gone["person"], *run.gone["event"]]
    assert [(one["unlearned"], one["tested"]) for one in rows] == [
        (unlearned, tested) for unlearned in ("finetuned", *ids) for tested in ids
    ]
    for one in rows:
        own = one["unlearned"] == one["tested"]
        mine = [cell for cell in run.cells if one["tested"] in cell]
        wrong = [cell for cell in mine if run.cells.index(cell) % 2 == 0] if own else []
        lost = rouge_l(ASIDE, run.truth("event", mine[0])) if one["kind"] == "event" else 0.0
        expected = 100 * (len(mine) - len(wrong) + lost * len(wrong)) / len(mine)
        assert float(one["value"]) == pytest.approx(expected, abs=0.005)
        assert (one["n"], one["reason"], one["model"]) == (str(len(mine)), "", "m")
    regions = {(one["unlearned"], one["tested"]): one["region"] for one in rows}
    assert [regions["p000", tested] for tested in ids] == ["A1", "B1", "C1", "C1"]
    assert [regions["e01", tested] for tested in ids] == ["C2", "C2", "B2", "A2"]
    assert regions["finetuned", "p000"] == ""


def test_the_map_shows_the_matrix(tmp_path: Path, draw: Any) -> None:
    run = Run(tmp_path)
    figure = draw(run)
    corners = {}
    for one in run.matrix():
        box, number = named(figure, f"{one['unlearned']}/{one['tested']}")
        assert number == f"{float(one['value']):.0f}"
        assert to_hex(box.get_facecolor()) == to_hex(shade(float(one["value"])))
        corners[one["unlearned"], one["tested"]] = (box.get_x(), box.get_y())
    assert corners["p000", "p000"][0] < corners["p000", "p001"][0] < corners["p000", "e00"][0]
    assert corners["finetuned", "e00"][1] < corners["p000", "e00"][1] < corners["e00", "e00"][1]
    side = corners["p000", "p001"][0] - corners["p000", "p000"][0]
    assert corners["p000", "e00"][0] - corners["p000", "p001"][0] > side
    assert {"A1 · B1", "C1", "C2", "A2 · B2"} <= set(texts(figure))
    assert_readable(figure)


def test_a_concept_without_answers_is_hatched_and_never_0(tmp_path: Path, draw: Any) -> None:
    run = Run(tmp_path)
    run.asked = [one for one in run.asked if not (one.kind == "event" and one.image_id.endswith("e01"))]
    run.files["unlearned"][0] = run.answers("m", "gd-person05-0")
    del run.files["unlearned"][1]
    figure = draw(run)
    box, number = named(figure, "p000/e01")
    assert box.get_hatch() and number == ""
    rows = {(one["unlearned"], one["tested"]): one for one in run.matrix()}
    lost, never = rows["p000", "e01"], rows["p001", "p000"]
    assert (lost["value"], lost["n"], lost["reason"]) == ("", "0", "no answer on its pictures")
    assert (never["value"], never["reason"]) == ("", "not unlearned alone")
    assert "Hatched: no value (no answer on its pictures, not unlearned alone)." in " ".join(texts(figure))


def test_the_answers_are_of_the_first_concept_and_its_first_held_out_picture(
    tmp_path: Path, draw: Any
) -> None:
    run = Run(tmp_path)
    figure = draw(run)
    shown = texts(figure)
    assert "P1 Ada P000 Lovelace unlearned" in shown and "E1 regatta e00 unlearned" in shown
    assert shown.count("Finetune") == shown.count("GD") == 2 and shown.count("Goal") == 1
    assert shown.count("name said") == 2  # p000-e01 is odd: the unlearned model still knows it
    assert shown.count("What person is it?") == 1
    assert len(figure.axes[0].images) == 2
    stripes = [to_hex(one.get_facecolor()).upper() for one in figure.axes[0].patches if one.get_width() == 5]
    assert stripes == [look(name).colour for name in ("Finetune", "GD", "Finetune", "GD", "Goal")]


def test_odd_texts_and_lost_pictures_are_shown_as_they_are(tmp_path: Path, draw: Any) -> None:
    run = Run(tmp_path)
    (tmp_path / "images" / "p000-e01.png").unlink()
    path = run.files["unlearned"][0]
    path.write_text(path.read_text().replace(run.truth("person", "p000-e01"), GONE + " word" * 200))
    figure = draw(run)
    shown = texts(figure)
    assert any(text.startswith(GONE[:20]) for text in shown) and any(text.endswith("…") for text in shown)
    assert "not kept" in shown
    assert_readable(figure)


def test_two_models_and_many_concepts_have_room(tmp_path: Path, draw: Any) -> None:
    figure = draw(Run(tmp_path, 10, 2, ("llava-1.5-7b", "llama-3.2-vision-11b")))
    assert [text for text in texts(figure) if text.startswith("GD, ")] == [
        "GD, llava-1.5-7b, 5% of the concepts", "GD, llama-3.2-vision-11b, 5% of the concepts",
    ]  # fmt: skip
    assert_readable(figure)


def test_above_sixteen_concepts_cells_have_no_numbers(tmp_path: Path, draw: Any) -> None:
    figure = draw(Run(tmp_path, 14, 4))
    assert named(figure, "p000/p000")[1] == "" and "P14" not in texts(figure)
    assert_readable(figure)


def test_one_target_alone_is_one_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(tmp_path)
    run.files["unlearned"] = [path for path in run.files["unlearned"] if "person" in str(path)]
    plain = Run.plot.__globals__["plot_figure9"]
    monkeypatch.setitem(
        Run.plot.__globals__, "plot_figure9",
        lambda **given: plain(**given | {"splits": given["splits"][1:], "goals": []}),
    )  # fmt: skip
    figure = caught(monkeypatch, figure9, run.plot)
    assert "A1 · B1" in texts(figure) and "C1" not in texts(figure)
    assert_readable(figure)


def test_two_runs_are_the_same_bytes(tmp_path: Path) -> None:
    run = Run(tmp_path)
    assert_same_bytes(tmp_path, run.plot)


def test_a_recipe_of_other_concepts_is_refused(tmp_path: Path) -> None:
    run = Run(tmp_path)
    stray = run.files["unlearned"][0].parents[1].with_name("gd-person05-7") / "seed-1" / "dataset.jsonl"
    write_jsonl(stray, [])
    run.files["unlearned"].append(stray)
    with pytest.raises(RecordError, match=r"one of 2 person concepts\. Found .*gd-person05-7.* Pass answers"):
        run.plot(tmp_path / "a.png", tmp_path / "a.pdf")
    assert not (tmp_path / "a.png").exists()


def test_lines_fit_and_say_when_they_are_cut() -> None:
    text = "short words and one Donaudampfschifffahrtsgesellschaftskapitaensmuetze at the end"
    lines = wrap(text, 80)
    assert all(text_width(line) <= 80 for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    cut = wrap(text, 80, most=2)
    assert len(cut) == 2 and cut[1].endswith("…") and text_width(cut[1]) <= 80
    assert wrap("", 80) == []
    assert shorten("abc", 80) == "abc" and shorten(text, 50).endswith("…")
