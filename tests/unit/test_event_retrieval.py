"""The Real set's events: retrieval by CLIP from a folder or from Parquet, with a stub and with the real network."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmunlearn.dataset import event_pool, retrieval
from mmunlearn.ids import kind_of
from mmunlearn.records import Event, RecordError, read_jsonl, write_jsonl
from mmunlearn.weights.errors import WeightsError
from tests.unit.file_sets import ColourClip, encoded, sets, shade, sources, store


def test_every_event_gets_the_nearest_pictures(collection):
    pictures, rows = sets(collection).real(3, seed=1)
    rows = [row for row in rows if row.kind == "event"]
    assert sources(pictures) == {
        "real-event-000": "0-red.png", "real-event-001": "0-green.png", "real-event-002": "0-blue.png",
    }  # fmt: skip
    assert all(row.question == "What is happening?" and row.subset == "" for row in rows)
    assert {kind_of(row.question_id) for row in rows} == {"event"}, "the metrics find them"
    assert pictures["real-event-000"].getpixel((0, 0)) == shade("red", 5)
    assert [row["event_id"] for row in pictures.tables["retrieval.csv"]] == ["e00", "e01", "e02"]
    assert all(0.9 < float(row["cosine"]) <= 1 for row in pictures.tables["retrieval.csv"])


@pytest.mark.parametrize(
    ("reference", "answers"),
    [
        ("description", ["Seen: A red event.", "Seen: A green event.", "Seen: A blue event."]),
        ("caption", ["A red thing.", "Seen: A green event.", "Seen: A blue event."]),
    ],
)
def test_the_reference_is_the_event_s_answer_or_by_a_key_the_caption(collection, reference, answers):
    """The first picture has the caption 'A red thing.', the others none."""
    texts = {"person": "This is {name}.", "event": "Seen: {description}"}
    rows = sets(collection, texts, real_reference=reference).real(3, seed=1)[1]
    assert [row.answer for row in rows if row.kind == "event"] == answers


def test_a_remainder_goes_to_seeded_events(collection):
    def counts(seed):
        return Counter(row["event_id"] for row in sets(collection).real(4, seed)[0].tables["retrieval.csv"])

    seen = [counts(seed) for seed in range(8)]
    assert all(sorted(one.values()) == [1, 1, 2] for one in seen)
    assert len({one.most_common(1)[0][0] for one in seen}) > 1
    assert counts(3) == counts(3)


def test_retrieval_does_not_depend_on_the_order_of_events_or_files(collection, monkeypatch):
    first = sets(collection).real(3, 5)[0].tables
    events = read_jsonl(collection / "events.jsonl", Event)
    write_jsonl(collection / "events.jsonl", events[::-1])
    listing = Path.rglob
    monkeypatch.setattr(Path, "rglob", lambda self, pattern: sorted(listing(self, pattern), reverse=True))
    assert sets(collection).real(3, 5)[0].tables == first


def test_no_picture_is_taken_twice_nor_a_copy_of_it(collection):
    for i in range(3):
        store(collection / "events" / f"9-copy{i}.png", encoded(shade("red", 5)))
    names = {one.source for one in retrieve(collection, n=9)}
    assert len(names) == 9
    assert not any("copy" in name for name in names), "the first path of equal pictures is the one"


def retrieve(folder, n, clip=None, cache="cache", place="events"):
    pool = event_pool.open_pool(folder / place)
    events = read_jsonl(folder / "events.jsonl", Event)
    return retrieval.retrieve(pool, events, n, 1, clip=clip or ColourClip(), cache=folder / cache)


def test_greedy_choice_by_cosine_then_by_column():
    cosines = np.array([[0.9, 0.8, 0.8, 0.1], [0.95, 0.7, 0.2, 0.3]])
    assert retrieval.choose(cosines, [1, 1]) == [[1], [0]]
    assert retrieval.choose(cosines, [2, 2]) == [[1, 2], [0, 3]]
    assert retrieval.choose(np.ones((2, 4)), [2, 2]) == [[0, 1], [2, 3]]


def test_features_are_cached_by_pool_and_weights(collection):
    sets(collection).real(3, 1)
    assert ColourClip.embedded == 9
    sets(collection).real(2, 2)
    assert ColourClip.embedded == 9, "another size or seed embeds nothing"
    (block,) = (collection / "work" / "retrieval").rglob("*.npz")
    block.write_bytes(block.read_bytes()[:100])
    sets(collection).real(3, 1)
    assert ColourClip.embedded == 18, "a damaged block is made again"
    store(collection / "clip" / "weights", b"others")
    sets(collection).real(3, 1)
    assert ColourClip.embedded == 27
    store(collection / "events" / "new.png", encoded((7, 7, 7)))
    sets(collection).real(3, 1)
    assert ColourClip.embedded == 37


def test_an_interrupted_embedding_goes_on_where_it_was(collection, monkeypatch):
    monkeypatch.setattr(event_pool, "BLOCK", 2)
    monkeypatch.setattr(retrieval, "BLOCK", 2)

    class Dying(ColourClip):
        def embed_images(self, images):
            if ColourClip.embedded >= 4:
                raise KeyboardInterrupt
            ColourClip.embedded += len(images)
            return np.array([np.asarray(image, np.float32).mean((0, 1)) for image in images]) + 1.0

    with pytest.raises(KeyboardInterrupt):
        retrieve(collection, 3, Dying())
    interrupted = retrieve(collection, 3)
    assert ColourClip.embedded == 9
    assert interrupted == retrieve(collection, 3, cache="other")


def test_what_cannot_end_well_ends_before_the_pool_is_embedded(collection, monkeypatch):
    """Too few pictures, by their list; texts without features; and pictures without any at the first batch."""

    class Undefined(ColourClip):
        def embed_images(self, images):
            return super().embed_images(images) * np.nan

    class Speechless(ColourClip):
        def embed_texts(self, texts):
            return super().embed_texts(texts) * np.nan

    monkeypatch.setattr(ColourClip, "embedded", 0)
    with pytest.raises(RecordError, match=r"10 pictures of events .* holds 9 listed ones: put more"):
        retrieve(collection, 10)
    with pytest.raises(RecordError, match="not finite: check the weights"):
        retrieve(collection, 3, Speechless())
    assert ColourClip.embedded == 0
    monkeypatch.setattr(retrieval, "BATCH", 2)
    with pytest.raises(RecordError, match="not finite"):
        retrieve(collection, 3, Undefined())
    assert Undefined.embedded == 2


def test_damaged_pictures_of_the_pool_are_left_out_and_named(collection, caplog):
    store(collection / "events" / "0-red.png", encoded((1, 2, 3))[:40])
    assert "0-red.png" not in {one.source for one in retrieve(collection, 8)}
    assert "left out: a picture was expected in" in caplog.text and "0-red.png" in caplog.text
    assert "pool of 9 pictures: 1 missing or damaged, 0 copies of others, 8 to choose from" in caplog.text
    with pytest.raises(
        RecordError, match=r"9 pictures of events .* holds 8 different readable ones: put more"
    ):
        retrieve(collection, 9)
    for path in (collection / "events").glob("*.png"):
        store(path, b"")
    with pytest.raises(RecordError, match=r"holds 0 different readable ones"):
        retrieve(collection, 1, cache="other")


def parquet(folder: Path, column: str, values, caption="TEXT", name="part.parquet") -> None:
    captions = [f"caption {i}" for i in range(len(values))]
    for path in (folder / "events").glob("*.png"):
        store(folder / "events" / "far" / path.name, path.read_bytes())
        path.unlink()
    pq.write_table(pa.table({column: values, caption: captions}), folder / "events" / name)


IN_PARQUET = [encoded(shade(name, 5)) for name in ("blue", "red", "green")]


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("jpg", IN_PARQUET),
        ("image", [{"bytes": data, "path": None} for data in IN_PARQUET]),
        ("image", [{"bytes": None, "path": f"far/0-{name}.png"} for name in ("blue", "red", "green")]),
        ("path", [f"far/0-{name}.png" for name in ("blue", "red", "green")]),
    ],
)
@pytest.mark.parametrize("caption", ["caption", "TEXT"])
def test_events_are_retrieved_from_parquet(collection, column, values, caption):
    parquet(collection, column, values, caption)
    for place in ("events", "events/part.parquet"):
        given = {"events": str(collection / place), "real_reference": "caption"}
        pictures, rows = sets(collection, **given).real(3, seed=1)
        assert list(sources(pictures).values()) == ["part.parquet#1", "part.parquet#2", "part.parquet#0"]
        assert [row.answer for row in rows if row.kind == "event"] == ["caption 1", "caption 2", "caption 0"]
        assert pictures["real-event-001"].getpixel((0, 0)) == shade("green", 5)


def test_rows_that_were_never_fetched_are_passed_over_and_several_files_are_one_pool(
    collection, monkeypatch, caplog
):
    monkeypatch.setattr(event_pool, "BLOCK", 2)
    monkeypatch.setattr(retrieval, "BLOCK", 2)
    parquet(collection, "jpg", [None, None, IN_PARQUET[0], b""], name="0.parquet")
    parquet(collection, "jpg", [IN_PARQUET[1], IN_PARQUET[0], None, None, IN_PARQUET[2]], name="1.parquet")
    assert [one.source for one in retrieve(collection, 3)] == ["1.parquet#0", "1.parquet#4", "0.parquet#2"]
    assert "pool of 9 pictures: 5 missing or damaged, 1 copies of others, 3 to choose from" in caplog.text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"URL": ["u"]}, r"needs a column jpg, image, path with pictures, found URL"),
        (
            {"path": ["../people/2.png"]},
            r"part\.parquet, row 0 for a file below .*events.*which leads upwards",
        ),
        ({"path": ["/etc/passwd"]}, r"part\.parquet, row 0 .*'/etc/passwd', which is absolute"),
        ({"path": ["far\\a.png"]}, r"part\.parquet, row 0 .*which has backslashes"),
        ({"image": [{"bytes": None, "path": "../a.png"}]}, r"part\.parquet, row 0 .*which leads upwards"),
        ({"key": ["0"], "url": ["u"], "jpg": [3]}, r"row 0: column jpg should hold bytes"),
        ({"jpg": [3]}, r"row 0: column jpg should hold bytes or \{bytes, path\}, found int"),
        (b"PAR1 no table", r"part\.parquet is not a Parquet file .*fetch it again"),
    ],
)
def test_a_wrong_parquet_file_is_named(collection, content, message):
    path = collection / "events" / "part.parquet"
    store(path, content) if isinstance(content, bytes) else pq.write_table(pa.table(content), path)
    with pytest.raises(RecordError, match=message):
        sets(collection).real(1, seed=1)


def img2dataset(folder: Path) -> None:
    """What `img2dataset --output_format files` leaves: shards of pictures, captions and notes, a table beside each."""
    for path in (folder / "events").iterdir():
        path.unlink()
    for shard, names in enumerate((("red", "green"), ("blue",))):
        top, keys = folder / "events", []
        for number, name in enumerate(names):
            keys.append(f"{shard:05d}{number:04d}")
            stem = top / f"{shard:05d}" / keys[-1]
            store(stem.with_suffix(".jpg"), encoded(shade(name, 5), form="JPEG"))
            store(
                stem.with_suffix(".json"), json.dumps({"caption": f"a {name} note", "key": keys[-1]}).encode()
            )
            if name != "green":
                store(stem.with_suffix(".txt"), f"a {name} text".encode("utf-8-sig"))
        keys.append(f"{shard:05d}9999")
        status = ["success"] * len(names) + ["failed_to_download"]
        table = pa.table({"url": ["u"] * len(keys), "key": keys, "caption": keys, "status": status})
        pq.write_table(table, top / f"{shard:05d}.parquet")
        store(top / f"{shard:05d}_stats.json", b"{}")


def test_img2dataset_s_folders_are_a_pool(collection):
    img2dataset(collection)
    found = {one.source: one.caption for one in retrieve(collection, 3)}
    assert found == {
        "00000/000000000.jpg": "a red text",
        "00000/000000001.jpg": "a green note",
        "00001/000010000.jpg": "a blue text",
    }
    one = retrieve(collection, 1, place="events/00001.parquet", cache="one")
    assert [(row.source, row.caption) for row in one] == [("000010000.jpg", "a blue text")]


def test_a_table_beside_its_own_folder_needs_no_key(collection):
    """As of the table of addresses that img2dataset was given, under the folder's name."""
    img2dataset(collection)
    pq.write_table(pa.table({"url": ["u"]}), collection / "events" / "00000.parquet")
    assert len(retrieve(collection, 3)) == 3


