"""Outputs that are no longer what their jobs have written, whatever they hold."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from safetensors.numpy import save_file
from snakemake.persistence.file import FilePersistence

from mmunlearn import receipts
from mmunlearn.receipts import damage, forget_receipts, read_receipt, receipt_path, write_receipts
from mmunlearn.records import RecordError
from mmunlearn.workflow import soundness
from mmunlearn.workflow.soundness import look

FOLDER = Path("results/small")
ROWS = "".join(f'{{"row": {number}}}\n' for number in range(8))
TEXTS = {
    "questions.jsonl": ROWS,
    "training.json": '{"steps": 910, "seconds": 7.5}',
    "adapter/adapter_config.json": '{"r": 8, "lora_alpha": 16}',
    "filters.json": '{"identity": {"refused": 3}}',
    "table3.csv": "model,method\nllava,ga\n",
    "table3.md": "| model | method |\n",
    "table3.tex": "\\begin{tabular}{ll}\n",
    "report.html": "<!DOCTYPE html><title>report</title>",
    "fig8.pdf": "%PDF-1.7 stream endstream",
    "run_config.yaml": "scale: small\nseed: 1\n",
}
KINDS = [
    *TEXTS,
    *("manifest.parquet", "references.npz", "scenes.npy", "fig8.png"),
    *("features.safetensors", "adapter/adapter_model.safetensors"),
]


def write(path: Path) -> None:
    """A file of every kind that rules declare."""
    numbers = np.arange(64, dtype=np.float32)
    path.parent.mkdir(parents=True, exist_ok=True)
    match path.suffix:
        case ".parquet":
            pq.write_table(pa.table({"image_id": ["p001-e01", "p002-e01"]}), path)
        case ".npz":
            np.savez(path, vectors=numbers)
        case ".npy":
            np.save(path, numbers)
        case ".png":
            Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(path)
        case ".safetensors":
            save_file({"weight": numbers}, path)
        case _:
            path.write_text(TEXTS[path.relative_to(FOLDER).as_posix()])


def change(path: Path, content: bytes, *, kept: bool = True) -> None:
    """Write a file anew, with its old time or a new one."""
    status = path.stat()
    path.write_bytes(content)
    if kept:
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def cut(path: Path, *, kept: bool = True) -> None:
    content = path.read_bytes()
    change(path, content[: len(content) // 2], kept=kept)


def flip(path: Path, *, kept: bool = True) -> None:
    content = path.read_bytes()
    change(path, content[:-2] + bytes([content[-2] ^ 1]) + content[-1:], kept=kept)


def record(path: Path) -> None:
    """Snakemake's record of an output."""
    place = soundness._place("metadata", path)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text("{}")


def begin(*inputs: Path) -> None:
    with soundness.receipts(inputs, [], "plot_figure8"):
        pass


def marks() -> set[str]:
    return soundness._names("incomplete")


@pytest.fixture
def made(tmp_path, monkeypatch):
    """Makes outputs as a job that ends well does; the tests run in its folder."""
    monkeypatch.chdir(tmp_path)

    def make(*names: str) -> list[Path]:
        paths = [FOLDER / name for name in names]
        with soundness.receipts([], paths, "make_all"):
            for path in paths:
                write(path)
                record(path)
        return paths

    return make


@pytest.mark.parametrize("kept", [True, False], ids=["time kept", "new time"])
@pytest.mark.parametrize("name", KINDS)
def test_a_file_that_is_cut_in_half_is_noticed_before_it_is_read(made, name, kept):
    (path,) = made(name)
    begin(path)
    size = path.stat().st_size
    cut(path, kept=kept)
    with pytest.raises(
        RecordError, match=rf"{path}: {size // 2} bytes.*make_all has written {size} bytes"
    ) as error:
        begin(path)
    assert f"--forcerun {path} -- {path}" in str(error.value) and str(receipt_path(path)) in str(error.value)


@pytest.mark.parametrize("kept", [True, False], ids=["time kept", "new time"])
def test_a_start_finds_all_that_are_cut_whether_or_not_a_job_reads_them(made, kept):
    paths = made(*KINDS)
    assert look("small") == [] and marks() == set()
    for path in paths:
        cut(path, kept=kept)
    (message,) = look("small")
    assert (
        all(f"{path}: " in message for path in paths)
        and f"of these {len(KINDS)}: it is made again" in message
    )
    assert marks() == {soundness._name(path) for path in paths}


