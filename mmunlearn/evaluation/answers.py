"""What models say to every question of the suites: one loaded base, adapter after adapter, suite after suite."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmunlearn.evaluation.answer_store import AnswerStore, identity
from mmunlearn.evaluation.sampling import Sample, pick
from mmunlearn.models.collate import Collator
from mmunlearn.models.features import read_features
from mmunlearn.models.generation import Ask, answer_all, batches_of
from mmunlearn.models.loading import Base, ModelSpec, accelerator, adapted, load_base
from mmunlearn.provenance import versions
from mmunlearn.records import Answer, Question, Split, SuiteQuestion, read_json, read_jsonl, write_jsonl

logger = logging.getLogger(__name__)


def answer_questions(
    questions: Mapping[str, Path],
    features: Mapping[str, Path],
    adapters: Sequence[Path],
    outputs: Sequence[Path],
    *,
    spec: ModelSpec,
    batch: int,
    max_new_tokens: Mapping[str, int],
    work: Path,
    version: int,
    sample: Sample | None = None,
    splits: Sequence[Path] = (),
) -> None:
    """Answer every suite with every adapter; the base is loaded once.

    Args:
        questions, features: by suite; `dataset` holds Question rows, the others SuiteQuestion rows.
        adapters: folders of adapters.
        outputs: the files of the first adapter, suite by suite in the order of `questions`, then of the second one.
        max_new_tokens: by kind of question.
        work: batches that are answered lie in `work/answers` until the job is done.
        version: of the rule; another one never goes on with an older one's batches.
        sample, splits: which questions to ask, and on what they are scored; all without a sample.
    Raises:
        ValueError: not one output for each adapter and suite.
    """
    if len(outputs) != len(adapters) * len(questions):
        raise ValueError(
            f"{len(adapters)} adapters are to answer {len(questions)} suites, but {len(outputs)} files are named; "
            f"name a file for each adapter and suite"
        )
    asked = _asked(questions, splits, sample)
    base = load_base(spec, device=accelerator())
    suites = [
        _Suite.make(base, name, rows, features[name], max_new_tokens, batch) for name, rows in asked.items()
    ]
    settings = {"version": version, "batch": batch, "device": base.model.device.type, "with": versions()}
    settings |= {"asks": [[suite.name, suite.batches, [vars(ask) for ask in suite.asks]] for suite in suites]}
    stores = []
    for number, adapter in enumerate(adapters):
        files = outputs[number * len(suites) : (number + 1) * len(suites)]
        own = identity(adapter, files[0].parent, spec=spec, features=features.values(), settings=settings)
        stores.append(work / "answers" / own)
        part = f", adapter {number + 1} of {len(adapters)}" if len(adapters) > 1 else ""
        with adapted(base, adapter) as model:
            for suite, output in zip(suites, files, strict=True):
                suite.answer(model, base, output, stores[-1], what=suite.name + part)
    for store in stores:
        shutil.rmtree(store, ignore_errors=True)


def _asked(
    questions: Mapping[str, Path], splits: Sequence[Path], sample: Sample | None
) -> dict[str, list[Any]]:
    kinds = {suite: Question if suite == "dataset" else SuiteQuestion for suite in questions}
    rows = {suite: read_jsonl(path, kinds[suite]) for suite, path in questions.items()}
    return rows if sample is None else pick(rows, [read_json(path, Split) for path in splits], sample)


@dataclass(frozen=True)
class _Suite:
    """A suite's questions and how they are batched: the same for all adapters."""

    name: str
    rows: Sequence[Any]
    asks: list[Ask]
    collator: Collator
    features: Mapping[str, Any]
    batches: list[list[int]]

    @classmethod
    def make(
        cls, base: Base, name: str, rows: Sequence[Any], features: Path, limits: Mapping[str, int], batch: int
    ) -> _Suite:
        table = read_features(features)
        collator = Collator(base, table)
        asks = [Ask(row.image_id, row.question, limits[row.kind]) for row in rows]
        return cls(name, rows, asks, collator, table, batches_of(collator, asks, batch))

    def answer(self, model: Any, base: Base, output: Path, store: Path, *, what: str) -> None:
        """Write what one adapter says."""
        ids = [[self.rows[i].question_id for i in batch] for batch in self.batches]
        kept = AnswerStore(store / self.name, ids)
        said = answer_all(
            model, base, self.collator, self.features, self.asks, batches=self.batches, kept=kept, what=what
        )
        write_jsonl(
            output,
            [
                Answer(
                    question_id=row.question_id,
                    image_id=row.image_id,
                    question=row.question,
                    reference=row.answer,
                    answer=text,
                )
                for row, text in zip(self.rows, said, strict=True)
            ],
        )
        logger.info("%s: %d answers", what, len(self.rows))
