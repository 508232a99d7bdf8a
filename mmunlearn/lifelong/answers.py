"""What a model says before it unlearns and after each task of an order: one loaded base, an adapter a stage."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mmunlearn.evaluation.answer_store import adapter_digests, identity
from mmunlearn.evaluation.answers import Suite, shaping
from mmunlearn.models.base import Base
from mmunlearn.models.loading import ModelSpec, accelerator, adapted, check_recorded, load_base
from mmunlearn.models.picture_list import open_features
from mmunlearn.records import Answer, RecordError, read_jsonl, write_jsonl
from mmunlearn.spool import Spool, supersede
from mmunlearn.tasks import TaskQuestion, asked_after

logger = logging.getLogger(__name__)


def answer_before(
    output: Path,
    *,
    questions: Path,
    features: Path,
    spec: Mapping[str, Any],
    known_only: bool,
    max_new_tokens: int,
    precision: str,
    batch: int,
    work: Path,
    version: int,
) -> None:
    """Write what the base says without an adapter.

    Args:
        questions: TaskQuestion rows of the data set.
        known_only: ask every question, also those of training, since those that it cannot answer are left out.
    """
    rows = read_jsonl(questions, TaskQuestion)
    rows = [row for row in rows if row.asked or (known_only and row.trained)]
    asking = Asking.load(features, rows, spec, max_new_tokens, precision, batch, work, version)
    suite = asking.suite(rows)
    write_jsonl(output, asking.answers(suite, asking.base.model, (), [output], "before"))
    supersede(asking.spools)


def answer_stages(
    outputs: Sequence[Path],
    *,
    questions: Path,
    features: Path,
    adapters: Sequence[Path],
    spec: Mapping[str, Any],
    order: Sequence[str],
    max_new_tokens: int,
    precision: str,
    batch: int,
    work: Path,
    version: int,
) -> None:
    """Write what a method's models say to the questions of the tasks so far and of the untouched entities.

    Equal adapters are asked once, all that the last of their stages asks.

    Args:
        outputs: `<sequence>/<task>/answers.jsonl` of every task, in any order.
        questions: TaskQuestion rows of the model.
        adapters: `<sequence>/<task>/adapter/adapter_model.safetensors` of every task, in any order.
        order: the tasks, one after another.
        work: batches that are answered lie in `work/answers` until something has read the answers.
        version: of the rule; another one never goes on with an older one's batches.
    Raises:
        ValueError: not one output and one adapter a task.
    """
    files = of_tasks(outputs, order, 0)
    folders = {task: path.parent for task, path in of_tasks(adapters, order, 1).items()}
    rows = read_jsonl(questions, TaskQuestion)
    stages: dict[tuple[str, ...], list[str]] = {}
    for task, folder in folders.items():
        check_recorded(folder)
        stages.setdefault(adapter_digests(folder), []).append(task)
    asking = Asking.load(features, rows, spec, max_new_tokens, precision, batch, work, version)
    for digests, tasks in stages.items():
        suite = asking.suite(asked_after(rows, order, tasks[-1]))
        with adapted(asking.base, folders[tasks[-1]]) as model:
            said = asking.answers(suite, model, digests, outputs, f"after {', '.join(tasks)}")
        by_question = {one.question_id: one for one in said}
        for task in tasks:
            asked = asked_after(rows, order, task)
            write_jsonl(files[task], [by_question[row.question_id] for row in asked])
            logger.info("after task %s: %d answers", task, len(asked))
    supersede(asking.spools)


def of_tasks(paths: Sequence[Path], order: Sequence[str], depth: int) -> dict[str, Path]:
    """Task -> its file, in the order.

    Args:
        depth: folders between the task's and the file.
    Raises:
        ValueError: not one file a task.
    """
    files = {path.parents[depth].name: path for path in paths}
    if len(files) < len(paths) or files.keys() != set(order):
        raise ValueError(
            f"one file of each of the tasks {', '.join(order)} is asked for, but files are named for "
            f"{', '.join(path.parents[depth].name for path in paths) or 'none'}; name <sequence>/<task>/... for each"
        )
    return {task: files[task] for task in order}


@dataclass
class Asking:
    """One job's questions: the loaded base, and how it is asked. Killed, the job goes on with what it has.

    Attributes:
        spools: of the batches that it has asked, for `spool.supersede`.
    """

    base: Base
    spec: ModelSpec
    features: Path
    max_new_tokens: int
    precision: str
    batch: int
    work: Path
    version: int

    def __post_init__(self) -> None:
        self._table, self.spools = open_features(self.features), []

    @classmethod
    def load(
        cls, features: Path, rows: Sequence[TaskQuestion], spec: Mapping[str, Any], *settings: Any
    ) -> Asking:
        """Load the base, once it is seen that the pictures of all rows have features.

        Args:
            spec: settings of `ModelSpec`.
            settings: the further attributes, in their order.
        Raises:
            RecordError: there are no rows, or a picture has no features.
        """
        if not rows:
            raise RecordError(
                f"questions are to be asked on the pictures of {features}, but there are none; selection.json beside "
                f"it counts what was left out by lifelong.known_only"
            )
        open_features(features).require(row.image_id for row in rows)
        model_spec = ModelSpec(**spec)
        return cls(load_base(model_spec, device=accelerator()), model_spec, features, *settings)

    def suite(self, rows: Sequence[TaskQuestion], adapters: Sequence[str] | None = None) -> Suite:
        """Rows in batches; `adapters` of each where several lie on the base."""
        limits = {TaskQuestion.kind: self.max_new_tokens}
        return Suite.of(self.base, rows, self._table, limits, self.batch, self.precision, adapters)

    def answers(
        self, suite: Suite, model: torch.nn.Module, adapter: Sequence[str], outputs: Sequence[Path], what: str
    ) -> list[Answer]:
        """What a model says, in the order of the suite's rows.

        Args:
            adapter: checksums of all that lies on the base.
            outputs: of the job; its batches lie in `work/answers` until something has read one of them.
        """
        settings = shaping(self.base, {"": suite}, self.version, self.batch)
        key = identity(adapter, spec=self.spec, features=[self.features], settings=settings, work=self.work)
        spool = Spool(self.work, "answers", {str(path): path for path in outputs}, key)
        self.spools.append(spool)
        return suite.answers(model, spool.folder, what)
