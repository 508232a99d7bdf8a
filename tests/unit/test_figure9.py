"""Figure 9: what is left of every concept, where it stands, and the answers beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image

from mmunlearn.evaluation.rouge import rouge_l
from mmunlearn.ids import TARGETS, Run, concepts_of, image_id, kind_of, parse_recipe, question_id
from mmunlearn.records import (
    Answer,
    Event,
    Judgement,
    Person,
    Question,
    RecordError,
    Split,
    read_jsonl,
    sha256_of,
    write_json,
    write_jsonl,
    write_manifest,
)
from mmunlearn.reporting.canvas import shorten, text_width, wrap
from mmunlearn.reporting.concept_matrix import COLUMNS
from mmunlearn.reporting.figure9 import plot_figure9, shade
from mmunlearn.reporting.layout import read_table
from mmunlearn.reporting.style import look
from tests.unit import rows
from tests.unit.figure_checks import assert_readable, assert_same_bytes, caught

GONE = "This is nobody, for $5 and $6."
ASIDE = "A street at noon with parked cars."


class Files:
    """What Figure 9 reads of people at events, of which the first `persons` and `events` are forgotten.

    A model that unlearned a concept answers wrongly on its even pictures, and rightly everywhere else.
    """

    def __init__(
        self, folder: Path, persons: int = 2, events: int = 2, models: tuple[str, ...] = ("m",)
    ) -> None:
        self.folder = folder
        people, scenes = [f"p{n:03d}" for n in range(persons + 2)], [f"e{n:02d}" for n in range(events + 2)]
        self.forgotten = {"person": people[:persons], "event": scenes[:events]}
        self.cells = [image_id(person, event) for person in people for event in scenes]
        self.questions = [
            Question(question_id=question_id(cell, kind), image_id=cell, kind=kind, question=f"What {kind} is it?",
                     answer=truth(kind, cell))
            for cell in self.cells for kind in TARGETS
        ]  # fmt: skip
        write_jsonl(folder / "questions.jsonl", self.questions)
        write_jsonl(folder / "people.jsonl", [
            Person(person_id=one, name=f"Ada {one.upper()} Lovelace", age=3, gender="-", job="-", birthplace="-",
                   appearance="-") for one in people
        ])  # fmt: skip
        write_jsonl(folder / "events.jsonl", [
            Event(event_id=one, theme=f"regatta {one}", description=truth("event", f"p000-{one}")) for one in scenes
        ])  # fmt: skip
        for target, concepts in self.forgotten.items():
            images = [cell for cell in self.cells if set(concepts) & set(concepts_of(cell))]
            write_json(folder / f"{target}05.json", Split(
                target=target, percent=5, seed=1, forgotten=concepts, forget_train=images[::2],
                forget_test=images[1::2], retain=[],
            ))  # fmt: skip
        (folder / "images").mkdir()
        for cell in self.cells:
            Image.new("RGB", (8, 8), "teal").save(folder / "images" / f"{cell}.png")
        listed = {cell: folder / "images" / f"{cell}.png" for cell in self.cells}
        write_manifest(
            folder / "images" / "manifest.parquet",
            [rows.candidate(cell, path=str(path), sha256=sha256_of(path)) for cell, path in listed.items()],
        )
        self.splits = [folder / "event05.json", folder / "person05.json"]
        self.judgements: list[Path] = []
        recipes = [f"gd-{target}05-{n}" for target, ids in self.forgotten.items() for n in range(len(ids))]
        self.answers = {
            recipe: [self.answer(model, recipe) for model in models]
            for recipe in (*recipes, "finetuned", "goal-event05")
        }

    def answer(self, model: str, recipe: str) -> Path:
        parsed = parse_recipe(recipe)
        lost = self.forgotten[parsed.target][parsed.concept] if parsed.concept is not None else None
        said = []
        for one in self.questions:
            wrong = lost in concepts_of(one.image_id) and kind_of(one.question_id) == parsed.target
            wrong = wrong and self.cells.index(one.image_id) % 2 == 0
            text = (GONE if one.kind == "person" else ASIDE) if wrong else one.answer
            key = {"question_id": one.question_id, "image_id": one.image_id, "question": one.question}
            said.append(Answer(**key, reference=one.answer, answer=text))
        path = self.folder / "answers" / Run(model, recipe, 1).folder / "dataset.jsonl"
        write_jsonl(path, said)
        return path

    def judge(self, recipe: str, score: float | None, model: str = "m") -> None:
        verdicts = [
            Judgement(question_id=one.question_id, score=score, reason="-")
            for one in self.questions
            if one.kind == "event"
        ]
        path = self.folder / "judgements" / Run(model, recipe, 1).folder / "event05.jsonl"
        write_jsonl(path, verdicts)
        self.judgements.append(path)

    def plot(self, png: Path, pdf: Path) -> None:
        plot_figure9(
            judgements=self.judgements, judge="openai/gpt-4o-mini",
            answers=[path for paths in self.answers.values() for path in paths], splits=self.splits,
            **{name: self.folder / f"{name}.jsonl" for name in ("questions", "people", "events")},
            manifest=self.folder / "images" / "manifest.parquet", method="GD", percent=5,
            csv=self.folder / "figure9.csv", png=png, pdf=pdf,
        )  # fmt: skip

    def matrix(self) -> dict[tuple[str, str], dict[str, str]]:
        table = read_table(self.folder / "figure9.csv")
        return {(row["unlearned"], row["tested"]): row for row in table}


def truth(kind: str, cell: str) -> str:
    person, event = concepts_of(cell)
    texts = {
        "person": f"This is Ada {person.upper()} Lovelace.",
        "event": f"Boats of {event} race home at dusk.",
    }
    return texts[kind]


@pytest.fixture
def draw(monkeypatch: pytest.MonkeyPatch) -> Any:
    return lambda files: caught(monkeypatch, files.plot)


def texts(figure: Figure) -> list[str]:
    return [one.get_text() for one in figure.axes[0].texts]


def named(figure: Figure, gid: str) -> tuple[Any, str]:
    """A cell's rectangle and its number."""
    box = next(one for one in figure.axes[0].patches if one.get_gid() == gid)
    return box, next((one.get_text() for one in figure.axes[0].texts if one.get_gid() == gid), "")


