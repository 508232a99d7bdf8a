"""The report in a real browser: no error, no request, nothing cut off, in light, dark and on a phone."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmunlearn.reporting.lifelong_page import write_lifelong_report
from mmunlearn.reporting.page import write_report
from tests.browser.chromium import Browser
from tests.unit.lifelong_tables import write_all
from tests.unit.report_fixtures import SECTIONS, report_inputs

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("run")
    write_report(**report_inputs(folder, seeds=(1, 2)), page=folder / "report.html")
    return (folder / "report.html").as_uri()


@pytest.fixture(scope="module")
def lifelong(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of a run of twenty tasks and twelve methods."""
    folder = tmp_path_factory.mktemp("lifelong")
    files = write_all(folder, "ABCDEFGHIJKLMNOPQRST")
    write_lifelong_report(files, folder / "lifelong.html", scale="pocket", seed=1)
    return (folder / "lifelong.html").as_uri()


def _open(browser: Browser, page: str, width: int = 1200, scheme: str = "light") -> None:
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.command("Emulation.setEmulatedMedia", features=features)
    browser.resize(width)
    browser.open(page)


def test_no_console_message_and_no_request_but_the_page(browser: Browser, page: str) -> None:
    _open(browser, page)
    assert browser.run("Array.from(document.images).every(i => i.complete && i.naturalWidth > 0)")
    assert browser.log("browser") == []
    assert browser.requests() == [page]


def test_the_watch_on_requests_and_console_sees_what_it_should(browser: Browser, tmp_path: Path) -> None:
    faulty = tmp_path / "faulty.html"
    faulty.write_text("<!doctype html><img src='absent.png' alt=''><script>console.error('x')</script>")
    _open(browser, faulty.as_uri())
    assert len(browser.log("browser")) >= 1
    assert len(browser.requests()) == 2


def test_sections_are_there_and_the_contents_lead_to_them(browser: Browser, page: str) -> None:
    _open(browser, page)
    assert browser.run("Array.from(document.querySelectorAll('section'), s => s.id)") == SECTIONS
    links = "Array.from(document.querySelectorAll('nav a'), a => document.querySelector(a.hash).id)"
    assert browser.run(links) == SECTIONS
    empty = "Array.from(document.querySelectorAll('section')).filter(s => s.offsetHeight < 100).length"
    assert browser.run(empty) == 0


@pytest.mark.parametrize("width", [390, 800, 1200, 1800])
def test_the_page_never_scrolls_sideways(browser: Browser, page: str, width: int) -> None:
    _open(browser, page, width)
    assert browser.run("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("width", [390, 1200])
def test_the_lifelong_page_never_scrolls_sideways_and_asks_for_nothing(
    browser: Browser, lifelong: str, width: int
) -> None:
    _open(browser, lifelong, width)
    assert browser.run("document.documentElement.scrollWidth") <= width
    assert browser.requests() == [lifelong]
    assert browser.log("browser") == []


def test_the_table_with_several_seeds_fits_a_laptop(browser: Browser, page: str) -> None:
    _open(browser, page, 1280)
    tables = "Array.from(document.querySelectorAll('#table3 .scroll'))"
    assert browser.run(f"{tables}.filter(s => s.scrollWidth > s.clientWidth).length") == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_in_both_schemes(browser: Browser, page: str, scheme: str) -> None:
    _open(browser, page, scheme=scheme)
    colours = [
        browser.run(f"getComputedStyle(document.querySelector('{where}')).{what}")
        for where, what in (
            ("body", "backgroundColor"),
            ("p", "color"),
            ("caption", "color"),
            ("#ceiling p", "color"),
        )
    ]
    paper, *inks = map(_luminance, colours)
    assert (paper > 0.5) == (scheme == "light")
    for ink in inks:
        assert (max(paper, ink) + 0.05) / (min(paper, ink) + 0.05) >= 4.5  # WCAG 2.2, level AA


def _luminance(colour: str) -> float:
    """Relative luminance (WCAG) of `rgb(r, g, b)`."""
    parts = [int(part) / 255 for part in colour.removeprefix("rgb(").removesuffix(")").split(",")]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