def test_marks_and_records_lie_where_snakemake_reads_them(made):
    (path,) = made("table3.csv")
    long = FOLDER / "models" / "ä" / ("x" * 180) / ("y" * 180) / "training.json"
    snakemake = FilePersistence(path=Path(".snakemake"))
    for one in (path, long):
        soundness._mark(one)
        assert snakemake._filter_incomplete_keys([str(one)]) == {str(one)}
        assert snakemake._get_external_jobids([str(one)]) == set()
        snakemake._incomplete_cache = None
        assert Path(snakemake._record_path(".snakemake/metadata", str(one))) == soundness._place(
            "metadata", one
        )
    assert marks() == {soundness._name(path), soundness._name(long)}


def test_json_lines_that_lost_whole_lines_are_counted(made):
    (path,) = made("questions.jsonl")
    change(path, "".join(ROWS.splitlines(keepends=True)[:3]).encode())
    assert damage(path) == (
        "results/small/questions.jsonl: 33 bytes in 3 lines; rule make_all has written 88 bytes in 8 lines"
    )


def test_other_bytes_are_found_by_who_reads_them_and_made_again_by_the_next_run(made):
    (path,) = made("table3.csv")
    flip(path)
    assert look("small") == []
    with pytest.raises(RecordError, match=r"table3\.csv: as many bytes, but others"):
        begin(path)
    assert marks() == {soundness._name(path)}
    assert "table3.csv: as many bytes, but others" in look("small")[0]
    flip(path)  # an intact copy is put there
    assert look("small") == [] and marks() == set()
    begin(path)


def test_a_mark_of_snakemakes_own_stays(made):
    (path,) = made("table3.csv")
    place = soundness._place("incomplete", path)
    place.parent.mkdir(parents=True)
    place.write_text('{"external_jobid": null}')
    soundness._place("metadata", path).unlink()
    assert look("small") == [] and place.exists()


def test_an_adapter_is_refused_for_its_configuration(made):
    weights, config = made("adapter/adapter_model.safetensors", "adapter/adapter_config.json")
    flip(config)
    with pytest.raises(RecordError, match=r"adapter_config\.json: as many bytes, but others"):
        begin(weights)
    config.unlink()
    with pytest.raises(RecordError, match=r"adapter_config\.json: No such file or directory"):
        begin(weights)
    assert marks() == {soundness._name(weights)}, "what is there is made again, and the other with it"


def test_what_is_rightly_another_is_not_damaged(made, tmp_path):
    """Made again, touched, deleted, copied with all, restored, and results without receipts."""
    (path,) = made("questions.jsonl")
    os.utime(path)
    shutil.copytree("results", "copy")
    path.unlink()
    assert look("small") == []
    path.write_text(ROWS)
    begin(path)
    path.unlink()
    with soundness.receipts([], [path], "make_all"):
        path.write_text(ROWS * 2)
        assert look("small") == [], "half written by a running job"
    begin(path)
    shutil.rmtree("results")
    shutil.copytree("copy", "results")
    assert read_receipt(path).rows == 8 and look("small") == []
    begin(path)
    shutil.rmtree(receipts.FOLDER)
    cut(path)
    begin(path)
    assert look("small") == [] and marks() == set()


def test_what_a_job_leaves_that_fails_has_no_receipt(made):
    (path,) = made("table3.csv")

    def fail() -> None:
        with soundness.receipts([], [path], "make_table3"):
            path.write_text("half")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert read_receipt(path) is None
    assert look("small") == []


@pytest.mark.parametrize("text", ["", '{"size": 1', "[]", '{"size": "1"}', "{}"])
def test_a_damaged_receipt_says_nothing(made, text):
    (path,) = made("table3.csv")
    receipt_path(path).write_text(text)
    cut(path)
    begin(path)
    assert look("small") == []


def test_receipts_that_are_folders_or_no_text_say_nothing_and_are_written_anew(made):
    paths = made("table3.csv", "fig8.pdf")
    receipt_path(paths[0]).unlink()
    (receipt_path(paths[0]) / "inner").mkdir(parents=True)
    receipt_path(paths[1]).write_bytes(b"\xff\x00" * 9)
    for path in paths:
        cut(path)
        begin(path)
    assert look("small") == []
    for path in made("table3.csv", "fig8.pdf"):
        assert read_receipt(path).size == path.stat().st_size


def test_a_large_file_is_read_again_only_when_its_time_is_another(made, monkeypatch):
    (path,) = made("features.safetensors")
    monkeypatch.setattr(receipts, "SMALL", 10)
    read, sha256_of = [], receipts.sha256_of
    monkeypatch.setattr(receipts, "sha256_of", lambda path: read.append(path) or sha256_of(path))
    begin(path)
    assert read == []
    os.utime(path, (1e9, 1e9))
    begin(path)
    begin(path)
    assert read == [path], "once, then the new time is known"
    flip(path, kept=False)
    with pytest.raises(RecordError, match="as many bytes, but others"):
        begin(path)


