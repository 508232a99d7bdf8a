"""The review pages in a real browser, from a file: judge by keyboard, save, read back, go on elsewhere."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mmunlearn.records import read_manifest
from mmunlearn.review.page import write_picture_page, write_sample_page, write_text_page
from mmunlearn.verdicts import Verdict, read_verdicts, reviewer_key
from tests.browser.test_report_browser import CHROMEDRIVER, CHROMIUM, Browser
from tests.unit.review_fixtures import candidate, save_verdicts, write_world

pytestmark = pytest.mark.browser

SHIFT, ENTER, ESCAPE, BACKSPACE = "\ue008", "\ue007", "\ue00c", "\ue003"
LEFT, UP, RIGHT, DOWN = "\ue012", "\ue013", "\ue014", "\ue015"
EVIL = "<script>document.title='hacked'</script><img src=x onerror=\"document.title='hacked'\">"


class Reviewer(Browser):
    """A browser with a fresh profile that saves files into a folder."""

    def __init__(self, port: int, profile: Path, downloads: Path) -> None:
        super().__init__(port, profile)
        downloads.mkdir()
        self.downloads = downloads
        self.command("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(downloads))

    def open(self, page: Path) -> None:
        self.call("POST", "/url", {"url": page.as_uri()})

    def press(self, *keys: str) -> None:
        """Press keys one after the other; capital letters with Shift."""
        for key in keys:
            held = [SHIFT] if key.isupper() else []
            down = [{"type": "keyDown", "value": one} for one in (*held, key)]
            up = [{"type": "keyUp", "value": one} for one in (key, *held)]
            self.call("POST", "/actions", {"actions": [{"type": "key", "id": "keys", "actions": down + up}]})

    def sign(self, name: str) -> None:
        self.run("document.getElementById('who-name').value = ''")
        self.type("#who-name", name + ENTER)
        self.wait(lambda: not self.run("document.getElementById('who').open"))

    def begin(self, page: Path) -> None:
        self.open(page)
        if self.text("#name") == "nobody":
            self.sign("Ada")

    def element(self, where: str) -> str:
        found = self.call("POST", "/element", {"using": "css selector", "value": where})
        return f"/element/{next(iter(found.values()))}"

    def type(self, where: str, text: str) -> None:
        self.call("POST", f"{self.element(where)}/value", {"text": text})

    def text(self, where: str) -> str:
        return self.run(f"document.querySelector({json.dumps(where)}).textContent.trim()")

    def click(self, where: str) -> None:
        self.run(f"document.querySelector({json.dumps(where)}).scrollIntoView({{block: 'center'}})")
        self.call("POST", f"{self.element(where)}/click", {})

    def verdicts(self) -> list[str]:
        """The verdict of every item as shown, empty where there is none."""
        return self.run("Array.from(document.querySelectorAll('.item'), one => one.dataset.verdict)")

    def current(self) -> int:
        """Which item has the focus; -1 for none."""
        return self.run("Array.from(document.querySelectorAll('.item')).indexOf(document.activeElement)")

    def save(self) -> Path:
        """Press S and wait for the file."""
        for old in self.downloads.iterdir():
            old.unlink()
        self.press("s")
        self.wait(lambda: any(path.stat().st_size for path in self.downloads.glob("*.csv")))
        if files := list(self.downloads.glob("*.csv")):
            return files[0]
        pytest.fail(f"asked for a saved file; found {list(self.downloads.iterdir())}; see the console log")

    def load(self, path: Path) -> None:
        self.type("#file", str(path))
        self.wait(lambda: self.text("#status"))

    @staticmethod
    def wait(done: Callable[[], object]) -> None:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and not done():
            time.sleep(0.05)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    if not (CHROMIUM and CHROMEDRIVER):
        pytest.skip(f"needs Chromium and chromedriver on PATH; found {CHROMIUM} and {CHROMEDRIVER}")
    with socket.create_server(("127.0.0.1", 0)) as free:
        number = free.getsockname()[1]
    driver = subprocess.Popen(
        [CHROMEDRIVER, f"--port={number}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield number
    finally:
        driver.terminate()
        driver.wait(timeout=30)


@pytest.fixture
def launch(port: int, tmp_path: Path) -> Iterator[Callable[[], Reviewer]]:
    """Start browsers, each with a profile of its own."""
    started: list[Reviewer] = []

    def start() -> Reviewer:
        number = len(started)
        started.append(Reviewer(port, tmp_path / f"profile{number}", tmp_path / f"downloads{number}"))
        return started[-1]

    yield start
    for one in started:
        one.call("DELETE", "")


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


def said(path: Path) -> dict[str, tuple[str, str]]:
    """item -> verdict and note of a saved file."""
    return {one.item: (one.verdict, one.note) for one in read_verdicts([path])}


def test_judge_by_keyboard_save_and_read_back(launch, page: Path, world: dict[str, Path]) -> None:
    browser = launch()
    browser.open(page)
    browser.press("a")
    assert browser.verdicts() == [""] * 9, "nobody has signed yet"
    browser.sign("Zoë Ängström")
    assert browser.current() == 0
    browser.press("a", "r", "r", "u", "n", *'ear, "left"', ENTER)
    assert browser.verdicts() == ["accept", "reject", "reject"] + [""] * 6
    assert browser.current() == 3
    browser.press("A", "j", "r", "k", "k", "a")
    assert browser.verdicts() == ["accept", "reject", "reject"] + ["accept"] * 4 + ["reject", ""]
    assert browser.text("#count") == "8 of 9 judged, 3 rejected"
    path = browser.save()
    assert re.fullmatch(r"verdicts-pictures-000-zoe-angstrom-\d{8}T\d{6}\.csv", path.name)
    rows = {row.image_id: row.sha256 for row in read_manifest(world["manifest"])}
    verdicts = read_verdicts([path])
    assert [(one.kind, one.item, one.digest) for one in verdicts] == [
        ("picture", image_id, digest) for image_id, digest in list(rows.items())[:8]
    ]
    assert {one.reviewer for one in verdicts} == {"Zoë Ängström"}
    assert said(path)["p000-e02"] == ("reject", 'ear, "left"')
    assert browser.log("browser") == []


def test_undo_takes_back_one_act_after_the_other(launch, page: Path) -> None:
    browser = launch()
    browser.begin(page)
    browser.press("r", "A", "u")
    assert browser.verdicts() == ["reject"] + [""] * 8
    assert browser.current() == 1
    browser.press("u")
    assert browser.verdicts() == [""] * 9
    browser.press("u")
    assert "Nothing to undo" in browser.text("#status")
    browser.press("a", LEFT, "r", LEFT, BACKSPACE)
    assert browser.verdicts() == [""] * 9
    browser.press("u")
    assert browser.verdicts()[0] == "reject"


def test_arrows_move_as_the_wall_is_laid_out(launch, page: Path) -> None:
    browser = launch()
    size = {"width": 1000, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.command("Emulation.setDeviceMetricsOverride", **size)
    browser.begin(page)
    browser.press(RIGHT, DOWN)
    assert browser.current() == 4
    browser.press("j", UP, "k", "J", "J")
    assert browser.current() == 6
    browser.press("K", "a", "g")
    assert browser.current() == 4


def test_the_large_picture_is_judged_and_left_by_keyboard(launch, page: Path) -> None:
    browser = launch()
    browser.begin(page)
    browser.press(ENTER)
    assert browser.text("#big-place") == "1 of 9"
    assert "A sailing regatta." in browser.text("#big-facts")
    browser.press("a", RIGHT, "r")
    assert browser.text("#big-place") == "4 of 9"
    assert browser.text("#big-title") == "Tomas Lindqvist" and "baker" in browser.text("#big-facts")
    browser.press("n", *"blurred", ENTER, LEFT)
    assert browser.text("#big-verdict") == "rejected: blurred"
    browser.press(" ", "?", ESCAPE)
    assert browser.verdicts() == ["accept", "", "reject", "reject"] + [""] * 5
    browser.wait(lambda: browser.current() == 3)
    assert browser.current() == 3


def large(browser: Reviewer) -> tuple[int, str]:
    """Width and description of the large picture, when it is settled."""
    browser.wait(lambda: "loading" not in browser.text("#big-size"))
    return browser.run("document.getElementById('big-picture').naturalWidth"), browser.text("#big-size")


def test_the_large_view_shows_the_file_and_a_mailed_page_its_own_reduced_copy(launch, tmp_path: Path) -> None:
    rows = [candidate(tmp_path, f"p000-e0{n}", size=700) for n in range(2)]
    page = picture_page(tmp_path, write_world(tmp_path, *rows))
    browser = launch()
    browser.begin(page)
    browser.press(ENTER)
    assert large(browser) == (700, "Shown at full size: 700 × 700 pixels.")
    browser.press("a")
    assert browser.text("#big-place") == "2 of 2" and large(browser)[0] == 700
    Path(rows[1].path).unlink()
    browser.open(page)
    browser.press(ESCAPE, "j", ENTER)
    assert large(browser)[0] == 384, "one picture alone is gone"
    browser.begin(page.rename(tmp_path / page.name))
    browser.press(ENTER)
    width, text = large(browser)
    assert width == 384 and text.startswith("Shown reduced (384 × 384 pixels): the full size cannot")


def test_a_copy_without_the_refused_pictures_does_not_tell_which_they_are(launch, tmp_path: Path) -> None:
    refused = candidate(tmp_path / "work", "p000-e00", reason="scene", size=700)
    world = write_world(tmp_path, refused, candidate(tmp_path / "results", "p000-e01", size=700))
    write_sample_page(page := tmp_path / "results" / "review" / "sample.html", **world, share=1.0, seed=1)
    browser = launch()
    for width in (700, 384):
        browser.begin(page)
        for key in (ENTER, RIGHT):
            browser.press(key)
            assert large(browser)[0] == width
        Path(refused.path).unlink(missing_ok=True)


def test_a_reload_keeps_verdicts_and_name_and_leaving_unsaved_warns(launch, page: Path) -> None:
    browser = launch()
    browser.begin(page)
    leaving = "!window.dispatchEvent(new Event('beforeunload', {cancelable: true}))"
    assert browser.run(leaving) is False
    browser.press("a", "r")
    assert browser.run(leaving) is True
    browser.open(page)
    assert browser.verdicts()[:3] == ["accept", "reject", ""]
    assert browser.text("#name") == "Ada" and browser.current() == 2
    browser.save()
    assert browser.run(leaving) is False
    assert browser.text("#kept") == "Saved as a file"
    browser.click("#who-open")
    browser.sign("Bo")
    assert browser.verdicts() == [""] * 9, "each reviewer has verdicts of their own"


def test_a_saved_file_goes_on_in_another_browser(launch, page: Path) -> None:
    first, second = launch(), launch()
    first.begin(page)
    first.press("a", "r", "n", *"=1+1", ENTER)
    path = first.save()
    assert "'=1+1" in path.read_text(encoding="utf-8"), "a spreadsheet must not run it"
    second.open(page)
    second.sign("ada")
    second.load(path)
    assert second.verdicts() == ["accept", "reject", "reject"] + [""] * 6
    assert second.text("#status") == "Loaded 3 verdicts."
    assert second.text("#kept") == "Saved as a file"
    second.press("A", UP, UP, UP, "r")
    again = second.save()
    assert len(said(again)) == 6 and said(again)["p000-e02"][1] == "=1+1"
    assert {(one.item, one.verdict) for one in read_verdicts([path, again])} == {
        (item, verdict) for item, (verdict, _) in said(again).items()
    }, "the later file holds all that counts"


def test_what_does_not_belong_is_not_loaded(launch, page: Path, tmp_path: Path) -> None:
    browser = launch()
    browser.begin(page)
    row = {"kind": "picture", "item": "p000-e00", "digest": "ab" * 32, "verdict": "reject", "reviewer": "Ada",
           "time": "2026-11-21T10:00:00Z", "note": ""}  # fmt: skip
    others = [row | change for change in ({"reviewer": "Bo"}, {"kind": "event"}, {"item": "p009-e00"})]
    browser.load(save_verdicts(tmp_path / "mixed.csv", row, *others))
    assert browser.text("#status") == "Loaded 1 verdict; left out 1 by someone else and 2 of other pages."
    browser.run("document.getElementById('status').replaceChildren()")
    wrong = tmp_path / "wrong.csv"
    wrong.write_text("a,b\n1,2\n")
    browser.load(wrong)
    assert browser.text("#status").startswith("wrong.csv was not loaded: its columns are not kind,item")


def test_a_rejection_outlives_the_picture_that_was_drawn_anew(launch, page: Path, tmp_path: Path) -> None:
    browser = launch()
    browser.begin(page)
    browser.press("r", "a")
    (old,) = (one for one in read_verdicts([browser.save()]) if one.verdict == "reject")
    rows = read_manifest(tmp_path / "manifest.parquet")[1:]
    picture_page(tmp_path, write_world(tmp_path, candidate(tmp_path, "p000-e00", attempt=1), *rows))
    browser.open(page)
    assert browser.verdicts()[:3] == ["", "accept", ""], "the new picture is not judged yet"
    browser.press("a")
    verdicts = read_verdicts([browser.save()])
    assert old in verdicts
    assert sorted(one.verdict for one in verdicts if one.item == "p000-e00") == ["accept", "reject"]


def test_the_mouse_does_it_too(launch, page: Path) -> None:
    browser = launch()
    browser.begin(page)
    browser.click(".item:nth-child(2) [data-judge=reject]")
    browser.click(".group:nth-child(2) .rest")
    assert browser.verdicts() == ["", "reject", "", "accept", "accept", "accept", "", "", ""]
    browser.click("#undo")
    browser.click(".item:nth-child(2) [data-judge=reject]")
    assert browser.verdicts() == [""] * 9
    browser.click(".item:nth-child(3) img")
    browser.click("#big [data-judge=accept]")
    browser.click("#big [data-close]")
    assert browser.verdicts()[2] == "accept"


def test_only_large_pictures_are_requested_and_names_are_inert(launch, page: Path, tmp_path: Path) -> None:
    browser = launch()
    browser.requests()
    browser.open(page)
    browser.sign(EVIL[:53])
    browser.press(ENTER, "a", ESCAPE, "?", ESCAPE)
    browser.save()
    assert browser.run("document.title") == "1/9 Pictures, part 1"
    assert browser.text("h2") == f"Mira {EVIL}" and browser.text("#name") == EVIL[:53]
    outside = {one for one in browser.requests() if not one.startswith("blob:")} - {page.as_uri()}
    assert outside == {(tmp_path / "pictures" / f"p000-e0{n}-0.png").as_uri() for n in (0, 1)}
    assert browser.run("Array.from(document.images).every(one => one.id || one.src.startsWith('data:'))")


def test_sample_and_texts_are_judged_likewise(launch, tmp_path: Path, world: dict[str, Path]) -> None:
    folder = tmp_path / "results" / "review"
    write_sample_page(folder / "sample.html", **world, share=0.5, seed=1)
    write_text_page(folder / "texts.html", people=world["people"], events=world["events"])
    browser = launch()
    browser.begin(folder / "sample.html")
    browser.press("a", "r", "A")
    sample = read_verdicts([browser.save()])
    assert sorted(one.verdict for one in sample) == ["accept"] * 3 + ["reject"]
    assert {one.kind for one in sample} == {"sample"} and all(one.item.endswith("-a00") for one in sample)
    browser.open(folder / "texts.html")
    browser.press("A", "r", ENTER)
    texts: list[Verdict] = read_verdicts([browser.save()])
    assert [(one.kind, one.item, one.verdict) for one in texts] == [
        ("event", "e00", "reject"),
        *(("person", f"p00{n}", "accept") for n in range(3)),
    ]
    assert browser.log("browser") == []


@pytest.mark.parametrize("width", [390, 800, 1400])
def test_no_page_scrolls_sideways(launch, page: Path, world: dict[str, Path], width: int) -> None:
    write_sample_page(page.with_name("sample.html"), **world, share=1.0, seed=1)
    write_text_page(page.with_name("texts.html"), people=world["people"], events=world["events"])
    browser = launch()
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.command("Emulation.setDeviceMetricsOverride", **size)
    for one in (page, page.with_name("sample.html"), page.with_name("texts.html")):
        browser.open(one)
        assert browser.run("document.documentElement.scrollWidth") <= width, one.name


def test_page_and_workflow_agree_on_who_is_the_same_reviewer(launch, page: Path) -> None:
    browser = launch()
    for name in ("Zoë  Ängström ", "JOSÉ DIAZ", "Łukasz  Nowak", "ﬁona", "山田 太郎"):
        browser.open(page)
        if browser.text("#name") != "nobody":
            browser.click("#who-open")
        browser.sign(name)
        kept = "Object.keys(localStorage).map(key => key.split(':')).filter(key => key.length === 3)"
        browser.press("u", "a")
        assert reviewer_key(name) in [key[2] for key in browser.run(kept)]
