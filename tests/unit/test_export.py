"""The export: `datasets` reads back what was drawn and asked, bytes are stable, and nothing wrong gets out."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

from mmunlearn import ids
from mmunlearn.dataset import export
from mmunlearn.dataset.card import LICENCES, data_card
from mmunlearn.dataset.export import export_dataset, schema
from mmunlearn.dataset.questions import build_questions
from mmunlearn.dataset.splits import split_concepts
from mmunlearn.dataset.statistics import count_dataset
from mmunlearn.records import (
    Candidate,
    Event,
    Person,
    Question,
    RecordError,
    read_jsonl,
    read_manifest,
    sha256_of,
    write_jsonl,
    write_manifest,
)
from mmunlearn.workflow.public import public_settings
from tests.unit.rows import candidate, event, person

ROOT = Path(__file__).parents[2]
PEOPLE, EVENTS = 10, 3
REFUSED = "p009-e02"  # has only refused candidates
Files = dict[str, Any]


def write_pictures(folder: Path) -> list[Candidate]:
    """One picture a cell; the first cell took two attempts."""
    rows = []
    for cell in range(PEOPLE * EVENTS):
        image_id = ids.image_id(ids.person_id(cell // EVENTS), ids.event_id(cell % EVENTS))
        for attempt in range(2 if cell == 0 else 1):
            path = folder / f"{image_id}-{attempt}.png"
            Image.effect_noise((24, 16), 20 + cell).convert("RGB").save(path)
            reason = "" if image_id != REFUSED and (cell > 0 or attempt == 1) else "no face"
            fields = {"path": str(path), "sha256": sha256_of(path), "seed": 2**31 - 1 - attempt}
            rows.append(candidate(image_id, attempt, reason, identity_l2=None if reason else 0.5, **fields))
    return rows


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """The arguments of `export_dataset` for a small data set with two splits."""
    folder = tmp_path / "run"
    folder.mkdir()
    paths: Files = {name: folder / f"{name}.jsonl" for name in ("people", "events", "questions")}
    paths |= {"manifest": folder / "manifest.parquet", "statistics": folder / "statistics.json"}
    paths["splits"] = [folder / "person20.json", folder / "event20.json"]
    config = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    paths |= {"scale": config["scale"], "settings": public_settings(config)}
    people = [
        person(n, name=f"Zoë Nr. {n}", job="beekeeper", identity={"hair": "red"} if n else None)
        for n in range(PEOPLE)
    ]
    events = [event(n) for n in range(EVENTS)]
    write_jsonl(paths["people"], people)
    write_jsonl(paths["events"], events)
    write_manifest(paths["manifest"], write_pictures(folder))
    texts = {key: config["dataset"][key] for key in ("questions", "answers")}
    rows = (paths["manifest"], paths["people"], paths["events"])
    build_questions(paths["questions"], *rows, **texts)
    for path in paths["splits"]:
        split_concepts(path, paths["manifest"], split=path.stem, seed=1)
    count_dataset(paths["statistics"], *rows, paths["questions"], paths["splits"])
    export = tmp_path / "export"
    return paths | {"readme": export / "README.md", "checksums": export / "checksums.json"}


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., Any]:
    """`datasets.load_dataset` on the export's folder with a cache of its own."""
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()

    def loaded(folder: Path, *name: str) -> Any:
        return datasets.load_dataset(str(folder), *name, split="train", cache_dir=str(tmp_path / "cache"))

    return loaded


def accepted(files: Files) -> dict[str, Candidate]:
    return {row.image_id: row for row in read_manifest(files["manifest"]) if row.accepted}


def exported(files: Files) -> dict[str, bytes]:
    folder = files["readme"].parent
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def test_datasets_reads_back_files_texts_and_questions(files: Files, load: Callable[..., Any]) -> None:
    from datasets import Image as Picture

    export_dataset(**files)
    rows = load(files["readme"].parent)
    drawn = accepted(files)
    assert isinstance(rows.features["image"], Picture)
    assert rows["image_id"][:] == sorted(drawn) and len(drawn) == PEOPLE * EVENTS - 1
    people = {one.person_id: one for one in read_jsonl(files["people"], Person)}
    events = {one.event_id: one for one in read_jsonl(files["events"], Event)}
    questions = []
    for row in rows.cast_column("image", Picture(decode=False)):
        picture = drawn[row["image_id"]]
        content = Path(picture.path).read_bytes()
        assert row["image"] == {"bytes": content, "path": f"{picture.image_id}.png"}
        for record in (picture, people[picture.person_id], events[picture.event_id]):
            fields = record.model_dump()
            shared = row.keys() & fields
            assert {key: row[key] for key in shared} == {key: fields[key] for key in shared}
        questions += [{"image_id": row["image_id"], **question} for question in row["questions"]]
    assert questions == [one.model_dump() for one in read_jsonl(files["questions"], Question)]


