"""The chat client against a loopback endpoint: the cache, retries, what is wrong with replies, and the key."""

from __future__ import annotations

import json
import logging
import sys
import traceback
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from mmunlearn import chat
from mmunlearn.chat import ChatError, ReplyError
from tests.loopback import ChatServer, RawReply, Step
from tests.unit.chat_fixtures import ASK, KEY, SCHEMA

QUICK = {"retry-after-ms": "1"}
pytestmark = pytest.mark.usefixtures("key")


@pytest.fixture
def waits(monkeypatch):
    """Our own waits, not waited."""
    waited = []
    monkeypatch.setattr(chat, "sleep", waited.append)
    return waited


@pytest.fixture
def no_backoff(monkeypatch):
    """Failures without a header are tried again at once."""
    monkeypatch.setattr("mmunlearn.chat.FIRST_WAIT", 0.001)


def word(body):
    return {"word": "tree"}


def test_the_reply_is_an_object_and_the_request_is_strict(connect):
    with ChatServer(word) as server, connect(server) as model:
        assert model.ask(ASK, SCHEMA, "word") == {"word": "tree"}
    (request,) = server.requests
    assert request.path == "/v1/chat/completions"
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.body == {
        "model": "m", "messages": ASK, "temperature": 0.0, "seed": 7,
        "response_format": {
            "type": "json_schema", "json_schema": {"name": "word", "strict": True, "schema": SCHEMA},
        },
    }  # fmt: skip


def test_temperature_and_seed_are_left_out_where_they_are_none(connect):
    with ChatServer(word) as server:
        connect(server, temperature=None, seed=None).ask(ASK, SCHEMA, "word")
    assert {"temperature", "seed"}.isdisjoint(server.requests[0].body)


def test_a_rerun_calls_nothing_and_needs_no_key(connect, monkeypatch, caplog):
    caplog.set_level(logging.INFO, "mmunlearn")
    with ChatServer(word) as server:
        with connect(server) as model:
            model.ask(ASK, SCHEMA, "word")
        monkeypatch.delenv("TEST_KEY")
        with connect(server) as model:
            assert model.ask(ASK, SCHEMA, "word") == {"word": "tree"}
    assert len(server.requests) == 1
    assert caplog.messages == ["m: 1 asked, 0 from the cache", "m: 0 asked, 1 from the cache"]


def test_a_cache_file_says_what_was_asked_and_who_answered(connect, tmp_path):
    with ChatServer(word) as server:
        model = connect(server)
        assert model.answered_at(ASK, SCHEMA) is None
        model.ask(ASK, SCHEMA, "word")
    (path,) = (tmp_path / "cache").iterdir()
    cached = json.loads(path.read_text(encoding="utf-8"))
    assert cached["request"] == {
        "base_url": server.base_url, "model": "m", "temperature": 0.0, "seed": 7, "messages": ASK, "schema": SCHEMA,
    }  # fmt: skip
    assert cached["reply"] == {
        "text": '{"word": "tree"}', "finish_reason": "stop", "refusal": None, "model": "m-2026",
        "system_fingerprint": "fp_loopback",
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
    }  # fmt: skip
    assert model.answered_at(ASK, SCHEMA) == cached["time"]
    assert datetime.fromisoformat(cached["time"]).utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    "changed", [{"model": "n"}, {"temperature": 1}, {"seed": 8}, {"seed": None}], ids=str
)
def test_other_settings_ask_again(connect, changed):
    with ChatServer(word) as server:
        connect(server).ask(ASK, SCHEMA, "word")
        connect(server, **changed).ask(ASK, SCHEMA, "word")
        connect(server, temperature=0.0, timeout=9, max_retries=1).ask(ASK, SCHEMA, "word")
    assert len(server.requests) == 2


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"request": {}}', b"\xff\xfe", None], ids=repr)
def test_a_damaged_cache_file_is_asked_again_with_a_warning(connect, tmp_path, caplog, damage):
    with ChatServer(word) as server:
        connect(server).ask(ASK, SCHEMA, "word")
        (path,) = (tmp_path / "cache").iterdir()
        whole = path.read_bytes()
        if damage is None:
            damage = whole.replace(b"Say a word.", b"Say two words.")
        path.write_bytes(damage if isinstance(damage, bytes) else damage.encode())
        assert connect(server).ask(ASK, SCHEMA, "word") == {"word": "tree"}
    assert len(server.requests) == 2
    assert [r.levelname for r in caplog.records] == ["WARNING"] and path.name in caplog.text
    assert json.loads(path.read_bytes())["request"] == json.loads(whole)["request"]


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        ("a tree", "is not JSON"),
        ('{"word": "tr', "is not JSON"),
        ('{"word": "\\ud83d"}', "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ('{"word": "tree", "word": "bush"}', "is not JSON (a key is there twice)"),
        ('["tree"]', "does not fit the schema"),
        ({}, "'word' is a required property"),
        ({"word": 5}, "word: 5 is not of type 'string'"),
        ({"word": "tree", "more": 1}, "does not fit the schema"),
        (RawReply('{"word": "tree', "length"), "was cut off"),
        (RawReply(None, "stop", "I cannot say that."), "is a refusal: I cannot say that."),
        (RawReply("", "content_filter"), "is a refusal"),
    ],
)
def test_an_unusable_reply_is_an_error_and_stays_one_from_the_cache(connect, reply, problem):
    with ChatServer(lambda body: reply) as server:
        for _ in range(2):
            with pytest.raises(ReplyError) as caught:
                connect(server).ask(ASK, SCHEMA, "word")
            assert problem in caught.value.problem and problem in str(caught.value)
            assert str(caught.value).startswith("Asked m for 'word'. Found that the reply ")
    assert len(server.requests) == 1


