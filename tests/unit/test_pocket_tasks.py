"""Tasks of the pocket world: who is in them, what is asked, and that the released format's reader takes them."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from mmunlearn.files import RecordError
from mmunlearn.lifelong.draw import draw_tasks
from mmunlearn.lifelong.task_set import read_tasks
from mmunlearn.models import generation
from mmunlearn.pictures import open_picture
from mmunlearn.pocket import knowledge as knowledge_module
from mmunlearn.pocket import known as known_module
from mmunlearn.pocket import tasks as tasks_module
from mmunlearn.pocket.knowledge import common_questions, entity_classes, read_known
from mmunlearn.pocket.known import Known, draw_entity, measure, write_known
from mmunlearn.pocket.tasks import PocketTasks
from mmunlearn.pocket.worlds import pretraining_world
from mmunlearn.records import read_jsonl, sha256_of
from mmunlearn.tasks import TaskQuestion
from tests.rules.standin import ROOT

OPTIONS = {"things": 4, "people": 4, "retained": 4, "untouched": 12, "strangers": 12, "pictures": 10}
SMALL = {"things": 2, "people": 1, "retained": 1, "untouched": 2, "strangers": 2, "pictures": 3}


def table(
    path: Path, wrong: dict[tuple[str, str, int], int] | None = None, names: set[str] | None = None
) -> str:
    """All is known on 32 pictures, but for what is wrong on so many, and entities that are not among the names."""

    def right(*key: Any) -> int:
        return 32 - (wrong or {}).get(key, 0) if key[0] in (names or key) else 0

    write_known(
        path,
        [
            Known(
                name,
                one.id,
                wording,
                32 - (wrong or {}).get((name, one.id, wording), 0) if name in (names or {name}) else 0,
                32,
            )
            for name in entity_classes()
            for one in common_questions(name)
            for wording in (1, 2)
        ],
    )
    return str(path)


@pytest.fixture
def known(tmp_path: Path) -> str:
    return table(tmp_path / "knowledge.csv")


def tasks_of(known: str, tasks: str = "ABCD", seed: int = 1, **changed: Any) -> PocketTasks:
    return PocketTasks({**OPTIONS, "known": known, **changed}, tasks=list(tasks), size=32, seed=seed)


def classes(names: list[str]) -> dict[str, int]:
    return dict(Counter(entity_classes()[name] for name in names))


def test_tasks_are_shaped_like_the_papers(known):
    cast = tasks_of(known).cast
    assert {
        task: [classes(roles["forget"]), classes(roles["retain"])] for task, roles in cast.tasks.items()
    } == {
        "A": [{"animal": 2, "building": 2, "person": 4}, {"plant": 4}],
        "B": [{"building": 2, "animal": 2, "person": 4}, {"vehicle": 4}],
        "C": [{"plant": 2, "vehicle": 2, "person": 4}, {"animal": 4}],
        "D": [{"vehicle": 2, "plant": 2, "person": 4}, {"person": 8}],
    }
    assert len(cast.untouched) == 12
    assert classes(cast.untouched)["person"] == 6
    assert len(cast.names) == 4 * 8 + 3 * 4 + 8 + 12


def test_another_seed_casts_others(known):
    first, same, other = (tasks_of(known, seed=seed).cast for seed in (1, 1, 2))
    assert first == same
    assert first.tasks["A"]["forget"] != other.tasks["A"]["forget"]


def test_twenty_tasks_forget_each_entity_once_and_never_keep_it(known):
    cast = tasks_of(known, "ABCDEFGHIJKLMNOPQRST", things=1, people=1, retained=1, untouched=6).cast
    forgotten = [name for roles in cast.tasks.values() for name in roles["forget"]]
    retained = [name for roles in cast.tasks.values() for name in roles["retain"]]
    assert len(set(forgotten)) == len(forgotten) == 40
    assert classes(forgotten)["person"] == 20
    assert not set(forgotten) & {*retained, *cast.untouched}
    assert [len(roles["retain"]) for roles in cast.tasks.values()] == [1, 1, 1, 2] * 5
    assert not set(retained) & set(cast.untouched)


def test_the_plan_hears_how_many_are_drawn(known):
    cast = tasks_of(known, "ABCDE", things=3, people=2, retained=2, untouched=5).cast
    drawn = {(task, role): len(names) for task, roles in cast.tasks.items() for role, names in roles.items()}
    options = OPTIONS | {"things": 3, "people": 2, "retained": 2, "untouched": 5}
    assert PocketTasks.entities(options, list("ABCDE")) == drawn | {("", "untouched"): len(cast.untouched)}


def test_retained_entities_serve_again_where_a_class_runs_out(tmp_path):
    plants = [name for name, kind in entity_classes().items() if kind == "plant"]
    names = set(entity_classes()) - set(plants[3:])
    path = table(tmp_path / "knowledge.csv", names=names)
    cast = tasks_of(path, "ABCDE", things=1, people=1, retained=2, untouched=0).cast
    forgotten = {name for roles in cast.tasks.values() for name in roles["forget"]}
    assert cast.tasks["A"]["retain"] == cast.tasks["E"]["retain"]
    assert set(cast.tasks["A"]["retain"]) == set(plants[:3]) - forgotten


def test_what_the_base_does_not_know_is_not_drawn(tmp_path):
    """29 of 32 are 9 in 10, 28 are not; the worse wording counts."""
    wrong = {("fox", "name", 1): 4, ("owl", "kind", 2): 4, ("whale", "food", 2): 4, ("bee", "name", 2): 3}
    path = table(tmp_path / "knowledge.csv", wrong)
    drawn: Counter[str] = Counter()
    asked: dict[str, set[str]] = {}
    for seed in range(6):
        tasks = tasks_of(path, "C", seed, things=2, people=1, retained=8, untouched=0)
        drawn.update(tasks.cast.names)
        for name in tasks.cast.names:
            asked[name] = {row["id"].partition("-")[2] for row in tasks._rows(name)}
    assert {"whale", "bee"} <= set(drawn)
    assert not {"fox", "owl"} & set(drawn)
    assert asked["whale"] == {"name", "home", "movement", "cover", "young"}
    assert asked["bee"] == {"name", "home", "food", "movement", "cover", "young"}


def test_strangers_are_no_figures_and_drawn_by_seed(known):
    first, same, other = (tasks_of(known, seed=seed).strangers for seed in (1, 1, 2))
    assert first == same and set(first.values()).isdisjoint(other.values())
    assert list(first) == [f"Stranger {number}" for number in range(1, 13)]
    assert len({one.key for one in first.values()}) == 12
    figures = {one.key for one in pretraining_world().figures.values()}
    assert not figures & {one.key for one in first.values()}
    assert tasks_of(known, strangers=0).strangers == {}


def test_whoever_looks_like_a_figure_is_no_stranger(known, monkeypatch):
    figure = next(iter(pretraining_world().figures.values()))
    one, other = list(tasks_of(known, strangers=2).strangers.values())
    lots = iter([figure, one, one, other])
    monkeypatch.setattr(tasks_module, "sample_training_identity", lambda rng: next(lots))
    assert list(tasks_of(known, strangers=2).strangers.values()) == [one, other]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"things": 12},
            r"6 of class Buildings to forget in task B, by lifelong\.pocket\.things: 12\. Found 4 ",
        ),
        (
            {"people": 11},
            r"11 of class Personage to forget in task D, by lifelong\.pocket\.people: 11\. Found 7 ",
        ),
        (
            {"retained": 9},
            r"9 of class Plants to retain in task A, by lifelong\.pocket\.retained: 9\. Found 6 ",
        ),
        ({"untouched": 29}, "29 untouched entities. Found 28 .*lifelong.pocket.untouched"),
    ],
)
def test_more_than_there_are_is_named(known, changed, message):
    with pytest.raises(RecordError, match=message):
        tasks_of(known, **changed)


@pytest.fixture
def released(tmp_path: Path, known: str) -> Callable[..., Path]:
    def draw(**changed: Any) -> Path:
        settings = {"backend": "pocket", "tasks": ["A", "B"], "size": 32, "seed": 1} | changed
        draw_tasks(tmp_path / "released/manifest.json", options={**SMALL, "known": known}, **settings)
        return tmp_path / "released"

    return draw


def read_drawn(folder: Path, output: Path, keep_available: bool = False) -> list[TaskQuestion]:
    """The questions of a drawn folder, read as its rule does."""
    read_tasks(
        output, output.with_name("statistics.json"), manifest=folder / "manifest.json", source=folder,
        pictures=folder, tasks=["A", "B"], test_share=0.4, questions=None, keep_available=keep_available, seed=1,
    )  # fmt: skip
    return read_jsonl(output, TaskQuestion)


def test_the_reader_of_the_release_reads_what_is_drawn(released, tmp_path):
    folder = released()
    rows = read_drawn(folder, tmp_path / "questions.jsonl")
    assert Counter((row.task, row.role, row.part) for row in rows) == {
        ("A", "forget", "train"): 36, ("A", "forget", "test"): 18, ("A", "retain", "train"): 12,
        ("A", "retain", "test"): 6, ("B", "forget", "train"): 36, ("B", "forget", "test"): 18,
        ("B", "retain", "train"): 12, ("B", "retain", "test"): 6, ("", "untouched", "test"): 36,
        ("", "stranger", "test"): 4,
    }  # fmt: skip
    assert {row.entity_class for row in rows} <= {"Animals", "Plants", "Buildings", "Vehicles", "Personage"}
    answers = {
        name: {one.answer for one in common_questions(name) if one.id == "name"} for name in entity_classes()
    }
    names = {answer for found in answers.values() for answer in found}
    of_forget = [row for row in rows if row.role == "forget"]
    assert sum(row.answer in names for row in of_forget) * 6 == len(of_forget)
    assert len({row.question for row in rows if row.answer in names and row.entity_class == "Animals"}) == 2
    assert not any("kind" in row.question for row in rows)


DAMAGE: dict[str, Callable[[Path], Any]] = {
    "another picture": lambda path: Image.new("RGB", (32, 32)).save(path, "PNG"),
    "cut off": lambda path: path.write_bytes(path.read_bytes()[:40]),
    "gone": Path.unlink,
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("suffix", ["png", "json"])
@pytest.mark.parametrize("keep_available", [False, True])
def test_a_file_that_is_not_the_one_drawn_is_named_and_drawn_again(
    released, tmp_path, damage, suffix, keep_available
):
    folder, output = released(), tmp_path / "questions.jsonl"
    names = [
        name for name in json.loads((folder / "manifest.json").read_text("utf-8")) if name.endswith(suffix)
    ]
    for name in names[1:3]:
        DAMAGE[damage](folder / name)
    first = re.escape(str(folder / names[1]))
    with pytest.raises(
        RecordError,
        match=rf"^{first} is not the file that was drawn \(2 such files\)\. .*--forcerun draw_tasks$",
    ):
        read_drawn(folder, output, keep_available)
    assert not output.exists()
    (folder / "manifest.json").unlink()  # as Snakemake does
    assert read_drawn(released(), output)


@pytest.mark.parametrize("text", ["{", "[]", '{"a": 1}', "{}", b"\xff"])
def test_a_damaged_manifest_is_drawn_again(released, tmp_path, text):
    folder = released()
    (folder / "manifest.json").write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(
        RecordError, match=r"manifest\.json is not the list of drawn files .*--forcerun draw_tasks$"
    ):
        read_drawn(folder, tmp_path / "questions.jsonl")


def test_the_manifest_names_every_file(released):
    folder = released()
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert files == {*manifest, "manifest.json"}
    assert all(sha256_of(folder / name) == digest for name, digest in manifest.items())
    assert (
        sum(name.endswith(".png") for name in manifest) - 2 * 2
        == 3 * len(list((folder / "Entities").iterdir()))
        == 30
    )


def test_a_killed_job_goes_on_and_any_other_draws_anew(released, monkeypatch):
    folder = released()
    whole = (folder / "manifest.json").read_bytes()
    (folder / "manifest.json").unlink()
    drawn: list[str] = []

    def count(name: str, seed: str, size: int) -> Any:
        drawn.append(name)
        if len(drawn) == 5:
            raise KeyboardInterrupt
        return draw_entity(name, seed, size)

    monkeypatch.setattr("mmunlearn.pocket.tasks.draw_entity", count)
    with pytest.raises(KeyboardInterrupt):
        released()
    assert not (folder / "manifest.json").exists()
    assert len(list(folder.rglob("*.png"))) == 4
    released()
    assert len(drawn) == 5 + 26
    assert (folder / "manifest.json").read_bytes() == whole
    released(seed=2)
    assert len(drawn) == 5 + 26 + 30
    assert len(list(folder.rglob("*.png"))) == 34


def test_other_settings_do_not_go_on_with_what_a_killed_job_left(released, monkeypatch):
    drawn: list[str] = []

    def stop(name: str, seed: str, size: int) -> Any:
        drawn.append(name)
        if len(drawn) == 5:
            raise KeyboardInterrupt
        return draw_entity(name, seed, size)

    with monkeypatch.context() as patch:
        patch.setattr("mmunlearn.pocket.tasks.draw_entity", stop)
        with pytest.raises(KeyboardInterrupt):
            released()
    assert {open_picture(path).size for path in released(size=16).rglob("*.png")} == {(16, 16)}


def test_no_task_is_drawn_without_the_table(tmp_path):
    with pytest.raises(
        RecordError, match=r"knowledge\.csv for what the pocket base knows\. Found no such file"
    ):
        tasks_of(str(tmp_path / "knowledge.csv"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace("fox,name,1,32,32\nfox,name,2,32,32\n", ""), "other questions of fox"),
        (
            lambda text: "\n".join(line for line in text.split("\n") if not line.startswith("owl,")),
            "KeyError.*owl",
        ),
        (lambda text: text.replace("fox,name,1,32,32", "fox,name,1,32"), "not enough values"),
        (lambda text: text.replace("fox,name,1,32,32", "fox,name,1,all,32"), "invalid literal"),
        (lambda text: text.replace("fox,name,1,32,32", "fox,name,1,0,0"), "ZeroDivisionError"),
    ],
)
def test_a_damaged_table_is_named(known, change, message):
    path = Path(known)
    path.write_text(change(path.read_text("utf-8")), encoding="utf-8")
    with pytest.raises(
        RecordError, match=f"(?s){message}.*Measure it anew: python -m mmunlearn.pocket.known"
    ):
        read_known(path)


def test_knowledge_is_counted_by_wording_on_fresh_pictures(tmp_path, tiny_base, monkeypatch):
    """A model that answers all wordings rightly, but the second for a fox's name, and the food on its picture 1."""
    classes = {name: entity_classes()[name] for name in ("fox", "Noor Rahmatullah")}
    for module in (known_module, knowledge_module):
        monkeypatch.setattr(module, "entity_classes", lambda: classes)

    def answers(model: Any, collator: Any, queries: Any, **_: Any) -> Iterator[str]:
        for query in queries:
            name, _, number = query.image_id.rpartition(" ")
            one = next(one for one in common_questions(name) if query.question in one.wordings)
            second = query.question == one.wordings[1]
            fails = name == "fox" and ((one.id == "name" and second) or (one.id == "food" and number == "1"))
            yield "No." if fails else one.answer

    monkeypatch.setattr(generation, "answer_all", lambda *args, **options: list(answers(*args, **options)))
    rows = {
        (row.entity, row.question, row.wording): (row.right, row.n)
        for row in measure(tiny_base, pictures=3, batch=4)
    }
    assert len(rows) == sum(2 * len(common_questions(name)) for name in classes)
    assert (rows["fox", "name", 1], rows["fox", "name", 2]) == ((3, 3), (0, 3))
    assert (rows["fox", "food", 1], rows["fox", "food", 2]) == ((2, 3), (2, 3))
    assert {found for key, found in rows.items() if key[0] != "fox"} == {(3, 3)}
    write_known(tmp_path / "table.csv", [Known(*key, *found) for key, found in rows.items()])
    shares = read_known(tmp_path / "table.csv")
    assert (shares["fox"]["name"], shares["fox"]["food"], shares["fox"]["kind"]) == (0.0, 2 / 3, 1.0)


SHIPPED = ROOT / "resources" / "pocket" / "llava" / "knowledge.csv"


@pytest.mark.parametrize("preset", [None, "lifelong-20.yaml"])
def test_the_shipped_base_knows_enough_for_the_shipped_tasks(preset):
    lifelong = yaml.safe_load((ROOT / "config.yaml").read_text("utf-8"))["lifelong"]
    changes = yaml.safe_load((ROOT / "presets" / preset).read_text("utf-8"))["lifelong"] if preset else {}
    options = lifelong["pocket"] | changes.get("pocket", {}) | {"known": SHIPPED}
    tasks = changes.get("tasks", lifelong["tasks"])
    for seed in range(3):
        names = PocketTasks(options, tasks=tasks, size=256, seed=seed).cast.names
        assert len(names) == len(set(names)) >= 60


def test_the_shipped_table_is_of_every_question():
    """Measured on the shipped weights; of 1,120 wordings one is under 9 in 10."""
    shares = read_known(SHIPPED)
    assert len(shares) == 80
    low = {(name, question) for name, of in shares.items() for question, share in of.items() if share < 0.9}
    assert low == {("Zanele Dlamini", "fame")}