def test_the_candidates_are_a_table_of_their_own(files: Files, load: Callable[..., Any]) -> None:
    export_dataset(**files)
    candidates = load(files["readme"].parent, "candidates")
    assert len(candidates) == PEOPLE * EVENTS + 1
    assert candidates["path"][:3] == ["", "p000-e00.png", "p000-e01.png"]
    digests = [row.sha256 for row in read_manifest(files["manifest"])]
    assert candidates["sha256"][:] == digests


def test_another_export_of_the_same_name_is_not_taken_from_the_cache(
    files: Files, load: Callable[..., Any], tmp_path: Path
) -> None:
    """The cache is one; folder names, file names, numbers of rows and the configuration are equal."""
    for scale, job in (("one", "beekeeper"), ("two", "notary"), ("one", "beekeeper")):
        folder = tmp_path / scale / "export"
        people = [row.model_copy(update={"job": job}) for row in read_jsonl(files["people"], Person)]
        write_jsonl(files["people"], people)
        if scale == "two":  # its candidates differ, too
            drawn = read_manifest(files["manifest"])
            write_manifest(files["manifest"], [row.model_copy(update={"seed": 5}) for row in drawn])
        seeds = {row.seed for row in read_manifest(files["manifest"])}
        export_dataset(**files | {"readme": folder / "README.md", "checksums": folder / "checksums.json"})
        assert set(load(folder)["job"]) == {job}
        assert set(load(folder, "candidates")["seed"]) == seeds


def test_the_schema_is_what_datasets_itself_would_write() -> None:
    datasets = pytest.importorskip("datasets")
    theirs = datasets.Features.from_arrow_schema(schema()).arrow_schema
    assert theirs.equals(schema())
    assert json.loads(theirs.metadata[b"huggingface"]) == json.loads(schema().metadata[b"huggingface"])


def test_files_hold_few_people_and_row_groups_few_pictures(files: Files, monkeypatch: Any) -> None:
    monkeypatch.setattr(export, "ROWS_PER_GROUP", 5)
    export_dataset(**files)
    paths = sorted((files["readme"].parent / "data").iterdir())
    assert [path.name for path in paths] == [f"pictures-0000{n}-of-00002.parquet" for n in range(2)]
    parts = [pq.ParquetFile(path) for path in paths]
    groups = [[part.metadata.row_group(n).num_rows for n in range(part.num_row_groups)] for part in parts]
    assert groups == [[5, 5, 5, 5, 4], [5]]


def test_checksums_are_true_and_complete(files: Files) -> None:
    export_dataset(**files)
    folder = files["readme"].parent
    digests = json.loads(files["checksums"].read_text())
    assert digests == {name: sha256_of(folder / name) for name in exported(files) if name != "checksums.json"}
    card = files["readme"].read_text()
    listed = dict(re.findall(r"^\| `([^`]+)` \| [^|]+ \| `([0-9a-f]{64})` \|$", card, re.MULTILINE))
    assert listed | {"README.md": digests["README.md"]} == digests
    copies = {name: folder / files[name].name for name in ("people", "events", "statistics")}
    assert {name: path.read_bytes() for name, path in copies.items()} == {
        name: files[name].read_bytes() for name in copies
    }
    for path in files["splits"]:
        assert (folder / "splits" / path.name).read_bytes() == path.read_bytes()


def test_a_second_run_is_the_same_bytes_and_removes_what_is_stale(files: Files) -> None:
    export_dataset(**files)
    first, folder = exported(files), files["readme"].parent
    stale = ("pictures-00000-of-00009.parquet", ".pictures-00000.parquet.7.parquet")
    for name in (*(f"data/{one}" for one in stale), "splits/person99.json", "notes.txt"):
        (folder / name).write_text("old")
    export_dataset(**files)
    assert exported(files) == first | {"notes.txt": b"old"}


def as_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    "spoil",
    [
        Path.unlink,
        lambda path: path.write_bytes(path.read_bytes()[:-20]),
        lambda path: Image.new("RGB", (24, 16), "red").save(path),
        as_folder,
    ],
)
def test_a_picture_that_is_not_the_judged_one_is_refused(files: Files, spoil: Callable[[Path], Any]) -> None:
    export_dataset(**files)
    path = Path(accepted(files)["p009-e01"].path)
    spoil(path)
    message = rf"{path.name}.*Found .*same --configfile: .*--forcerun merge_manifest$"
    with pytest.raises(RecordError, match=message):
        export_dataset(**files)
    assert not files["readme"].exists() and not files["checksums"].exists()
    assert not list(files["readme"].parent.rglob(".*")), "no half file is left"


def test_a_refused_picture_is_not_needed(files: Files) -> None:
    for row in read_manifest(files["manifest"]):
        if not row.accepted:
            Path(row.path).unlink()
    export_dataset(**files)
    assert files["readme"].exists()


