"""What a sequence costs by the number of its tasks, and what is back when an expert is dropped.

`lifelong_cost.csv` has a row a stage of every method (not of what is no method, see `references`):

- `tasks`: how many are unlearned; `stage`: the last of them;
- `steps`, `stop_reason`, `seconds`: optimizer steps of this task, why they ended, and how long its training took;
- `seconds_so_far`: of all tasks up to it. An expert is trained once, whatever the orders and gates;
- `adapters`, `adapter_bytes`: files that answer after this stage: the last one, or all experts;
- `memory_bytes`: the loaded base with them; `peak_memory_gb`: of this task's training.

`lifelong_undo.csv` has a row a task of every such row of experts: the share of its forget answers that know, `before`
anything is unlearned, `with_expert` after the last task, and `without_expert`, its own dropped, with a 95% interval
over entities. `left_out` as in mlubench.csv.

In both `missing_pictures` is as there, and `digest` of all inputs: trainings and memory without what was timed; scores,
and answers of both.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from pathlib import Path

from mmunlearn import escape
from mmunlearn.evaluation.intervals import Sums, cluster_sums, interval, mean
from mmunlearn.evaluation.key_words import knows
from mmunlearn.lifelong.memory import Memory
from mmunlearn.lifelong.scores import ALL
from mmunlearn.records import (
    Answer,
    Record,
    RecordError,
    Training,
    digest_of,
    read_json,
    read_jsonl,
    sha256_of,
)
from mmunlearn.reporting.layout import MISSING, Table, full, select, values
from mmunlearn.reporting.lifelong_cells import Group
from mmunlearn.reporting.typeset import grid
from mmunlearn.seeds import derive_seed
from mmunlearn.tasks import TaskSequence

TIMED = {"seconds", "peak_memory_gb"}
COST_COLUMNS = (
    *(
        "model",
        "method",
        "order",
        "seed",
        "tasks",
        "stage",
        "steps",
        "stop_reason",
        "seconds",
        "seconds_so_far",
    ),
    *("adapters", "adapter_bytes", "memory_bytes", "peak_memory_gb", "missing_pictures", "digest"),
)
UNDO_COLUMNS = (
    *(
        "model",
        "method",
        "order",
        "seed",
        "task",
        "n",
        "before",
        "with_expert",
        "without_expert",
        "low",
        "high",
    ),
    *("left_out", "missing_pictures", "digest"),
)
Stages = Mapping[str, tuple[Training, int]]  # task -> its training, and bytes of its adapter


def read_trainings(paths: Iterable[Path], adapters: Iterable[Path]) -> dict[tuple[str, ...], Stages]:
    """Folder of a sequence, or of experts, below `lifelong/` -> its stages.

    Args:
        paths, adapters: `<task>/training.json` and `<task>/adapter/adapter_model.safetensors` of every stage.
    """
    found: dict[tuple[str, ...], dict[str, tuple[Training, int]]] = {}
    sizes = {path.parents[1]: path.stat().st_size for path in adapters}
    for path in paths:
        size = sizes[path.parent]
        parts = path.parts[path.parts.index("lifelong") + 1 : -2]
        found.setdefault(parts, {})[path.parent.name] = (read_json(path, Training), size)
    return found


def cost_rows(
    every: Sequence[Group],
    trainings: Mapping[tuple[str, ...], Stages],
    experts: Mapping[tuple[str, ...], Stages],
    memory: Mapping[TaskSequence, Memory],
    references: Sequence[str],
) -> Table:
    """A row a stage of every sequence of the groups, but of references, which nobody trains for themselves."""
    rows: Table = []
    for one in (one for group in every for one in group if one.method not in references):
        sequence = TaskSequence(one.model, one.method, one.order, one.seed)
        own = trainings.get(tuple(sequence.folder.split("/")))
        stages = own or experts[one.model, "experts", f"seed-{one.seed}"]
        seconds = list(accumulate(stages[task][0].seconds for task in one.tasks))
        sizes = [stages[task][1] for task in one.tasks]
        known = memory_of(sequence, memory)
        held = bytes_of(known, sequence in memory, len(one.tasks))
        for at, task in enumerate(one.tasks):
            training, size = stages[task]
            rows.append({
                "model": one.model, "method": one.label, "order": one.order, "seed": str(one.seed),
                "tasks": str(at + 1), "stage": task, "steps": str(training.steps),
                "stop_reason": training.stop_reason, "seconds": full(training.seconds),
                "seconds_so_far": full(seconds[at]), "adapters": str(1 if own else at + 1),
                "adapter_bytes": str(size if own else sum(sizes[: at + 1])),
                "memory_bytes": held[at], "peak_memory_gb": full(training.peak_memory_gb),
                "digest": _digest_of([known, *(stages[name][0] for name in one.tasks[: at + 1])]),
            })  # fmt: skip
    return rows


def _digest_of(records: Iterable[Record | None]) -> str:
    """Without what was timed: equal models have equal digests."""
    return digest_of([one and one.model_dump(mode="json", exclude=TIMED) for one in records])


def memory_of(sequence: TaskSequence, memory: Mapping[TaskSequence, Memory]) -> Memory | None:
    """What tells a sequence's memory: its own file, else that of some experts of its model, where there is one."""
    others = [one for at, one in memory.items() if at.model == sequence.model and one.experts]
    return memory.get(sequence) or next(iter(others), None)


