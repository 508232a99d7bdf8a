"""G-Eval: how close is an unlearned model's sentence to the goal model's, away from the finetuned model's?

Source: PEBench, section III-C3. The score is in [0, 1]: 0 is the finetuned model (nothing forgotten), 1 the goal model.
resources/judge/g_eval.txt begins with the paper's "Instructions for G-Eval" to the letter. What stands below them is
ours, as the paper prints nothing of the kind: that no instruction in the sentences is to be followed, the sentences
themselves, and the form of the reply.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ClassVar

from mmunlearn.evaluation.judge.rubric import PROMPTS, Answers, Case, Rubric, read_answers
from mmunlearn.evaluation.rouge import rouge_l
from mmunlearn.ids import question_id
from mmunlearn.records import RecordError, Split, read_json


def closeness(test: str, finetuned: str, goal: str) -> float:
    """The embedded judge's score: d_finetuned / (d_finetuned + d_goal) with d = 1 - ROUGE-L F1 to that sentence.

    It is 0.5 where both distances are 0: the anchors agree, so nothing can be told apart. By construction the
    finetuned model scores 0 and the goal model 1 wherever their sentences differ; the other-seed goal model is
    the honest ceiling. Deterministic and free, but it compares words, not meanings: a sentence with nothing of
    either anchor gets 0.5, gibberish included. Use it for tests and for models with a small vocabulary; never beside
    the paper's numbers, nor for free-form answers of real models: there, take the judge `openai`.
    """
    to_finetuned, to_goal = _distance(test, finetuned), _distance(test, goal)
    total = to_finetuned + to_goal
    return to_finetuned / total if total else 0.5


def _distance(sentence: str, other: str) -> float:
    """1 - ROUGE-L F1; 0 for equal sentences, without a single word, too."""
    return 0.0 if sentence == other else 1.0 - rouge_l(sentence, other)


class GEval(Rubric):
    """The answers to the event questions on a split's forget set, each between its anchors."""

    name = "g-eval"
    prompt = PROMPTS / "g_eval.txt"
    texts = ("test", "finetuned", "goal")
    reply: ClassVar = {
        "type": "object",
        "properties": {"score": {"type": "number", "minimum": 0, "maximum": 1}},
        "required": ["score"],
        "additionalProperties": False,
    }

    def locally(self, texts: Mapping[str, str]) -> tuple[float, str]:
        return closeness(**texts), "ROUGE-L distances"

    def cases(
        self,
        answers: Path,
        finetuned: Path,
        goal: Path,
        split: Path,
        read: Callable[[Path], Answers] = read_answers,
    ) -> list[Case]:
        """As of `Rubric`; answers, finetuned and goal are answer files of the suite `dataset`.

        Raises:
            RecordError: one of the three models has no answer to the event question on a forgotten picture, or its
                answer is about another picture: a judge that is paid is asked of whole files only.
        """
        images = read_json(split, Split)
        forgotten = {question_id(one, "event"): one for one in (*images.forget_train, *images.forget_test)}
        test, before, ideal = (
            {key: text for key, (image, text) in read(path).items() if forgotten.get(key) == image}
            for path in (answers, finetuned, goal)
        )
        for path, table in ((answers, test), (finetuned, before), (goal, ideal)):
            if absent := sorted(forgotten.keys() - table.keys()):
                raise RecordError(
                    f"Asked {path} for answers to the {len(forgotten)} event questions on forgotten pictures of "
                    f"{split}. Found none to {len(absent)} ({absent[0]}): it and its anchors would answer different "
                    "questions. Run the rule that wrote it again (--forcerun answer_questions)."
                )
        return [
            Case(key, {"test": text, "finetuned": before[key], "goal": ideal[key]})
            for key, text in test.items()
        ]
