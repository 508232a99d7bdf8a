"""Cases, options and judges at a loopback endpoint, and what their store says."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from mmunlearn.chat import Reply
from mmunlearn.evaluation.judge.client import OpenAIJudge
from mmunlearn.evaluation.judge.rubric import Case
from mmunlearn.evaluation.judge.rubrics.g_eval import GEval
from mmunlearn.evaluation.judge.store import JudgeStore
from mmunlearn.records import Judgement
from tests.loopback import ChatServer

ROOT = Path(__file__).resolve().parents[2]
G_EVAL = GEval()
KEY = "sk-secret-0123456789"
CONFIG = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))["evaluation"]["openai"]
COST = (3 * CONFIG["prompt_price"] + 2 * CONFIG["completion_price"]) / 1e6
"""Of one answered request: the loopback counts 3 and 2 tokens."""


def options(server: ChatServer | str, folder: Path, **changed: Any) -> dict[str, Any]:
    """The shipped options, at a server and with a store in a folder."""
    base_url = server if isinstance(server, str) else server.base_url
    place = {"base_url": base_url, "key_env": "TEST_KEY", "store": str(folder / "verdicts.sqlite")}
    return CONFIG | place | {"timeout": 30.0, "poll_seconds": 0.01} | changed


def judge_at(server: ChatServer | str, folder: Path, **changed: Any) -> OpenAIJudge:
    return OpenAIJudge(G_EVAL, options(server, folder, **changed))


def texts(test: str, finetuned: str = "finetuned", goal: str = "goal") -> dict[str, str]:
    return {"test": test, "finetuned": finetuned, "goal": goal}


def cases(n: int, start: int = 0) -> list[Case]:
    return [Case(f"q{i}", texts(f"test {i}")) for i in range(start, start + n)]


def number_of(body: dict[str, Any]) -> int:
    """Which of `cases` a request is about."""
    text = body["messages"][-1]["content"]
    return int(text.split("Test sentence: test ")[1].split("\n")[0])


def score_of(number: int) -> float:
    """Of one of 1,000 cases: no two share it, and it is never 0."""
    return (number + 1) / 2000


def scored(body: dict[str, Any]) -> dict[str, float]:
    """An honest verdict."""
    return {"score": score_of(number_of(body))}


def scores(rows: Sequence[Judgement]) -> list[float | None]:
    return [row.score for row in rows]


def spent(folder: Path) -> tuple[int, int, float, int]:
    """Of a store: calls, prompt tokens, cost, and batches that are not collected."""
    with sqlite3.connect(folder / "verdicts.sqlite") as connection:
        query = "SELECT total(calls), total(prompt_tokens), total(cost), (SELECT count(*) FROM batches) FROM spending"
        return connection.execute(query).fetchone()


def store_verdicts(options: dict[str, Any], *rows: dict[str, str], tokens: int | None = 400) -> None:
    """Put a verdict of G-Eval on each of the texts into a store, for so many tokens of prompt and 10 of reply."""
    usage = {"prompt_tokens": tokens, "completion_tokens": None if tokens is None else 10}
    reply = Reply(
        text="", finish_reason="stop", refusal=None, model="m", system_fingerprint=None, usage=usage
    )
    body, judge = {"max_completion_tokens": 10}, G_EVAL.identity(options)
    with JudgeStore(options["store"]).ledger("judge", options) as ledger:
        for row in rows:
            ledger.reserve(body)
            ledger.bill(body, ledger.bound(body), reply, refused=False)
            ledger.add(G_EVAL.key(judge, row), row, 0.5, reply)
        ledger.write()