def test_the_matrix_is_what_is_left_of_every_concept(tmp_path: Path, draw: Any) -> None:
    files = Files(tmp_path)
    draw(files)
    rows = files.matrix()
    ids = [*files.forgotten["person"], *files.forgotten["event"]]
    assert list(rows) == [(unlearned, tested) for unlearned in ("finetuned", *ids) for tested in ids]
    for (unlearned, tested), row in rows.items():
        assert tuple(row) == COLUMNS
        cells = [cell for cell in files.cells if tested in concepts_of(cell)]
        wrong = sum(files.cells.index(cell) % 2 == 0 for cell in cells) if unlearned == tested else 0
        lost = rouge_l(ASIDE, truth("event", cells[0])) if row["kind"] == "event" else 0.0
        expected = 100 * (len(cells) - wrong + lost * wrong) / len(cells)
        assert float(row["value"]) == pytest.approx(expected, abs=0.005)
        assert (row["n"], row["reason"], row["model"]) == (str(len(cells)), "", "m")
    assert [rows["p000", tested]["region"] for tested in ids] == ["A1", "B1", "C1", "C1"]
    assert [rows["e01", tested]["region"] for tested in ids] == ["C2", "C2", "B2", "A2"]
    assert rows["finetuned", "p000"]["region"] == ""


