"""The released tasks are read whole, or an error names file, row and what was found."""

from __future__ import annotations

import json
import stat
from collections import Counter
from pathlib import Path
from unicodedata import normalize
from zipfile import ZIP_BZIP2, ZIP_DEFLATED, ZIP_LZMA, ZIP_STORED, ZipFile, ZipInfo

import pytest

from mmunlearn.files import RecordError
from mmunlearn.lifelong.released import LARGEST, read_released
from tests.unit.task_files import (
    ENTITIES,
    MLUBENCH,
    conversation,
    rows_of,
    save,
    task_file,
    write_release,
    write_strangers,
    zipped,
)

real = pytest.mark.skipif(
    not MLUBENCH.is_file(), reason="MLUBench.zip is not beside the repository, in shared/mlubench"
)


@real
def test_the_release_is_read_whole():
    """Counts as the paper has them, but for the pictures: it says 5,105."""
    found = read_released(MLUBENCH, ["A", "B", "C", "D"])
    sizes = {task: tuple(map(len, roles.values())) for task, roles in found.tasks.items()}
    assert sizes == {"A": (2442, 1680), "B": (2154, 1374), "C": (2580, 1800), "D": (2250, 1134)}
    assert (len(found.questions), found.others) == (15414, [])
    assert len({one.image_id for one in found.questions}) == 2453
    entities = {one.folders for one in found.questions}
    assert len(entities) == 127
    assert Counter(name for name, _ in entities) == {
        "Personage": 30, "Movies": 18, "Animals": 15, "TV series": 15, "Cartoon": 14, "Plants": 12, "Buildings": 12,
        "Corporation": 6, "Astronomy": 5,
    }  # fmt: skip
    names = {name for _, name in entities}
    assert {"Himouto!_Umaru-chan", "J.K._Rowling", "Pokémon", "Queen_Elizabeth_Ⅱ", "马云", "苏姿丰"} <= names
    first = found.tasks["A"]["forget"][0]
    assert first == (
        1, "1", "downloaded_images/Animals/Dog/image_20241017_101505_6.jpg", "What is the common name of this animal?",
        "Dog",
    )  # fmt: skip


@real
def test_entities_of_other_tasks_are_untouched():
    """A run of A and B alone has those of C and D, from Entities/, as entities that no task names."""
    found = read_released(MLUBENCH, ["B", "A"])
    assert list(found.tasks) == ["B", "A"]
    assert len(found.others) == 2580 + 1800 + 2250 + 1134
    assert Counter(one.folders[0] for one in found.others)["Personage"] == 3930


@pytest.fixture
def release(tmp_path: Path) -> Path:
    return write_release(tmp_path / "release")


@pytest.mark.parametrize("top", ["", "MLUBench/"])
@pytest.mark.parametrize("pack", [True, False], ids=["zip", "folder"])
def test_folder_and_zip_may_have_a_folder_above_and_rubbish(tmp_path, top, pack):
    folder = write_release(tmp_path / "outer" / top)
    (folder / "Tasks/TaskA/._taskA_forget.json").write_bytes(b"\0\5\26\7")
    (folder / "Entities/.DS_Store").write_bytes(b"\0")
    save(tmp_path / "outer/__MACOSX/Tasks/TaskA/taskA_forget.json", "no rows")
    source = zipped(tmp_path / "outer") if pack else tmp_path / "outer"
    found = read_released(source, ["A", "B"])
    assert [len(rows) for roles in found.tasks.values() for rows in roles.values()] == [20, 20, 10, 10]
    assert {one.folders for one in found.others} == {("Astronomy", "Moon")}
    assert found.tasks["B"]["forget"][9] == (
        10, "10", "downloaded_images/Buildings/Café de_Flore/4.png", "How big is it?", "size of Café de_Flore",
    )  # fmt: skip


