"""What the tests of weights share: a tiny entry, its files, and a model hub on the loopback."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from mmunlearn.weights.fetch import fetch_weights
from mmunlearn.weights.lock import lock_path

COMMIT = "a" * 40
REPO = "someone/tiny"
TENSORS = save({"layer": torch.arange(60, dtype=torch.float32)})
FILES = {
    "config.json": b'{"hidden_size": 60}',
    "part/model.safetensors": TENSORS,
    "notes.txt": b"not asked for",
}
TINY = {
    "repo": REPO,
    "revision": None,
    "files": ["config.json", "part/*.safetensors"],
    "sha256": {"config.json": None},
    "licence": "of the tests",
    "gated": True,
}


class Fetch:
    """Calls fetch_weights in a folder of its own."""

    def __init__(self, root: Path) -> None:
        self.folder, self.receipt = root / "weights", root / "receipt.json"

    def __call__(
        self,
        name: str = "tiny",
        source: Path | None = None,
        download: bool = False,
        revision: str | None = None,
    ) -> dict[str, Any]:
        places = {"folder": str(self.folder), "source": str(source) if source else None}
        fetch_weights(self.receipt, name=name, **places, download=download, revision=revision)
        return json.loads(self.receipt.read_text(encoding="utf-8"))

    def lock(self, name: str = "tiny") -> dict[str, Any]:
        return json.loads(lock_path(self.folder / name).read_text(encoding="utf-8"))


def place(folder: Path, files: dict[str, bytes] = FILES) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


class Hub(ThreadingHTTPServer):
    """Serves `files` as repository `repo` as huggingface_hub asks for it, and at /plain/<name>.

    Attributes:
        files: name -> content; those above 100 bytes are listed as LFS files with their SHA-256.
        requests: method and path of every request so far.
        commit: what the main branch is at.
        refuse: status with which files are refused, None: they are served.
        cut: bytes after which the connection breaks, once per request; None: never.
        leads_to: where /to/<name> is redirected.
        trickle: seconds between two bytes of /plain/<name>.
        claimed: name -> SHA-256 that the listing gives instead of the true one.
    """

    def __init__(self, repo: str, files: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repo, self.files, self.commit = repo, files, COMMIT
        self.requests: list[str] = []
        self.refuse: int | None = None
        self.cut: int | None = None
        self.claimed: dict[str, str] = {}
        self.leads_to, self.trickle = "", 0.0
        self.authorizations: set[str] = set()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def listing(self) -> bytes:
        rows = []
        for name, content in self.files.items():
            row = {"rfilename": name, "size": len(content), "blobId": hashlib.sha1(content).hexdigest()}
            if len(content) > 100:
                sha256 = self.claimed.get(name, hashlib.sha256(content).hexdigest())
                row["lfs"] = {"sha256": sha256, "size": len(content), "pointerSize": 130}
            rows.append(row)
        return json.dumps({"id": self.repo, "sha": self.commit, "siblings": rows}).encode()


class _Handler(BaseHTTPRequestHandler):
    server: Hub

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self, body: bool) -> None:
        hub, path = self.server, self.path.split("?")[0]
        hub.requests.append(f"{self.command} {path}")
        hub.authorizations.add(self.headers.get("Authorization", ""))
        if path.startswith(f"/api/models/{hub.repo}"):
            return self._send(200, hub.listing(), body)
        name = path.removeprefix(f"/{hub.repo}/resolve/").partition("/")[2]
        if path.startswith("/to/"):
            return self._send(302, b"", body, {"Location": hub.leads_to})
        if hub.trickle and path.startswith("/plain/"):
            for byte in b"HTTP/1.0 200 OK\r\n\r\n" + bytes(1000):
                self.wfile.write(bytes([byte]))
                time.sleep(hub.trickle)
            return None
        name = path.removeprefix("/plain/") if path.startswith("/plain/") else name
        if hub.refuse and name in hub.files:
            return self._send(hub.refuse, b"", body, {"X-Error-Code": "GatedRepo"})
        if name not in hub.files:
            return self._send(404, b"", body, {"X-Error-Code": "EntryNotFound"})
        return self._send(200, hub.files[name], body, {"X-Repo-Commit": hub.commit}, cut=hub.cut)

    def _send(
        self,
        status: int,
        content: bytes,
        body: bool,
        headers: dict[str, str] | None = None,
        cut: int | None = None,
    ) -> None:
        if body and cut is not None and "Range" in self.headers:
            status, content, cut = 500, b"", None
        self.send_response(status)
        etag = hashlib.sha256(content).hexdigest()
        for key, value in {
            "ETag": f'"{etag}"',
            "Content-Length": str(len(content)),
            **(headers or {}),
        }.items():
            self.send_header(key, value)
        self.end_headers()
        if body:
            self.wfile.write(content[:cut])
