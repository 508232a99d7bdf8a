"""Judge `openai`: a language model at any OpenAI-compatible endpoint gives the verdicts (PEBench, section III-C3).

Every verdict is kept in a SQLite file by a digest of (judge, instructions, sentences): whatever asks for it again, in
whatever folder, calls nothing. What could not be had is a missing value with its reason, is not kept, and is asked for
again by the next job. Equal sentences are asked for once.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from mmunlearn.chat import ChatModel, Reply, ReplyError, object_of
from mmunlearn.evaluation.budget import Budget
from mmunlearn.evaluation.cases import Case, Judge
from mmunlearn.evaluation.g_eval import SCORE, identity, messages, verdict_key
from mmunlearn.evaluation.verdict_store import Verdict, VerdictStore, Writer
from mmunlearn.records import Judgement

logger = logging.getLogger(__name__)


class OpenAIJudge(Judge):
    """Asks for one score a case; safe to kill at any moment.

    Args:
        options: `evaluation.openai` of the configuration; config.yaml explains each key.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        self.options, self.identity = options, identity(options)
        self.name = f"openai/{options['model']}"
        self.judge_id = json.dumps(self.identity, sort_keys=True)
        self.store = VerdictStore(options["store"])
        self.chat = ChatModel(
            options["base_url"],
            options["model"],
            options["key_env"],
            options["temperature"],
            options["seed"],
            options["timeout"],
            cache=None,
            max_retries=options["max_retries"],
        )

    def judge(self, cases: Sequence[Case]) -> list[Judgement]:
        """One judgement a case, in order; None with a reason where a call failed for good or its reply is no score.

        Raises:
            JudgeError: the budget is spent, the key or the model is wrong, the endpoint is not there, or calls are
                wanted for what a batch is still asking.
            StoreError: the file of the verdicts is damaged, or another job writes to it.
        """
        keys = [verdict_key(self.identity, case.test, case.finetuned, case.goal) for case in cases]
        known = self.store.read(dict.fromkeys(keys))
        wanted = {key: case for key, case in zip(keys, cases, strict=True) if key not in known}
        kept, missing = len(known), {}
        if wanted:
            with self.store.writing() as writer, self.chat:
                known |= writer.read(wanted)  # another job may have had them before this one's turn
                kept = len(known)
                wanted = {key: case for key, case in wanted.items() if key not in known}
                scores, missing = self._ask(wanted, writer) if wanted else ({}, {})
                known |= scores
        logger.info("%s: %d verdicts were kept, %d are new", self.name, kept, len(known) - kept)
        return [
            Judgement(
                question_id=case.question_id,
                score=known.get(key),
                reason=f"verdict of {self.options['model']}" if key in known else missing[key],
            )
            for key, case in zip(keys, cases, strict=True)
        ]

    def _ask(self, wanted: Mapping[str, Case], writer: Writer) -> tuple[dict[str, float], dict[str, str]]:
        from mmunlearn.evaluation.batch_api import ask_in_batches, collect_open
        from mmunlearn.evaluation.live_calls import LiveCalls

        bounds = ("max_calls", "max_cost", "prompt_price", "completion_price")
        budget = Budget(
            writer.spent(self.judge_id), writer.spent(), **{key: self.options[key] for key in bounds}
        )
        if self.options["batch_api"]:
            return ask_in_batches(self, wanted, budget, writer, self.options["poll_seconds"])
        collected = collect_open(self, wanted, budget, writer)
        left = {key: case for key, case in wanted.items() if key not in collected}
        scores, missing = LiveCalls(self, budget, writer, self.options["concurrency"]).ask(left)
        return collected | scores, missing

    def body(self, case: Case) -> dict[str, Any]:
        """The request for one verdict."""
        said = messages(case.test, case.finetuned, case.goal)
        return self.chat.body(said, SCORE, "verdict", self.options["max_tokens"])

    def verdict(self, key: str, case: Case, reply: Reply) -> Verdict:
        """What a reply says. Raises ReplyError where that is no number in [0, 1]: nothing is clipped or guessed."""
        asked = f"{self.chat.model} for a verdict"
        score = object_of(reply, SCORE, asked)["score"]
        if not 0 <= score <= 1:  # as the schema says, but for NaN
            raise ReplyError(asked, f"has the score {score}, outside of [0, 1]", reply.text)
        return Verdict(
            key=key, judge=self.judge_id, test=case.test, finetuned=case.finetuned, goal=case.goal, score=float(score),
            model=reply.model, fingerprint=reply.system_fingerprint, prompt_tokens=reply.tokens("prompt_tokens"),
            completion_tokens=reply.tokens("completion_tokens"), time=datetime.now(UTC).isoformat(),
        )  # fmt: skip
