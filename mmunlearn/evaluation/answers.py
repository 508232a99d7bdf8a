"""What a model says to every question of the suites: one load, all suites."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from mmunlearn.evaluation.sampling import Sample, pick
from mmunlearn.models.collate import Collator
from mmunlearn.models.features import read_features
from mmunlearn.models.generation import Ask, answer_all
from mmunlearn.models.loading import ModelSpec, accelerator, load_adapter, load_base
from mmunlearn.records import Answer, Question, Split, SuiteQuestion, read_json, read_jsonl, write_jsonl

logger = logging.getLogger(__name__)


def answer_questions(
    questions: Mapping[str, Path],
    features: Mapping[str, Path],
    outputs: Mapping[str, Path],
    *,
    adapter: Path,
    spec: ModelSpec,
    batch: int,
    max_new_tokens: Mapping[str, int],
    sample: Sample | None = None,
    splits: Sequence[Path] = (),
) -> None:
    """Answer every suite with one adapter.

    Args:
        questions, features, outputs: by suite; `dataset` holds Question rows, the others SuiteQuestion rows.
        adapter: folder of the adapter.
        max_new_tokens: by kind of question.
        sample, splits: which questions to ask, and on what they are scored; all without a sample.
    """
    kinds = {suite: Question if suite == "dataset" else SuiteQuestion for suite in questions}
    asked = {suite: read_jsonl(path, kinds[suite]) for suite, path in questions.items()}
    if sample is not None:
        asked = pick(asked, [read_json(path, Split) for path in splits], sample)
    base = load_base(spec, device=accelerator())
    model = load_adapter(base, adapter)
    for suite, rows in asked.items():
        table = read_features(features[suite])
        asks = [Ask(row.image_id, row.question, max_new_tokens[row.kind]) for row in rows]
        said = answer_all(model, base, Collator(base, table), table, asks, batch=batch, what=suite)
        write_jsonl(
            outputs[suite],
            [
                Answer(
                    question_id=row.question_id,
                    image_id=row.image_id,
                    question=row.question,
                    reference=row.answer,
                    answer=text,
                )
                for row, text in zip(rows, said, strict=True)
            ],
        )
        logger.info("%s: %d answers", suite, len(rows))
