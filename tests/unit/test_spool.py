"""What a job has finished outlives a kill, damage is seen, and what was read goes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mmunlearn import spool as spools
from mmunlearn.spool import Spool, release, supersede

TEXTS = {"adapter/weights": "1 2 3", "steps.jsonl": "{}\n"}


def spool(folder: Path, identity: str = "new") -> Spool:
    outputs = {name: folder / "results/models" / name for name in TEXTS}
    return Spool(folder / "work", "training", outputs, identity)


def finished(folder: Path, identity: str = "new") -> Spool:
    made = spool(folder, identity)
    for name, text in TEXTS.items():
        (made.folder / name).parent.mkdir(exist_ok=True)
        (made.folder / name).write_text(text)
    (made.folder / "checkpoint-3").mkdir()
    made.finish()
    return made


def delivered(folder: Path) -> dict[str, str]:
    return {name: (folder / "results/models" / name).read_text() for name in TEXTS}


def test_a_job_that_was_killed_behind_its_last_line_finds_its_work(tmp_path):
    """Without a second copy, as new as a job's output is; all else that it worked in, and older work, is gone."""
    spool(tmp_path, "old").folder.joinpath("checkpoint-1").mkdir()
    assert not spool(tmp_path).is_finished()
    os.utime(finished(tmp_path).folder / "steps.jsonl", (1e9, 1e9))
    again = spool(tmp_path)
    assert again.is_finished() and not spool(tmp_path, "other").is_finished()
    again.deliver()
    assert delivered(tmp_path) == TEXTS
    place = tmp_path / "results/models/steps.jsonl"
    assert place.samefile(again.folder / "steps.jsonl") and place.stat().st_mtime > 1e9 + 1
    assert sorted(path.name for path in again.folder.iterdir()) == [
        "adapter",
        "checksums.json",
        "steps.jsonl",
    ]
    assert not (again.folder.parent / "old").exists()
    again.deliver()
    assert [path.name for path in place.parent.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize("harm", ["cut", "missing", "no record", "empty record", "a list"])
def test_damaged_work_is_made_again(harm, tmp_path, caplog):
    path = finished(tmp_path).folder / "adapter/weights"
    record = path.parents[1] / "checksums.json"
    match harm:
        case "cut":
            path.write_text("1 ")
        case "missing":
            path.unlink()
        case "no record":
            record.unlink()
        case "empty record":
            record.write_text("{}")
        case "a list":
            record.write_text("[1")
    assert not spool(tmp_path).is_finished()
    assert ("is not the work that was finished: it is made again" in caplog.text) == (harm != "no record")
    assert not record.exists() and (harm == "no record" or not path.exists())
    finished(tmp_path)
    assert spool(tmp_path).is_finished()


def test_a_growing_file_is_seen_in_its_place(tmp_path):
    made = spool(tmp_path)
    log = made.folder / "steps.jsonl"
    log.write_text("1\n")
    made.link("steps.jsonl")
    with log.open("a") as file:
        file.write("2\n")
    assert (tmp_path / "results/models/steps.jsonl").read_text() == "1\n2\n"


def test_without_links_there_is_a_copy(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError("not on this file system")

    monkeypatch.setattr("os.link", refuse)
    finished(tmp_path).deliver()
    assert delivered(tmp_path) == TEXTS


def read(work: Path, *paths: Path) -> None:
    """As a job does, from its first moment to its last."""
    release(spools.finished(work, paths))


def test_work_goes_when_one_of_its_outputs_was_read(tmp_path, monkeypatch):
    """The reader's paths are relative, as Snakemake gives them, and another model's work stays."""
    mine = finished(tmp_path)
    mine.deliver()
    other = Spool(tmp_path / "work", "answers", {"a": tmp_path / "results/a"}, "new")
    monkeypatch.chdir(tmp_path)
    read(Path("work"), Path("results/b"), Path("results/models"))
    assert mine.folder.exists()
    read(Path("work"), Path("results/b"), Path("results/models/steps.jsonl"))
    assert not mine.folder.parent.exists() and other.folder.exists()
    read(Path("work"), Path("results/models/steps.jsonl"))
    read(Path("nowhere"), Path("results/a"))
    assert other.folder.exists() and not Path("nowhere").exists()
    assert sorted(path.name for path in Path("work/training").iterdir()) == []


@pytest.mark.parametrize("end", ["goes on", "other bytes"])
def test_work_that_was_not_read_stays(end, tmp_path):
    """A training with another rate that goes on while an old reader ends, or has finished meanwhile."""
    old = finished(tmp_path)
    old.deliver()
    seen = spools.finished(tmp_path / "work", old.outputs.values())
    new = spool(tmp_path, "rate")
    (new.folder / "checkpoint-3").mkdir()
    if end == "other bytes":
        for name in TEXTS:
            (new.folder / name).parent.mkdir(exist_ok=True)
            (new.folder / name).write_text(f"{TEXTS[name]} new")
        new.finish()
        new.deliver()
    release(seen)
    assert [path.name for path in new.folder.parent.iterdir()] == ["rate"] and any(new.folder.iterdir())
    read(tmp_path / "work", *new.outputs.values())
    assert new.folder.exists() == (end == "goes on")


def test_nothing_is_looked_through_for_a_file_that_was_read(tmp_path, monkeypatch):
    """A run of thousands of jobs on a file server: each reads what stands for its own inputs."""
    for number in range(5):
        Spool(tmp_path / "work", "answers", {"a": tmp_path / f"results/{number}"}, "new")
    seen, text = [], Path.read_text
    monkeypatch.setattr(Path, "read_text", lambda self, **how: seen.append(self) or text(self, **how))
    read(tmp_path / "work", tmp_path / "results/3")
    assert len(seen) == len(spools.KINDS)


def test_work_that_stays_is_not_released_and_older_work_on_it_goes(tmp_path):
    (tmp_path / "a").touch()

    def lasting(identity: str, **stays: bool) -> Spool:
        return Spool(tmp_path / "work", "answers", {"a": tmp_path / "a"}, identity, **stays)

    first, second = lasting("first"), lasting("second", stays=True)
    read(tmp_path / "work", tmp_path / "a")
    assert first.folder.exists() and second.folder.exists()
    supersede([second])
    assert [path.name for path in second.folder.parent.iterdir()] == ["second"]
    read(tmp_path / "work", tmp_path / "a")
    assert second.folder.exists()
    third = lasting("third")
    supersede([third])
    read(tmp_path / "work", tmp_path / "a")
    assert not third.folder.parent.exists()


def test_a_damaged_sign_of_outputs_is_written_again(tmp_path):
    finished(tmp_path).deliver()
    paths = sorted((tmp_path / "work/training").glob("*.json"))
    whole = [path.read_text() for path in paths]
    assert len(paths) == len(TEXTS)
    for text in ("", "{}", '["x"]', "[3]", "3"):
        for path in paths:
            path.write_text(text)
        read(tmp_path / "work", tmp_path / "results/models/steps.jsonl")
        assert spool(tmp_path).is_finished()
        assert [path.read_text() for path in paths] == whole


def test_an_unknown_kind_is_refused(tmp_path):
    with pytest.raises(
        ValueError, match=r"kind pictures .* found answers, relearning, training; add it to KINDS"
    ):
        Spool(tmp_path, "pictures", {}, "new")
