"""Fixtures that several unit tests share."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from mmunlearn import interrupts
from mmunlearn.chat import ChatModel
from tests.loopback import ChatServer
from tests.tiny import load_tiny, write_checkpoint
from tests.unit.chat_fixtures import KEY
from tests.unit.file_sets import ColourClip, write_collection

settings.register_profile("shared machine", deadline=None, derandomize=True)
settings.load_profile("shared machine")


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("tiny-llava"))


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a run."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def signals(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Signals are heard, though tests that run in the background ignore them; those of earlier tests are long past."""
    monkeypatch.setattr(interrupts, "_last", float("-inf"))
    ignored = [one for one in interrupts.SIGNALS if signal.getsignal(one) == signal.SIG_IGN]
    for one in ignored:
        signal.signal(one, signal.default_int_handler if one == signal.SIGINT else signal.SIG_DFL)
    yield
    for one in ignored:
        signal.signal(one, signal.SIG_IGN)


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    """The key of TEST_KEY, and no proxy."""
    monkeypatch.setenv("TEST_KEY", KEY)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def connect(tmp_path: Path) -> Callable[..., ChatModel]:
    """A model at a server; the cache is shared by all of a test."""

    def make(server: ChatServer | str, **changed) -> ChatModel:
        settings = {"model": "m", "key_env": "TEST_KEY", "temperature": 0, "seed": 7, "timeout": 30.0}
        base_url = server if isinstance(server, str) else server.base_url
        return ChatModel(**(settings | {"base_url": base_url, "cache": tmp_path / "cache"} | changed))

    return make


@pytest.fixture
def collection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the backend `files` reads, with a CLIP that knows colours alone."""
    monkeypatch.setattr("mmunlearn.dataset.files.load_clip", lambda *_: ColourClip())
    monkeypatch.setattr(ColourClip, "embedded", 0)
    return write_collection(tmp_path)


@pytest.fixture
def tiny_base(tiny_checkpoint: Path):
    return load_tiny(tiny_checkpoint)


@pytest.fixture(scope="session")
def finetuned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The inputs of tests.unit.training_fixtures.unlearning."""
    from tests.unit.training_fixtures import make_inputs

    return make_inputs(tmp_path_factory.mktemp("finetuned"))
