"""Answers of models to every question of the suites: one loaded base, adapter after adapter, suite after suite."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from re import fullmatch
from typing import Any

import torch

from mmunlearn.evaluation.answer_store import AnswerStore, adapter_digests, identity
from mmunlearn.evaluation.sampling import Sample, pick
from mmunlearn.ids import WHOLE, Run
from mmunlearn.models.base import Base
from mmunlearn.models.collate import Collator
from mmunlearn.models.feature_file import FeatureTable
from mmunlearn.models.generation import Query, answer_all, batches_of
from mmunlearn.models.loading import ModelSpec, accelerator, adapted, check_recorded, load_base
from mmunlearn.models.picture_list import PictureList, open_features
from mmunlearn.provenance import versions
from mmunlearn.records import (
    Answer,
    Question,
    Split,
    SuiteQuestion,
    read_json,
    read_jsonl,
    write_jsonl,
)
from mmunlearn.spool import Spool, supersede

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
    precision: str = "none",
    sample: Mapping[str, Any] | None = None,
    splits: Sequence[Path] = (),
) -> None:
    """Answer every suite with every adapter; the base is loaded once, and equal adapters are asked once.

    Args:
        questions: questions.jsonl of the data set (Question rows), and `<suite>.jsonl` (SuiteQuestion rows).
        features: `<suite>.safetensors` each; of a model that keeps none `<suite>.jsonl`, of the data set
            images/manifest.parquet.
        adapters: `models/<run>/adapter/adapter_model.safetensors`.
        outputs: `answers/<run>/<suite>.jsonl`, one for each adapter and suite, in any order.
        spec: settings of `ModelSpec`.
        max_new_tokens: by kind of question.
        work: batches that are answered lie in `work/answers`: until something has read the answers, or, of several
            whole recipes, until its model is another one, so that a change of one does not ask the others again.
        precision: under which the adapters were trained: `loading.autocast`.
        version: of the rule; another one never goes on with an older one's batches.
        sample, splits: settings of `Sample`: which questions to ask, and on what they are scored; all without it.
    Raises:
        ValueError: not one output for each adapter and suite.
    """
    rows = _rows(questions, splits, sample)
    files = _outputs(adapters, outputs, rows)
    tables = {path.stem if path.suffix != ".parquet" else "dataset": open_features(path) for path in features}
    for name, asked in rows.items():
        tables[name].require(row.image_id for row in asked)
    same: dict[tuple[str, ...], list[Path]] = {}
    for path in adapters:
        check_recorded(path.parent)
        same.setdefault(adapter_digests(path.parent), []).append(path)
    model_spec = ModelSpec(**spec)
    base = load_base(model_spec, device=accelerator())
    suites = {
        name: Suite.of(base, rows[name], tables[name], max_new_tokens, batch, precision) for name in rows
    }
    settings = shaping(base, suites, version, batch)
    several = sum(bool(fullmatch(WHOLE, run.recipe)) for run in files) > 1
    spools = []
    for number, (digests, paths) in enumerate(same.items(), start=1):
        runs = [Run.of(path) for path in paths]
        said = {f"{run.folder}/{name}": files[run][name] for run in runs for name in rows}
        key = identity(digests, spec=model_spec, features=features, settings=settings, work=work)
        spools.append(Spool(work, "answers", said, key, stays=several))
        part = f", adapter {number} of {len(same)}" if len(adapters) > 1 else ""
        with adapted(base, paths[0].parent) as model:
            for name, suite in suites.items():
                answers = suite.answers(model, spools[-1].folder / name, what=name + part)
                for run in runs:
                    write_jsonl(files[run][name], answers)
                logger.info("%s: %d answers", name + part, len(answers))
    supersede(spools)


def shaping(base: Base, suites: Mapping[str, Suite], version: int, batch: int) -> dict[str, Any]:
    """What shapes answers to suites beside base, features and adapter: plain data for `answer_store.identity`."""
    asks = [[name, one.precision, one.batches, list(map(vars, one.queries))] for name, one in suites.items()]
    settings = {"version": version, "batch": batch, "device": base.model.device.type, "with": versions()}
    return settings | {"asks": asks}


def _outputs(
    adapters: Sequence[Path], outputs: Sequence[Path], suites: Iterable[str]
) -> dict[Run, dict[str, Path]]:
    """Run -> suite -> where its answers go, by the run and the suite that the paths name."""
    files: dict[Run, dict[str, Path]] = {}
    for path in outputs:
        files.setdefault(Run.of(path), {})[path.stem] = path
    runs = set(map(Run.of, adapters))
    if files.keys() != runs or any(of_run.keys() != set(suites) for of_run in files.values()):
        raise ValueError(
            f"adapters of {len(runs)} runs are to answer the suites {', '.join(suites)}, but files are named for "
            f"{', '.join(map(str, outputs))}; name answers/<run>/<suite>.jsonl for each adapter and suite"
        )
    return files


def _rows(
    questions: Sequence[Path], splits: Sequence[Path], sample: Mapping[str, Any] | None
) -> dict[str, list[Any]]:
    """Suite -> the questions that are asked."""
    rows: dict[str, list[Any]] = {}
    for path in questions:
        dataset = path.stem == "questions"
        rows["dataset" if dataset else path.stem] = read_jsonl(path, Question if dataset else SuiteQuestion)
    return (
        rows if sample is None else pick(rows, [read_json(path, Split) for path in splits], Sample(**sample))
    )


@dataclass(frozen=True)
class Suite:
    """Questions on pictures and how they are batched: the same for all adapters of a base."""

    rows: Sequence[Any]
    collator: Collator
    queries: Sequence[Query]
    batches: Sequence[Sequence[int]]
    precision: str = "none"

    @classmethod
    def of(
        cls,
        base: Base,
        rows: Sequence[Any],
        features: FeatureTable | PictureList,
        max_new_tokens: Mapping[str, int],
        batch: int,
        precision: str = "none",
        adapters: Sequence[str] | None = None,
    ) -> Suite:
        """Put rows (Question, SuiteQuestion or TaskQuestion) into batches.

        Args:
            max_new_tokens: by their kind.
            adapters: of every row, where several lie on the base; see `Query`.
        """
        collator = Collator(base, features)
        queries = [
            Query(row.image_id, row.question, max_new_tokens[row.kind], adapter)
            for row, adapter in zip(rows, adapters or [None] * len(rows), strict=True)
        ]
        return cls(rows, collator, queries, batches_of(collator, queries, batch), precision)

    def answers(
        self, model: torch.nn.Module, store: Path | None = None, what: str = "answers"
    ) -> list[Answer]:
        """The model's answers, in the order of the rows.

        Args:
            model: the base, mostly with an adapter.
            store: folder of the batches that were answered before, and will be.
            what: name of the progress bar.
        """
        names = [
            f"{query.adapter} {row.question_id}" if query.adapter else row.question_id
            for row, query in zip(self.rows, self.queries, strict=True)
        ]
        ids = [[names[i] for i in batch] for batch in self.batches]
        cache = None if store is None else AnswerStore(store, ids)
        asking = {"batches": self.batches, "cache": cache, "precision": self.precision}
        texts = answer_all(model, self.collator, self.queries, **asking, what=what)
        return [
            Answer(
                question_id=row.question_id, image_id=row.image_id, question=row.question, reference=row.answer,
                answer=text,
            )
            for row, text in zip(self.rows, texts, strict=True)
        ]  # fmt: skip
