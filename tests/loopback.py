"""An OpenAI-compatible chat endpoint on this machine, for tests: canned replies, scripted failures, a request log."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


@dataclass(frozen=True)
class RawReply:
    """A reply with what goes wrong with replies: cut off (`finish_reason="length"`) or refused."""

    text: str | None
    finish_reason: str = "stop"
    refusal: str | None = None


@dataclass(frozen=True)
class Step:
    """What happens to one request instead of the canned reply.

    Attributes:
        status: an error with that status, unless 200.
        message: the error's text.
        delay: seconds before anything is sent.
        body: sent as it is, instead of an answer.
        half: announce the whole answer, send half of it and hang up.
        close: hang up without a word.
        code, param: of the error.
        raw: sent as it is, headers included, before hanging up.
        trickle: seconds between two bytes of the whole answer; with `half`, of its body alone.
        reset: break the connection.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    message: str = "canned"
    delay: float = 0.0
    body: bytes | None = None
    half: bool = False
    close: bool = False
    code: str | None = None
    param: str | None = None
    raw: bytes | None = None
    trickle: float = 0.0
    reset: bool = False

    @property
    def error(self) -> dict[str, Any]:
        return {"error": {"message": self.message, "type": "canned", "code": self.code, "param": self.param}}


@dataclass(frozen=True)
class Request:
    path: str
    body: dict[str, Any]
    headers: dict[str, str]

    @property
    def messages(self) -> list[dict[str, str]]:
        return self.body["messages"]


class ChatServer:
    """`with ChatServer(answer) as server:` serves at `server.base_url` until the block ends.

    Args:
        answer: request body -> text, an object to send as JSON, or RawReply.
        script: steps of the first requests, one each; None is the canned reply.
    """

    def __init__(
        self,
        answer: Callable[[dict[str, Any]], str | Mapping[str, Any] | RawReply],
        script: Iterable[Step | None] = (),
    ) -> None:
        self.answer, self.script, self.requests = answer, list(script), []
        self._lock, self._ended = threading.Lock(), threading.Event()
        handler = type("Handler", (_Handler,), {"owner": self})
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._http.daemon_threads = True
        self.base_url = f"http://127.0.0.1:{self._http.server_port}/v1"

    def __enter__(self) -> ChatServer:
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._ended.set()
        self._http.shutdown()
        self._http.server_close()

    def take(self, request: Request) -> Step:
        """Log a request; the step that it meets."""
        with self._lock:
            self.requests.append(request)
            return (self.script.pop(0) if self.script else None) or Step()

    def other(self, request: Request) -> bytes | Mapping[str, Any] | None:
        """The answer of another route than /chat/completions; None for that one."""
        return None

    def wait(self, seconds: float) -> None:
        """Sleep, but not after the server has ended."""
        self._ended.wait(seconds)


