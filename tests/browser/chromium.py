"""Headless Chromium, driven through chromedriver's own HTTP interface (W3C WebDriver): no further library is needed."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
CHROMEDRIVER = shutil.which("chromedriver")
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--hide-scrollbars"),
    "--window-size=1200,900",
]
SHIFT, ENTER, ESCAPE, BACKSPACE = "\ue008", "\ue007", "\ue00c", "\ue003"
LEFT, UP, RIGHT, DOWN = "\ue012", "\ue013", "\ue014", "\ue015"


@contextmanager
def chromium(folder: Path) -> Iterator[Browser]:
    """A browser with its profile and what it saves in a folder."""
    if not (CHROMIUM and CHROMEDRIVER):
        pytest.skip(f"needs Chromium and chromedriver on PATH; found {CHROMIUM} and {CHROMEDRIVER}")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    driver = subprocess.Popen([CHROMEDRIVER, f"--port={port}"], **silent)
    try:
        browser = Browser(port, folder)
        yield browser
        browser.call("DELETE", "")
    finally:
        driver.terminate()
        driver.wait(timeout=30)


class Browser:
    """One WebDriver session."""

    def __init__(self, port: int, folder: Path) -> None:
        self._base, self.downloads = f"http://127.0.0.1:{port}", folder / "downloads"
        self.downloads.mkdir()
        options = {"binary": CHROMIUM, "args": [*FLAGS, f"--user-data-dir={folder / 'profile'}"]}
        capabilities = {"browserName": "chrome", "goog:chromeOptions": options}
        capabilities["goog:loggingPrefs"] = {"browser": "ALL", "performance": "ALL"}
        self.wait(self._ready)
        session = self.call("POST", "/session", {"capabilities": {"alwaysMatch": capabilities}})["sessionId"]
        self._base += f"/session/{session}"
        self.command("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(self.downloads))

    def _ready(self) -> bool:
        try:
            return self.call("GET", "/status")["ready"]
        except OSError:
            return False

    def renew(self) -> None:
        """As a new browser would be: nothing stored or logged, a window of the first size."""
        self.open("about:blank")
        self.command("Storage.clearDataForOrigin", origin="file://", storageTypes="local_storage")
        self.command("Emulation.clearDeviceMetricsOverride")
        self.command("Emulation.setEmulatedMedia", features=[])
        self.log("browser")
        self.requests()

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self._base + path, data, headers, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["value"]

    def command(self, name: str, **params: Any) -> Any:
        """A command of the Chrome DevTools protocol."""
        return self.call("POST", "/goog/cdp/execute", {"cmd": name, "params": params})

    def open(self, page: str) -> None:
        self.call("POST", "/url", {"url": page})

    def resize(self, width: int) -> None:
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        self.command("Emulation.setDeviceMetricsOverride", **size)

    def run(self, script: str) -> Any:
        return self.call("POST", "/execute/sync", {"script": f"return {script}", "args": []})

    def text(self, where: str) -> str:
        return self.run(f"document.querySelector({json.dumps(where)}).textContent.trim()")

    def press(self, *keys: str) -> None:
        """Press keys one after the other; capital letters with Shift."""
        actions = []
        for key in keys:
            held = [SHIFT] if key.isupper() else []
            actions += [{"type": "keyDown", "value": one} for one in (*held, key)]
            actions += [{"type": "keyUp", "value": one} for one in (key, *held)]
        self.call("POST", "/actions", {"actions": [{"type": "key", "id": "keys", "actions": actions}]})

    def type(self, where: str, text: str) -> None:
        self.call("POST", f"{self._element(where)}/value", {"text": text})

    def click(self, where: str) -> None:
        self.run(f"document.querySelector({json.dumps(where)}).scrollIntoView({{block: 'center'}})")
        self.call("POST", f"{self._element(where)}/click", {})

    def _element(self, where: str) -> str:
        element = self.call("POST", "/element", {"using": "css selector", "value": where})
        return f"/element/{next(iter(element.values()))}"

    def log(self, kind: str) -> list[dict[str, Any]]:
        """Entries since the last call."""
        return self.call("POST", "/se/log", {"type": kind})

    def requests(self) -> list[str]:
        """Addresses that were asked for since the last call, inlined ones left out."""
        messages = [json.loads(entry["message"])["message"] for entry in self.log("performance")]
        sent = [one["params"]["request"] for one in messages if one["method"] == "Network.requestWillBeSent"]
        return [one["url"] for one in sent if not one["url"].startswith("data:")]

    @staticmethod
    def wait(done: Callable[[], object]) -> None:
        deadline = time.monotonic() + 30
        while not done():
            if time.monotonic() > deadline:
                pytest.fail("asked the browser for something; waited 30 s for it in vain")
            time.sleep(0.02)
