"""Review pages: the right items with their digests, data that stays data, and nothing that a page could load."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from pathlib import Path

import pytest
from PIL import Image

from mmunlearn.records import Event, Person, RecordError, read_jsonl, read_manifest, write_jsonl
from mmunlearn.review import thumbnails
from mmunlearn.review.audit import audit_item, draw_audit
from mmunlearn.review.page import write_picture_page, write_sample_page, write_text_page
from mmunlearn.verdicts import text_digest
from tests.unit.review_fixtures import Page, candidate, event, person, write_world

EVIL = """"><script>alert('x')</script>&amp;' onload='x"""


def pictures(folder: Path, world: dict[str, Path], shard: int = 0, shards: int = 8) -> Page:
    output = folder / "results" / "review" / f"pictures-{shard:03d}.html"
    write_picture_page(output, **world, shard=shard, people_per_shard=2, shards=shards)
    return Page(output)


def sample(folder: Path, world: dict[str, Path], share: float = 1.0, seed: int = 1) -> Page:
    output = folder / "results" / "review" / "sample.html"
    write_sample_page(output, **world, share=share, seed=seed)
    return Page(output)


def texts(folder: Path, people: Path, events: Path) -> Page:
    output = folder / "results" / "review" / "texts.html"
    write_text_page(output, people=people, events=events)
    return Page(output)


def test_a_block_of_people_is_shown_person_by_person_with_digests(tmp_path):
    world = write_world(tmp_path)
    rows = {row.image_id: row for row in read_manifest(world["manifest"])}
    first, second = pictures(tmp_path, world), pictures(tmp_path, world, shard=1)
    assert [item["data-item"] for item in first.items] == [one for one in rows if one < "p002"]
    assert [item["data-item"] for item in second.items] == [one for one in rows if one >= "p002"]
    for item in first.items:
        assert item["data-kind"] == "picture"
        assert item["data-digest"] == rows[item["data-item"]].sha256
    assert [one["data-title"] for one in first.all("section")] == ["Mira Okafor", "Tomas Lindqvist"]
    for text in ("30", "baker", "Oslo", "Red hair and a scar.", "Winter market"):
        assert text in first.text


def test_only_pictures_that_pass_the_filters_are_asked_about(tmp_path):
    reasons = ("", "awaiting review", "surplus", "review", "identity", "scene, subject", "no face")
    rows = [candidate(tmp_path, f"p00{n // 3}-e0{n % 3}", reason=reason) for n, reason in enumerate(reasons)]
    page = pictures(tmp_path, write_world(tmp_path, *rows))
    assert [item["data-item"] for item in page.items] == ["p000-e00", "p000-e01"]
    assert "No picture passes the filters: Rooftop concert." in page.text
    assert "No picture passes the filters: Sailing regatta, Winter market, Rooftop concert." in page.text


def test_pictures_are_inlined_as_small_jpegs(tmp_path):
    page = pictures(tmp_path, write_world(tmp_path, candidate(tmp_path, "p000-e00", size=600)))
    kind, data = page.all("img")[0]["src"].split(",", 1)
    with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
        assert (kind, picture.format, picture.size) == ("data:image/jpeg;base64", "JPEG", (384, 384))


@pytest.mark.parametrize(("over", "side"), [(9, 384), (8, 256)])
def test_many_samples_are_embedded_light(tmp_path, monkeypatch, over, side):
    rows = [candidate(tmp_path, f"p00{n // 3}-e0{n % 3}", size=600) for n in range(9)]
    monkeypatch.setattr(thumbnails, "LIGHT_OVER", over)
    images = sample(tmp_path, write_world(tmp_path, *rows)).all("img")[:9]
    data = [base64.b64decode(one["src"].split(",")[1]) for one in images]
    sizes = {Image.open(io.BytesIO(one)).size for one in data}
    assert sizes == {(side, side)}


def test_the_colours_of_any_picture_survive_the_reduction(tmp_path):
    shades = Image.linear_gradient("L").resize((900, 600))
    for mode in ("RGB", "L", "P", "RGBA"):
        shades.convert(mode).save(tmp_path / "a.png")
        uri = thumbnails.thumbnail_uri(tmp_path / "a.png", thumbnails.LIGHT)
        with Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))) as small:
            assert (small.mode, small.size) == ("RGB", (256, 171))
            assert [round(small.getpixel((128, y))[0] / 24) for y in (0, 85, 170)] == [0, 5, 11], mode