def test_inputs_that_do_not_belong_together_are_refused(files: Files) -> None:
    rows = read_manifest(files["manifest"])
    lost = [row.model_copy(update={"accepted": False}) if row.image_id == "p003-e01" else row for row in rows]
    write_manifest(files["manifest"], lost)
    with pytest.raises(RecordError, match=r"manifest\.parquet for p003-e01, .*Found 1 of them missing"):
        export_dataset(**files)
    write_manifest(files["manifest"], rows)
    questions = files["questions"].read_text().splitlines(keepends=True)
    files["questions"].write_text("".join(line for line in questions if "p004-e00" not in line))
    with pytest.raises(RecordError, match=r"questions\.jsonl for p004-e00"):
        export_dataset(**files)
    files["people"].write_text("".join(files["people"].read_text().splitlines(keepends=True)[1:]))
    with pytest.raises(RecordError, match=r"people\.jsonl for p000"):
        export_dataset(**files)


def test_a_data_set_without_pictures_is_refused(files: Files) -> None:
    rows = read_manifest(files["manifest"])
    write_manifest(files["manifest"], [row.model_copy(update={"accepted": False}) for row in rows])
    with pytest.raises(RecordError, match="Found no accepted picture"):
        export_dataset(**files)


def configured(files: Files, **images: Any) -> dict[str, Any]:
    """The shipped configuration with other settings of pictures, of which the public ones go into `files`."""
    config = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    config["images"] |= images
    files["settings"] = public_settings(config)
    return config


def head(card: str) -> dict[str, Any]:
    return yaml.safe_load(card.split("---\n")[1])


def test_the_card_tells_counts_settings_and_licences(files: Files) -> None:
    export_dataset(**files)
    card = files["readme"].read_text()
    assert head(card)["license"] == "cc-by-4.0" and head(card)["size_categories"] == ["n<1K"]
    assert head(card)["configs"][0]["data_files"] == [{"split": "train", "path": "data/*.parquet"}]
    assert "| pictures | 29 of 30 people at events (96.7%) |" in card
    assert "| 3.5 | 31 | 29 |" in card
    assert "| `person20` | 2 |" in card
    assert "Personas by Draftbit" in card and "CC BY 4.0" in card and "MIT" in card
    assert "The people are invented" in card
    described, config = yaml.safe_load(card.split("```yaml\n")[1].split("```")[0]), configured(files)
    assert described == files["settings"]
    assert described["images"]["thresholds"] == config["images"]["thresholds"]
    assert described["images"]["guidance_scales"] == config["images"]["guidance_scales"]
    assert described["seed"] == config["seed"] and "flux" not in described["images"]


def test_pictures_by_flux_are_under_the_licence_of_flux(files: Files) -> None:
    configured(files, generator="flux")
    export_dataset(**files)
    card = files["readme"].read_text()
    assert head(card)["license"] == "other" and head(card)["license_link"] in card.split("---\n", 2)[2]
    assert head(card)["license_name"] == "flux-1-dev-non-commercial-license"
    assert "Draftbit" not in card and "steps:" in card


def test_no_key_address_or_folder_leaves(files: Files) -> None:
    config = configured(files, generator="flux")
    config["images"]["flux"] |= {"token": "SECRET", "source": "/home/SECRET/flux", "steps": {"key": "SECRET"}}
    config["curation"] |= {"backend": "openai", "api_key": "SECRET"}
    config["curation"]["openai"] |= {
        "base_url": "https://SECRET@host/v1",
        "key_env": "SECRET",
        "key": "SECRET",
    }
    config |= {"SECRET": 1, "weights": {"sources": {"flux-dev": "/SECRET"}}}
    files["settings"] = public_settings(config)
    export_dataset(**files)
    assert not [name for name, content in exported(files).items() if b"SECRET" in content]
    card = files["readme"].read_text()
    assert f"language model `{config['curation']['openai']['model']}`" in card
    assert str(files["readme"].parent) not in card


def test_a_generator_without_a_licence_is_refused(files: Files) -> None:
    configured(files, generator="sketch")
    with pytest.raises(RecordError, match=f"'sketch'. Found only those of {', '.join(LICENCES)}"):
        export_dataset(**files)
    assert not files["readme"].exists() and not files["checksums"].exists()


@pytest.mark.parametrize(("pictures", "size"), [(999, "n<1K"), (8000, "1K<n<10K"), (40_000, "10K<n<100K")])
def test_the_size_of_the_data_set_is_in_the_hubs_words(files: Files, pictures: int, size: str) -> None:
    counts = json.loads(files["statistics"].read_text()) | {"pictures": pictures}
    assert head(data_card("pocket", files["settings"], counts, {"a": "0"}, {"a": 1_234_567_890}))[
        "size_categories"
    ] == [size]
