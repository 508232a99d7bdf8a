"""Training in sequence: a method forgets task after task, each time from its own result of the task before.

MLUBench's released code trains without pictures, pairs a forget question with the same retain question in every epoch
and keeps a second copy of the model as reference. Here the picture is in every loss, pairs are drawn anew in every
epoch, and the reference is an adapter on the same base.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch

from mmunlearn.files import read_refusals
from mmunlearn.ids import Run
from mmunlearn.lifelong.stage_store import ADAPTER, is_whole, link_stage, new_stage
from mmunlearn.models.example import Example
from mmunlearn.models.features import ENCODING
from mmunlearn.models.identity import base_identity
from mmunlearn.models.loading import ModelSpec, load_base, new_adapter
from mmunlearn.records import Training, digest_of, read_json, read_jsonl
from mmunlearn.seeds import derive_seed
from mmunlearn.spool import finished, release
from mmunlearn.tasks import TaskQuestion, TaskSequence, order_id
from mmunlearn.training.adapters import WEIGHTS, save_adapter
from mmunlearn.training.launch import launch
from mmunlearn.training.methods.base import Method
from mmunlearn.training.methods.building import build_method
from mmunlearn.training.run import TrainingRun
from mmunlearn.training.schedule import Step, steps_of
from mmunlearn.training.sets import group_questions
from mmunlearn.training.stopping import Stopping
from mmunlearn.training.train import train
from mmunlearn.weights.tensors import free_memory

STORE = Path("lifelong")
"""Of finished stages, below the folder of work."""
logger = logging.getLogger(__name__)


class TaskSets(NamedTuple):
    """What a task forgets, one question an example, and what it retains, all questions of a picture."""

    forget: list[Example]
    retain: list[Example]


@dataclass(frozen=True, kw_only=True)
class StageRun(TrainingRun):
    """One task of a sequence. The recipe of its `run` is the method's row and the tasks so far: `ga-ABC`.

    Attributes:
        task: whose questions are forgotten and retained.
        method_name: of the method, registered or by `path` in its options.
        options: of the method.
        method_code: digest of the code that decides what the method learns.
        encoding: version of the rule that encodes pictures.
        refusals: file of one a line.
        start, reference: folders of the adapters that training starts from, and of the frozen reference.
        lora, lora_targets: of the sequence's first adapter, which all later ones descend from.
        max_steps: optimizer steps at most; None: the epochs alone count.
        epochs: passes over the forget set at most; None: the steps alone count.
        stop: settings of Stopping; None: every planned step is done.
        apart: the sequence, for the stage's folder while it is made: two that begin alike may be trained at one time.
    """

    splits: Sequence[Path] = field(default_factory=list)
    task: str
    method_name: str
    options: Mapping[str, Any]
    method_code: str
    encoding: int | str = ENCODING
    refusals: Path
    start: Path = field()
    reference: Path = field()
    lora: Mapping[str, Any]
    lora_targets: str | None = None
    max_steps: int | None = None
    epochs: float | None = None
    stop: Mapping[str, Any] | None = None
    apart: str = field()

    @cached_property
    def method(self) -> Method:
        return build_method(self.method_name, self.options)

    @cached_property
    def sets(self) -> TaskSets:
        return read_task(self.questions, self.task)

    @cached_property
    def plan(self) -> list[Step]:
        batch, (forget, retain) = self.loop_settings.examples, self.sets
        limits = [self.max_steps, self.epochs and steps_of(self.epochs, len(forget), batch)]
        steps = min((one for one in limits if one is not None), default=None)
        if steps is None:
            raise ValueError(f"task {self.task} is to be unlearned without an end; set max_steps or epochs")
        refusals, size = read_refusals(self.refusals), {"steps": steps, "batch": batch}
        return self.method.plan(forget, [], retain, refusals, **size, seed=self.order_seed)

    @property
    def epoch(self) -> int:
        return len(self.sets.forget)

    @property
    def inputs(self) -> list[Path]:
        """Of the questions those of the task count alone: see `recorded`."""
        return [self.refusals]

    @cached_property
    def base_digests(self) -> list[Any]:
        """What stands for the base and for the features of this task's own pictures: the pictures' bytes, and how they
        are encoded.

        The file of features is made anew when any task changes, so neither its time nor its bytes count. Unseen go
        features that came out otherwise of an equal picture: by another version of a library, in the last bits by
        another batch, or put there by hand.
        """
        pictures = {(row.image_id, row.sha256) for row in _trained(self.questions, self.task)}
        return [base_identity(self.model_spec, self.work), self.encoding, sorted(pictures)]

    @property
    def recorded(self) -> dict[str, Any]:
        return {
            "task": self.task,
            "questions": digest_of([[asdict(one) for one in part] for part in self.sets]),
            "method": self.method_name,
            "options": dict(self.options),
            "method_code": self.method_code,
            "max_steps": self.max_steps,
            "max_epochs": self.epochs,
            "stopping": dict(self.stop) if self.stop else None,
            "lora": {**self.lora, "targets": self.lora_targets},
            "start": self._checksum(self.start / WEIGHTS),
            "reference": self._checksum(self.reference / WEIGHTS),
        }

    @property
    def code(self) -> list[str]:
        """`method_code` is recorded."""
        return []

    @property
    def stopping_rule(self) -> Stopping | None:
        return Stopping(**self.stop) if self.stop else None

    @property
    def checks_start(self) -> bool:
        return self.stop is not None


def read_task(questions: Path, task: str) -> TaskSets:
    """The questions of a task that models are trained on.

    Raises:
        ValueError: there are none to forget, or none to retain.
    """
    rows = _trained(questions, task)
    forget = [Example(row.image_id, ((row.question, row.answer),)) for row in rows if row.role == "forget"]
    retain = group_questions(row for row in rows if row.role == "retain")
    if not forget or not retain:
        raise ValueError(
            f"task {task}: questions to forget and to retain are asked for; {questions} holds {len(forget)} to forget "
            f"and {len(retain)} pictures to retain that are trained on. Name tasks with both in lifelong.tasks, or "
            "lower lifelong.test_share."
        )
    return TaskSets(forget, retain)


def _trained(questions: Path, task: str) -> list[TaskQuestion]:
    return [row for row in read_jsonl(questions, TaskQuestion) if row.task == task and row.trained]


def unlearn_tasks(
    output: Mapping[str, Sequence[Path]],
    sequence: TaskSequence,
    *,
    order: Sequence[str],
    rates: Mapping[str, float],
    reference_model: Literal["first", "previous"],
    **settings: Any,
) -> None:
    """Unlearn tasks one after another, in one job: training.json, steps.jsonl and the folder `adapter` of each.

    A finished stage stays in `work/lifelong/`, under a digest of all that shapes it, its start among that. So a job
    that was killed goes on where it was, another rate for the last task trains that one alone, and orders share the
    tasks with which they begin alike.

    Args:
        output: `trainings`: training.json of every task, each in its task's folder.
        order: the tasks as they come.
        rates: task -> learning rate.
        reference_model: before the first task, or before the one that is being forgotten.
        settings: of `stage_run`, the same in all stages.
    """
    places = {path.parent.name: path.parent for path in output["trainings"]}
    run, apart = Run(sequence.model, sequence.method, sequence.seed), digest_of(sequence)
    start = first = first_adapter(run, settings, apart)
    for number, task in enumerate(order, start=1):
        reference = first if reference_model == "first" else start
        folders = {"start": start, "reference": reference, "apart": apart}
        stage = stage_run(run, order[:number], rates[task], **folders, **settings)
        start = train_stage(stage, places[task]) / ADAPTER


def stage_run(
    run: Run,
    tasks: Sequence[str],
    learning_rate: float,
    *,
    features: Path,
    loop: Mapping[str, Any],
    logs: Path | None = None,
    **fields: Any,
) -> StageRun:
    """The run of the last of some tasks.

    Args:
        run: model, the method's row as recipe, and seed.
        tasks: the task and those before it.
        loop: settings of LoopSettings without the rate.
        logs: folder in which each task's logs have one of their own.
        fields: the others of StageRun.
    """
    *_, task = tasks
    return StageRun(
        run=run._replace(recipe=f"{run.recipe}-{order_id(tasks)}"),
        task=task,
        features=[features],
        loop={**loop, "learning_rate": learning_rate},
        logs=logs and logs / task,
        **fields,
    )


def first_adapter(run: Run, settings: Mapping[str, Any], apart: str) -> Path:
    """The folder of a new adapter, B = 0, with which a model is its base: where every sequence of a seed starts.

    Args:
        run: its model and its seed count.
        settings: `spec`, `lora`, `lora_targets` and `work`, as of StageRun.
        apart: as of StageRun.
    """
    spec = ModelSpec(**settings["spec"], lora_targets=settings.get("lora_targets"))
    lora, work = dict(settings["lora"]), settings["work"]
    shapes = [base_identity(spec, work), {**asdict(spec), "source": ""}, lora, run.model, run.seed]
    folder = work / STORE / digest_of(["first adapter", *shapes])
    if not is_whole(folder):
        with new_stage(folder, apart) as making:
            seed = derive_seed(run.seed, run.model, "lifelong adapter")
            save_adapter(new_adapter(load_base(spec), lora, seed), making / ADAPTER)
        free_memory()
    return folder / ADAPTER


def train_stage(run: StageRun, output: Path) -> Path:
    """Give `output` the files of a stage, which is trained where it is not there yet. Returns where it stays."""
    folder, training = run.work / STORE / run.identity, output / "training.json"
    there = is_whole(folder)
    if not there:
        logger.info("task %s: unlearning; %s grows step by step", run.task, output / "steps.jsonl")
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
        launch(train, run, output=training)
        with new_stage(folder, run.apart) as making:
            link_stage(output, making)
        free_memory()  # the next stage loads the base once more
    link_stage(folder, output)
    release(finished(run.work, [output / ADAPTER / WEIGHTS]))  # it stays here
    done = read_json(training, Training)
    how = "was there, with" if there else "took"
    logger.info("task %s %s %d steps: %s", run.task, how, done.steps, done.stop_reason)
    return folder
