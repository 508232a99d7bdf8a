"""Cases, and options of a judge at a loopback endpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from mmunlearn.evaluation.cases import Case
from mmunlearn.evaluation.openai_judge import OpenAIJudge
from tests.loopback import ChatServer

ROOT = Path(__file__).resolve().parents[2]
KEY = "sk-secret-0123456789"
CONFIG = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))["evaluation"]["openai"]


def options(server: ChatServer | str, folder: Path, **changed: Any) -> dict[str, Any]:
    """The shipped options, at a server and with a store in a folder."""
    base_url = server if isinstance(server, str) else server.base_url
    own = {
        "base_url": base_url,
        "key_env": "TEST_KEY",
        "timeout": 30.0,
        "store": str(folder / "verdicts.sqlite"),
    }
    return CONFIG | own | {"poll_seconds": 0.01} | changed


def judge_at(server: ChatServer | str, folder: Path, **changed: Any) -> OpenAIJudge:
    return OpenAIJudge(options(server, folder, **changed))


def cases(n: int, start: int = 0) -> list[Case]:
    return [Case(f"q{i}", f"test {i}", "finetuned", "goal") for i in range(start, start + n)]


def number_of(body: dict[str, Any]) -> int:
    """Which of `cases` a request is about."""
    text = body["messages"][-1]["content"]
    return int(text.split("Test sentence: test ")[1].split("\n")[0])


def scored(body: dict[str, Any]) -> dict[str, float]:
    """An honest verdict that no two of 1,000 cases share, and that is never 0."""
    return {"score": (number_of(body) + 1) / 2000}