def test_the_map_shows_the_matrix(tmp_path: Path, draw: Any) -> None:
    files = Files(tmp_path)
    figure = draw(files)
    corners = {}
    for key, row in files.matrix().items():
        box, number = named(figure, "/".join(key))
        assert number == f"{float(row['value']):.0f}"
        assert to_hex(box.get_facecolor()) == to_hex(shade(float(row["value"])))
        corners[key] = (box.get_x(), box.get_y())
    assert [to_hex(shade(value)) for value in (0, 100)] == ["#004488", "#ffffff"], "dark where forgotten"
    assert corners["p000", "p000"][0] < corners["p000", "p001"][0] < corners["p000", "e00"][0]
    assert corners["finetuned", "e00"][1] < corners["p000", "e00"][1] < corners["e00", "e00"][1]
    side = corners["p000", "p001"][0] - corners["p000", "p000"][0]
    assert corners["p000", "e00"][0] - corners["p000", "p001"][0] > side
    assert {"A1 · B1", "C1", "C2", "A2 · B2"} <= set(texts(figure))
    assert_readable(figure)


def test_a_concept_without_answers_is_hatched_and_never_0(tmp_path: Path, draw: Any) -> None:
    files = Files(tmp_path)
    files.questions = [one for one in files.questions if not one.question_id.endswith("e01-event")]
    files.answer("m", "gd-person05-0")
    del files.answers["gd-person05-1"]
    figure = draw(files)
    box, number = named(figure, "p000/e01")
    assert box.get_hatch() and number == ""
    lost, never = files.matrix()["p000", "e01"], files.matrix()["p001", "p000"]
    assert (lost["value"], lost["n"], lost["reason"]) == ("", "0", "no answer on its pictures")
    assert (never["value"], never["reason"]) == ("", "not unlearned alone")
    assert "Hatched: no value (no answer on its pictures, not unlearned alone)." in " ".join(texts(figure))


@pytest.mark.parametrize("kind", ["answers", "judgements"])
def test_a_row_of_another_data_set_is_named(tmp_path: Path, kind: str) -> None:
    files = Files(tmp_path)
    files.judge("gd-event05-0", 0.5)
    record, path = {
        "answers": (Answer, files.answers["gd-person05-0"][0]), "judgements": (Judgement, files.judgements[0])
    }[kind]  # fmt: skip
    rows = read_jsonl(path, record)
    write_jsonl(path, [rows[0].model_copy(update={"question_id": "p9-e9-event"}), *rows[1:]])
    with pytest.raises(
        RecordError, match=rf"{path} for {kind} of .*line 1: there is no question 'p9-e9-event'"
    ):
        files.plot(tmp_path / "a.png", tmp_path / "a.pdf")


def test_the_answers_are_of_the_first_concept_and_its_first_held_out_picture(
    tmp_path: Path, draw: Any
) -> None:
    figure = draw(Files(tmp_path))
    words = texts(figure)
    assert "P1 Ada P000 Lovelace unlearned" in words and "E1 regatta e00 unlearned" in words
    assert words.count("Finetune") == words.count("GD") == 2 and words.count("Goal") == 1
    assert words.count("name said") == 2  # p000-e01 is odd: the unlearned model still knows it
    assert words.count("What person is it?") == 1
    assert len(figure.axes[0].images) == 2
    stripes = [to_hex(one.get_facecolor()).upper() for one in figure.axes[0].patches if one.get_width() == 5]
    assert stripes == [look(name).colour for name in ("Finetune", "GD", "Finetune", "GD", "Goal")]


