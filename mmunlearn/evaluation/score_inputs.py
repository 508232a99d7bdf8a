"""What scores rest on, read and compared: answers, judgements and names are those of the split and the suites.

A row that comes twice or out of range is refused where rows are read (`records.read_rows`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from mmunlearn.evaluation.sampling import Sample, Suites, pick
from mmunlearn.files import listed, shown
from mmunlearn.ids import TARGETS, Run, concepts_of, question_id, split_id
from mmunlearn.records import (
    POPE_SUBSETS,
    Answer,
    Judgement,
    Person,
    Question,
    RecordError,
    Scores,
    Split,
    SuiteQuestion,
    read_json,
    read_jsonl,
    read_rows,
)

AnswerRow = TypeVar("AnswerRow", Answer, Judgement)
AGAIN = "Run the rule that wrote it again (--forcerun {})."


def read_suites(
    paths: Iterable[Path],
    split: Split,
    questions: Mapping[str, Sequence[SuiteQuestion]],
    sample: Sample | None,
    references: Mapping[str, str] | None = None,
) -> dict[str, list[Answer]]:
    """The answers of each suite, `<suite>.jsonl`.

    Args:
        questions: of the suites `real` and `world`.
        sample: what of the split and the suites has to be answered; None for all.
        references: question_id -> answer of the data set's questions; None: not compared.

    Raises:
        RecordError: an answer is missing, or is to a question, a picture or a reference that the split and the suites
            do not have; names file, row and question. Or a suite is missing, or a question of the World set is of
            none of POPE's subsets or has another answer than yes or no.
    """
    suites: Suites = {"dataset": split_questions(split, references), **questions}
    paths = list(paths)
    if sorted(path.stem for path in paths) != sorted(suites):
        raise RecordError(
            f"Asked for one file of answers to each of {', '.join(sorted(suites))}. Found "
            f"{', '.join(map(str, paths)) or 'none'}. Name the files by their suites."
        )
    _check_pope(questions["world"])
    needed = pick(suites, [split], sample or Sample(seed=0))
    return {
        path.stem: _read_answers(path, suites[path.stem], needed[path.stem], f"split {_name(split)}")
        for path in paths
    }


def read_real(path: Path, real: Sequence[SuiteQuestion], needed: Iterable[Answer]) -> list[Answer]:
    """The finetuned model's answers to the suite `real`, among them one to each question of `needed`.

    Raises:
        RecordError: as of `read_suites`.
    """
    asked = {row.question_id for row in needed}
    return _read_answers(path, real, [row for row in real if row.question_id in asked], "the suite real")


def read_judgements(path: Path, split: Split) -> dict[str, float | None]:
    """question_id -> G-Eval in [0, 1], None where the judge gave none: one of each forgotten picture's event.

    Raises:
        RecordError: a judgement is missing, or is of another question; names file, row and question.
    """
    rows = read_rows(path, Judgement)
    asked = {question_id(image, "event"): None for image in (*split.forget_train, *split.forget_test)}
    problems = [
        f"line {line}: {shown(row.question_id)} is no event question on a forgotten picture"
        for line, row in rows.items()
        if row.question_id not in asked
    ]
    problems += _absent(asked, [row.question_id for row in rows.values()])
    _refuse(path, f"the judgements of split {_name(split)}", problems, "judge_answers")
    return {row.question_id: row.score for row in rows.values()}


def read_scores(path: Path) -> Scores:
    """Scores of the run and the split that their path names.

    Raises:
        RecordError: they are of others, as a copied file's, or are no scores.
    """
    scores, named = read_json(path, Scores), Run.of(path)
    found = Run(scores.model, scores.recipe, scores.seed)
    split = split_id(scores.target, scores.percent)
    if (found, split) != (named, path.name.partition(".")[0]):
        raise RecordError(
            f"Asked {path} for scores of {named.folder} on the split in its name. Found those of {found.folder} on "
            f"{split}. {AGAIN.format('score_answers')}"
        )
    return scores


def read_answered(path: Path, questions: Collection[str], kind: type[AnswerRow]) -> dict[str, AnswerRow]:
    """question_id -> row, of answers or judgements. Raises RecordError where one is of none of the questions."""
    rows = read_rows(path, kind)
    problems = [
        f"line {line}: there is no question {shown(row.question_id)}"
        for line, row in rows.items()
        if row.question_id not in questions
    ]
    asked = f"{kind.__name__.lower()}s of the data set's {len(questions)} questions"
    _refuse(path, asked, problems, "answer_questions" if kind is Answer else "judge_answers")
    return {row.question_id: row for row in rows.values()}


def read_names(path: Path, split: Split) -> dict[str, str]:
    """person_id -> full name. Raises RecordError where a person of the split's pictures has none."""
    names = {row.person_id: row.name for row in read_jsonl(path, Person)}
    images = (*split.forget_train, *split.forget_test, *split.retain)
    missing = sorted({concepts_of(image)[0] for image in images} - names.keys())
    _refuse(path, f"the people of split {_name(split)}", [f"no {one}" for one in missing], "split_concepts")
    return names