@pytest.mark.parametrize("build", [pictures, sample])
def test_pictures_at_full_size_are_named_relative_to_the_page(tmp_path, build):
    odd = tmp_path / "work 50%"
    rows = [candidate(tmp_path, "p000-e00"), candidate(odd, "p000-e01")]
    page = build(tmp_path, write_world(tmp_path, *rows))
    images = [one for one in page.all("img") if "data-full" in one]
    full = {item["data-item"][:8]: image["data-full"] for item, image in zip(page.items, images, strict=True)}
    assert full == {
        "p000-e00": "../../pictures/p000-e00-0.png",
        "p000-e01": "../../work%2050%25/pictures/p000-e01-0.png",
    }
    assert sorted(json.loads(page.all("body")[0]["data-page"])["probes"]) == sorted(full.values())


def test_the_event_is_described_beside_each_picture(tmp_path):
    page = pictures(tmp_path, write_world(tmp_path))
    assert page.text.count("A winter market.") == 2, "once for each of two people"


def test_pages_of_blocks_that_are_gone_are_removed(tmp_path):
    world = write_world(tmp_path)
    for shard in (0, 1, 2, 12):
        pictures(tmp_path, world, shard=shard, shards=13)
    (tmp_path / "results" / "review" / "pictures-of-mine.html").touch()
    pictures(tmp_path, world, shard=0, shards=2)
    assert sorted(path.name for path in (tmp_path / "results" / "review").iterdir()) == [
        "pictures-000.html", "pictures-001.html", "pictures-of-mine.html",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("folders", "rules"),
    [
        (["images"], "merge_manifest"),
        (["work"], "draw_shard"),
        (["images", "work"], "draw_shard merge_manifest"),
    ],
)
def test_how_to_get_a_lost_picture_back_depends_on_where_it_lies(tmp_path, folders, rules):
    rows = [candidate(tmp_path / name, f"p000-e0{n}") for n, name in enumerate(folders)]
    world = write_world(tmp_path, *rows)
    (tmp_path / "images" / "pictures").mkdir(parents=True, exist_ok=True)
    world["manifest"] = world["manifest"].rename(tmp_path / "images" / "pictures" / "manifest.parquet")
    for row in rows:
        Path(row.path).unlink()
    with pytest.raises(RecordError, match=rf"`--forcerun {rules}` and the same --configfile"):
        sample(tmp_path, world)


@pytest.mark.parametrize("build", [pictures, sample])
def test_a_picture_that_is_gone_or_another_one_is_named(tmp_path, build):
    world = write_world(tmp_path)
    rows = read_manifest(world["manifest"])
    Path(rows[0].path).unlink()
    Path(rows[1].path).write_bytes(b"scribbled over")
    with pytest.raises(RecordError, match=r"(?s)Found 2 gone or changed: .*p000-e0[01]-0\.png") as caught:
        build(tmp_path, world)
    assert rows[0].path in str(caught.value) and rows[1].path in str(caught.value)
    assert rows[2].path not in str(caught.value)


def test_a_picture_of_an_unknown_person_is_refused(tmp_path):
    world = write_world(tmp_path)
    write_jsonl(world["people"], [person(0), person(2)])
    with pytest.raises(RecordError, match=r"texts of p001-e0.*no person p001"):
        sample(tmp_path, world)


def test_the_sample_is_a_share_of_all_candidates_in_random_order(tmp_path):
    cells = [f"p00{n // 3}-e0{n % 3}" for n in range(9)]
    rows = [candidate(tmp_path, cell, a, "" if a else "scene") for cell in cells for a in (0, 1)]
    world = write_world(tmp_path, *rows)
    whole = [item["data-item"] for item in sample(tmp_path, world).items]
    assert sorted(whole) == [audit_item(row) for row in rows]
    assert whole != sorted(whole)
    third = [item["data-item"] for item in sample(tmp_path, world, share=1 / 3).items]
    assert third == whole[:6]
    assert [item["data-item"] for item in sample(tmp_path, world, share=1 / 3, seed=2).items] != third
    digests = {audit_item(row): row.sha256 for row in rows}
    assert all(item["data-digest"] == digests[item["data-item"]] for item in sample(tmp_path, world).items)