def timeout_of(script):
    """Short for a server that waits; else one that a busy machine does not reach."""
    return 0.2 if any(step is not None and step.delay for step in script) else 30.0


@pytest.mark.parametrize(
    "script",
    [
        [Step(429, {"Retry-After": "0.01"})],
        [Step(429, QUICK), Step(500, QUICK), Step(503, QUICK)],
        [Step(delay=60.0), None],
        [Step(close=True), Step(half=True), None],
    ],
    ids=["429 Retry-After", "429 500 503", "timeout", "closed connections"],
)
def test_passing_failures_are_tried_again(connect, no_backoff, script):
    with ChatServer(word, script) as server:
        assert connect(server, timeout=timeout_of(script)).ask(ASK, SCHEMA, "word") == {"word": "tree"}
    assert len(server.requests) >= 2 and not server.script


@pytest.mark.parametrize(
    ("step", "calls", "parts"),
    [
        (Step(429, QUICK, "slow down"), 3, ["status 429", "slow down", "account's limits"]),
        (Step(500, QUICK), 3, ["status 500", "run again"]),
        (Step(400, message="no json_schema here"), 1, ["status 400", "no json_schema here", "structured output"]),
        (Step(401), 1, ["status 401", "TEST_KEY"]),
        (Step(404), 1, ["status 404", "base_url"]),
        (Step(delay=60.0), 3, ["no answer within 0.2 seconds, 3 times"]),
        (Step(close=True), 3, ["no connection, or a broken one, 3 times"]),
        (Step(half=True), 3, ["no connection, or a broken one, 3 times"]),
        (Step(body=b"<html>Welcome</html>"), 1, ["no chat completion", "Welcome", "/v1"]),
        (Step(body=b"[" * 100_000), 1, ["no chat completion"]),
        (Step(body=b"{}"), 1, ["no chat completion"]),
        (Step(body=b'{"choices": []}'), 1, ["no chat completion"]),
        (Step(body=b""), 1, ["no chat completion"]),
    ],
)  # fmt: skip
def test_a_lasting_failure_says_what_was_found_and_what_to_do(
    connect, no_backoff, tmp_path, step, calls, parts
):
    with ChatServer(word, [step] * 9) as server, pytest.raises(ChatError) as caught:
        connect(server, timeout=timeout_of([step]), max_retries=2).ask(ASK, SCHEMA, "word")
    assert len(server.requests) == calls
    assert all(part in str(caught.value) for part in ["Asked m at http://127.0.0.1", *parts]), caught.value
    assert not (tmp_path / "cache").exists()


def test_a_text_of_any_depth_is_a_reply_that_cannot_be_used():
    """Where reading it, checking it or quoting it runs out of stack."""
    for depth in range(50, 1500, 25):
        text = f'{{"word": {"[" * depth}{"]" * depth}}}'
        reply = chat.Reply(
            text=text, finish_reason="stop", refusal=None, model="m", system_fingerprint=None, usage=None
        )
        with pytest.raises(ReplyError):
            chat.object_of(reply, SCHEMA, "m")


def test_a_server_that_is_not_there(connect, no_backoff):
    with pytest.raises(ChatError, match=r"no connection.*Check that the server is up"):
        connect("http://127.0.0.1:9/v1", max_retries=1).ask(ASK, SCHEMA, "word")


def test_a_long_retry_after_is_waited_for_here(connect, waits):
    """The library gives up above two minutes."""
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=200), usegmt=True)
    script = [Step(429, {"Retry-After": "300"}), Step(503, {"Retry-After": later})]
    with ChatServer(word, script) as server:
        assert connect(server).ask(ASK, SCHEMA, "word") == {"word": "tree"}
    assert waits == [300, pytest.approx(180, abs=20)]


