"""LUMoE (MLUBench): an expert a task, all on one loaded base, and a gate that chooses one of them, or the base."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch

from mmunlearn.evaluation.answer_store import adapter_digests
from mmunlearn.lifelong.answers import Asking, of_tasks
from mmunlearn.lifelong.gates import GATES
from mmunlearn.lifelong.memory import Memory
from mmunlearn.lifelong.routing import GateReply, Route, routes_of
from mmunlearn.models.experts import BASE, expert_bytes, expert_name, with_experts
from mmunlearn.models.loading import check_recorded
from mmunlearn.provenance import peak_memory_gb
from mmunlearn.records import Answer, RecordError, read_jsonl, write_json, write_jsonl
from mmunlearn.spool import supersede
from mmunlearn.tasks import TaskQuestion, shown_after, so_far

logger = logging.getLogger(__name__)


def answer_experts(
    outputs: Mapping[str, Any],
    *,
    questions: Path,
    features: Path,
    adapters: Sequence[Path],
    replies: Path | Sequence[Path],
    spec: Mapping[str, Any],
    order: Sequence[str],
    gate: str,
    threshold: float | None,
    max_new_tokens: int,
    precision: str,
    batch: int,
    work: Path,
    version: int,
) -> None:
    """Write what the experts behind a gate say after each task, who was asked, and what is known without one of them.

    Every (expert, question) is asked once, in batches that mix experts; the stages only choose among the answers.
    Questions on strangers are routed, not asked.

    Args:
        outputs: `answers` and `routes`, `<sequence>/<task>/<name>.jsonl` of every task; `undo`: the answers to each
            task's forget questions after the last task, its own expert dropped; `memory`.
        adapters: `<experts>/<task>/adapter/adapter_model.safetensors` of every task, in any order.
        replies: gates/<gate>.jsonl; empty for gates that need none.
        order: the tasks, one after another.
        gate, threshold: as of `routes_of`.
        work, version: as of `answer_stages`.
    Raises:
        ValueError: not one file a task.
        RecordError: a picture has no reply.
        WeightsError: an expert is not whole, or not of this base.
    """
    files = {name: of_tasks(outputs[name], order, 0) for name in ("answers", "routes")}
    folders = {task: path.parent for task, path in of_tasks(adapters, order, 1).items()}
    experts = {} if gate == "none" else folders
    for folder in experts.values():
        check_recorded(folder)
    rows = read_jsonl(questions, TaskQuestion)
    seen = read_replies(replies, rows) if gate in GATES else {}

    def routed(asked: Iterable[TaskQuestion], tasks: Sequence[str]) -> list[Route]:
        return routes_of(asked, tasks, gate, seen, threshold, rows)

    stages = {task: routed(shown_after(rows, order, task), so_far(order, task)) for task in order}
    undone = [one for task in order for one in routed(forgotten(rows, task), others(order, task))]
    asked_ids = {row.question_id for row in rows if row.asked}
    asked_of = {
        task: [one for one in routes if one.question_id in asked_ids] for task, routes in stages.items()
    }
    asking = Asking.load(features, rows, spec, max_new_tokens, precision, batch, work, version)
    written = [outputs["undo"], outputs["memory"], *(path for of in files.values() for path in of.values())]
    digests = [digest for folder in experts.values() for digest in adapter_digests(folder)]
    with with_experts(asking.base, experts) as model:
        said = _ask(asking, model, rows, [*undone, *(one for routes in asked_of.values() for one in routes)],
                    digests, written)  # fmt: skip
        memory = memory_of(model, list(experts))
    for task, routes in asked_of.items():
        write_jsonl(files["routes"][task], stages[task])
        write_jsonl(files["answers"][task], [said[one.expert, one.question_id] for one in routes])
        logger.info("after task %s: %d answers, %d by the base", task, len(routes), _by_base(routes))
    write_jsonl(outputs["undo"], [said[one.expert, one.question_id] for one in undone])
    write_json(outputs["memory"], memory)
    supersede(asking.spools)


def read_replies(path: Path, rows: Iterable[TaskQuestion]) -> dict[str, GateReply]:
    """A gate's replies by image id. Raises RecordError where a picture that gates are shown has none."""
    replies = {reply.image_id: reply for reply in read_jsonl(path, GateReply)}
    for row in rows:
        if row.shown and row.image_id not in replies:
            raise RecordError(
                f"the gate's reply to picture {row.image_id} is asked for, but there is none in {path}; run the rule "
                f"ask_gate again (--forcerun ask_gate)"
            )
    return replies


def forgotten(rows: Iterable[TaskQuestion], task: str) -> list[TaskQuestion]:
    """The questions that are asked on what a task forgets."""
    return [row for row in rows if row.asked and row.role == "forget" and row.task == task]


def others(order: Iterable[str], task: str) -> list[str]:
    """The order without a task."""
    return [one for one in order if one != task]


def memory_of(model: torch.nn.Module, tasks: Sequence[str]) -> Memory:
    """What lies on the device: the base, and the tasks' experts."""
    sizes = [expert_bytes(model, task) for task in tasks]
    return Memory(
        base_bytes=expert_bytes(model, "")[0],
        expert_bytes=max((size for size, _ in sizes), default=0),
        parameters=max((number for _, number in sizes), default=0),
        experts=list(accumulate(size for size, _ in sizes)),
        peak_memory_gb=peak_memory_gb(),
    )


def _ask(
    asking: Asking,
    model: torch.nn.Module,
    rows: Iterable[TaskQuestion],
    routes: Iterable[Route],
    digests: Sequence[str],
    outputs: Sequence[Path],
) -> dict[tuple[str, str], Answer]:
    """(expert, question_id) -> answer, of every route, each asked once."""
    by_id = {row.question_id: row for row in rows}
    pairs = sorted({(one.expert, one.question_id) for one in routes})
    names = [expert_name(expert) if expert else BASE for expert, _ in pairs]
    suite = asking.suite([by_id[question_id] for _, question_id in pairs], names)
    return dict(zip(pairs, asking.answers(suite, model, digests, outputs, "experts"), strict=True))


def _by_base(routes: Iterable[Route]) -> int:
    return sum(not one.expert for one in routes)