def bytes_of(memory: Memory | None, own: bool, tasks: int) -> list[str]:
    """Bytes of base and adapters after every task; one adapter is as large as any other. Empty cells where unknown."""
    if memory is None:
        return [""] * tasks
    sizes = memory.experts if own else [memory.expert_bytes] * tasks
    return [str(memory.base_bytes + size) for size in sizes]


def undo_rows(
    every: Sequence[Group],
    undo: Mapping[TaskSequence, Path],
    before: Mapping[str, Path],
    references: Sequence[str],
    resamples: int,
) -> Table:
    """A row a task of every sequence of experts; `before`: model -> the base's answers."""
    rows: Table = []
    for one in (one for group in every for one in group if one.method not in references):
        sequence = TaskSequence(one.model, one.method, one.order, one.seed)
        if sequence not in undo:
            continue
        after = read_jsonl(undo[sequence], Answer)
        base = {row.question_id: row for row in read_jsonl(before[one.model], Answer)}
        for task in one.tasks:
            cell = one.at[task, "forget", one.tasks[-1], "knows", ALL]
            asked = [row for row in after if row.question_id.startswith(f"{task}-forget-")]
            if len(asked) != cell.n:
                raise RecordError(
                    f"Asked {undo[sequence]} for the {cell.n} answers on what task {task} forgets. Found {len(asked)}. "
                    "Run the rule that wrote it again (--forcerun answer_experts)."
                )
            sums, was = (_known(part) for part in (asked, [base[row.question_id] for row in asked]))
            seed = derive_seed(one.seed, "bootstrap")
            low, high = (
                interval(sums, seed=seed, resamples=resamples, ends=(0.0, 1.0)) if asked else (None, None)
            )
            rows.append({
                "model": one.model, "method": one.label, "order": one.order, "seed": str(one.seed), "task": task,
                "n": str(cell.n), "before": full(mean(was)) if asked else "", "with_expert": full(cell.value),
                "without_expert": full(mean(sums)) if asked else "", "low": full(low), "high": full(high),
                "left_out": str(cell.left_out),
                "digest": digest_of([one.digests, *map(sha256_of, (undo[sequence], before[one.model]))]),
            })  # fmt: skip
    return rows


def _known(rows: Sequence[Answer]) -> Sums:
    """By entity, which of some answers know the reference."""
    values = [float(knows(row.answer, row.reference, row.question)) for row in rows]
    return cluster_sums(values, [row.image_id.rpartition("/")[0] for row in rows])


def steps_notes(costs: Table, order: str) -> dict[str, list[str]]:
    """Model -> the steps of every task of every method, as paragraphs of Markdown."""
    notes: dict[str, list[str]] = {}
    for model in values(costs, "model"):
        rows = select(costs, model=model, order=order)
        tasks = values(rows, "stage")
        lines = []
        for method, seed in dict.fromkeys((row["method"], row["seed"]) for row in rows):
            own = {row["stage"]: row["steps"] for row in select(rows, method=method, seed=seed)}
            lines.append([escape.markdown(method), seed, *(own.get(task, MISSING) for task in tasks)])
        if lines:
            text = "Optimizer steps of every task; why they ended stands in lifelong_cost.csv."
            notes[model] = [text, grid(["Method", "Seed", *tasks], lines)]
    return notes
