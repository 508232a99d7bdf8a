"""The report in a real browser: no error, no request, nothing cut off, in light, dark and on a phone.

Chromium is driven through chromedriver's own HTTP interface (W3C WebDriver), so no further library is needed.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mmunlearn.reporting.page import write_report
from tests.unit.report_fixtures import SECTIONS, report_inputs

pytestmark = pytest.mark.browser

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
CHROMEDRIVER = shutil.which("chromedriver")
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--hide-scrollbars"),
    "--window-size=1200,900",
]


class Browser:
    """One WebDriver session."""

    def __init__(self, port: int, profile: Path) -> None:
        self._base = f"http://127.0.0.1:{port}"
        options = {"binary": CHROMIUM, "args": [*FLAGS, f"--user-data-dir={profile}"]}
        capabilities = {"browserName": "chrome", "goog:chromeOptions": options}
        capabilities["goog:loggingPrefs"] = {"browser": "ALL", "performance": "ALL"}
        self._wait()
        session = self.call("POST", "/session", {"capabilities": {"alwaysMatch": capabilities}})["sessionId"]
        self._base += f"/session/{session}"

    def _wait(self) -> None:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                self.call("GET", "/status")
                return
            except OSError:
                time.sleep(0.1)
        pytest.fail(
            "asked chromedriver for its status; found no answer in 30 s; run `chromedriver --version`"
        )

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self._base + path, data, headers, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["value"]

    def command(self, name: str, **params: Any) -> Any:
        """A command of the Chrome DevTools protocol."""
        return self.call("POST", "/goog/cdp/execute", {"cmd": name, "params": params})

    def run(self, script: str) -> Any:
        return self.call("POST", "/execute/sync", {"script": f"return {script}", "args": []})

    def log(self, kind: str) -> list[dict[str, Any]]:
        return self.call("POST", "/se/log", {"type": kind})

    def requests(self) -> list[str]:
        """Addresses that were asked for since the last call, inlined ones left out."""
        messages = [json.loads(entry["message"])["message"] for entry in self.log("performance")]
        sent = [one["params"]["request"] for one in messages if one["method"] == "Network.requestWillBeSent"]
        return [one["url"] for one in sent if not one["url"].startswith("data:")]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("run")
    write_report(**report_inputs(folder, seeds=(1, 2)), page=folder / "report.html")
    return (folder / "report.html").as_uri()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if not (CHROMIUM and CHROMEDRIVER):
        pytest.skip(f"needs Chromium and chromedriver on PATH; found {CHROMIUM} and {CHROMEDRIVER}")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    driver = subprocess.Popen(
        [CHROMEDRIVER, f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        session = Browser(port, tmp_path_factory.mktemp("profile"))
        yield session
        session.call("DELETE", "")
    finally:
        driver.terminate()
        driver.wait(timeout=30)


def _open(browser: Browser, page: str, width: int = 1200, scheme: str = "light") -> None:
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.command("Emulation.setEmulatedMedia", features=features)
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.command("Emulation.setDeviceMetricsOverride", **size)
    browser.call("POST", "/url", {"url": page})


def test_no_console_message_and_no_request_but_the_page(browser: Browser, page: str) -> None:
    browser.log("browser")
    browser.requests()
    _open(browser, page)
    assert browser.run("Array.from(document.images).every(i => i.complete && i.naturalWidth > 0)")
    assert browser.log("browser") == []
    assert browser.requests() == [page]


def test_the_watch_on_requests_and_console_sees_what_it_should(browser: Browser, tmp_path: Path) -> None:
    faulty = tmp_path / "faulty.html"
    faulty.write_text("<!doctype html><img src='absent.png' alt=''><script>console.error('x')</script>")
    browser.requests()
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
