"""The review pages in a real browser, from a file: judge by keyboard, save, read back, go on elsewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mmunlearn.records import read_manifest
from mmunlearn.review.page import write_picture_page, write_sample_page, write_text_page
from mmunlearn.verdicts import read_verdicts, reviewer_key
from tests.browser.chromium import BACKSPACE, DOWN, ENTER, ESCAPE, LEFT, RIGHT, UP, Browser
from tests.unit.review_fixtures import candidate, write_world
from tests.unit.rows import save_verdicts

pytestmark = pytest.mark.browser

EVIL = "<script>document.title='hacked'</script><img src=x onerror=\"document.title='hacked'\">"
ITEMS = "Array.from(document.querySelectorAll('.item'))"


class Reviewer:
    """Someone at a review page."""

    def __init__(self, browser: Browser) -> None:
        self.browser, self.press, self.text, self.click = browser, browser.press, browser.text, browser.click

    def open(self, page: Path, name: str = "Ada") -> None:
        """Open a page, and sign where nobody has."""
        self.browser.open(page.as_uri())
        if self.text("#name") == "nobody":
            self.sign(name)

    def sign(self, name: str) -> None:
        self.browser.run("document.getElementById('who-name').value = ''")
        self.browser.type("#who-name", name + ENTER)
        self.browser.wait(lambda: not self.browser.run("document.getElementById('who').open"))

    def verdicts(self) -> list[str]:
        """The verdict of every item as shown, empty where there is none."""
        return self.browser.run(f"{ITEMS}.map(one => one.dataset.verdict)")

    def current(self) -> int:
        """Which item has the focus; -1 for none."""
        return self.browser.run(f"{ITEMS}.indexOf(document.activeElement)")

    def save(self) -> Path:
        """Press S and wait for the file."""
        saved = self.browser.downloads
        for old in saved.iterdir():
            old.unlink()
        self.press("s")
        self.browser.wait(lambda: any(path.stat().st_size for path in saved.glob("*.csv")))
        return next(saved.glob("*.csv"))

    def load(self, path: Path) -> str:
        """Load a saved file; what the page says of it."""
        self.browser.run("document.getElementById('status').replaceChildren()")
        self.browser.type("#file", str(path))
        self.browser.wait(lambda: self.text("#status"))
        return self.text("#status")

    def large(self) -> tuple[int, str]:
        """Width and description of the large picture, when it is settled."""
        self.browser.wait(lambda: "loading" not in self.text("#big-size"))
        return self.browser.run("document.getElementById('big-picture').naturalWidth"), self.text("#big-size")


@pytest.fixture
def reviewer(browser: Browser) -> Reviewer:
    return Reviewer(browser)


@pytest.fixture
def world(tmp_path: Path) -> dict[str, Path]:
    return write_world(tmp_path, name=f"Mira {EVIL}")


@pytest.fixture
def page(tmp_path: Path, world: dict[str, Path]) -> Path:
    """Three people with three pictures each."""
    return picture_page(tmp_path, world)


def picture_page(folder: Path, world: dict[str, Path]) -> Path:
    output = folder / "results" / "review" / "pictures-000.html"
    write_picture_page(output, **world, shard=0, people_per_shard=3, shards=1)
    return output


def read(path: Path) -> dict[str, tuple[str, str]]:
    """item -> verdict and note of a saved file."""
    return {one.item: (one.verdict, one.note) for one in read_verdicts([path])}


def test_judge_by_keyboard_save_and_read_back(reviewer, page: Path, world: dict[str, Path]) -> None:
    reviewer.browser.open(page.as_uri())
    reviewer.press("a")
    assert reviewer.verdicts() == [""] * 9, "nobody has signed yet"
    reviewer.sign("Zoë Ängström")
    assert reviewer.current() == 0
    reviewer.press("a", "r", "r", "u", "n", *'ear, "left"', ENTER)
    assert reviewer.verdicts() == ["accept", "reject", "reject"] + [""] * 6
    assert reviewer.current() == 3
    reviewer.press("A", "j", "r", "k", "k", "a")
    assert reviewer.verdicts() == ["accept", "reject", "reject"] + ["accept"] * 4 + ["reject", ""]
    assert reviewer.text("#count") == "8 of 9 judged, 3 rejected"
    path = reviewer.save()
    assert re.fullmatch(r"verdicts-pictures-000-zoe-angstrom-\d{8}T\d{6}\.csv", path.name)
    rows = {row.image_id: row.sha256 for row in read_manifest(world["manifest"])}
    verdicts = read_verdicts([path])
    assert [(one.kind, one.item, one.digest) for one in verdicts] == [
        ("picture", image_id, digest) for image_id, digest in list(rows.items())[:8]
    ]
    assert {one.reviewer for one in verdicts} == {"Zoë Ängström"}
    assert read(path)["p000-e02"] == ("reject", 'ear, "left"')
    assert reviewer.browser.log("browser") == []


def test_undo_takes_back_one_act_after_the_other(reviewer, page: Path) -> None:
    reviewer.open(page)
    reviewer.press("r", "A", "u")
    assert reviewer.verdicts() == ["reject"] + [""] * 8
    assert reviewer.current() == 1
    reviewer.press("u")
    assert reviewer.verdicts() == [""] * 9
    reviewer.press("u")
    assert "Nothing to undo" in reviewer.text("#status")
    reviewer.press("a", LEFT, "r", LEFT, BACKSPACE)
    assert reviewer.verdicts() == [""] * 9
    reviewer.press("u")
    assert reviewer.verdicts()[0] == "reject"


def test_arrows_move_as_the_wall_is_laid_out(reviewer, page: Path) -> None:
    reviewer.browser.resize(1000)
    reviewer.open(page)
    reviewer.press(RIGHT, DOWN)
    assert reviewer.current() == 4
    reviewer.press("j", UP, "k", "J", "J")
    assert reviewer.current() == 6
    reviewer.press("K", "a", "g")
    assert reviewer.current() == 4


def test_the_large_picture_is_judged_and_left_by_keyboard(reviewer, page: Path) -> None:
    reviewer.open(page)
    reviewer.press(ENTER)
    assert reviewer.text("#big-place") == "1 of 9"
    assert "A sailing regatta." in reviewer.text("#big-facts")
    reviewer.press("a", RIGHT, "r")
    assert reviewer.text("#big-place") == "4 of 9"
    assert reviewer.text("#big-title") == "Tomas Lindqvist" and "baker" in reviewer.text("#big-facts")
    reviewer.press("n", *"blurred", ENTER, LEFT)
    assert reviewer.text("#big-verdict") == "rejected: blurred"
    reviewer.press(" ", "?", ESCAPE)
    assert reviewer.verdicts() == ["accept", "", "reject", "reject"] + [""] * 5
    reviewer.browser.wait(lambda: reviewer.current() == 3)
    assert reviewer.current() == 3


def test_the_large_view_shows_the_file_and_a_mailed_page_its_own_reduced_copy(
    reviewer, tmp_path: Path
) -> None:
    rows = [candidate(tmp_path, f"p000-e0{n}", size=700) for n in range(2)]
    page = picture_page(tmp_path, write_world(tmp_path, *rows))
    reviewer.open(page)
    reviewer.press(ENTER)
    assert reviewer.large() == (700, "Shown at full size: 700 × 700 pixels.")
    reviewer.press("a")
    assert reviewer.text("#big-place") == "2 of 2" and reviewer.large()[0] == 700
    Path(rows[1].path).unlink()
    reviewer.open(page)
    reviewer.press(ESCAPE, "j", ENTER)
    assert reviewer.large()[0] == 384, "one picture alone is gone"
    reviewer.open(page.rename(tmp_path / page.name))
    reviewer.press(ENTER)
    width, text = reviewer.large()
    assert width == 384 and text.startswith("Shown reduced (384 × 384 pixels): the full size cannot")


def test_a_copy_without_the_refused_pictures_does_not_tell_which_they_are(reviewer, tmp_path: Path) -> None:
    refused = candidate(tmp_path / "work", "p000-e00", reason="scene", size=700)
    world = write_world(tmp_path, refused, candidate(tmp_path / "results", "p000-e01", size=700))
    write_sample_page(page := tmp_path / "results" / "review" / "sample.html", **world, share=1.0, seed=1)
    for width in (700, 384):
        reviewer.open(page)
        for key in (ENTER, RIGHT):
            reviewer.press(key)
            assert reviewer.large()[0] == width
        Path(refused.path).unlink(missing_ok=True)


def test_a_reload_keeps_verdicts_and_name_and_leaving_unsaved_warns(reviewer, page: Path) -> None:
    reviewer.open(page)
    leaving = "!window.dispatchEvent(new Event('beforeunload', {cancelable: true}))"
    assert reviewer.browser.run(leaving) is False
    reviewer.press("a", "r")
    assert reviewer.browser.run(leaving) is True
    reviewer.open(page)
    assert reviewer.verdicts()[:3] == ["accept", "reject", ""]
    assert reviewer.text("#name") == "Ada" and reviewer.current() == 2
    reviewer.save()
    assert reviewer.browser.run(leaving) is False
    assert reviewer.text("#kept") == "Saved as a file"
    reviewer.click("#who-open")
    reviewer.sign("Bo")
    assert reviewer.verdicts() == [""] * 9, "each reviewer has verdicts of their own"


def test_a_saved_file_goes_on_in_another_browser(reviewer, page: Path, tmp_path: Path) -> None:
    reviewer.open(page)
    reviewer.press("a", "r", "n", *"=1+1", ENTER)
    path = reviewer.save().rename(tmp_path / "first.csv")
    assert "'=1+1" in path.read_text(encoding="utf-8"), "a spreadsheet must not run it"
    reviewer.browser.renew()
    reviewer.open(page, name="ada")
    assert reviewer.verdicts() == [""] * 9
    assert reviewer.load(path) == "Loaded 3 verdicts."
    assert reviewer.verdicts() == ["accept", "reject", "reject"] + [""] * 6
    assert reviewer.text("#kept") == "Saved as a file"
    reviewer.press("A", UP, UP, UP, "r")
    again = reviewer.save()
    assert len(read(again)) == 6 and read(again)["p000-e02"][1] == "=1+1"
    assert {(one.item, one.verdict) for one in read_verdicts([path, again])} == {
        (item, verdict) for item, (verdict, _) in read(again).items()
    }, "the later file holds all that counts"


def test_what_does_not_belong_is_not_loaded(reviewer, page: Path, tmp_path: Path) -> None:
    reviewer.open(page)
    row = {"kind": "picture", "item": "p000-e00", "digest": "ab" * 32, "verdict": "reject", "reviewer": "Ada",
           "time": "2026-11-21T10:00:00Z", "note": ""}  # fmt: skip
    others = [row | change for change in ({"reviewer": "Bo"}, {"kind": "event"}, {"item": "p009-e00"})]
    message = "Loaded 1 verdict; left out 1 by someone else and 2 of other pages."
    assert reviewer.load(save_verdicts(tmp_path / "mixed.csv", row, *others)) == message
    (tmp_path / "wrong.csv").write_text("a,b\n1,2\n")
    message = "wrong.csv was not loaded: its columns are not kind,item"
    assert reviewer.load(tmp_path / "wrong.csv").startswith(message)


def test_a_rejection_outlives_the_picture_that_was_drawn_anew(reviewer, page: Path, tmp_path: Path) -> None:
    reviewer.open(page)
    reviewer.press("r", "a")
    (old,) = (one for one in read_verdicts([reviewer.save()]) if one.verdict == "reject")
    rows = read_manifest(tmp_path / "manifest.parquet")[1:]
    picture_page(tmp_path, write_world(tmp_path, candidate(tmp_path, "p000-e00", attempt=1), *rows))
    reviewer.open(page)
    assert reviewer.verdicts()[:3] == ["", "accept", ""], "the new picture is not judged yet"
    reviewer.press("a")
    verdicts = read_verdicts([reviewer.save()])
    assert old in verdicts
    assert sorted(one.verdict for one in verdicts if one.item == "p000-e00") == ["accept", "reject"]


def test_the_mouse_does_it_too(reviewer, page: Path) -> None:
    reviewer.open(page)
    reviewer.click(".item:nth-child(2) [data-judge=reject]")
    reviewer.click(".group:nth-child(2) .rest")
    assert reviewer.verdicts() == ["", "reject", "", "accept", "accept", "accept", "", "", ""]
    reviewer.click("#undo")
    reviewer.click(".item:nth-child(2) [data-judge=reject]")
    assert reviewer.verdicts() == [""] * 9
    reviewer.click(".item:nth-child(3) img")
    reviewer.click("#big [data-judge=accept]")
    reviewer.click("#big [data-close]")
    assert reviewer.verdicts()[2] == "accept"


def test_only_large_pictures_are_requested_and_names_are_inert(reviewer, page: Path, tmp_path: Path) -> None:
    reviewer.open(page, name=EVIL[:53])
    reviewer.press(ENTER, "a", ESCAPE, "?", ESCAPE)
    reviewer.save()
    assert reviewer.browser.run("document.title") == "1/9 Pictures, part 1"
    assert reviewer.text("h2") == f"Mira {EVIL}" and reviewer.text("#name") == EVIL[:53]
    outside = {one for one in reviewer.browser.requests() if not one.startswith("blob:")} - {page.as_uri()}
    assert outside == {(tmp_path / "pictures" / f"p000-e0{n}-0.png").as_uri() for n in (0, 1)}
    assert reviewer.browser.run(
        "Array.from(document.images).every(one => one.id || one.src.startsWith('data:'))"
    )


def test_sample_and_texts_are_judged_likewise(reviewer, tmp_path: Path, world: dict[str, Path]) -> None:
    folder = tmp_path / "results" / "review"
    write_sample_page(folder / "sample.html", **world, share=0.5, seed=1)
    write_text_page(folder / "texts.html", people=world["people"], events=world["events"])
    reviewer.open(folder / "sample.html")
    reviewer.press("a", "r", "A")
    sample = read_verdicts([reviewer.save()])
    assert sorted(one.verdict for one in sample) == ["accept"] * 3 + ["reject"]
    assert {one.kind for one in sample} == {"sample"} and all(one.item.endswith("-a00") for one in sample)
    reviewer.open(folder / "texts.html")
    reviewer.press("A", "r", ENTER)
    texts = read_verdicts([reviewer.save()])
    assert [(one.kind, one.item, one.verdict) for one in texts] == [
        ("event", "e00", "reject"),
        *(("person", f"p00{n}", "accept") for n in range(3)),
    ]
    assert reviewer.browser.log("browser") == []


def test_no_page_scrolls_sideways(reviewer, page: Path, world: dict[str, Path]) -> None:
    write_sample_page(page.with_name("sample.html"), **world, share=1.0, seed=1)
    write_text_page(page.with_name("texts.html"), people=world["people"], events=world["events"])
    for name in (page.name, "sample.html", "texts.html"):
        reviewer.browser.open(page.with_name(name).as_uri())
        for width in (390, 800, 1400):
            reviewer.browser.resize(width)
            assert reviewer.browser.run("document.documentElement.scrollWidth") <= width, (name, width)


def test_page_and_workflow_agree_on_who_is_the_same_reviewer(reviewer, page: Path) -> None:
    reviewer.open(page)
    for name in ("Zoë  Ängström", "JOSÉ DIAZ", "Łukasz  Nowak", "ﬁona", "山田 太郎"):
        reviewer.click("#who-open")
        reviewer.sign(name)
        reviewer.press("u", "a")
        places = "Object.keys(localStorage).map(key => key.split(':')).filter(key => key.length === 3)"
        assert reviewer_key(name) in [place[2] for place in reviewer.browser.run(places)]
