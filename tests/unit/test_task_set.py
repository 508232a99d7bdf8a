"""Questions of the tasks: whose pictures are there, which are held out, which the base answers."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any
from unicodedata import normalize

import pytest

from mmunlearn.evaluation.language import Language
from mmunlearn.files import RecordError
from mmunlearn.lifelong.picture_folder import Missing, missing_pictures
from mmunlearn.lifelong.released import read_released
from mmunlearn.lifelong.score_inputs import read_left_out
from mmunlearn.lifelong.statistics import Selection, TaskStatistics
from mmunlearn.lifelong.task_set import read_tasks, select_questions, task_statistics
from mmunlearn.records import Answer, read_json, read_jsonl, sha256_of, write_jsonl
from mmunlearn.tasks import TaskQuestion, asked_after, shown_after
from tests.rules.standin import ROOT
from tests.unit.task_files import ENTITIES, MLUBENCH, write_pictures, write_release, write_strangers

SETTINGS = {"tasks": ["A", "B"], "test_share": 0.4, "questions": None, "keep_available": False, "seed": 1}


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    return {"source": write_release(tmp_path / "release"), "pictures": write_pictures(tmp_path / "pictures")}


def read(folder: Path, **changed: Any) -> tuple[list[TaskQuestion], TaskStatistics]:
    output, statistics = folder / "questions.jsonl", folder / "statistics.json"
    read_tasks(output, statistics, **SETTINGS | changed)
    return read_jsonl(output, TaskQuestion), read_json(statistics, TaskStatistics)


def pictures_by_part(rows: list[TaskQuestion]) -> dict[tuple[str, str], set[str]]:
    found: dict[tuple[str, str], set[str]] = {}
    for row in rows:
        found.setdefault((row.entity, row.part), set()).add(row.image_id)
    return found


def test_rows_name_task_role_entity_and_picture(files, tmp_path):
    rows, _ = read(tmp_path, **files)
    assert Counter((row.task, row.role) for row in rows) == {
        ("A", "forget"): 20, ("A", "retain"): 20, ("B", "forget"): 10, ("B", "retain"): 10, ("", "untouched"): 10,
    }  # fmt: skip
    row = next(row for row in rows if row.question_id == "A-forget-11")
    place = files["pictures"] / "Personage/Dr._Ω!/0.png"
    assert row.model_dump(exclude={"part"}) == {
        "question_id": "A-forget-11", "image_id": "Personage/Dr._Ω!/0.png", "task": "A", "role": "forget",
        "entity_class": "Personage", "entity": "Dr. Ω!", "question": "What is it?", "answer": "name of Dr._Ω!",
        "path": place.as_posix(), "sha256": sha256_of(place),
    }  # fmt: skip
    assert [row.question_id for row in rows if row.role == "untouched"] == [
        f"untouched-{n}" for n in range(1, 11)
    ]


def test_pictures_are_held_out_by_entity_and_seed(files, tmp_path):
    rows, statistics = read(tmp_path, **files)
    parts = pictures_by_part(rows)
    for entity in ("Dog", "Dr. Ω!", "Rose", "Corn", "Café de Flore", "苏姿丰"):
        assert (len(parts[entity, "train"]), len(parts[entity, "test"])) == (3, 2)
        assert not parts[entity, "train"] & parts[entity, "test"]
    assert parts["Moon", "test"] == {f"Astronomy/Moon/{i}.png" for i in range(5)}
    assert read(tmp_path, **files)[0] == rows
    others = [pictures_by_part(read(tmp_path, **files, seed=seed)[0]) for seed in range(2, 6)]
    assert any(one["Dog", "test"] != parts["Dog", "test"] for one in others)
    dogs = next(one for one in statistics.sets if one.entity_class == "Animals")
    assert (dogs.trained, dogs.asked, dogs.trained_pictures, dogs.asked_pictures) == (6, 4, 3, 2)


@pytest.fixture
def strangers(files) -> None:
    """Two more people, on two pictures each."""
    named = write_strangers(files["source"])
    write_pictures(files["pictures"], {"": {"": named}}, 2, (9, 9))


@pytest.mark.usefixtures("strangers")
@pytest.mark.parametrize("share", [0.4, None])
def test_strangers_are_shown_and_neither_trained_on_nor_asked(files, tmp_path, share):
    rows, statistics = read(tmp_path, **files, test_share=share, questions=1)
    found = [row for row in rows if row.role == "stranger"]
    assert rows[-4:] == found and [row.question_id for row in found] == [f"stranger-{n}" for n in range(1, 5)]
    assert {(row.task, row.part, row.entity_class) for row in found} == {("", "test", "Personage")}
    assert {row.entity for row in found} == {"Nobody", "Who is it"}
    assert not any(row.trained or row.asked for row in found) and all(row.shown for row in found)
    assert [row for row in rows if row.shown and not row.asked] == found
    assert [row for row in shown_after(rows, "AB", "A") if row not in asked_after(rows, "AB", "A")] == found
    assert not any(row.task == "B" for row in shown_after(rows, "AB", "A"))
    counts = statistics.sets[-1]
    assert (counts.role, counts.entities, counts.pictures, counts.trained, counts.asked) == (
        "stranger",
        2,
        4,
        0,
        0,
    )


@pytest.mark.usefixtures("strangers")
def test_what_strangers_are_called_is_no_vocabulary(files, tmp_path):
    read(tmp_path, **files)
    language = Language.read(tmp_path / "questions.jsonl", ROOT / "resources/refusals.txt")
    assert language.says("size of Moon") and not language.says("Quux.")


@pytest.mark.usefixtures("strangers")
@pytest.mark.parametrize("known_only", [True, False])
def test_strangers_need_no_answer_of_the_base(files, tmp_path, known_only):
    rows, _ = read(tmp_path, **files)
    asked = [row for row in rows if row.role != "stranger"]
    paths = {name: tmp_path / f"{name}.jsonl" for name in ("questions", "answers", "output", "selection")}
    said = [answer(row, "No." if row.role == "untouched" else row.answer) for row in asked]
    write_jsonl(paths["answers"], said)
    select_questions(**paths, known_only=known_only)
    taken = [row for row in rows if row.role != "untouched" or not known_only]
    assert read_jsonl(paths["output"], TaskQuestion) == taken
    selection = read_json(paths["selection"], Selection)
    assert (selection.of, selection.questions) == (70, 60 if known_only else 70)
    assert read_left_out(paths["selection"], taken)["", "stranger", "Personage"] == 0


@pytest.mark.parametrize(
    ("share", "count", "held_out"), [(0.01, 5, 1), (0.99, 5, 4), (0.5, 2, 1), (0.5, 1, 0)]
)
def test_each_side_has_a_picture_where_there_are_two(tmp_path, share, count, held_out):
    entities = {"A": ENTITIES["A"]}
    files = {
        "source": write_release(tmp_path / "release", entities, count),
        "pictures": write_pictures(tmp_path / "pictures", entities, count),
    }
    settings = {"tasks": ["A"], "test_share": share}
    if held_out:
        parts = pictures_by_part(read(tmp_path, **files, **settings)[0])
        assert len(parts["Dog", "test"]) == held_out
        assert len(parts["Dog", "train"]) == count - held_out
    else:
        with pytest.raises(
            RecordError, match=r"Found, by .*, nothing to ask in A \(forget and retain\)\. Bring"
        ):
            read(tmp_path, **files, **settings)


def test_a_picture_has_one_part_in_all_tasks_and_roles(tmp_path):
    """A to D retain roses, and E forgets them: what one of them trains on, none of them asks, by no seed."""
    others = {f"Thing{task}": "Animals" for task in "ABCDE"}
    entities = {
        task: {"forget": {f"Thing{task}": "Animals"}, "retain": {"Rose": "Plants"}} for task in "ABCD"
    }
    entities["E"] = {"forget": {"Rose": "Plants"}, "retain": {"ThingE": "Animals"}}
    source = write_release(tmp_path / "release", entities)
    pictures = write_pictures(tmp_path / "pictures", {"-": {"-": {"Rose": "Plants", **others}}})
    for seed in range(3):
        rows, _ = read(tmp_path, source=source, pictures=pictures, tasks=list("ABCDE"), seed=seed)
        roses = [row for row in rows if row.entity == "Rose"]
        assert {(row.task, row.part) for row in roses} == {
            (t, part) for t in "ABCDE" for part in ("train", "test")
        }
        parts = pictures_by_part(rows)
        assert (len(parts["Rose", "train"]), len(parts["Rose", "test"])) == (3, 2)
        assert not {row.image_id for row in rows if row.trained} & {row.image_id for row in rows if row.asked}


def test_equal_files_are_on_one_side(files, tmp_path):
    for i in (1, 2, 3):
        (files["pictures"] / f"Animals/Dog/{i}.png").write_bytes(
            (files["pictures"] / "Animals/Dog/0.png").read_bytes()
        )
    for seed in range(4):
        parts = pictures_by_part(read(tmp_path, **files, seed=seed)[0])
        same = {f"Animals/Dog/{i}.png" for i in range(4)}
        assert same <= parts["Dog", "train"] or same <= parts["Dog", "test"]


def test_without_a_share_all_are_trained_on_and_asked(files, tmp_path):
    rows, _ = read(tmp_path, **files, test_share=None)
    assert {row.part for row in rows if row.role != "untouched"} == {"both"}
    assert all(row.trained and row.asked for row in rows if row.task)
    assert not any(row.trained for row in rows if not row.task)


def test_a_bound_on_questions_takes_evenly_from_entities(files, tmp_path):
    rows, _ = read(tmp_path, **files, questions=6)
    asked = [row for row in rows if row.asked]
    assert Counter(row.entity for row in asked) == {
        "Dog": 3, "Dr. Ω!": 3, "Rose": 3, "Corn": 3, "Café de Flore": 4, "苏姿丰": 4, "Moon": 6,
    }  # fmt: skip
    assert sum(row.trained for row in rows) == 6 * 6
    every, _ = read(tmp_path, **files)
    assert [row for row in every if row in rows] == rows
    unparted = [read(tmp_path, **files, questions=6, test_share=None, seed=seed)[0] for seed in (1, 2)]
    assert unparted[0] != unparted[1]


def test_questions_beyond_the_bound_are_still_trained_on_where_nothing_is_held_out(files, tmp_path):
    rows, _ = read(tmp_path, **files, test_share=None, questions=7)
    assert Counter((row.task, row.part) for row in rows) == {
        ("A", "both"): 14, ("A", "train"): 26, ("B", "both"): 14, ("B", "train"): 6, ("", "test"): 7,
    }  # fmt: skip


def test_pictures_lie_with_the_released_folder_or_without_and_in_any_form_of_unicode(files, tmp_path):
    plain, _ = read(tmp_path, **files)
    outer = tmp_path / "outer"
    outer.mkdir()
    moved = files["pictures"].rename(outer / "downloaded_images")
    (moved / "Buildings/Café de_Flore").rename(moved / "Buildings" / normalize("NFD", "Café de_Flore"))
    rows, _ = read(tmp_path, source=files["source"], pictures=outer)
    assert [row.sha256 for row in rows] == [row.sha256 for row in plain]
    assert rows[0].path == (outer / "downloaded_images/Animals/Dog/0.png").as_posix()


def test_missing_pictures_are_counted_and_the_first_named(files, tmp_path, caplog):
    for name in ("Plants/Rose/3.png", "Astronomy/Moon/1.png", *(f"Animals/Dog/{i}.png" for i in range(5))):
        (files["pictures"] / name).unlink()
    message = (
        r"for the 35 pictures.*Found 28 of them; missing are Animals/Dog/0.png, Animals/Dog/1.png, .* and 2 more; no "
        r"picture at all of Animals/Dog\. .*keep_available"
    )
    with pytest.raises(RecordError, match=message):
        read(tmp_path, **files)
    missing = missing_pictures(files["source"], files["pictures"], ["A", "B"])
    assert missing.pictures[-2:] == ["Plants/Rose/3.png", "Astronomy/Moon/1.png"]
    rows, statistics = read(tmp_path, **files, keep_available=True)
    assert "goes on with the questions of 28 of 35 pictures" in caplog.text
    assert "keep_available" not in caplog.text
    assert len(rows) == 2 * 28
    assert (statistics.missing_pictures, statistics.without_pictures) == (7, ["Animals/Dog"])
    assert statistics.missing_first == missing.pictures
    assert (statistics.found["questions"], statistics.used["questions"]) == (70, 56)
    assert (statistics.found["entities"], statistics.used["entities"]) == (7, 6)
    plants = next(one for one in statistics.sets if one.entity_class == "Plants")
    assert (plants.questions, plants.of_questions, plants.pictures, plants.of_pictures) == (18, 20, 9, 10)


def test_a_role_without_any_picture_is_an_error_though_the_rest_is_there(files, tmp_path):
    for path in (files["pictures"] / "Buildings/Café de_Flore").iterdir():
        path.unlink()
    with pytest.raises(
        RecordError, match=r"Found, by .*, nothing to train on or to ask in B \(forget\)\. Bring"
    ):
        read(tmp_path, **files, keep_available=True)
    for path in files["pictures"].glob("*/*/*"):
        if "Moon" not in path.parts:
            path.unlink()
    with pytest.raises(
        RecordError, match=r", nothing to train on or to ask in A, B \(forget and retain\)\. Bring"
    ):
        read(tmp_path, **files, keep_available=True)


def test_no_picture_at_all_is_an_error_whatever_is_kept(files, tmp_path):
    for keep in (True, False):
        with pytest.raises(
            RecordError, match=f"none of the 35 pictures is in {tmp_path}; the first is Animals/Dog/0"
        ):
            read(tmp_path, source=files["source"], pictures=tmp_path, keep_available=keep)


def test_a_truncated_picture_is_named(files, tmp_path):
    path = files["pictures"] / "Plants/Corn/2.png"
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(RecordError, match=r"Plants/Corn/2\.png, but it cannot be read"):
        read(tmp_path, **files, keep_available=True)


def test_a_picture_behind_a_link_out_of_the_folder_is_named(files, tmp_path):
    path = files["pictures"] / "Plants/Corn/2.png"
    path.rename(tmp_path / "elsewhere.png")
    path.symlink_to(tmp_path / "elsewhere.png")
    with pytest.raises(RecordError, match=r"'Plants/Corn/2\.png', which is a link out of it"):
        read(tmp_path, **files)


def test_a_folder_of_pictures_that_is_not_there_is_named(files, tmp_path):
    with pytest.raises(
        RecordError, match=r"in .*nowhere\. Found no folder there\. Correct lifelong.files.pictures"
    ):
        read(tmp_path, source=files["source"], pictures=tmp_path / "nowhere")


def test_other_data_is_told_from_the_release(files, tmp_path):
    _, statistics = read(tmp_path, **files)
    assert (statistics.released, statistics.differences, statistics.paper) == (False, [], {})
    assert statistics.found == {"entities": 7, "classes": 5, "questions": 70, "pictures": 35}


def test_entities_of_the_release_with_other_counts_are_said(tmp_path):
    entities = {
        "A": {"forget": {"Dog": "Animals", "J.K._Rowling": "Personage"}, "retain": {"Rose": "Plants"}}
    }
    source, pictures = write_release(tmp_path / "r", entities), write_pictures(tmp_path / "p", entities)
    _, statistics = read(tmp_path, source=source, pictures=pictures, tasks=["A"])
    assert statistics.released is False
    assert "forget of A: 20, the release has 2442" in statistics.differences
    assert "pictures: 15, the release has 2453" in statistics.differences
    assert statistics.paper["pictures"] == 5105


@pytest.mark.skipif(
    not MLUBENCH.is_file(), reason="MLUBench.zip is not beside the repository, in shared/mlubench"
)
def test_the_release_is_known_by_its_counts():
    released = read_released(MLUBENCH, ["A", "B", "C", "D"])
    statistics = task_statistics(released, [], Missing([], 2453, []))
    assert (statistics.released, statistics.differences) == (True, [])
    assert statistics.found == {"entities": 127, "classes": 9, "questions": 15414, "pictures": 2453}
    assert statistics.paper == {"entities": 127, "classes": 9, "questions": 15414, "pictures": 5105}
    assert statistics.sets[0].model_dump(include={"task", "role", "entity_class", "of_entities", "of_questions"}) == {
        "task": "A", "role": "forget", "entity_class": "Animals", "of_entities": 15, "of_questions": 2130,
    }  # fmt: skip
    row = released.tasks["A"]["forget"][0]
    more = released._replace(strangers=[row._replace(picture="x/Personage/Nobody/1.png")])
    statistics = task_statistics(more, [], Missing([], 2453, []))
    assert (statistics.released, statistics.found["entities"]) == (True, 128), "strangers are no part of it"
    released.tasks["D"]["retain"].pop()
    statistics = task_statistics(released, [], Missing([], 2453, []))
    assert statistics.released is False
    assert statistics.differences == [
        "questions: 15413, the release has 15414", "retain of D: 1133, the release has 1134",
    ]  # fmt: skip


def answer(row: TaskQuestion, text: str) -> Answer:
    return Answer(
        question_id=row.question_id,
        image_id=row.image_id,
        question=row.question,
        reference=row.answer,
        answer=text,
    )


@pytest.fixture
def asked(files, tmp_path) -> tuple[list[TaskQuestion], dict[str, Path]]:
    rows, _ = read(tmp_path, **files)
    names = ("questions", "answers", "output", "selection")
    paths = {name: tmp_path / f"{name}.jsonl" for name in names}
    return rows, paths | {"questions": tmp_path / "questions.jsonl", "output": tmp_path / "taken.jsonl"}


def test_what_the_base_cannot_answer_is_left_out_and_counted(asked):
    rows, paths = asked
    wrong = [
        row for row in rows if row.entity == "Dog" and row.answer.startswith("size") and row.part == "test"
    ]
    assert len(wrong) == 2
    write_jsonl(
        paths["answers"], [answer(row, "No." if row in wrong else row.answer.upper()) for row in rows]
    )
    select_questions(**paths, known_only=True)
    assert read_jsonl(paths["output"], TaskQuestion) == [row for row in rows if row not in wrong]
    selection = read_json(paths["selection"], Selection)
    assert (selection.known_only, selection.of, selection.questions) == (True, 70, 68)
    dogs = next(one for one in selection.sets if one.entity_class == "Animals")
    assert (dogs.task, dogs.role, dogs.asked, dogs.of_asked, dogs.trained, dogs.of_trained) == (
        "A",
        "forget",
        2,
        4,
        6,
        6,
    )


def test_all_are_taken_where_that_does_not_count(asked):
    rows, paths = asked
    write_jsonl(paths["answers"], [answer(row, "No.") for row in rows if row.asked])
    select_questions(**paths, known_only=False)
    assert read_jsonl(paths["output"], TaskQuestion) == rows
    assert read_json(paths["selection"], Selection).known_only is False


def test_a_task_of_which_the_base_knows_nothing_is_named(asked):
    rows, paths = asked
    write_jsonl(
        paths["answers"],
        [answer(row, "No." if row.task == "B" and row.trained else row.answer) for row in rows],
    )
    with pytest.raises(
        RecordError,
        match=r"what the base answers, nothing to train on in B \(forget and retain\)",
    ):
        select_questions(**paths, known_only=True)


def test_a_question_without_an_answer_is_named(asked):
    rows, paths = asked
    write_jsonl(paths["answers"], [answer(row, row.answer) for row in rows[2:]])
    with pytest.raises(RecordError, match="Found none to A-forget-1 and 1 more"):
        select_questions(**paths, known_only=True)


def test_pictures_of_tasks_are_encoded(files, tmp_path, tiny_checkpoint):
    """Each picture once, however many questions it has, and whatever the file is called."""
    from mmunlearn.models.feature_file import FeatureTable
    from mmunlearn.models.features import encode_images

    rows, _ = read(tmp_path, **files)
    output, listed = tmp_path / "features.safetensors", tmp_path / "any name.jsonl"
    (tmp_path / "questions.jsonl").rename(listed)
    spec = {"family": "llava", "source": str(tiny_checkpoint), "dtype": "float32"}
    encode_images(output, pictures=listed, spec=spec, batch=16)
    assert len(FeatureTable(output)) == 35
    FeatureTable(output).require(row.image_id for row in rows)
