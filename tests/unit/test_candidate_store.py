"""What is drawn and measured is kept whole: for several processes, and whatever happens to a file of the store."""

from __future__ import annotations

import json
import logging
import os
import random
from collections.abc import Callable, Sequence
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmunlearn.backends import GENERATORS, SCORERS
from mmunlearn.records import Prompt, sha256_of
from mmunlearn.registry import Entry
from mmunlearn.scorers.protocol import Measurements, Scorers
from mmunlearn.synthesis.candidate_store import CandidateStore, PictureSettings, StoredPicture
from mmunlearn.synthesis.drawing_cost import drawing_cost
from mmunlearn.synthesis.generate import DrawRequest, Generator
from tests.unit.report_fixtures import candidate

ATTEMPTS = range(3)
NAMES = ["a00.png", "a01.png", "a02.png", "sha256.json", "took.json"]


class Brush(Generator):
    """Pictures of one colour; `meanwhile` is called while it draws, `shade` is what other hardware draws."""

    name, version = "brush", "1"
    meanwhile: Callable[[], object] = staticmethod(lambda: None)
    drawn, shade = 0, 0

    def __init__(self, *_, **__):
        pass

    def draw(self, unit: Sequence[DrawRequest]) -> list[Image.Image]:
        self.meanwhile()
        Brush.drawn += len(unit)
        return [Image.new("RGB", (8, 8), (one.seed % 200 + self.shade, one.attempt, 0)) for one in unit]


class Eye(Scorers):
    version = "1"

    def __init__(self, _):
        pass

    def measure(self, image: Image.Image) -> Measurements:
        one = np.asarray(image, np.float32)[0, 0] / 255
        return Measurements(1, one, one, one, float(one[0]), float(one[1]))


@pytest.fixture(autouse=True)
def backends(monkeypatch):
    monkeypatch.setitem(GENERATORS, "brush", Entry(f"{__name__}:Brush"))
    monkeypatch.setitem(SCORERS, "eye", Entry(f"{__name__}:Eye"))
    monkeypatch.setattr(Brush, "drawn", 0)
    monkeypatch.setattr("mmunlearn.synthesis.candidate_store.device_name", str)  # torch need not be imported


def prompts(n: int) -> list[Prompt]:
    ids = [f"p{number:03d}" for number in range(n)]
    return [Prompt(image_id=f"{one}-e00", person_id=one, event_id="e00", prompt="a cat") for one in ids]


def store(work: Path) -> CandidateStore:
    return CandidateStore([], PictureSettings("brush", {}, "eye", {}, 8, [3.5], 1, "cpu"), work)


def draw(work: Path) -> list[StoredPicture]:
    return store(work).get(prompts(1)[0], ATTEMPTS)


def plain(pictures: Sequence[StoredPicture]) -> list[tuple]:
    return [(one.path.name, one.sha256, *map(str, vars(one.measurements).values())) for one in pictures]


def draw_all(work: Path, barrier, results) -> None:
    own = store(work)
    barrier.wait()
    for prompt in prompts(40):
        results.put([prompt.image_id, *plain(own.get(prompt, ATTEMPTS))])
    results.put(os.getpid())


def test_two_runs_that_share_a_store_draw_it_at_one_time(tmp_path):
    """As two scales do: each draws what the other has not drawn yet, and neither takes away what the other reads."""
    fork = get_context("fork")
    barrier, results = fork.Barrier(2), fork.SimpleQueue()
    runs = [fork.Process(target=draw_all, args=(tmp_path / "both", barrier, results)) for _ in range(2)]
    for run in runs:
        run.start()
    found, ended = [], 0
    while ended < 2 and all(run.exitcode in (None, 0) for run in runs):
        if results.empty():
            runs[0].join(0.01)
            continue
        row = results.get()
        ended, found = (ended + 1, found) if isinstance(row, int) else (ended, [*found, row])
    for run in runs:
        run.join()
    assert [run.exitcode for run in runs] == [0, 0]
    alone = [[one.image_id, *plain(store(tmp_path / "alone").get(one, ATTEMPTS))] for one in prompts(40)]
    assert sorted(found) == sorted(alone * 2)
    assert list(tmp_path.rglob(".*")) == []


