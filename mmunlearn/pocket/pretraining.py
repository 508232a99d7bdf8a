"""Pretrain the pocket base model from scratch, in stages that a killed run resumes from.

A. the vision tower, on the renderer's own truth (``tower``);
B. the projector and the language model, on cached features of the frozen tower;
C. the same with yes/no answers weighted up and fewer questions about who a stranger is.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from mmunlearn.files import read_yaml
from mmunlearn.pocket.architecture import Sizes, build_model, build_processor, build_tokenizer
from mmunlearn.pocket.pretraining_data import Pool, PoolSettings, load_pool
from mmunlearn.pocket.pretraining_text import NO, YES, Exercises, exercises, tokenizer_corpus
from mmunlearn.pocket.resources import pocket_resource
from mmunlearn.pocket.tower import StageSettings, TowerSettings, normalise, optimise, train_tower
from mmunlearn.pocket.worlds import pretraining_world
from mmunlearn.progress import progress
from mmunlearn.provenance import versions
from mmunlearn.records import atomic_path, digest_of, sha256_of, write_json
from mmunlearn.weights.tensors import check_finite

if TYPE_CHECKING:
    import torch

    from mmunlearn.models.base import Base, Features

DATA_FILES = (
    "figures.jsonl",
    "pretraining_events.jsonl",
    "entities.jsonl",
    "common_questions.yaml",
    "pretraining_words.yaml",
)
SUPERVISION = (
    "The vision tower is supervised with the renderer's own truth (objects, attributes and names at every patch); "
    "real LLaVA pretraining has no such teacher."
)


class LanguageSettings(StageSettings):
    """Stages B and C.

    Attributes:
        exercises: what a picture is asked.
        yes_no_weight: weight of the tokens of a yes/no answer; other answers' tokens weigh 1.
    """

    exercises: Exercises
    yes_no_weight: float


class Settings(BaseModel):
    """Everything that the weights follow from, beside the data files."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int
    sizes: Sizes
    pools: PoolSettings
    tower: TowerSettings
    language: LanguageSettings
    continuation: LanguageSettings


def read_settings(path: Path | None = None) -> Settings:
    """Read settings from a YAML file, by default the shipped one."""
    return Settings.model_validate(read_yaml(path or pocket_resource("pretraining.yaml")))


def pretrain(
    output_folder: Path, settings: Settings, threads: int, work_folder: Path = Path("work/pocket-pretraining")
) -> dict[str, Any]:
    """Pretrain a model and write its checkpoint and card.

    Args:
        output_folder: gets the checkpoint (float16 safetensors, processor) and ``card.json``.
        settings: sizes, steps, rates and seed; with the data files they alone decide the weights.
        threads: threads and drawing processes.
        work_folder: holds pools and stages, each under the digest of all that it depends on.

    Returns:
        The card.
    """
    import torch

    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)
    base = _untrained(settings)
    data = {name: sha256_of(pocket_resource(name)) for name in DATA_FILES}
    rows = [data[name] for name in DATA_FILES if name.endswith(".jsonl")]
    key = digest_of([settings.seed, settings.sizes.image, settings.pools.model_dump(), rows])
    clock = time.perf_counter()
    pools = _pools(base, settings, work_folder / f"pools-{key}", threads)
    seconds = {"pools": _seconds(work_folder / f"pools-{key}" / "seconds.json", clock)}
    stages = {"tower": _tower_stage, "language": _language_stage, "continuation": _language_stage}
    for name, run in stages.items():
        key = digest_of([key, data, settings.sizes.model_dump(), getattr(settings, name).model_dump()])
        work = partial(run, base, pools["training"], settings, name, threads)
        seconds[name] = _stage(base.model, work_folder / f"{name}-{key}.safetensors", work)
    base.model.half().save_pretrained(output_folder)
    base.processor.save_pretrained(output_folder)
    card = _card(output_folder, settings, pools, data, seconds, threads)
    write_json(output_folder / "card.json", card)
    return card


def _untrained(settings: Settings) -> Base:
    """Build tokenizer, processor and initial weights."""
    import torch

    from mmunlearn.models.families import FAMILIES

    tokenizer = build_tokenizer(
        tokenizer_corpus(pretraining_world(), settings.seed), settings.sizes.vocabulary
    )
    torch.manual_seed(settings.seed)
    model = build_model(tokenizer, settings.sizes)
    return FAMILIES.load("llava")(model, build_processor(tokenizer, settings.sizes))


def _pools(base: Base, settings: Settings, folder: Path, threads: int) -> dict[str, Pool]:
    """Draw the training and the held-out pool, or read them."""

    def resize(images: list[Any]) -> np.ndarray:
        """Resize as the processor does, without its normalisation."""
        resized = base.processor.image_processor(
            images, do_rescale=False, do_normalize=False, return_tensors="np"
        )
        return np.asarray(resized["pixel_values"], np.uint8).transpose(0, 2, 3, 1)

    return {
        name: load_pool(folder, name, settings.pools, resize, settings.seed, threads)
        for name in ("training", "held-out")
    }


def _stage(model: torch.nn.Module, path: Path, run: Callable[[], None]) -> float:
    """Run one stage and save all weights, or read those of an earlier run; return its seconds."""
    from safetensors.torch import load_model, save_model

    clock = time.perf_counter()
    if path.is_file():
        load_model(model, path)
        check_finite(
            path, model.state_dict(), "move this file of the earlier run away: the stage is run again"
        )
    else:
        run()
        with atomic_path(path) as temporary:
            save_model(model, str(temporary))
    return _seconds(path.with_suffix(".json"), clock)


