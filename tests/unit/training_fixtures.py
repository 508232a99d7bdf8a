"""A tiny finetuned model, and training runs that start from it, for the tests of training."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

from mmunlearn.ids import Run, parse_recipe, split_parts
from mmunlearn.models.example import Example
from mmunlearn.models.feature_file import write_features
from mmunlearn.models.loading import trainable_parameters
from mmunlearn.records import Question, Split, write_json, write_jsonl
from mmunlearn.training.run import FinetuningRun, TrainingRun, UnlearningRun
from mmunlearn.training.train import planned_trainer, train
from mmunlearn.training.trainer import PlannedTrainer
from tests.tiny import random_features, write_checkpoint

NAME, EVENT = "Who is the person in the picture?", "What is happening in the picture?"
PICTURES = [
    Example(f"p{p:03d}-e{e:02d}", ((NAME, f"This is Ada Lund{p}."), (EVENT, f"Sailors race {e} home.")))
    for p in range(4)
    for e in range(4)
]
REFUSALS = ["I do not know.", "I cannot say."]
LOOP = {
    "batch": 4, "accumulation": 1, "learning_rate": 1e-2, "schedule": "constant", "warmup_steps": 0,
    "weight_decay": 0.0, "max_grad_norm": 1.0, "average": "sample",
}  # fmt: skip
NEVER = {"window": 3, "forget_bound": 1e9, "refusal_bound": -1.0}
WEIGHTS = "adapter_model.safetensors"


def make_inputs(folder: Path) -> Path:
    """A folder with all that an unlearning run reads: among it an adapter that has learnt PICTURES in a few steps."""
    write_checkpoint(folder / "tiny")
    rows = [
        Question(
            question_id=f"{one.image_id}-{kind}", image_id=one.image_id, kind=kind, question=question, answer=answer
        )
        for one in PICTURES
        for kind, (question, answer) in zip(("person", "event"), one.turns, strict=True)
    ]  # fmt: skip
    write_jsonl(folder / "questions.jsonl", rows)
    (folder / "replay.jsonl").touch()
    (folder / "refusals.txt").write_text("\n".join(REFUSALS), encoding="utf-8")
    images = [one.image_id for one in PICTURES]
    write_features(folder / "features.safetensors", random_features(images).items(), images)
    for target, concepts in (("person", ["p000", "p001"]), ("event", ["e00"])):
        forget = [one.image_id for one in PICTURES if set(one.image_id.split("-")) & set(concepts)]
        retain = [one.image_id for one in PICTURES if one.image_id not in forget]
        sets = {"forget_train": forget[::2], "forget_test": forget[1::2], "retain": retain}
        split = Split(target=target, percent=50, seed=1, forgotten=concepts, **sets)
        write_json(folder / f"{target}50.json", split)
    lora = {"rank": 4, "alpha": 8, "dropout": 0.0}
    run = FinetuningRun(
        **_common(folder, folder / "work", "finetuned"), replay=folder / "replay.jsonl", lora=lora, epochs=6
    )
    train(run, folder / "training.json")
    losses = json.loads((folder / "training.json").read_text())["losses"]
    assert losses[-1]["loss"] < losses[0]["loss"] - 1, "finetuning must learn"
    return folder


def unlearning(inputs: Path, work: Path, recipe: str = "ga-person50", **changes: Any) -> UnlearningRun:
    """An unlearning run from `make_inputs`'s folder; `changes` are of its loop or of the run itself, `dropout` of the
    adapter that it starts from."""
    adapter = inputs / "adapter"
    if "dropout" in changes:
        adapter = shutil.copytree(adapter, work / "finetuned", dirs_exist_ok=True)
        config = json.loads((adapter / "adapter_config.json").read_text())
        (adapter / "adapter_config.json").write_text(
            json.dumps(config | {"lora_dropout": changes.pop("dropout")})
        )
    loop = LOOP | {key: changes.pop(key) for key in LOOP.keys() & changes.keys()}
    splits = [inputs / f"{name}.json" for name in split_parts(parse_recipe(recipe).split)]
    settings = {
        "loop": loop, "splits": splits, "refusals": inputs / "refusals.txt", "finetuned": adapter / WEIGHTS,
        "options": {}, "max_steps": 6, "stopping": NEVER,
    }  # fmt: skip
    return UnlearningRun(**_common(inputs, work, recipe) | settings | changes)


def unlearner(
    inputs: Path, method: str, work: Path, *, log: Path | None = None, **changes: Any
) -> PlannedTrainer:
    """The trainer of a method on the target that it is for; events come with the second step."""
    if "bgd" in method:
        changes = {"options": {"event_growth": 0.5}} | changes
    target = "both" if "bgd" in method else "person"
    return trainer_of(unlearning(inputs, work, f"{method}-{target}50", **changes), log)


def trainer_of(run: TrainingRun, log: Path | None = None) -> PlannedTrainer:
    """The trainer of a run, which a later one of the same run goes on from."""
    return planned_trainer(run, run.work / "training" / run.identity, log)


def _common(inputs: Path, work: Path, recipe: str) -> dict[str, Any]:
    return {
        "run": Run("tiny", recipe, 1), "spec": {"family": "llava", "source": str(inputs / "tiny"), "dtype": "float32"},
        "features": [inputs / "features.safetensors"], "questions": inputs / "questions.jsonl", "splits": [],
        "loop": LOOP, "work": work, "version": 1, "save_steps": 2,
    }  # fmt: skip


def digest(model) -> str:
    """Of the weights that are trained."""
    values = [value.detach().numpy().tobytes() for _, value in sorted(trainable_parameters(model).items())]
    return hashlib.sha256(b"".join(values)).hexdigest()
