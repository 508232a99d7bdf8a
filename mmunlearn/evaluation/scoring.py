"""Scores of one (model, recipe, split, seed): the rows that each metric looks at, from files to a file."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from mmunlearn.evaluation import metrics, sampling
from mmunlearn.evaluation.intervals import cluster_sums
from mmunlearn.evaluation.sampling import Sample, Suites
from mmunlearn.evaluation.score_inputs import (
    read_judgements,
    read_names,
    read_real,
    read_references,
    read_suites,
)
from mmunlearn.ids import TARGETS, Run, concepts_of, kind_of
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
from mmunlearn.settings import check_training

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
    dataset: Path | None = None,
    label: str,
    judge: str,
    bootstrap: int,
    max_missing_share: float,
    sample: Mapping[str, Any] | None = None,
    training: Path | Sequence[Path] = (),
    settings: Mapping[str, Any] | None = None,
) -> None:
    """Write the six metrics of one run on one split.

    Args:
        answers: of this run, `<suite>.jsonl`.
        finetuned: answers of the finetuned model to the suite `real`.
        judgements: G-Eval of the event target; empty for the person target.
        dataset: the data set's questions, whose answers are the references; None: those are not compared.
        label: the method's name in tables and figures.
        sample: settings of `Sample`: which questions the scores rest on; None for all.
        training: training.json of the run, where it has one.
        settings: what that file has to say of them, see `check_training`.

    Raises:
        RecordError: the files do not belong together, see `score_inputs`, or the training had other settings.
    """
    if settings and isinstance(training, Path):
        check_training(training, settings)
    parts = read_json(split, Split)
    questions = {"real": read_jsonl(real, SuiteQuestion), "world": read_jsonl(world, SuiteQuestion)}
    sizes = None if sample is None else Sample(**sample)
    suites: Suites = read_suites(answers, parts, questions, sizes, read_references(dataset))
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
    subsets = {row.question_id: row.subset for suite in questions.values() for row in suite}
    values["world_fact"], pope = metrics.pope_accuracy(suites["world"], subsets)
    strata = {"world_fact": [subsets[row.question_id] for row in suites["world"]]}
    clusters = clusters_by_metric(suites, parts, subsets)
    table: dict[str, Metric] = {
        name: summarise(column, clusters=clusters[name], strata=strata.get(name))
        for name, column in values.items()
    }
    table["world_fact"] = table["world_fact"].model_copy(update={"doubtful": pope["mean"]["doubtful"]})
    inputs = {"split": split, "people": people, "real": real, "world": world, "finetuned": finetuned}
    inputs |= {name: path for name, path in (("dataset", dataset), ("judgements", judgements)) if path}
    inputs |= {f"answers_{path.stem}": path for path in answers}
    scores = Scores(
        **run._asdict(), method=label, target=parts.target, percent=parts.percent, judge=judge, metrics=table,
        details={"pope": pope, "forgotten": parts.forgotten, "sample": sampling.summary(sizes, suites)},
        digests={name: sha256_of(path) for name, path in inputs.items()}, versions=versions(),
        sums={name: cluster_sums(column, clusters[name], strata.get(name)) for name, column in values.items()},
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
    rows = rows_by_metric(answers, split)
    names = _names(answers["dataset"], people)
    hits = {name: metrics.name_hits(rows[name], names) for name in ("efficacy", "generality", "retain")}
    return {
        "efficacy": metrics.misses(hits["efficacy"]),
        "generality": metrics.misses(hits["generality"]),
        "retain": hits["retain"],
        "scope": metrics.overlaps(rows["scope"]),
        "real": metrics.name_hits(rows["real"], figures),
    }


def event_values(
    answers: Suites,
    split: Split,
    people: Mapping[str, str],
    verdicts: Mapping[str, float | None],
    finetuned: Sequence[Answer],
) -> dict[str, list[float | None]]:
    """Per-question values of the event target. `verdicts`: question_id -> G-Eval in [0, 1] or None."""
    rows = rows_by_metric(answers, split)
    real = rows["real"]

    def judged(answers: Sequence[Answer]) -> list[float | None]:
        scores = [verdicts[row.question_id] for row in answers]
        return [None if score is None else 100.0 * score for score in scores]

    return {
        "efficacy": judged(rows["efficacy"]),
        "generality": judged(rows["generality"]),
        "retain": metrics.overlaps(rows["retain"]),
        "scope": metrics.name_hits(rows["scope"], _names(rows["scope"], people)),
        "real": metrics.overlaps(real),
        "real_vs_finetuned": metrics.overlaps(real, {row.question_id: row.answer for row in finetuned}),
    }


def rows_by_metric(answers: Suites, split: Split) -> dict[str, list[Answer]]:
    """The answers that each metric but `world_fact` rests on."""
    event, rows = split.target == "event", answers["dataset"]
    return {
        "efficacy": _on(rows, split.forget_train, event=event),
        "generality": _on(rows, split.forget_test, event=event),
        "retain": _on(rows, split.retain, event=event),
        "scope": _on(rows, split.forget_train, event=not event),
        "real": [row for row in answers["real"] if kind_of(row.question_id) == split.target],
    }


def clusters_by_metric(answers: Suites, split: Split, subsets: Mapping[str, str]) -> dict[str, list[str]]:
    """What each answer of a metric belongs to, as answers on one thing are not independent of each other.

    - efficacy, generality, retain and scope: the person (of a person split) or the event (of an event split) on the
      picture, as splits draw people or events. For scope, too: its pictures are those of the forgotten few.
    - real: the public figure, or, for events, the picture;
    - world_fact: the picture, whose questions are in all three subsets.

    Args:
        subsets: question_id -> `subset` of the Real and World sets.
    """
    side = TARGETS.index(split.target)
    rows = rows_by_metric(answers, split)
    clusters = {
        name: [concepts_of(row.image_id)[side] for row in rows[name]]
        for name in ("efficacy", "generality", "retain", "scope")
    }
    clusters["real"] = [
        subsets[row.question_id] if split.target == "person" else row.image_id for row in rows["real"]
    ]
    clusters["world_fact"] = [row.image_id for row in answers["world"]]
    return clusters | {"real_vs_finetuned": clusters["real"]}


def _names(rows: Sequence[Answer], people: Mapping[str, str]) -> dict[str, str]:
    """question_id -> name of the person on the picture."""
    return {row.question_id: people[concepts_of(row.image_id)[0]] for row in rows}


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