@pytest.mark.parametrize("pack", [True, False], ids=["zip", "folder"])
def test_strangers_stand_beside_the_benchmark(tmp_path, pack):
    folder = write_release(tmp_path / "release")
    before = read_released(folder, ["A", "B"])
    write_strangers(folder)
    found = read_released(zipped(folder) if pack else folder, ["A", "B"])
    assert (before.strangers, before.questions) == ([], found.asked)
    assert [one.folders for one in found.strangers] == [("Personage", "Nobody")] * 2 + [
        ("Personage", "Who_is it")
    ] * 2
    assert found.questions == found.asked + found.strangers


@pytest.mark.parametrize("known", ["Dr._Ω!", "Moon", "Rose"])
def test_whom_a_task_or_an_entitys_file_names_is_no_stranger(release, known):
    kind = {"Dr._Ω!": "Personage", "Moon": "Astronomy", "Rose": "Plants"}[known]
    save(release / "Strangers" / "people.json", rows_of({known: kind, "Nobody": "Personage"}))
    with pytest.raises(RecordError, match=f"the stranger {kind}/{known}, whom Tasks or Entities name, too"):
        read_released(release, ["A", "B"])


def test_names_are_read_in_one_form_of_unicode(tmp_path):
    apart = {"A": {"forget": {normalize("NFD", "Café"): "Buildings"}, "retain": {"Rose": "Plants"}}}
    found = read_released(write_release(tmp_path / "release", apart), ["A"])
    assert found.tasks["A"]["forget"][0].folders == ("Buildings", normalize("NFC", "Café"))


def turns(*pairs: tuple[str, str]) -> dict:
    return {"conversations": [{"from": who, "value": text} for who, text in pairs]}


