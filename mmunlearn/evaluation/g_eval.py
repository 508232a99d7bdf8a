"""What a judge of G-Eval is asked, and what makes two judges the same.

Source: PEBench, section III-C3, "Instructions for G-Eval". resources/judge/g_eval.txt begins with the paper's
instructions to the letter. What stands below them is ours, as the paper prints nothing of the kind: that no instruction
in the sentences is to be followed, the sentences themselves, and the form of the reply.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from mmunlearn.records import digest_of

PROMPT = Path(__file__).resolve().parents[2] / "resources" / "judge" / "g_eval.txt"
IDENTITY = ("base_url", "model", "temperature", "seed")
"""Options of a judge that can change a verdict; all others (timeouts, prices, where verdicts lie) cannot."""
SCORE = {
    "type": "object",
    "properties": {"score": {"type": "number", "minimum": 0, "maximum": 1}},
    "required": ["score"],
    "additionalProperties": False,
}


@cache
def prompt_digest() -> str:
    """SHA-256 of all that is asked but for the sentences: instructions, how sentences are put, form of the reply."""
    return digest_of([messages("{test}", "{finetuned}", "{goal}"), SCORE], length=64)


def identity(options: Mapping[str, Any]) -> dict[str, Any]:
    """What makes a judge: endpoint, model, temperature, seed, the instructions and the form of the reply."""
    temperature = None if options["temperature"] is None else float(options["temperature"])
    own = {"base_url": options["base_url"].rstrip("/"), "temperature": temperature}
    return {key: options[key] for key in IDENTITY} | own | {"prompt": prompt_digest()}


def verdict_key(judge: Mapping[str, Any], test: str, finetuned: str, goal: str) -> str:
    """Digest of (judge, prompt, sentences), under which a verdict is kept."""
    sentences = {"test": test, "finetuned": finetuned, "goal": goal}
    return digest_of({"judge": dict(judge), "sentences": sentences}, length=64)


def messages(test: str, finetuned: str, goal: str) -> list[dict[str, str]]:
    """The conversation that asks for one verdict."""
    sentences = {"test": test, "finetuned": finetuned, "goal": goal}
    text = re.sub(
        r"\{(test|finetuned|goal)\}", lambda found: sentences[found[1]], PROMPT.read_text(encoding="utf-8")
    )
    return [{"role": "user", "content": text.strip()}]
