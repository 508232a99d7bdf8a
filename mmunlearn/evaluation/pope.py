"""POPE: yes/no questions about objects, scored as the official evaluator does.

Source: Li et al., Evaluating Object Hallucination in Large Vision-Language Models (2023), evaluate.py.

The answers are generated, not read off the first token's logits: a `no` or `not` anywhere in the first sentence means
no, so that `Yes` as the first token does not settle what a longer answer means, and the answer file keeps all of it.
Answers that this reading may take for what they do not say (`**No**` counts as yes) are counted as doubtful besides.
With `evaluation.max_new_tokens.object` at 4 a question costs its prompt and at most three tokens more.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from operator import and_, eq

from mmunlearn.text import fold

_NO = {"No", "no", "not"}
_DECLINES = re.compile(
    r"\bnot (?:\w+ )?(?:know|sure|certain|clear|tell|say|help|determine|able)\b|\bno (?:idea|clue|doubt)\b"
)


def says_yes(answer: str) -> bool:
    """The official reading: of the first sentence, commas dropped, a word No, no or not means no, all else yes."""
    first = answer.split(".")[0].replace(",", "")
    return not _NO & set(first.split(" "))


def says_neither(answer: str) -> bool:
    """Whether the answer holds neither yes nor no as a word; the official reading counts it as yes."""
    return not {"yes", "no", "not"} & set(re.findall(r"\w+", answer.casefold()))


def is_doubtful(answer: str) -> bool:
    """Whether the official reading may not be what the answer means.

    It is, where the answer holds neither yes nor no (`Nope`, an empty one), both (`Yes, no doubt`, `Yes. No, wait`), a
    no that the official reading misses (`**No**`, `No!`, `No` before a line break, `NO`, `isn't`), or where it declines
    (`I do not know`).
    """
    text = fold(answer).replace("_", " ").replace("n't", " not").replace("cannot", "can not")
    words = re.findall(r"\w+", text)
    yes, no = "yes" in words, bool({"no", "not"} & set(words))
    return yes == no or says_yes(answer) != yes or _DECLINES.search(" ".join(words)) is not None


def score(answers: Sequence[str], labels: Sequence[str]) -> dict[str, float | int | None]:
    """Score answers against labels `yes` and `no`.

    Returns:
        accuracy, precision, recall, f1, yes_ratio in [0, 1] (None where undefined), counts n, unparsable (neither
        yes nor no) and doubtful.
    Raises:
        ValueError: lengths differ, or a label is neither yes nor no.
    """
    if len(answers) != len(labels):
        raise ValueError(f"{len(answers)} answers to {len(labels)} labels")
    truth = [label.strip().rstrip(".").casefold() for label in labels]
    if set(truth) - {"yes", "no"}:
        raise ValueError(f"labels must be yes or no, found {sorted(set(truth) - {'yes', 'no'})[:3]}")
    predicted = [says_yes(answer) for answer in answers]
    positive = [label == "yes" for label in truth]
    hit = sum(map(and_, predicted, positive))
    right = sum(map(eq, predicted, positive))
    precision, recall = _ratio(hit, sum(predicted)), _ratio(hit, sum(positive))
    return {
        "accuracy": _ratio(right, len(truth)),
        "precision": precision,
        "recall": recall,
        "f1": _ratio(2 * hit, sum(predicted) + sum(positive)),
        "yes_ratio": _ratio(sum(predicted), len(truth)),
        "n": len(truth),
        "unparsable": sum(map(says_neither, answers)),
        "doubtful": sum(map(is_doubtful, answers)),
    }


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None