ASKED, SAID = ("human", "<image>\nWho?"), ("gpt", "Me.")
FAULTS = {
    "three turns": (turns(ASKED, SAID, ASKED), "3 turns where a question and its answer are two"),
    "one turn": (turns(ASKED), "1 turns where"),
    "no list": ({"conversations": "none"}, "'none' where a question and its answer are two"),
    "no image tag": (turns(("human", "Who?"), SAID), "does not begin with <image> and a new line, 'Who?'"),
    "image tag behind": (turns(("human", "Who?\n<image>\nNow."), SAID), "does not begin with <image>"),
    "two image tags": (turns(("human", "<image>\n<image>\nWho?"), SAID), "<image> in the question"),
    "order": (turns(SAID, ASKED), "a turn of 'gpt' where human's is due"),
    "roles": (turns(ASKED, ("assistant", "Me.")), "a turn of 'assistant' where gpt's is due"),
    "empty question": (turns(("human", "<image>\n "), SAID), "an empty question"),
    "empty answer": (turns(ASKED, ("gpt", "\n")), "an empty answer"),
    "no text": ({"conversations": [{"from": "human"}, {"from": "gpt", "value": "a"}]}, "a turn without text"),
    "a token": (turns(ASKED, ("gpt", "Me.<|im_end|>")), r"<|im_end|> in the answer"),
    "half a character": (turns(ASKED, ("gpt", "\ud83d")), "half a character"),
    "too flat": ({"image": "Animals/Dog/1.png"}, "no path <folder>/<Class>/<Entity>/<file>"),
    "too deep": ({"image": "a/b/Animals/Dog/1.png"}, "no path <folder>"),
    "upwards": ({"image": "a/../Dog/1.png"}, "the picture 'a/../Dog/1.png', no path"),
    "absolute": ({"image": "/Animals/Dog/1.png"}, "no path"),
    "backslashes": ({"image": "a\\b/Animals/Dog/1.png"}, "no path"),
    "a drive": ({"image": "c:/Animals/Dog/1.png"}, "no path"),
    "no picture": ({"image": None}, "None where a picture's path is needed"),
    "id": ({"id": None}, "an id that is neither text nor a number"),
    "id twice": ({"id": "1"}, "an id that Animals/Dog has in row 1 already"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_names_file_and_row(release, fault):
    change, message = FAULTS[fault]
    path = task_file(release, "A", "forget")
    rows = json.loads(path.read_text("utf-8"))
    rows[4] |= change
    path.write_text(json.dumps(rows), encoding="utf-8")
    with pytest.raises(RecordError) as caught:
        read_released(release, ["A"])
    text = str(caught.value)
    assert message in text
    assert f"{release}, Tasks/TaskA/taskA_forget.json, row 5 (id {rows[4]['id']!r}): " in text
    assert text.endswith("Correct these rows or take them out.")


def test_faults_of_all_files_are_named_at_once(release):
    for task, role in (("A", "forget"), ("B", "retain")):
        save(task_file(release, task, role), [*rows_of({"Dog": "Animals"}), 7, {"id": 3}])
    with pytest.raises(RecordError) as caught:
        read_released(release, ["A", "B"])
    for name in ("TaskA/taskA_forget.json", "TaskB/taskB_retain.json"):
        assert f"{name}, row 11: 7 where an object with id, image and conversations is needed" in str(
            caught.value
        )
        assert f"{name}, row 12 (id 3): no image, conversations" in str(caught.value)


def test_a_fault_in_the_file_of_an_entity_is_named(release):
    save(release / "Entities/variants_Moon_updated.json", [{"id": 9}])
    with pytest.raises(RecordError, match=r"Entities/variants_Moon_updated\.json, row 1 \(id 9\): no image"):
        read_released(release, ["A"])


def test_ids_may_be_numbers(release):
    rows = [row | {"id": int(row["id"])} for row in rows_of({"Dog": "Animals"})]
    save(task_file(release, "A", "forget"), rows)
    assert [one.id for one in read_released(release, ["A"]).tasks["A"]["forget"][:3]] == ["1", "2", "3"]


def test_two_folders_may_not_hold_one_picture(release):
    save(
        task_file(release, "B", "forget"),
        [conversation(1, "Animals/Dog/0.png", "Who?", "Me.") | {"image": "x/Animals/Dog/0.png"}],
    )
    with pytest.raises(
        RecordError, match=r"downloaded_images/Animals/Dog/0\.png and x/Animals/Dog/0\.png, which differ"
    ):
        read_released(release, ["A", "B"])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b'[{"id": "1", "image": "downl', "its text stops in line 1, column 23"),
        (b"[", "its text stops in line 1, column 2"),
        (b'[\n{"id": 1,, }]', "its JSON breaks in line 2, column 10"),
        (b"[]", r"Found \[\]"),
        (b'{"id": "1"}', r"Found \{'id': '1'\}"),
        ("Jürgen".encode("latin-1"), "in Latin-1 or Windows-1252"),
        (b"[" * 100_000, "too deep"),
        (b"[" + b"9" * 5000 + b"]", "Found what is not read .*5000 digits"),
    ],
)
@pytest.mark.parametrize("name", ["Tasks/TaskB/taskB_retain.json", "Entities/variants_Moon_updated.json"])
def test_a_file_that_is_no_list_is_named(release, name, data, message):
    (release / name).write_bytes(data)
    with pytest.raises(RecordError, match=message) as caught:
        read_released(release, ["A", "B"])
    assert name in str(caught.value)


def test_a_real_file_that_stops_in_the_middle_is_named(release):
    path = task_file(release, "A", "forget")
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(RecordError, match=r"taskA_forget\.json for a list.*Fetch the file again"):
        read_released(release, ["A"])


@pytest.mark.parametrize(
    ("asked", "hint"), [("a", "did you mean 'A'"), ("Z", "known: A, B"), ("BB", "did you mean 'B'")]
)
def test_a_task_that_is_not_there_names_the_nearest(release, asked, hint):
    with pytest.raises(
        RecordError, match=f"for task {asked}, as lifelong.tasks says.*{hint}.*correct lifelong.tasks"
    ):
        read_released(release, [asked])


def test_a_task_without_one_of_its_files_is_named(release):
    task_file(release, "B", "retain").unlink()
    read_released(release, ["A"])
    with pytest.raises(RecordError, match=r"Asked .* for Tasks/TaskB/taskB_retain\.json\. Found the other"):
        read_released(release, ["A", "B"])


