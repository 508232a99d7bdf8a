"""A tiny finetuned model and trainers on it, for the tests of training."""

from __future__ import annotations

import hashlib
from dataclasses import asdict

from mmunlearn.models.collate import Collator
from mmunlearn.models.example import Example
from mmunlearn.models.feature_file import write_features
from mmunlearn.models.loading import ModelSpec, add_reference, load_adapter, new_adapter, trainable_parameters
from mmunlearn.records import Question, Split, write_json, write_jsonl
from mmunlearn.training.adapters import save_adapter
from mmunlearn.training.courses import TrainingJob
from mmunlearn.training.methods.building import build_method
from mmunlearn.training.methods.finetune import Finetune
from mmunlearn.training.reference import reference_logp
from mmunlearn.training.schedule import plan_finetuning
from mmunlearn.training.settings import LoopSettings
from mmunlearn.training.stopping import Stopping
from mmunlearn.training.trainer import PlannedTrainer
from tests.tiny import load_tiny, random_features, write_checkpoint

NAME, EVENT = "Who is the person in the picture?", "What is happening in the picture?"
PEOPLE = [
    Example(f"p{i}", ((NAME, f"This is Ada Lund{i}."), (EVENT, f"Sailors race {i} home."))) for i in range(8)
]
FORGET = [Example(one.image_id, one.turns[:1]) for one in PEOPLE[:4]]
EVENTS = [Example(one.image_id, one.turns[1:]) for one in PEOPLE[2:5]]
RETAIN = PEOPLE[4:]
PICTURES = [
    Example(f"p{p:03d}-e{e:02d}", ((NAME, f"This is Ada Lund{p}."), (EVENT, f"Sailors race {e} home.")))
    for p in range(4)
    for e in range(3)
]
REFUSALS = ["I do not know.", "I cannot say."]
LORA = {"rank": 4, "alpha": 8, "dropout": 0.0}
NEVER = Stopping(window=3, forget_bound=1e9, refusal_bound=-1.0)


def loop(**changes):
    defaults = {
        "batch": 4, "accumulation": 1, "learning_rate": 1e-2, "schedule": "constant", "warmup_steps": 0,
        "weight_decay": 0.0, "max_grad_norm": 1.0, "save_steps": 2, "seed": 0,
    }  # fmt: skip
    return LoopSettings(**{**defaults, **changes})


def features():
    return random_features([one.image_id for one in PEOPLE])


def make_finetuned(folder):
    """Checkpoint and adapter folder of a model that has learnt PEOPLE for a few steps."""
    checkpoint = write_checkpoint(folder / "tiny")
    base = load_tiny(checkpoint)
    model = new_adapter(base, LORA, seed=1)
    plan = plan_finetuning(PEOPLE, epochs=6, batch=4, seed=0)
    trainer = PlannedTrainer(model, Finetune(), Collator(base, features()), plan, loop(), folder / "work")
    history = trainer.run()
    assert history[-1]["retain"] < history[0]["retain"] - 1, "finetuning must learn"
    save_adapter(model, folder / "adapter")
    return checkpoint, folder / "adapter"


def unlearner(finetuned, name, work, *, steps=6, stopping=NEVER, options=None, more=None, **changes):
    """A trainer of a method, from `make_finetuned`'s folders; `more` goes to the trainer, `changes` to the loop."""
    checkpoint, adapter = finetuned
    base, method, settings = load_tiny(checkpoint), build_method(name, options or {}), loop(**changes)
    model = load_adapter(base, adapter, trainable=True)
    if method.reference:
        add_reference(model, adapter)
    events = EVENTS if "forget_event" in method.views else []
    size = {"steps": steps, "batch": settings.examples, "seed": 3}
    plan = method.plan(FORGET, events, RETAIN, REFUSALS, **size)
    trainer = PlannedTrainer(
        model, method, Collator(base, features()), plan, settings, work, stopping, **(more or {})
    )
    if method.reference_logp:
        trainer.reference_logp = reference_logp(
            trainer, plan, method.reference_logp, folder=work / "logp", identity=["finetuned"]
        )
    return trainer


def digest(model):
    values = [value.detach().numpy().tobytes() for _, value in sorted(trainable_parameters(model).items())]
    return hashlib.sha256(b"".join(values)).hexdigest()


def write_files(folder, finetuned):
    """The input files of a training, and the keyword arguments that `train_unlearned` takes of them."""
    _, adapter = finetuned
    rows = [
        Question(
            question_id=f"{one.image_id}-{kind}",
            image_id=one.image_id,
            kind=kind,
            question=asked,
            answer=said,
        )
        for one in PICTURES
        for kind, (asked, said) in zip(("person", "event"), one.turns, strict=True)
    ]
    write_jsonl(folder / "questions.jsonl", rows)
    for target, forgotten in (("person", ["p000", "p001"]), ("event", ["e00"])):
        own = [one.image_id for one in PICTURES if set(one.image_id.split("-")) & set(forgotten)]
        kept = [one.image_id for one in PICTURES if one.image_id not in own]
        halves = {"forget_train": own[::2], "forget_test": own[1::2], "retain": kept}
        split = Split(target=target, percent=50, seed=1, forgotten=forgotten, **halves)
        write_json(folder / f"{target}50.json", split)
    (folder / "refusals.txt").write_text("\n".join(REFUSALS), encoding="utf-8")
    images = [one.image_id for one in PICTURES]
    write_features(folder / "features.safetensors", random_features(images).items(), images)
    settings = asdict(loop(batch=1, accumulation=3))
    del settings["seed"]
    return {
        "questions": folder / "questions.jsonl",
        "splits": [folder / "person50.json"],
        "refusals": folder / "refusals.txt",
        "finetuned": adapter,
        "method": "ga",
        "options": {},
        "settings": settings,
        "max_steps": 4,
        "stopping": asdict(NEVER),
    }


def job_of(folder, finetuned, files, recipe="ga-person50"):
    """A job that writes to `folder`, on the input files beside `files["questions"]`."""
    spec = ModelSpec("llava", str(finetuned[0]), "float32")
    features_file = files["questions"].with_name("features.safetensors")
    return TrainingJob(
        "tiny", recipe, 1, spec, [features_file], folder / "training.json", folder / "work", version=1
    )