def read_references(path: Path | None) -> dict[str, str] | None:
    """question_id -> answer, of the data set's questions; None where no file is named."""
    return path and {row.question_id: row.answer for row in read_jsonl(path, Question)}


def split_questions(split: Split, answers: Mapping[str, str] | None = None) -> list[Question]:
    """The questions on every picture of a split, in order of picture, with no text but their answers, if known: one of
    the split's kind, and one of the other kind unless answers are known, but none to it.

    Raises:
        RecordError: one of the split's kind has no answer, though there are answers.
    """
    images = sorted((*split.forget_train, *split.forget_test, *split.retain))
    kinds = {
        name: (image, kind)
        for image in images
        for kind in TARGETS
        for name in [question_id(image, kind)]
        if answers is None or kind == split.target or name in answers
    }
    known = dict.fromkeys(kinds, "") if answers is None else answers
    _refuse(Path("questions.jsonl"), f"split {_name(split)}", _absent(kinds, known), "build_questions")
    return [
        Question(question_id=name, image_id=image, kind=kind, question="", answer=known[name])
        for name, (image, kind) in kinds.items()
    ]


def _read_answers(
    path: Path, questions: Sequence[Question | SuiteQuestion], needed: Sequence, of: str
) -> list[Answer]:
    rows, known = read_rows(path, Answer), {one.question_id: one for one in questions}
    problems = [
        f"line {line}: {problem}"
        for line, row in rows.items()
        if (problem := _problem(row, known.get(row.question_id)))
    ]
    problems += _absent([one.question_id for one in needed], [row.question_id for row in rows.values()])
    _refuse(path, f"answers to the questions of {of}", problems, "answer_questions")
    return list(rows.values())


def _check_pope(rows: Iterable[SuiteQuestion]) -> None:
    problems = [
        f"{row.question_id} of subset {shown(row.subset)} with the answer {shown(row.answer)}"
        for row in rows
        if row.subset not in POPE_SUBSETS or row.answer.strip().rstrip(".").casefold() not in ("yes", "no")
    ]
    if problems:
        raise RecordError(
            f"Asked the World set for yes/no questions of POPE's subsets ({', '.join(POPE_SUBSETS)}). Found "
            f"{listed(problems)}. {AGAIN.format('build_reference_set')}"
        )


def _problem(row: Answer, question: Question | SuiteQuestion | None) -> str | None:
    if question is None:
        return f"there is no question {shown(row.question_id)}"
    if row.image_id != question.image_id:
        return f"{row.question_id} is about picture {question.image_id}, not {shown(row.image_id)}"
    if (question.answer or isinstance(question, SuiteQuestion)) and row.reference != question.answer:
        return f"the reference of {row.question_id} is {shown(question.answer)}, not {shown(row.reference)}"
    return None


def _absent(needed: Iterable[str], present: Iterable[str]) -> list[str]:
    there = set(present)
    return [f"no row of {one}" for one in needed if one not in there]


def _refuse(path: Path, asked: str, problems: list[str], rule: str) -> None:
    if problems:
        raise RecordError(f"Asked {path} for {asked}. Found {listed(problems)}. {AGAIN.format(rule)}")


def _name(split: Split) -> str:
    return split_id(split.target, split.percent)