def test_waits_end_at_a_bound(connect, waits):
    with (
        ChatServer(word, [Step(429, {"Retry-After": "250"})] * 9) as server,
        pytest.raises(ChatError) as caught,
    ):
        connect(server).ask(ASK, SCHEMA, "word")
    assert waits == [250, 250] and "status 429" in str(caught.value) and "wait 250 s" in str(caught.value)


@pytest.mark.parametrize("value", [None, "", "  "])
def test_without_a_key_the_variable_is_named(connect, monkeypatch, value):
    monkeypatch.setenv("OPENAI_API_KEY", "another")
    if value is None:
        monkeypatch.delenv("TEST_KEY")
    else:
        monkeypatch.setenv("TEST_KEY", value)
    with ChatServer(word) as server, pytest.raises(ChatError, match=r"variable TEST_KEY .* Found nothing"):
        connect(server).ask(ASK, SCHEMA, "word")
    assert server.requests == []


@pytest.mark.parametrize("pasted", ["gsk_0123456789secret", "SECRET0123456789", "secret_key"])
def test_a_key_in_place_of_the_variables_name_is_not_repeated(connect, pasted):
    with ChatServer(word) as server, pytest.raises(ChatError, match="variable that key_env names") as caught:
        connect(server, key_env=pasted).ask(ASK, SCHEMA, "word")
    assert pasted not in str(caught.value) and "export NAME=..." in str(caught.value)


def test_a_server_that_needs_no_key_gets_none(connect, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with ChatServer(word) as server:
        connect(server, key_env=None).ask(ASK, SCHEMA, "word")
    assert KEY not in json.dumps(server.requests[0].headers)


@pytest.mark.parametrize(
    "step",
    [
        Step(401, message=f"Incorrect key: {KEY}"),
        Step(400, message=f"Bad request of {KEY}"),
        Step(500, QUICK, f"{'x' * 290}{KEY}"),
        Step(body=f"<html>{KEY}</html>".encode()),
        Step(close=True),
        None,
    ],
)
def test_the_key_is_nowhere(connect, no_backoff, tmp_path, caplog, monkeypatch, step):
    """A server may quote the key in an error or in a reply."""
    caplog.set_level(logging.DEBUG)
    text = ""
    with ChatServer(lambda body: {"word": KEY}, [step] * 3) as server:
        model = connect(server, max_retries=0)
        try:
            assert model.ask(ASK, SCHEMA, "word") == {"word": "[key]"}
        except ChatError:
            text = traceback.format_exc()
    assert bool(text) == (step is not None)
    files = "".join(path.read_text(encoding="utf-8") for path in (tmp_path / "cache").glob("*"))
    assert "sk-secret" not in text + caplog.text + files + repr(model)


@pytest.mark.parametrize("key", [f"{KEY}\nX: y", "sk-secret-é", "sk secret"])
def test_a_key_that_is_none_is_not_repeated(connect, monkeypatch, key):
    monkeypatch.setenv("TEST_KEY", key)
    with ChatServer(word) as server, pytest.raises(ChatError, match="Copy the key again") as caught:
        connect(server).ask(ASK, SCHEMA, "word")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        ({"key_env": KEY}, "name of an environment variable"),
        ({"base_url": f"https://user:{KEY}@host/v1"}, "bare address"),
        ({"base_url": f"https://host/v1?key={KEY}"}, "bare address"),
        ({"base_url": "api.openai.com/v1"}, "no web address"),
        ({"base_url": "http://"}, "no web address"),
        ({"base_url": "http://host:port/v1"}, "no web address"),
    ],
)
def test_settings_that_hold_a_secret_or_no_address_are_refused(connect, changed, match):
    with pytest.raises(ChatError, match=match) as caught:
        connect(changed.get("base_url", "http://127.0.0.1:1/v1"), **changed)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_proxy_of_the_environment_is_not_used_for_this_machine(connect, monkeypatch, host):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with ChatServer(word) as server:
        base_url = server.base_url.replace("127.0.0.1", host)
        assert connect(base_url, max_retries=0).ask(ASK, SCHEMA, "word") == {"word": "tree"}


def test_a_trailing_slash_is_the_same_endpoint(connect):
    with ChatServer(word) as server:
        connect(server.base_url).ask(ASK, SCHEMA, "word")
        connect(server.base_url + "/").ask(ASK, SCHEMA, "word")
    assert len(server.requests) == 1


def test_without_the_library_the_error_says_so(connect, monkeypatch):
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(ChatError, match=r"package openai.*pip install"):
        connect("http://127.0.0.1:9/v1").ask(ASK, SCHEMA, "word")
