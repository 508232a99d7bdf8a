"""Judge `openai`: a language model at any OpenAI-compatible endpoint gives the verdicts, by calls or by batches.

Every verdict is kept in a SQLite file by a digest of (judge, instructions, texts): whatever asks for it again, in
whatever folder, calls nothing. What could not be had is a missing value with its reason, is not kept, and is asked for
again by the next job. Equal texts are asked for once.

A case that the endpoint refuses (400, 403, 422: a prompt that a provider does not take) is missing, and the job goes
on; where none has been taken so far, or many in a row are refused, a plain case shows whether all are. Likewise where
the replies to many in a row hold no score.
"""

from __future__ import annotations

import json
import logging
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any

from mmunlearn.chat import ChatModel, Reply, ReplyError
from mmunlearn.endpoint import ChatError
from mmunlearn.evaluation.judge.batches import Batches
from mmunlearn.evaluation.judge.calls import OUTAGE, Calls, Texts
from mmunlearn.evaluation.judge.ledger import Ledger, Unaffordable
from mmunlearn.evaluation.judge.rubric import Case, Judge, JudgeError, Rubric
from mmunlearn.evaluation.judge.store import JudgeStore
from mmunlearn.interrupts import Stopped, deferring
from mmunlearn.progress import progress
from mmunlearn.records import Judgement, Rating
from mmunlearn.refusals import PLAIN, of_all

logger = logging.getLogger(__name__)


class OpenAIJudge(Judge):
    """Asks for one score a case; safe to kill at any moment.

    Args:
        options: `evaluation.openai` of the configuration; config.yaml explains each key.
    """

    def __init__(self, rubric: Rubric, options: Mapping[str, Any]) -> None:
        self.rubric, self.options, self.identity = rubric, options, rubric.identity(options)
        self.name = f"openai/{options['model']}"
        self.store = JudgeStore(options["store"])
        self.chat = ChatModel(
            **{
                key: options[key]
                for key in ("base_url", "model", "key_env", "temperature", "seed", "timeout")
            },
            cache=None,
            max_retries=options["max_retries"],
        )

    def judge(self, cases: Sequence[Case]) -> list[Judgement | Rating]:
        """One judgement a case, in order; None with a reason where a call failed for good or its reply is no score.

        Raises:
            JudgeError: the budget is spent, the key or the model is wrong, the endpoint is not there, or calls are
                configured for what a batch is still asking.
            ChatError: the key is missing, or the endpoint takes no batches.
            StoreError: the file of the verdicts is damaged, or another job writes to it.
        """
        keys = [self.rubric.key(self.identity, case.texts) for case in cases]
        texts = dict(zip(keys, (case.texts for case in cases), strict=True))
        scores, missing = self.store.read(texts), {}
        stored = len(scores)
        if stored < len(texts):
            identity = json.dumps(self.identity, sort_keys=True)
            with self.store.ledger(identity, self.options) as ledger, self.chat:
                scores |= ledger.read(texts)  # another job may have had them before this one's turn
                stored = len(scores)
                job = Asking(self, ledger, {key: texts[key] for key in texts if key not in scores})
                job.run()
                scores, missing = scores | job.scores, job.missing
        new = len(scores.keys() & texts) - stored
        logger.info("%s: %d verdicts were kept, %d are new", self.name, stored, new)
        verdict = f"verdict of {self.options['model']}"
        return [
            self.rubric.row(
                question_id=case.question_id,
                score=scores.get(key),
                reason=verdict if key in scores else missing[key],
            )
            for key, case in zip(keys, cases, strict=True)
        ]

    def body(self, texts: Texts) -> dict[str, Any]:
        """The request for one verdict."""
        key, longest = self.options["max_tokens_key"], self.options["max_tokens"]
        limit = {} if key is None else {key: longest}
        return self.chat.body(self.rubric.messages(texts), self.rubric.reply, "verdict", limit)