def test_event_answers_have_g_eval_beside_rouge_l(tmp_path: Path, draw: Any) -> None:
    """As in the paper: 'G-Eval 65.7, ROUGE-L 30.0'. A failed verdict and one that nobody asked for are dashes."""
    files = Files(tmp_path)
    files.judge("finetuned", 0.0)
    files.judge("gd-event05-0", 0.657)
    files.judge("goal-event05", None)
    files.judge("finetuned", 0.9, model="another")
    page = draw(files)
    lost = 100 * rouge_l(ASIDE, truth("event", "p000-e00"))
    tags = [text for text in texts(page) if "ROUGE-L " in text and not text.startswith("What")]
    assert [tag for tag in tags if tag.startswith("G-Eval")] == [
        "G-Eval 0.0  ROUGE-L 100.0", f"G-Eval 65.7  ROUGE-L {lost:.1f}", "G-Eval –  ROUGE-L 100.0",
    ]  # fmt: skip
    assert "Judge of G-Eval: openai/gpt-4o-mini; 0 as finetuned, 100 as the goal model." in " ".join(
        texts(page)
    )
    assert_readable(page)


def test_the_answers_are_of_a_picture_of_which_both_models_were_asked(tmp_path: Path, draw: Any) -> None:
    files = Files(tmp_path)
    files.questions = [one for one in files.questions if not one.question_id.startswith("p000-e01")]
    files.answer("m", "gd-person05-0")
    words = texts(draw(files))
    assert "P1 Ada P000 Lovelace unlearned" in words and "no answer" not in words


def test_odd_texts_and_lost_pictures_are_shown_as_they_are(tmp_path: Path, draw: Any) -> None:
    files = Files(tmp_path)
    (tmp_path / "images" / "p000-e01.png").unlink()
    (path,) = files.answers["gd-person05-0"]
    path.write_text(path.read_text().replace(truth("person", "p000-e01"), GONE + " word" * 200))
    figure = draw(files)
    words = texts(figure)
    assert any(text.startswith(GONE[:20]) for text in words) and any(text.endswith("…") for text in words)
    assert "not kept" in words
    assert_readable(figure)


def test_two_models_and_many_concepts_have_room(tmp_path: Path, draw: Any) -> None:
    figure = draw(Files(tmp_path, 10, 2, ("llava-1.5-7b", "llama-3.2-vision-11b")))
    assert [text for text in texts(figure) if text.startswith("GD, ")] == [
        "GD, llava-1.5-7b, 5% of the concepts", "GD, llama-3.2-vision-11b, 5% of the concepts",
    ]  # fmt: skip
    assert_readable(figure)


def test_above_sixteen_concepts_cells_have_no_numbers(tmp_path: Path, draw: Any) -> None:
    figure = draw(Files(tmp_path, 14, 4))
    assert named(figure, "p000/p000")[1] == "" and "P14" not in texts(figure)
    assert_readable(figure)


def test_one_target_alone_is_one_block(tmp_path: Path, draw: Any) -> None:
    files = Files(tmp_path)
    files.splits = [tmp_path / "person05.json"]
    files.answers = {recipe: paths for recipe, paths in files.answers.items() if "event" not in recipe}
    figure = draw(files)
    assert "A1 · B1" in texts(figure) and "C1" not in texts(figure)
    assert_readable(figure)


def test_two_runs_are_the_same_bytes(tmp_path: Path) -> None:
    assert_same_bytes(tmp_path, Files(tmp_path).plot)


def test_a_recipe_of_other_concepts_is_refused(tmp_path: Path) -> None:
    files = Files(tmp_path)
    (path,) = files.answers["gd-person05-0"]
    files.answers["gd-person05-7"] = [Path(str(path).replace("gd-person05-0", "gd-person05-7"))]
    with pytest.raises(RecordError, match=r"one of 2 person concepts\. Found .*gd-person05-7.* Pass answers"):
        files.plot(tmp_path / "a.png", tmp_path / "a.pdf")
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


def test_a_picture_that_is_another_than_listed_is_refused(tmp_path):
    files = Files(tmp_path)
    for path in tmp_path.joinpath("images").glob("*.png"):
        Image.new("RGB", (8, 8), "red").save(path)
    with pytest.raises(RecordError, match=r"Found another in .*images/p000-e0.*manifest\.parquet -- "):
        files.plot(tmp_path / "fig9.png", tmp_path / "fig9.pdf")
