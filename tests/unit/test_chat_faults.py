"""The chat client against servers that do harm (slow, huge, elsewhere, refusing) and secrets in the wrong place."""

from __future__ import annotations

import gzip
import json
import logging
import resource
import socket
import threading
import time
import traceback
import zlib
from functools import partial

import pytest
import yaml

from mmunlearn import connection
from mmunlearn.chat import ChatError, ReplyError
from mmunlearn.endpoint import is_local, looks_like_key, redacted, shown_name, shown_url
from mmunlearn.refusals import PLAIN, concern_of
from mmunlearn.workflow.run_config import write_run_config
from tests.loopback import ChatServer, Step, completion
from tests.unit.chat_fixtures import ASK, KEY, SCHEMA

TREE = json.dumps(completion({"word": "tree"}, "m")).encode()
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@pytest.fixture(autouse=True)
def quick(key, monkeypatch):
    monkeypatch.setattr("mmunlearn.chat.FIRST_WAIT", 0.001)


@pytest.fixture
def connect(connect):
    return partial(connect, max_retries=0)


def word(body):
    return {"word": "tree"}


def failure(model) -> str:
    with pytest.raises(ChatError) as caught:
        model.ask(ASK, SCHEMA, "word")
    return str(caught.value)


@pytest.mark.parametrize(
    "step",
    [Step(trickle=0.05), Step(trickle=0.05, half=True), Step(delay=60.0)],
    ids=["head by bytes", "body by bytes", "nothing"],
)
def test_an_attempt_ends_when_its_seconds_are_over_however_slowly_it_is_answered(connect, step):
    with ChatServer(word, [step] * 2) as server:
        start = time.monotonic()
        message = failure(connect(server, timeout=0.3, max_retries=1))
        assert 0.6 <= time.monotonic() - start < 5
    assert "no answer within 0.3 seconds, 2 times" in message and len(server.requests) == 2


def bomb(megabytes: int) -> bytes:
    packer = zlib.compressobj(9, wbits=31)
    zeros = bytes(2**20)
    return b"".join(packer.compress(zeros) for _ in range(megabytes)) + packer.flush()


@pytest.mark.parametrize(
    ("headers", "body", "found"),
    [
        ({"Content-Encoding": "gzip"}, bomb(300), "an answer of more than 4,194,304 bytes"),
        ({"Content-Encoding": "deflate"}, zlib.compress(bytes(5 * 2**20)), "more than 4,194,304 bytes"),
        ({}, b" " * (2**22 + 1), "more than 4,194,304 bytes"),
        ({"Content-Encoding": "br"}, b"x", "in the coding 'br', which was not asked for"),
        ({"Content-Encoding": "gzip, gzip"}, b"x", "in the coding 'gzip, gzip'"),
    ],
    ids=["gzip", "deflate", "plain", "brotli", "twice"],
)
def test_an_answer_is_no_larger_than_it_may_be_after_decompression(connect, headers, body, found):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for status in (200, 500):
        with ChatServer(word, [Step(status, headers, body=body)]) as server:
            assert found in failure(connect(server, max_retries=3))
        assert len(server.requests) == 1, "it would be as large again"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000, "kilobytes"


@pytest.mark.parametrize("coding", ["gzip", "deflate", "identity", "GZIP "])
def test_an_honest_answer_may_be_compressed(connect, coding):
    body = {"gzip": gzip.compress, "deflate": zlib.compress}.get(coding.strip().lower(), bytes)(TREE)
    with ChatServer(word, [Step(headers={"Content-Encoding": coding}, body=body)]) as server:
        assert connect(server).ask(ASK, SCHEMA, "word") == {"word": "tree"}


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("same_host", [True, False])
def test_a_redirect_is_not_followed_and_its_host_is_named_without_secrets(connect, status, same_host):
    with ChatServer(word) as other:
        target = "/elsewhere" if same_host else other.base_url.replace("//", f"//user:{KEY}@") + f"?t={KEY}"
        with ChatServer(word, [Step(status, {"Location": target})] * 2) as server:
            message = failure(connect(server, max_retries=1))
        assert len(server.requests) == 1 and other.requests == []
    assert f"status {status}, a redirect to http://127.0.0.1, which is not followed" in message
    assert "secret" not in message and "base_url" in message


CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n" % (len(TREE), TREE)


@pytest.mark.parametrize(
    "step",
    [
        Step(raw=CHUNKED),
        Step(raw=HEAD + b"Content-Length: 999\r\n\r\n" + TREE),
        Step(raw=b"HTTP/1.1 banana\r\n\r\n"),
        Step(raw=b"SSH-2.0-OpenSSH_9.6\r\n"),
        Step(reset=True),
        Step(headers={"Content-Encoding": "gzip"}, body=b"no gzip at all"),
    ],
    ids=["truncated chunks", "short body", "no status", "another protocol", "reset", "broken gzip"],
)
def test_a_broken_answer_is_tried_again_and_then_named(connect, step):
    with ChatServer(word, [step, None]) as server:
        assert connect(server, max_retries=1).ask(ASK, SCHEMA, "word") == {"word": "tree"}
    with ChatServer(word, [step] * 2) as server:
        assert "no connection, or a broken one, 2 times" in failure(
            connect(server, max_retries=1, cache="no")
        )


def test_tls_and_names_that_fail_say_why(connect, monkeypatch):
    with ChatServer(word) as server:
        message = failure(connect(server.base_url.replace("http:", "https:")))
    assert "no connection, or a broken one, 1 times: [SSL" in message
    real = socket.getaddrinfo

    def resolve(host, *rest, **more):
        if host in ("nowhere.invalid", b"nowhere.invalid"):
            raise socket.gaierror(-2, "Name or service not known")
        return real(host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    assert "1 times: [Errno -2] Name or service not known" in failure(connect("https://nowhere.invalid/v1"))


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({"Content-Type": "text/html; charset=bz2"}, TREE),
        ({"Content-Type": "text/event-stream"}, b"\xef\xbb\xbf" + TREE),
        ({}, json.dumps(json.loads(TREE) | {"choices": json.loads(TREE)["choices"] * 3}).encode()),
    ],
    ids=["another type", "a BOM", "several choices"],
)
def test_what_is_said_about_a_reply_does_not_matter(connect, headers, body):
    with ChatServer(word, [Step(headers=headers, body=body)]) as server:
        assert connect(server).ask(ASK, SCHEMA, "word") == {"word": "tree"}


def test_an_html_page_as_an_error_is_told_on_one_line(connect):
    page = b"<html>\n<h1>Bad\x1b[31m gateway</h1>\r\n</html>" * 50
    with ChatServer(word, [Step(502, {"Content-Type": "text/html"}, body=page)]) as server:
        message = failure(connect(server))
    assert "status 502: <html> <h1>Bad [31m gateway</h1> </html>" in message and message.isprintable()
    assert len(message) < 600


@pytest.mark.parametrize(
    ("status", "code", "concern"),
    [
        (400, None, "unclear"), (403, None, "unclear"), (422, None, "unclear"), (451, None, "unclear"),
        (400, "invalid_prompt", "text"), (400, "context_length_exceeded", "text"), (400, "content_filter", "text"),
        (403, "content_policy_violation", "text"), (413, None, "text"),
        (401, None, "all"), (402, None, "all"), (404, "model_not_found", "all"), (307, None, "all"),
        (400, "unsupported_parameter", "all"), (400, "billing_hard_limit_reached", "all"),
        (429, "insufficient_quota", "all"), (403, "unsupported_country_region_territory", "all"),
        (429, None, "moment"), (408, None, "moment"), (500, None, "moment"), (529, None, "moment"),
    ],
)  # fmt: skip
def test_what_an_error_concerns(connect, status, code, concern):
    assert concern_of(status, {code} if code else set()) == concern
    with ChatServer(word, [Step(status, {"retry-after-ms": "1"}, code=code)] * 3) as server:
        with pytest.raises(ChatError) as caught:
            connect(server, max_retries=2).ask(ASK, SCHEMA, "word")
        assert len(server.requests) == (3 if concern == "moment" else 1), "waiting helps in no other case"
    assert (caught.value.concerns, caught.value.status) == (concern, status)


def test_without_a_key_the_advice_names_no_variable(connect):
    for status in (401, 403):
        with ChatServer(word, [Step(status)]) as server:
            message = failure(connect(server, key_env=None))
        assert "None" not in message and "wants a key: put it into an environment variable" in message


