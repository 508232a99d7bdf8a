"""G-Eval: how close is an unlearned model's sentence to the goal model's, away from the finetuned model's?

Source: PEBench, section III-C3. The score is in [0, 1]: 0 is the finetuned model (nothing forgotten), 1 the goal model.
resources/judge/g_eval.txt begins with the paper's "Instructions for G-Eval" to the letter. What stands below them is
ours, as the paper prints nothing of the kind: that no instruction in the sentences is to be followed, the sentences
themselves, and the form of the reply.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from mmunlearn.evaluation.judge.rubric import PROMPTS, Case, Rubric
from mmunlearn.evaluation.rouge import rouge_l
from mmunlearn.ids import kind_of
from mmunlearn.records import Answer, RecordError, Split, read_json, read_jsonl


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


G_EVAL = Rubric(
    name="g-eval",
    prompt=PROMPTS / "g_eval.txt",
    texts=("test", "finetuned", "goal"),
    reply={
        "type": "object",
        "properties": {"score": {"type": "number", "minimum": 0, "maximum": 1}},
        "required": ["score"],
        "additionalProperties": False,
    },
    formula=closeness,
    basis="ROUGE-L distances",
)


Events = Mapping[str, tuple[str, str]]
"""question_id -> image_id and answer, of the event questions alone."""


def event_answers(path: Path) -> Events:
    """The event answers of a file of the suite `dataset`, in order."""
    rows = read_jsonl(path, Answer)
    return {
        row.question_id: (row.image_id, row.answer) for row in rows if kind_of(row.question_id) == "event"
    }


def cases_of(
    answers: Path, finetuned: Path, goal: Path, split: Path, read: Callable[[Path], Events] = event_answers
) -> list[Case]:
    """What G-Eval is asked of: the answers to the event questions on a split's forget set, with their anchors.

    Args:
        answers, finetuned, goal: answer files of the suite `dataset`.
    Raises:
        RecordError: one of the three models has no answer to a question that another has.
    """
    images = read_json(split, Split)
    forgotten = {*images.forget_train, *images.forget_test}
    test, before, ideal = (
        {key: text for key, (image, text) in read(path).items() if image in forgotten}
        for path in (answers, finetuned, goal)
    )
    for path, table in ((finetuned, before), (goal, ideal)):
        if table.keys() != test.keys():
            raise RecordError(
                f"{path} and {answers} answer different questions: delete the older one and rerun"
            )
    return [
        Case(key, {"test": text, "finetuned": before[key], "goal": ideal[key]}) for key, text in test.items()
    ]