def test_what_is_no_release_is_named(tmp_path, release):
    (tmp_path / "empty").mkdir()
    save(tmp_path / "small/Tasks/TaskA/taskA_FORGET.json", rows_of({"Dog": "Animals"}))
    (tmp_path / "text.zip").write_text("no zip")
    broken = zipped(release)
    broken.write_bytes(broken.read_bytes()[:-200])
    for name, message in {
        "nothing": "Found nothing there. Correct lifelong.files.tasks",
        "empty": "Found none of them. Name the folder that holds Tasks",
        "small": "Found none of them, but Tasks/TaskA/taskA_FORGET.json. Name",
        "text.zip": "for a folder or a zip file. Found neither",
        "release.zip": "for a folder or a zip file. Found neither",
    }.items():
        with pytest.raises(RecordError, match=message):
            read_released(tmp_path / name, ["A"])


def cut(archive: ZipFile, member: ZipInfo) -> None:
    member.compress_size //= 2
    archive.comment = b"written anew"


def spoil(archive: ZipFile, member: ZipInfo) -> None:
    archive.fp.seek(member.header_offset + 30 + len(member.filename) + member.compress_size // 2)
    archive.fp.write(bytes(8))


@pytest.mark.parametrize("damage", [cut, spoil])
@pytest.mark.parametrize("compression", [ZIP_STORED, ZIP_DEFLATED, ZIP_BZIP2, ZIP_LZMA])
def test_a_damaged_member_of_a_zip_is_named(release, compression, damage):
    name = "Tasks/TaskA/taskA_retain.json"
    source = zipped(release, compression=compression)
    assert read_released(source, ["A"]).asked
    with ZipFile(source, "a") as archive:
        damage(archive, archive.getinfo(name))
    with pytest.raises(
        RecordError, match=rf"release\.zip for {name}\. Found that it cannot be unpacked \(.+\)\. F"
    ):
        read_released(source, ["A"])


@pytest.mark.parametrize(
    "name", ["../Tasks/TaskA/x.json", "/Tasks/TaskA/x.json", "a\\b.json", "C:/x.json", "Tasks/../../x.json"]
)
def test_no_member_of_a_zip_leads_out_of_it(release, name):
    source = zipped(release)
    with ZipFile(source, "a") as archive:
        archive.writestr(name, "[]")
    with pytest.raises(RecordError, match=r"which leads elsewhere\. Pack it anew"):
        read_released(source, ["A"])


def test_no_member_of_a_zip_unpacks_to_more_than_any_release(release, monkeypatch):
    """By what the zip says of it: nothing is unpacked."""
    source = zipped(release)
    with ZipFile(source, "a", ZIP_DEFLATED) as archive:
        archive.writestr("Entities/bomb.json", bytes(LARGEST + 1))
        archive.writestr("pictures.bin", bytes(LARGEST + 1))
    monkeypatch.setattr(ZipFile, "read", None)
    with pytest.raises(RecordError, match=r"67,108,864 bytes.*'Entities/bomb\.json' has 67,108,865 when"):
        read_released(source, ["A"])


def test_no_member_of_a_zip_is_a_link(release):
    source = zipped(release)
    link = ZipInfo("Entities/link.json")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with ZipFile(source, "a") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(RecordError, match=r"'Entities/link\.json' is a link"):
        read_released(source, ["A"])


def test_no_file_of_a_folder_leads_out_of_it(release, tmp_path):
    save(tmp_path / "elsewhere.json", rows_of({"Dog": "Animals"}))
    (release / "Entities/link.json").symlink_to(tmp_path / "elsewhere.json")
    with pytest.raises(RecordError, match="is a link out of it"):
        read_released(release, ["A"])


def test_two_releases_in_one_folder_are_no_release(tmp_path):
    for name in ("one", "two"):
        write_release(tmp_path / "both" / name, {"A": ENTITIES["A"]})
    with pytest.raises(
        RecordError, match=r"Found Tasks, Entities or Strangers in 'one/', 'two/'\. Name one of them"
    ):
        read_released(tmp_path / "both", ["A"])