def test_who_is_first_gives_the_unit_its_place(tmp_path, monkeypatch):
    """The other one's pictures count for both, though this hardware draws others."""
    other: list[StoredPicture] = []

    def meanwhile():
        if Brush.drawn == 0:
            Brush.drawn = 1
            with monkeypatch.context() as patch:
                patch.setattr(Brush, "shade", 50)
                patch.setattr(os, "getpid", lambda: 1)
                other.extend(draw(tmp_path))

    monkeypatch.setattr(Brush, "meanwhile", staticmethod(meanwhile))
    mine = draw(tmp_path)
    assert Brush.drawn == 7 and plain(mine) == plain(other) != plain(draw(tmp_path / "alone"))
    assert sorted(path.name for path in mine[0].path.parent.iterdir()) == NAMES
    assert {sha256_of(one.path) for one in mine} == {one.sha256 for one in other}


def test_of_a_damaged_unit_no_file_vanishes_while_it_is_drawn_again(tmp_path, monkeypatch):
    before = plain(pictures := draw(tmp_path))
    folder, inode = pictures[0].path.parent, pictures[0].path.parent.stat().st_ino
    (folder / "a01.png").write_bytes(b"")
    assert plain(draw(tmp_path)) == before
    assert folder.stat().st_ino == inode and sorted(path.name for path in folder.iterdir()) == NAMES


DAMAGE = {
    "empty": lambda content: b"",
    "cut": lambda content: content[: len(content) // 2],
    "an empty object": lambda content: b"{}",
    "a list": lambda content: b"[]",
    "a number": lambda content: b"5",
    "numbers": lambda content: b'{"a00.png": 5, "a01.png": 5, "a02.png": 5}',
    "noise": lambda content: random.Random(1).randbytes(len(content)),
    "another archive": lambda content: b"PK\x05\x06" + bytes(18),
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("pattern", ["sha256.json", "took.json", "a01.png", "*-a01-*.npz"])
def test_a_damaged_file_is_made_again_with_a_warning(tmp_path, pattern, damage, caplog):
    before = plain(draw(tmp_path))
    (path,) = tmp_path.rglob(pattern)
    path.write_bytes(DAMAGE[damage](path.read_bytes()))
    with caplog.at_level(logging.WARNING):
        assert plain(draw(tmp_path)) == before
    where = path.parent.name if pattern == "sha256.json" else path.name
    told = [one for one in caplog.messages if where in one and one.endswith("again")]
    assert len(told) == (pattern != "took.json")  # what drawing took shapes nothing
    caplog.clear()
    drawn = Brush.drawn
    assert plain(draw(tmp_path)) == before and Brush.drawn == drawn and caplog.messages == []


@pytest.mark.parametrize("pattern", ["took.json", "*.npz"])
def test_damaged_times_count_for_nothing(tmp_path, pattern):
    rows = [
        candidate("p000-e00", number, "").model_copy(update={"path": str(one.path), "sha256": one.sha256})
        for number, one in enumerate(draw(tmp_path))
    ]
    assert drawing_cost(rows, tmp_path).timed == 3
    next(tmp_path.rglob(pattern)).write_bytes(b"")
    assert drawing_cost(rows, tmp_path).timed == (0 if pattern == "took.json" else 2)


def test_pictures_that_do_not_stay_as_drawn_are_an_error_that_names_them(tmp_path, monkeypatch):
    monkeypatch.setattr("mmunlearn.synthesis.candidate_store.sha256_of", lambda path: os.urandom(4).hex())
    with pytest.raises(
        RuntimeError, match=r"Asked for a00.png, a01.png, a02.png in .*p000-e00-a00-\w+, which"
    ) as error:
        draw(tmp_path)
    assert "Found others. Look after the disk" in str(error.value)
    assert set(json.loads(next(tmp_path.rglob("sha256.json")).read_text())) == set(NAMES[:3])