class BatchServer(ChatServer):
    """Also takes batches, as far as the Batch API's form goes: a batch ends after `polls` looks at it.

    Attributes:
        batches: by id.
        status: what batches end as.
        unfinished: custom ids that a batch never comes to.
        lost: routes below /v1/ that are met with 404.
        withheld: kinds of files (output, error) that an ended batch does not name.
        counts: what an ended batch counts; None: nothing.
    """

    def __init__(self, answer: Callable[[dict[str, Any]], Any], polls: int = 1) -> None:
        super().__init__(answer)
        self.polls, self.status, self.unfinished = polls, "completed", set()
        self.lost: set[str] = set()
        self.withheld: set[str] = set()
        self.counts: dict[str, int] | None = None
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, dict[str, Any]] = {}

    def take(self, request: Request) -> Step:
        step = super().take(request)
        return Step(404) if request.path.removeprefix("/v1/") in self.lost else step

    def other(self, request: Request) -> bytes | Mapping[str, Any] | None:
        route, _, rest = request.path.removeprefix("/v1/").partition("?")[0].partition("/")
        if route == "files" and not rest:
            return self._upload(request.body["form"])
        if route == "files":
            return self.files[rest.removesuffix("/content")]
        if route == "batches" and request.body:
            return self.create(request.body)
        if route == "batches" and rest:
            return self._look(self.batches[rest])
        if route == "batches":
            return {"object": "list", "data": list(self.batches.values()), "has_more": False}
        return None

    def _upload(self, form: bytes) -> dict[str, Any]:
        lines = [line for line in form.splitlines() if line.startswith(b'{"custom_id"')]
        name = f"file-{sum(one.startswith('file-') for one in self.files)}"
        self.files[name] = b"\n".join(lines)
        return {
            "id": name, "object": "file", "bytes": 1, "created_at": 0, "filename": name, "purpose": "batch",
            "status": "processed",
        }  # fmt: skip

    def create(self, body: dict[str, Any]) -> dict[str, Any]:
        made = {
            "id": f"batch_{len(self.batches)}",
            "object": "batch",
            "created_at": 0,
            "status": "in_progress",
        }
        made |= dict.fromkeys(("output_file_id", "error_file_id", "errors")) | {"looks": 0} | body
        self.batches[made["id"]] = made
        return made

    def _look(self, batch: dict[str, Any]) -> dict[str, Any]:
        batch["looks"] += 1
        if batch["looks"] > self.polls and batch["status"] == "in_progress":
            batch["status"], batch["request_counts"] = self.status, self.counts
            if self.status == "failed":
                batch["errors"] = {"object": "list", "data": [{"message": "no such model", "code": "x"}]}
                return batch
            for kind in ("output", "error"):
                lines = self.results(batch, failed=kind == "error")
                if lines and kind not in self.withheld:
                    batch[f"{kind}_file_id"] = f"{kind}-{batch['id']}"
                    self.files[f"{kind}-{batch['id']}"] = b"\n".join(lines)
        return batch

    def results(self, batch: dict[str, Any], failed: bool) -> list[bytes]:
        lines = []
        for raw in self.files[batch["input_file_id"]].splitlines():
            row = json.loads(raw)
            reply = self.answer(row["body"])
            wrong = isinstance(reply, Step)
            if row["custom_id"] in self.unfinished or wrong != failed:
                continue
            body = reply.error if wrong else completion(reply, row["body"]["model"])
            answer = {"status_code": reply.status if wrong else 200, "request_id": "r", "body": body}
            lines.append(json.dumps({"id": "l", "custom_id": row["custom_id"], "response": answer}).encode())
        return lines


class _Handler(BaseHTTPRequestHandler):
    owner: ChatServer
    protocol_version = "HTTP/1.1"  # keep-alive, as clients pool connections
    disable_nagle_algorithm = True  # else headers and body, sent one after the other, take 40 ms

    def log_message(self, *args: Any) -> None:
        """Nothing on stderr."""

    def do_GET(self) -> None:
        self._serve({})

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        form = self.headers.get("Content-Type", "").startswith("multipart/")
        self._serve({"form": raw} if form else json.loads(raw))

    def _serve(self, body: dict[str, Any]) -> None:
        request = Request(self.path, body, {k.lower(): v for k, v in self.headers.items()})
        step = self.owner.take(request)
        if step.delay:
            self.owner.wait(step.delay)
        try:
            if step.reset:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()
            if step.close or step.raw is not None or step.reset:
                self.close_connection = True
                self.wfile.write(b"" if step.reset else step.raw or b"")
            else:
                self._send(step, self._body(step, request))
        except OSError:  # the client, or the step, has broken the connection
            self.close_connection = True

    def _body(self, step: Step, request: Request) -> bytes:
        if step.body is not None:
            return step.body
        if step.status != 200:
            return json.dumps(step.error).encode()
        other = self.owner.other(request)
        if other is not None:
            return other if isinstance(other, bytes) else json.dumps(other).encode()
        return json.dumps(completion(self.owner.answer(request.body), request.body["model"])).encode()

    def _send(self, step: Step, body: bytes) -> None:
        if step.trickle:
            head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            if not step.half:  # else the head comes at once
                head, body = b"", head + body
            self.wfile.write(head)
            for byte in body:
                self.wfile.write(bytes([byte]))
                self.owner.wait(step.trickle)
            return
        self.send_response(step.status)
        for name, value in {"Content-Type": "application/json", **step.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if step.half else body)
        self.close_connection = self.close_connection or step.half


def completion(reply: str | Mapping[str, Any] | RawReply, model: str) -> dict[str, Any]:
    """An answer of /chat/completions."""
    if not isinstance(reply, RawReply):
        reply = RawReply(reply if isinstance(reply, str) else json.dumps(reply))
    message = {"role": "assistant", "content": reply.text, "refusal": reply.refusal}
    return {
        "id": "chatcmpl-loopback",
        "object": "chat.completion",
        "created": 0,
        "model": f"{model}-2026",
        "choices": [{"index": 0, "finish_reason": reply.finish_reason, "message": message}],
        "usage": USAGE,
        "system_fingerprint": "fp_loopback",
    }