def test_packed_shards_are_named(collection):
    for path in (collection / "events").iterdir():
        path.unlink()
    store(collection / "events" / "00000.tar", b"")
    with pytest.raises(RecordError, match=r"holds neither: put some there \(unpack its \.tar files\)"):
        retrieve(collection, 1)


def test_tables_with_pictures_and_img2dataset_s_folders_are_one_pool(collection):
    img2dataset(collection)
    pq.write_table(pa.table({"jpg": [encoded((1, 1, 1))]}), collection / "events" / "other.parquet")
    assert len(retrieve(collection, 4)) == 4


def test_a_folder_of_img2dataset_without_its_pictures_is_refused(collection):
    img2dataset(collection)
    for path in (collection / "events").rglob("*.jpg"):
        path.unlink()
    with pytest.raises(RecordError, match=r"should hold images or Parquet files, .*events holds neither"):
        retrieve(collection, 1)


def test_a_link_out_of_the_pool_is_refused(collection):
    (collection / "events" / "z.png").symlink_to(collection / "people" / "2.png")
    with pytest.raises(RecordError, match=r"below .*events.*'z\.png', which is a link out of it"):
        retrieve(collection, 1)
    (collection / "events" / "z.png").unlink()
    (collection / "events" / "z.png").symlink_to("0-red.png")
    assert len(retrieve(collection, 9)) == 9, "a link within is a copy of its picture"
    (collection / "events" / "z.txt").symlink_to(collection / "people" / "manifest.csv")
    with pytest.raises(RecordError, match=r"'z\.txt', which is a link out of it"):
        retrieve(collection, 9)