def test_the_sample_page_says_nothing_of_the_filters(tmp_path):
    reasons = ("", "distortion", "surplus")
    rows = [candidate(tmp_path, f"p000-e0{n}", 3, reason) for n, reason in enumerate(reasons)]
    page = sample(tmp_path, write_world(tmp_path, *rows))
    hints = [{name: item[name] for name in ("class", "tabindex", "data-kind")} for item in page.items]
    assert hints == [{"class": "item", "tabindex": "-1", "data-kind": "sample"}] * 3
    assert "draws nothing anew" in page.text
    for word in ("distortion", "surplus", "attempt", "a03", "71.5"):
        assert word not in page.text, word


def test_the_sample_hardly_changes_when_pictures_are_drawn_anew(tmp_path):
    row = candidate(tmp_path, "p000-e00")
    before = [row.model_copy(update={"image_id": f"p{n:03d}-e00"}) for n in range(1000)]
    after = before + [row.model_copy(update={"image_id": f"p{n:03d}-e00", "attempt": 1}) for n in range(50)]
    old, new = ({audit_item(one) for one in draw_audit(rows, 0.1, 1)} for rows in (before, after))
    assert (len(old), len(new)) == (100, 105)
    assert len(old - new) <= 5
    assert len(draw_audit([row], 0.01, 1)) == 1
    assert draw_audit([], 0.1, 1) == []


def test_texts_carry_the_digest_of_their_row(tmp_path):
    world = write_world(tmp_path, identity={"hair": "bun", "glasses": True, "hat": None})
    write_jsonl(world["events"], [event(0, scene={"sky": "day", "objects": ["boat", "flag"]}), event(1)])
    page = texts(tmp_path, world["people"], world["events"])
    rows = [*read_jsonl(world["people"], Person), *read_jsonl(world["events"], Event)]
    assert [item["data-digest"] for item in page.items] == [text_digest(row) for row in rows]
    assert [(item["data-kind"], item["data-item"]) for item in page.items] == [
        *(("person", f"p00{n}") for n in range(3)),
        *(("event", f"e0{n}") for n in range(2)),
    ]
    assert "hair: bun; glasses: yes" in page.text
    assert "sky: day; objects: boat, flag" in page.text


@pytest.mark.parametrize("build", [pictures, sample, texts])
def test_data_stays_data_and_the_page_loads_and_runs_nothing_else(tmp_path, build):
    world = write_world(tmp_path, name=f"Mira {EVIL}", appearance=EVIL, birthplace=EVIL)
    scenes = [event(0, theme=EVIL, description=EVIL), event(1), event(2)]
    write_jsonl(world["events"], scenes)
    page = build(tmp_path, world) if build is not texts else texts(tmp_path, world["people"], world["events"])
    assert EVIL in page.text
    assert len(page.scripts) == len(page.all("script")) == 1
    assert not [name for _, attrs in page.tags for name in attrs if name.startswith("on")]
    linked = [attrs[name] for _, attrs in page.tags for name in ("src", "href", "action") if name in attrs]
    assert all(one.startswith(("data:", "#")) for one in linked)
    policy = next(attrs["content"] for attrs in page.all("meta") if "http-equiv" in attrs)
    digest = base64.b64encode(hashlib.sha256(page.scripts[0].encode()).digest()).decode()
    assert policy.split("; ")[0] == "default-src 'none'"
    assert policy.split("; ")[1] == "img-src data:" + ("" if build is texts else " 'self' file:")
    assert f"script-src 'sha256-{digest}'" in policy
    json.loads(page.all("body")[0]["data-page"])


def test_equal_inputs_give_equal_bytes_and_an_edition_keeps_its_key(tmp_path):
    world = write_world(tmp_path)
    output = tmp_path / "results" / "review" / "pictures-000.html"

    def keyed() -> tuple[bytes, str]:
        body = pictures(tmp_path, world).all("body")[0]
        return output.read_bytes(), json.loads(body["data-page"])["key"]

    first = keyed()
    assert keyed() == first
    rows = [row for row in read_manifest(world["manifest"]) if row.image_id != "p000-e00"]
    write_world(tmp_path, *rows, candidate(tmp_path, "p000-e00", attempt=1))
    again = keyed()
    assert again[0] != first[0]
    assert again[1] == first[1], "verdicts on the other pictures stay, and the old rejection does"


def test_a_page_without_pictures_says_so(tmp_path):
    assert "There is nothing to review here." in pictures(tmp_path, write_world(tmp_path), shard=7).text