def test_a_refused_conversation_is_kept_as_a_refusal_if_a_plain_one_is_not(connect):
    def served(body):
        return {"word": "tree"}

    class Strict(ChatServer):
        def take(self, request):
            super().take(request)
            return Step(400, message="odd") if request.messages == ASK else Step()

    with Strict(served) as server:
        model = connect(server)
        with pytest.raises(ChatError) as caught:
            model.ask(ASK, SCHEMA, "word")
        model.keep_refusal(caught.value, ASK, SCHEMA, "word")
        with pytest.raises(ReplyError, match=r"is a refusal: status 400: odd"):
            connect(server).ask(ASK, SCHEMA, "word")
        assert [request.messages[0]["content"] for request in server.requests] == ["Say a word.", PLAIN]
    with ChatServer(word, [Step(403)] * 9) as server:
        model = connect(server, cache="other")
        with pytest.raises(ChatError, match=rf"status 403.*plain one '{PLAIN}', too"):
            model.keep_refusal(caught.value, ASK, SCHEMA, "word")
        assert model.answered_at(ASK, SCHEMA) is None


LEAKS = ["AKIAIOSFODNN7EXAMPLE", "AKIAABCDEFGHIJKLMNOP", "SK_LIVE_51H8XYZABCD09", "GSK_0123456789SECRET",
         "A1B2C3D4E5F6A7B8", "AIZASYD9TSRK8X2LQ4PZ0", "X" * 64]  # fmt: skip
NAMES = [
    "OPENAI_API_KEY",
    "HF_TOKEN",
    "AZURE_OPENAI_API_KEY_2",
    "KEY",
    "MY_LLM",
    "LLAMA3_70B_KEY",
    "TOGETHER_API_TOKEN",
]


@pytest.mark.parametrize("name", LEAKS)
def test_a_key_in_place_of_the_variables_name_is_refused_unread(connect, name):
    assert looks_like_key(name)
    with pytest.raises(ChatError, match="variable that key_env names") as caught:
        connect("https://host/v1", key_env=name)
    assert name not in str(caught.value) and name not in shown_name(name)


@pytest.mark.parametrize("name", NAMES)
def test_a_variables_name_is_none(connect, name):
    assert connect("https://host/v1", key_env=name).key_env == name


@pytest.mark.parametrize(
    ("base_url", "local"),
    [
        ("http://127.0.0.1:8000/v1", True), ("http://127.9.9.9/v1", True), ("http://localhost/v1", True),
        ("http://[::1]:8000/v1", True), ("http://LOCALHOST/v1", True),
        ("http://10.0.0.7:8000/v1", False), ("http://gpu-node/v1", False), ("http://api.openai.com/v1", False),
        ("http://localhost.evil.com/v1", False), ("http://127.0.0.1.nip.io/v1", False), ("http://0.0.0.0/v1", False),
    ],
)  # fmt: skip
def test_a_key_goes_over_plain_http_to_this_machine_alone(connect, base_url, local):
    assert is_local(base_url) == local
    connect(base_url, key_env=None)
    connect(base_url.replace("http:", "https:"))
    if local:
        connect(base_url)
    else:
        with pytest.raises(ChatError, match="plain http") as caught:
            connect(base_url)
        assert "TEST_KEY" not in str(caught.value)


@pytest.mark.parametrize(
    "base_url",
    ["https://x@host/v1", "https://:pw@host/v1", "https://@host/v1", "https://host/v1?key=x", "https://host/v1#x",
     "https://host\\@other/v1", "https://ho\nst/v1", "https://host /v1", "https://host/v1\n"],
)  # fmt: skip
def test_addresses_with_more_than_an_address_are_refused(connect, base_url):
    with pytest.raises(ChatError, match=r"base_url") as caught:
        connect(base_url)
    assert base_url not in str(caught.value)