@pytest.mark.parametrize("data", ["z\u00e9".encode("latin-1"), "a text".encode("utf-16"), b"{"])
def test_a_caption_that_cannot_be_read_is_named_and_left_out(collection, caplog, data):
    suffix = ".json" if data == b"{" else ".txt"
    (collection / "events" / "0-red.txt").unlink()
    store(collection / "events" / f"0-red{suffix}", data)
    assert {one.caption for one in retrieve(collection, 3)} == {""}
    assert "without its caption: " in caplog.text


def test_a_picture_of_odd_exif_does_not_end_the_pool(collection, monkeypatch, caplog):
    def fail(self):
        raise TypeError("a float is required")

    monkeypatch.setattr("PIL.Image.Image.getexif", fail)
    assert len(retrieve(collection, 9)) == 9
    assert "0-red.png: its EXIF cannot be read (a float is required) and is not used" in caplog.text


def test_a_pool_without_pictures_or_events_is_refused(collection):
    (collection / "empty").mkdir()
    with pytest.raises(RecordError, match=r"should hold images or Parquet files, .*empty holds neither"):
        sets(collection, events=str(collection / "empty")).real(1, seed=1)
    with pytest.raises(
        RecordError, match=r"folder of images or a \.parquet file, .*events\.jsonl is neither"
    ):
        sets(collection, events=str(collection / "events.jsonl")).real(1, seed=1)
    write_jsonl(collection / "events.jsonl", [])
    with pytest.raises(RecordError, match=r"the curated events are none"):
        sets(collection).real(1, seed=1)


def test_the_projects_own_clip_retrieves(collection, monkeypatch):
    """With the real classes and untrained weights: any picture may come, but always the same."""
    pytest.importorskip("open_clip", reason="the extra `paper` is not installed")
    from tests.tiny_scorers import write_clip

    monkeypatch.undo()
    weights = str(write_clip(collection / "tiny-clip"))
    tables = [
        sets(collection, clip=weights, device=device).real(3, 1)[0].tables["retrieval.csv"]
        for device in ("cpu", "auto")
    ]
    assert tables[0] == tables[1] and len({row["source"] for row in tables[0]}) == 3
    cut = next((collection / "tiny-clip").glob("*.safetensors"))
    cut.write_bytes(cut.read_bytes()[:1000])
    with pytest.raises(WeightsError, match=cut.name):
        sets(collection, clip=weights).real(3, 1)