def _seconds(path: Path, clock: float) -> float:
    """Return the seconds since ``clock``, or those of the earlier run that did the work."""
    if not path.is_file():
        write_json(path, round(time.perf_counter() - clock, 1))
    return json.loads(path.read_text(encoding="utf-8"))


def _tower_stage(base: Base, pool: Pool, settings: Settings, _: str, threads: int) -> None:
    import torch

    torch.manual_seed(settings.seed + 1)
    train_tower(base.model, pool, pretraining_world(), settings.tower, settings.seed, threads)


def _language_stage(base: Base, pool: Pool, settings: Settings, name: str, threads: int) -> None:
    """Train all but the tower on features of every picture and of its mirrored twin."""
    from mmunlearn.models.collate import Collator
    from mmunlearn.models.example import Example

    stage: LanguageSettings = getattr(settings, name)
    world, rng = pretraining_world(), random.Random(f"{name} {settings.seed}")
    features = _features(base.model, pool, threads)
    collator = Collator(base, _FeaturesByNumber(features))
    weights = [weight for part, weight in base.model.named_parameters() if "vision_tower" not in part]
    base.model.train()

    def draw(count: int) -> list[Example]:
        examples = []
        for number in [rng.randrange(len(features)) for _ in range(count)]:
            picture = pool.annotations[number % len(pool.annotations)]  # the second half are mirrored twins
            examples.append(Example(str(number), tuple(exercises(picture, world, stage.exercises, rng))))
        return examples

    def loss_of(examples: list[Example]) -> torch.Tensor:
        return language_loss(base.model, collator, examples, stage.yes_no_weight)

    optimise(name, stage, weights, draw, loss_of, threads)


class _FeaturesByNumber(dict):
    """Features by the number of the picture as text, float32 (tokens, width), held as float16."""

    def __init__(self, features: torch.Tensor) -> None:
        super().__init__()
        self._features = features

    def __missing__(self, number: str) -> Features:
        return {"features": self._features[int(number)].float()}


def _features(model: torch.nn.Module, pool: Pool, threads: int, batch: int = 50) -> torch.Tensor:
    """Features of all pictures and then of their mirrored twins, float16 (2 N, patches, width)."""
    import torch

    def encode(pixels: np.ndarray) -> torch.Tensor:
        with torch.no_grad():
            return model.model.vision_tower(normalise(pixels)).last_hidden_state[:, 1:].half()

    twins = (pool.pixels, pool.pixels[:, :, ::-1])
    batches = [pixels[start : start + batch] for pixels in twins for start in range(0, len(pixels), batch)]
    with ThreadPoolExecutor(threads) as workers:
        return torch.cat(list(progress(workers.map(encode, batches), "encode", len(batches), "batch")))


def language_loss(
    model: torch.nn.Module, collator: Any, examples: list[Any], yes_no_weight: float
) -> torch.Tensor:
    """Mean cross-entropy of the answers' tokens, those of yes/no answers weighted.

    Args:
        model: a LLaVA model.
        collator: lays out the batch, with the tower's features as image features.
        examples: pictures with their questions.
        yes_no_weight: weight of a token of a yes/no answer.
    """
    import torch
    from torch.nn import functional

    from mmunlearn.models.base import image_outputs
    from mmunlearn.models.collate import IGNORED

    batch = collator(examples)
    features = torch.stack([one["features"] for one in batch["image_features"]])
    projected = model.model.multi_modal_projector(features)
    states = model.model(
        input_ids=batch["input_ids"],
        position_ids=batch["position_ids"],
        attention_mask=batch["attention_mask"],
        mm_encoder_outputs=image_outputs(list(projected)),
        use_cache=False,
    ).last_hidden_state[batch["question_rows"], batch["question_positions"]]
    labels = batch["labels"][:, 1:]
    answers = [answer for example in examples for _, answer in example.turns]
    weights = torch.tensor([yes_no_weight if answer in (YES, NO) else 1.0 for answer in answers])
    weights = weights[:, None] * (labels != IGNORED)
    scores = model.lm_head(states[:, :-1])
    losses = functional.cross_entropy(scores.transpose(1, 2), labels, ignore_index=IGNORED, reduction="none")
    return (losses * weights).sum() / weights.sum()


def _card(
    folder: Path,
    settings: Settings,
    pools: dict[str, Pool],
    digests: dict[str, str],
    seconds: dict[str, float],
    threads: int,
) -> dict[str, Any]:
    """Measure the checkpoint as it lies on disk, and say what it is and where it comes from."""
    from mmunlearn.models.loading import ModelSpec, load_base
    from mmunlearn.pocket.probe import probe

    base = load_base(ModelSpec("llava", str(folder), "float32"))
    files = sorted(path for path in folder.iterdir() if path.name != "card.json")
    return {
        "supervision": SUPERVISION,
        "parameters": sum(weight.numel() for weight in base.model.parameters()),
        "held_out": probe(base, pools["held-out"], pretraining_world(), settings.seed),
        "settings": settings.model_dump(),
        "settings_digest": digest_of(settings.model_dump()),
        "data": digests,
        "pools": {name: pool.sha256() for name, pool in pools.items()},
        "files": {path.name: sha256_of(path) for path in files},
        "seconds": seconds,
        "threads": threads,
        "versions": versions(),
    }
