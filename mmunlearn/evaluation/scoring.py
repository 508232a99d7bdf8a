"""Scores of one (model, recipe, split, seed): the rows that each metric looks at, from files to a file."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from mmunlearn.evaluation import metrics, sampling
from mmunlearn.evaluation.sampling import Sample, Suites
from mmunlearn.evaluation.score_inputs import read_judgements, read_names, read_real, read_suites
from mmunlearn.ids import Run, concepts_of, kind_of
from mmunlearn.provenance import versions
from mmunlearn.records import (
    Answer,
    Metric,
    RecordError,
    Scores,
    Split,
    SuiteQuestion,
    read_json,
    read_jsonl,
    sha256_of,
    write_json,
)
from mmunlearn.seeds import derive_seed

logger = logging.getLogger(__name__)


def score_answers(
    output: Path,
    run: Run,
    *,
    answers: Sequence[Path],
    finetuned: Path,
    split: Path,
    people: Path,
    real: Path,
    world: Path,
    judgements: Path | Sequence[Path],
    label: str,
    judge: str,
    bootstrap: int,
    max_missing_share: float,
    sample: Mapping[str, Any] | None = None,
) -> None:
    """Write the six metrics of one run on one split.

    Args:
        answers: of this run, `<suite>.jsonl`.
        finetuned: answers of the finetuned model to the suite `real`.
        judgements: G-Eval of the event target; empty for the person target.
        label: the method's name in tables and figures.
        sample: settings of `Sample`: which questions the scores rest on; None for all.
    """
    parts = read_json(split, Split)
    questions = {"real": read_jsonl(real, SuiteQuestion), "world": read_jsonl(world, SuiteQuestion)}
    sizes = None if sample is None else Sample(**sample)
    suites: Suites = read_suites(answers, parts, questions, sizes)
    if sizes is not None:
        suites = of_the_sample(suites, parts, questions, sizes)
    summarise = partial(
        metrics.summarise,
        seed=derive_seed(run.seed, "bootstrap"),
        resamples=bootstrap,
        max_missing_share=max_missing_share,
    )
    if parts.target == "person":
        values = person_values(suites, parts, read_names(people, parts), figure_names(questions["real"]))
    else:
        verdicts = read_judgements(_required(judgements), parts)
        before = read_real(finetuned, questions["real"], suites["real"])
        values = event_values(suites, parts, read_names(people, parts), verdicts, before)
    table: dict[str, Metric] = {name: summarise(column) for name, column in values.items()}
    subsets = {row.question_id: row.subset for row in questions["world"]}
    hits, pope = metrics.pope_accuracy(suites["world"], subsets)
    table["world_fact"] = summarise(hits, strata=[subsets[row.question_id] for row in suites["world"]])
    inputs = {"split": split, "people": people, "real": real, "world": world, "finetuned": finetuned}
    inputs |= {"judgements": judgements} if judgements else {}
    inputs |= {f"answers_{path.stem}": path for path in answers}
    scores = Scores(
        **run._asdict(), method=label, target=parts.target, percent=parts.percent, judge=judge, metrics=table,
        details={"pope": pope, "forgotten": parts.forgotten, "sample": sampling.summary(sizes, suites)},
        digests={name: sha256_of(path) for name, path in inputs.items()}, versions=versions(),
    )  # fmt: skip
    write_json(output, scores)
    logger.info(", ".join(f"{name} {metric.value}" for name, metric in table.items()))


def of_the_sample(
    answers: Suites, split: Split, questions: Mapping[str, Sequence[SuiteQuestion]], sample: Sample
) -> dict[str, list[Answer]]:
    """The answers to a sample's questions, by suite: a model may have been asked more, for another split or for a
    table, but is compared on the same questions as the others.

    Of `dataset`, only the answers on retained pictures that are not of the split's sample are left out.
    """
    rows, retained = answers["dataset"], set(split.retain)
    on_retained = _on(rows, split.retain, event=split.target == "event")
    ids = {row.question_id for row in sampling.lowest(on_retained, sample.retain, sample.seed)}
    picked = sampling.pick({"dataset": [], **questions}, [], sample)
    ids |= {row.question_id for suite in ("real", "world") for row in picked[suite]}
    return {
        "dataset": [row for row in rows if row.image_id not in retained or row.question_id in ids],
        **{suite: [row for row in answers[suite] if row.question_id in ids] for suite in ("real", "world")},
    }


def person_values(
    answers: Suites, split: Split, people: Mapping[str, str], figures: Mapping[str, str]
) -> dict[str, list[float]]:
    """Per-question values of the person target. `people`: person_id -> name; `figures`: question_id -> name."""
    rows = answers["dataset"]
    names = {row.question_id: people[concepts_of(row.image_id)[0]] for row in rows}

    def hits(images: Sequence[str]) -> list[float]:
        return metrics.name_hits(_on(rows, images, event=False), names)

    return {
        "efficacy": metrics.misses(hits(split.forget_train)),
        "generality": metrics.misses(hits(split.forget_test)),
        "retain": hits(split.retain),
        "scope": metrics.overlaps(_on(rows, split.forget_train, event=True)),
        "real": metrics.name_hits([row for row in answers["real"] if row.question_id in figures], figures),
    }


def event_values(
    answers: Suites,
    split: Split,
    people: Mapping[str, str],
    verdicts: Mapping[str, float | None],
    finetuned: Sequence[Answer],
) -> dict[str, list[float | None]]:
    """Per-question values of the event target. `verdicts`: question_id -> G-Eval in [0, 1] or None."""
    rows = answers["dataset"]
    real = [row for row in answers["real"] if kind_of(row.question_id) == "event"]
    names = {row.question_id: people[concepts_of(row.image_id)[0]] for row in rows}

    def judged(images: Sequence[str]) -> list[float | None]:
        scores = [verdicts[row.question_id] for row in _on(rows, images, event=True)]
        return [None if score is None else 100.0 * score for score in scores]

    return {
        "efficacy": judged(split.forget_train),
        "generality": judged(split.forget_test),
        "retain": metrics.overlaps(_on(rows, split.retain, event=True)),
        "scope": metrics.name_hits(_on(rows, split.forget_train, event=False), names),
        "real": metrics.overlaps(real),
        "real_vs_finetuned": metrics.overlaps(real, {row.question_id: row.answer for row in finetuned}),
    }


def _on(rows: Sequence[Answer], images: Sequence[str], *, event: bool) -> list[Answer]:
    ids = set(images)
    return [row for row in rows if row.image_id in ids and (kind_of(row.question_id) == "event") == event]


def figure_names(rows: Sequence[SuiteQuestion]) -> dict[str, str]:
    """question_id -> name of the Real set's person questions, whose `subset` holds the name."""
    return {row.question_id: row.subset for row in rows if row.kind == "person"}


def _required(judgements: Path | Sequence[Path]) -> Path:
    if not isinstance(judgements, Path):
        raise RecordError("the event target needs judgements, but none were given: run rule judge_answers")
    return judgements