class Asking:
    """One job's way from texts to scores: reserved in the ledger, sent by calls or batches, read by the rubric.

    Attributes:
        cases: texts by key.
        scores, missing: what has come of them, by key; scores of another job's batch may be among them.
    """

    def __init__(self, judge: OpenAIJudge, ledger: Ledger, cases: Mapping[str, Texts]) -> None:
        self.cases, self.scores, self.missing = cases, {}, {}
        self._judge, self._chat, self._ledger = judge, judge.chat, ledger
        self._queue: deque[str] = deque()
        self._asks: Counter[str] = Counter()
        self._failures, self._answered = 0, False
        self._taken = False
        self._refusals: list[ChatError] = []
        self._unusable = 0
        self._unanswered: ChatError | None = None
        self._problem: BaseException | None = None

    def run(self) -> None:
        """Ask for all cases, but for what an earlier job's batch has said or is still asking.

        Raises:
            JudgeError, ChatError: as of `OpenAIJudge.judge`.
        """
        options, shared = self._judge.options, (self._chat, self._ledger, self._judge.body)
        batches = Batches(*shared, self._judge.rubric.name, options["poll_seconds"])
        for key, texts, outcome in batches.results(wait=False):
            self._take(key, texts, outcome, batches)
        if self._problem is not None:
            logger.warning("%s These verdicts are asked for again.", self._problem)
        self._problem, self._failures, self._refusals, self.missing = None, 0, [], {}
        running = len(batches.under_way() & self.cases.keys())
        if running and not options["batch_api"]:
            raise JudgeError(
                f"Asked {options['model']} for {len(self.cases)} verdicts by calls. Found {running} of them in "
                "batches of earlier jobs that still run. Set evaluation.openai.batch_api to true again to wait for "
                "them, or run again when they have ended or you have cancelled them at the endpoint."
            )
        self._ask(batches if options["batch_api"] else Calls(*shared, options["concurrency"]))

    def _ask(self, transport: Calls | Batches) -> None:
        settled = self.scores.keys() | transport.under_way()
        self._queue.extend(key for key in self.cases if key not in settled)
        deferred = deferring() if transport.drains else nullcontext()  # what is under way is paid for
        with progress(None, "judge", len(self.cases)) as bar, deferred as request:
            while True:
                if request and self._problem is None:
                    self._problem = Stopped(request.number)
                transport.send(self._admitted(transport))
                if not transport.under_way() or (self._problem is not None and not transport.drains):
                    break
                for key, texts, outcome in transport.results():
                    self._take(key, texts, outcome, transport)
                if max(len(self._refusals), self._unusable) >= transport.outage:
                    self._try_plain()
                bar.update(len(self.cases.keys() & (self.scores.keys() | self.missing.keys())) - bar.n)
        doubtful = len(self._refusals) >= OUTAGE or any(one.concerns == "unclear" for one in self._refusals)
        if doubtful and not self._taken:
            self._try_plain()
        judged = len(self.scores.keys() & self.cases.keys())
        problem = self._problem
        if problem is None and self.missing and not self._answered:
            problem = self._unanswered
        if isinstance(problem, ChatError | Unaffordable):
            raise JudgeError(
                f"{problem} Of this job, {judged} of {len(self.cases)} verdicts are given and kept, "
                f"{len(self.cases) - judged} are left."
            )
        if problem is not None:
            raise problem

    def _admitted(self, transport: Calls | Batches) -> dict[str, Texts]:
        """The cases that may be sent now: there is room, and the ledger has their first attempts set aside."""
        admitted: dict[str, Texts] = {}
        while self._queue and self._problem is None and len(admitted) < transport.room():
            texts = self.cases[self._queue[0]]
            try:
                self._ledger.reserve(self._judge.body(texts))
            except Unaffordable as error:
                if not admitted and not transport.under_way():  # else what these set aside may come free
                    self._problem = error
                break
            admitted[self._queue.popleft()] = texts
        return admitted

    def _try_plain(self) -> None:
        """Ask of a plain case whether all are refused, or get no score: then the job's problem is that."""
        if self._problem is not None:
            return
        body = self._judge.body(dict.fromkeys(self._judge.rubric.texts, PLAIN))
        bound, doubtful = self._ledger.bound(body), max(len(self._refusals), self._unusable)
        try:
            self._ledger.reserve(body)
            reply = self._chat.reply(
                body, partial(self._ledger.reserve, body), partial(self._ledger.bill, body, bound)
            )
            self._judge.rubric.score(reply, f"{self._chat.model} for a verdict")
            logger.warning(
                "%d cases are refused or without a score, and a plain one is not: they are missing",
                doubtful,
            )
            self._refusals, self._taken, self._unusable = [], True, 0
        except ReplyError as error:
            self._problem = JudgeError(
                f"Asked {self._chat.model} for a score. Found {doubtful} cases in a row without one, and none of a "
                f"plain case: the reply {error.problem}: {error.reply[:100]!r}. Raise "
                "evaluation.openai.max_tokens if the model thinks before it replies, or take one that keeps to a form."
            )
        except ChatError as error:
            self._problem = of_all(error)
        except Unaffordable as error:
            self._problem = error
        self._ledger.write()

    def _take(
        self, key: str, texts: Texts, outcome: Reply | BaseException, transport: Calls | Batches
    ) -> None:
        if isinstance(outcome, Reply):
            self._failures, self._refusals, self._answered, self._taken = 0, [], True, True
            try:
                self.scores[key] = self._judge.rubric.score(outcome, f"{self._chat.model} for a verdict")
                self._unusable = 0
                self._ledger.add(key, texts, self.scores[key], outcome)
            except ReplyError as error:
                self._asks[key] += 1
                if self._asks[key] < transport.asks:
                    self._queue.appendleft(key)
                else:
                    times = f", {transport.asks} times" if transport.asks > 1 else ""
                    self.missing[key] = f"the reply {error.problem}{times}: {error.reply[:100]!r}"
                    self._unusable += 1
        elif isinstance(outcome, Unaffordable):
            self._queue.appendleft(key)
        elif isinstance(outcome, ChatError) and outcome.concerns == "moment":
            self.missing[key], self._unanswered = str(outcome), outcome
            self._answered |= outcome.answered
            self._failures += 1
            if self._failures >= transport.outage:
                self._problem = outcome
        elif isinstance(outcome, ChatError) and outcome.concerns != "all":
            self.missing[key] = f"the endpoint refuses it: {outcome.finding}"
            self._answered, self._failures = True, 0
            self._refusals.append(outcome)
        else:
            self._problem = outcome