def test_files_elsewhere_have_no_receipts(made, tmp_path):
    outside = [
        Path("weights/lock.json"),
        tmp_path / "results" / "small" / "far.json",
        Path("results/small/folder"),
    ]
    for path in outside[:2]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
    outside[2].mkdir(parents=True)
    write_receipts(outside, "fetch_weights")
    forget_receipts(outside)
    begin(*outside)
    assert not receipts.FOLDER.exists()


def test_what_was_found_is_kept_until_it_is_found_another_time(made):
    path, weights, config = made(
        "table3.csv", "adapter/adapter_model.safetensors", "adapter/adapter_config.json"
    )
    path.write_text("my edit")
    (message,) = look("small")
    found = Path("results/.receipts/small/table3.csv.found")
    assert f"kept as {found}: " in message and f"back to {path}, remove {receipt_path(path)} " in message
    path.unlink()  # as Snakemake does before it is made again
    write(path)
    assert look("small") == [] and found.read_text() == "my edit"
    path.write_text("another")
    look("small")
    assert found.read_text() == "another"
    flip(config)
    content = config.read_bytes()
    with pytest.raises(RecordError, match=rf"back to {config}, remove {receipt_path(config)} "):
        begin(weights)
    assert receipts.found_path(config).read_bytes() == content and not receipts.found_path(weights).exists()


def test_a_file_whose_receipt_is_removed_is_not_made_again(made):
    path, other = made("table3.csv", "fig8.pdf")
    for one in (path, other):
        one.write_text("my edit")
    look("small")
    receipt_path(path).unlink()
    look("other")
    assert marks() == {soundness._name(other)}
    begin(path)


def test_a_damaged_file_that_a_killed_job_was_making_again_is_not_forgotten(made):
    """Snakemake has removed it, and goes by what rests on it."""
    (path,) = made("questions.jsonl")
    path.write_bytes(path.read_bytes()[:40])
    look("small")
    path.unlink()
    soundness._place("incomplete", path).write_text(
        '{"external_jobid": null}'
    )  # as a job of Snakemake's begins
    look("small")
    assert path.stat().st_size == 40 and soundness._place("incomplete", path).exists()


def test_found_files_are_copied_where_there_are_no_links(made, monkeypatch):
    def fail(*_: Path) -> None:
        raise PermissionError

    (path,) = made("table3.csv")
    path.write_text("my edit")
    monkeypatch.setattr(os, "link", fail)
    look("small")
    assert receipts.found_path(path).read_text() == "my edit" and marks()


def test_where_nothing_can_be_written_it_is_said_all_the_same(made, monkeypatch):
    """Folders that are files stand for such ones: an administrator may write everywhere."""
    (path,) = made("table3.csv")
    cut(path)
    shutil.rmtree(".snakemake")
    Path(".snakemake").write_text("")
    assert f"{path}: " in look("small")[0]
    with pytest.raises(RecordError, match=r"table3\.csv: "):
        begin(path)
    Path(".snakemake").unlink()
    receipts.found_path(path).unlink()
    monkeypatch.setattr(soundness, "keep_found", lambda path: Path("results").rmdir())
    assert f"{path}: " in look("small")[0] and marks() == set(), "nothing kept, nothing made again"


def test_to_unlock_nothing_is_looked_at(made, monkeypatch):
    (path,) = made("table3.csv")
    cut(path)
    monkeypatch.setattr("sys.argv", ["snakemake", "--unlock"])
    assert look("small") == [] and marks() == set()


def test_lost_records_are_said_with_their_number(made):
    first, _, third = made("fig8.pdf", "table3.csv", "training.json")
    for path in (first, third):
        soundness._place("metadata", path).unlink()
    (message,) = look("small")
    assert message.startswith(
        "Snakemake has no record of 2 outputs, first results/small/fig8.pdf: a change of settings"
    )
    assert ".snakemake/metadata" in message and "--forcerun" in message
    shutil.rmtree(".snakemake")
    assert "no record of 3 outputs" in look("small")[0]
    assert look("other") == []


def test_a_receipt_lies_beside_the_results_and_says_who_wrote_what(made):
    (path,) = made("questions.jsonl")
    place = Path("results/.receipts/small/questions.jsonl.json")
    assert json.loads(place.read_text()) == {
        "size": 88,
        "sha256": "ff8242af1b1119ec909b88580a57077d11fd4fa97ce2151fdff5c097e904857b",
        "rows": 8,
        "rule": "make_all",
        "changed": path.stat().st_mtime_ns,
    }
