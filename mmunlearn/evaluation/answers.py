"""What models say to every question of the suites: one loaded base, adapter after adapter, suite after suite."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmunlearn.evaluation.answer_store import AnswerStore, identity
from mmunlearn.evaluation.sampling import Sample, pick
from mmunlearn.ids import Run
from mmunlearn.models.collate import Collator
from mmunlearn.models.features import read_features
from mmunlearn.models.generation import Ask, answer_all, batches_of
from mmunlearn.models.loading import Base, ModelSpec, accelerator, adapted, load_base
from mmunlearn.provenance import versions
from mmunlearn.records import Answer, Question, Split, SuiteQuestion, read_json, read_jsonl, write_jsonl

logger = logging.getLogger(__name__)


def answer_questions(
    *,
    questions: Sequence[Path],
    features: Sequence[Path],
    adapters: Sequence[Path],
    outputs: Sequence[Path],
    spec: Mapping[str, Any],
    batch: int,
    max_new_tokens: Mapping[str, int],
    work: Path,
    version: int,
    sample: Mapping[str, Any] | None = None,
    splits: Sequence[Path] = (),
) -> None:
    """Answer every suite with every adapter; the base is loaded once.

    Args:
        questions: questions.jsonl of the data set (Question rows), and `<suite>.jsonl` (SuiteQuestion rows).
        features: `<suite>.safetensors` each.
        adapters: `models/<run>/adapter/adapter_model.safetensors`.
        outputs: `answers/<run>/<suite>.jsonl`, one for each adapter and suite, in any order.
        spec: settings of `ModelSpec`.
        max_new_tokens: by kind of question.
        work: batches that are answered lie in `work/answers` until the job is done.
        version: of the rule; another one never goes on with an older one's batches.
        sample, splits: settings of `Sample`: which questions to ask, and on what they are scored; all without it.
    Raises:
        ValueError: not one output for each adapter and suite.
    """
    tables = {path.stem: path for path in features}
    asked = _asked(questions, splits, None if sample is None else Sample(**sample))
    answers = _outputs(adapters, outputs, asked)
    model_spec = ModelSpec(**spec)
    base = load_base(model_spec, device=accelerator())
    suites = [
        _Suite.make(base, name, rows, tables[name], max_new_tokens, batch) for name, rows in asked.items()
    ]
    settings = {"version": version, "batch": batch, "device": base.model.device.type, "with": versions()}
    settings |= {"asks": [[suite.name, suite.batches, [vars(ask) for ask in suite.asks]] for suite in suites]}
    stores = []
    for number, (adapter, files) in enumerate(answers.items()):
        folder = files["dataset"].parent
        own = identity(adapter, folder, spec=model_spec, features=tables.values(), settings=settings)
        stores.append(work / "answers" / own)
        part = f", adapter {number + 1} of {len(adapters)}" if len(adapters) > 1 else ""
        with adapted(base, adapter) as model:
            for suite in suites:
                suite.answer(model, base, files[suite.name], stores[-1], what=suite.name + part)
    for store in stores:
        shutil.rmtree(store, ignore_errors=True)


def _outputs(
    adapters: Sequence[Path], outputs: Sequence[Path], suites: Iterable[str]
) -> dict[Path, dict[str, Path]]:
    """Folder of an adapter -> suite -> where its answers go, by the run and the suite that the paths name."""
    named: dict[Run, dict[str, Path]] = {}
    for path in outputs:
        named.setdefault(Run.of(path), {})[path.stem] = path
    runs = {Run.of(path): path.parent for path in adapters}
    if named.keys() != runs.keys() or any(files.keys() != set(suites) for files in named.values()):
        raise ValueError(
            f"adapters of {len(runs)} runs are to answer the suites {', '.join(suites)}, but files are named for "
            f"{', '.join(map(str, outputs))}; name answers/<run>/<suite>.jsonl for each adapter and suite"
        )
    return {adapter: named[run] for run, adapter in runs.items()}


def _asked(questions: Sequence[Path], splits: Sequence[Path], sample: Sample | None) -> dict[str, list[Any]]:
    rows = {
        "dataset" if path.stem == "questions" else path.stem: read_jsonl(
            path, Question if path.stem == "questions" else SuiteQuestion
        )
        for path in questions
    }
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