def test_a_key_in_the_path_is_sent_and_shown_nowhere(connect, caplog, tmp_path):
    caplog.set_level(logging.DEBUG)
    hidden = "abcdef0123456789abcdef"
    with ChatServer(word, [None, Step(500)]) as server:
        model = connect(f"{server.base_url}/{hidden}")
        model.ask(ASK, SCHEMA, "word")
        try:
            model.ask([*ASK, *ASK], SCHEMA, "word")
        except ChatError:
            told = traceback.format_exc()
    assert server.requests[0].path == f"/v1/{hidden}/chat/completions"
    files = "".join(path.read_text(encoding="utf-8") for path in (tmp_path / "cache").iterdir())
    assert hidden not in told + caplog.text + files and "/v1/[key]" in told
    assert shown_url("https://u:p@host:8/v1/openai/deployments/gpt-4o-mini-2024/?k=v#f") == (
        "https://host:8/v1/openai/deployments/gpt-4o-mini-2024/"
    )


def test_the_runs_configuration_is_written_without_keys(tmp_path):
    config = {
        "curation": {"openai": {"base_url": "https://u:p@host/v1", "key_env": "SOMEWORD"}},
        "evaluation": {"openai": {"base_url": "https://host/v1", "key_env": "OPENAI_API_KEY", "seed": 1}},
    }
    write_run_config(tmp_path / "run_config.yaml", config)
    written = yaml.safe_load((tmp_path / "run_config.yaml").read_text(encoding="utf-8"))
    assert written["evaluation"] == config["evaluation"]
    assert written["curation"]["openai"] == {
        "base_url": "https://host/v1", "key_env": "(not shown: it may be a key)",
    }  # fmt: skip


@pytest.mark.parametrize("status", [400, 403, 500])
def test_no_part_of_a_key_and_no_other_key_is_repeated(connect, monkeypatch, status):
    monkeypatch.setenv("OTHER_TOKEN", "tok-9876543210")
    said = f"Bad key {KEY[:9]}...{KEY[-7:]}, see https://u:pw@host/x?sig=1 or tok-9876543210"
    with ChatServer(word, [Step(status, message=said)]) as server:
        message = failure(connect(server))
    assert f"status {status}: Bad key [key]...[key], see https://host/x or [key]" in message
    assert redacted("No EMPTY here", "EMPTY") == "No EMPTY here"


@pytest.mark.parametrize("short", ["EMPTY", "e", "none", '"'])
def test_a_word_in_place_of_a_key_leaves_replies_whole(connect, monkeypatch, short):
    monkeypatch.setenv("TEST_KEY", short)
    with ChatServer(lambda body: {"word": "EMPTY none"}) as server:
        assert connect(server).ask(ASK, SCHEMA, "word") == {"word": "EMPTY none"}


@pytest.mark.parametrize("proxy", ["ftp://user:sesame@proxy", "socks5://user:sesame@proxy:1"])
def test_a_proxy_that_cannot_be_used_is_an_error_without_its_password(connect, monkeypatch, proxy):
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    monkeypatch.setenv("ALL_PROXY", proxy)
    with pytest.raises(ChatError, match="HTTPS_PROXY") as caught:
        connect("https://host.invalid/v1").ask(ASK, SCHEMA, "word")
    assert "sesame" not in "".join(traceback.format_exception(caught.value))


def test_a_proxy_sees_no_key(connect, monkeypatch):
    """The key goes through its tunnel, and plain http with a key is refused."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setenv("HTTPS_PROXY", f"http://user:sesame@127.0.0.1:{listener.getsockname()[1]}")
        seen = []

        def serve():
            peer, _ = listener.accept()
            seen.append(peer.recv(65536))
            peer.sendall(b"HTTP/1.1 403 no tunnel\r\n\r\n")
            peer.close()

        thread = threading.Thread(target=serve)
        thread.start()
        message = failure(connect("https://host.invalid/v1"))
        thread.join()
    assert seen[0].startswith(b"CONNECT host.invalid:443") and KEY.encode() not in seen[0]
    assert "no connection, or a broken one, 1 times: 403 no tunnel" in message and "sesame" not in message


def test_the_environments_organisation_is_told_to_openai_alone(connect, monkeypatch):
    monkeypatch.setenv("OPENAI_ORG_ID", "org-mine")
    with ChatServer(word) as server:
        connect(server).ask(ASK, SCHEMA, "word")
    assert "org-mine" not in json.dumps(server.requests[0].headers)
    assert connection.Connection("https://api.openai.com/v1", KEY, 1.0)._client.organization == "org-mine"
