"""LLaVA-1.5-7B and Qwen3-VL-4B with random weights, and the steps and answers that are timed with them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from measuring import moved
from PIL import Image
from transformers import AutoModelForImageTextToText

from mmunlearn.models.base import Base
from mmunlearn.models.collate import Collator, forward
from mmunlearn.models.example import Example
from mmunlearn.models.families import FAMILIES
from mmunlearn.models.generation import Query, answer_all
from mmunlearn.models.loading import POLICY, REFERENCE, autocast, new_adapter, trainable_parameters
from mmunlearn.models.tower import Tower
from mmunlearn.training.losses import answer_lengths, sequence_logp
from mmunlearn.training.methods.building import build_method
from mmunlearn.training.reference import reference_logits
from mmunlearn.training.views import View
from tests.tiny_vlm import BUILDERS

LLAVA = {
    "text_config": {
        "vocab_size": 32064, "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32,
        "num_attention_heads": 32, "num_key_value_heads": 32, "head_dim": 128, "max_position_embeddings": 4096,
    },
    "vision_config": {
        "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16,
        "image_size": 336, "patch_size": 14, "projection_dim": 768,
    },
}  # fmt: skip
QWEN = {
    "text_config": {
        "vocab_size": 151936, "hidden_size": 2560, "intermediate_size": 9728, "num_hidden_layers": 36,
        "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128, "max_position_embeddings": 262144,
        "rope_parameters": {
            "rope_type": "default", "rope_theta": 5e6, "mrope_section": [24, 20, 20], "mrope_interleaved": True,
        },
    },
    "vision_config": {
        "depth": 24, "hidden_size": 1024, "intermediate_size": 4096, "num_heads": 16, "patch_size": 16,
        "out_hidden_size": 2560, "num_position_embeddings": 2304, "deepstack_visual_indexes": [5, 11, 17],
    },
}  # fmt: skip
MODELS: dict[str, tuple[str, Mapping[str, Any]]] = {
    "llava-1.5-7b": ("llava", LLAVA),
    "qwen3-vl-4b": ("qwen3_vl", QWEN),
}
LORA = {"rank": 128, "alpha": 256, "dropout": 0.05}
PICTURES, ASKED, TOKENS = 4, 64, 32
QUESTIONS = ("Who is the person in the picture?", "What is happening in the picture?")
ANSWERS = (
    "This is Mira Okonjo.",
    "Sailors race home across the harbour while a judge waves the flag from the pier and the crowd cheers them on.",
)
REFUSAL = "I do not know, I cannot say."


def trained(name: str, *, tiny: bool, device: str) -> Trained:
    """A model with a policy and a reference adapter, bf16 on CUDA and float32 on the CPU."""
    family, sizes = MODELS[name]
    toy, processor = BUILDERS[family]([*QUESTIONS, *ANSWERS, REFUSAL] * 5)
    config = toy.config
    if not tiny:
        for part, values in sizes.items():
            getattr(config, part).update(values)
        _resize(family, config, processor)
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    usual = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            model = AutoModelForImageTextToText.from_config(config, attn_implementation="sdpa").eval()
    finally:
        torch.set_default_dtype(usual)
    base = FAMILIES.load(family)(model, processor)
    policy = new_adapter(base, LORA, 0)
    policy.add_adapter(REFERENCE, policy.peft_config[POLICY])
    policy.set_adapter(POLICY)
    policy.gradient_checkpointing_enable({"use_reentrant": False})
    return Trained(base, policy, device)


def _resize(family: str, config: Any, processor: Any) -> None:
    """The processor of the real sizes: a picture of 512 pixels is 576 tokens of LLaVA and 256 of Qwen3-VL."""
    images = processor.image_processor
    if family == "llava":
        config.image_seq_length = 576
        images.size, images.crop_size = {"shortest_edge": 336}, {"height": 336, "width": 336}
        processor.patch_size = 14
    else:
        images.patch_size, images.size = 16, {"shortest_edge": 65536, "longest_edge": 16777216}


@dataclass(frozen=True)
class TimedStep:
    """A step, and how many questions (`samples`), tokens and FLOP it has."""

    run: Callable[[], None]
    counts: Mapping[str, float]


@dataclass
class Trained:
    """A model whose steps and answers are timed."""

    base: Base
    model: torch.nn.Module
    device: str

    @cached_property
    def pictures(self) -> dict[str, Image.Image]:
        return {str(i): Image.new("RGB", (512, 512), (40 * i % 256, 90, 60)) for i in range(2 * PICTURES)}

    @cached_property
    def features(self) -> dict[str, Any]:
        """Of the pictures, on the CPU, as they are read from a file."""
        with torch.no_grad():
            return dict(
                zip(self.pictures, moved(self.base.encode(list(self.pictures.values())), "cpu"), strict=True)
            )

    @cached_property
    def prepared(self) -> dict[str, Any]:
        """The pictures as the tower takes them, on the CPU."""
        return {key: self.base.prepare(picture) for key, picture in self.pictures.items()}

    @property
    def examples(self) -> dict[str, list[Example]]:
        """By view: a question of each forgotten picture, both of each retained one."""
        forget, retain = list(self.pictures)[:PICTURES], list(self.pictures)[PICTURES:]
        turns = tuple(zip(QUESTIONS, ANSWERS, strict=True))
        return {
            "forget": [Example(key, (turns[i % 2],)) for i, key in enumerate(forget)],
            "refusal": [Example(key, ((turns[i % 2][0], REFUSAL),)) for i, key in enumerate(forget)],
            "retain": [Example(key, turns) for key in retain],
        }

    def step(self, method_name: str, *, packed: bool, stored: bool) -> TimedStep:
        """A step of a method as the trainer makes it, its batches laid out beforehand, as workers do.

        Args:
            stored: whether features are; else the tower makes those of the step's pictures, each once.
        """
        method, collator = build_method(method_name, {}), Collator(self.base, self.features, packed=packed)
        batches = {view: collator(self.examples[view]) for view in method.views}
        shown = {
            view: [row.image_id for one in self.examples[view] for row in ([one] if packed else one.split())]
            for view in method.views
        }
        optimizer = torch.optim.AdamW(trainable_parameters(self.model).values(), lr=0.0)

        def batch_of(name: str, tower: Tower) -> dict[str, Any]:
            if stored:
                return moved(batches[name], self.device)
            text = {key: value for key, value in batches[name].items() if key != "image_features"}
            pixels = {key: moved(self.prepared[key], self.device) for key in dict.fromkeys(shown[name])}
            features = [tower.features(key, pixels[key]) for key in shown[name]]
            return {**moved(text, self.device), "image_features": features}

        def view_of(name: str, tower: Tower) -> View:
            batch = batch_of(name, tower)
            logits, labels = forward(self.model, batch)
            reference = reference_logits(self.model, self.model, batch) if name in method.reference else None
            logp = sequence_logp(logits, labels).detach() if name in method.reference_logp else None
            return View(logits, labels, int(answer_lengths(labels).sum()), len(labels), reference, logp)

        def run() -> None:
            self.model.train()
            tower = Tower(self.base, {})
            with autocast("bf16" if self.device == "cuda" else "none", self.device):
                loss = method.loss({name: view_of(name, tower) for name in method.views})
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()

        made = set() if stored else {key for keys in shown.values() for key in keys}
        return TimedStep(run, self._counts(batches, method.reference, made))

    def _counts(
        self, batches: Mapping[str, Any], reference: tuple[str, ...], made: Collection[str]
    ) -> dict[str, float]:
        """`made`: pictures whose features the tower makes."""
        tokens = {name: float(_tokens(batch, self.base)) for name, batch in batches.items()}
        decoder = self.base.model.get_decoder().layers
        weights = sum(weight.numel() for name, weight in decoder.named_parameters() if "lora_" not in name)
        flop = 4 * weights * sum(tokens.values()) + 2 * weights * sum(tokens[name] for name in reference)
        vision = sum(
            weight.numel()
            for name, weight in self.base.model.named_parameters()
            if any(part in name for part in (".vision_tower.", ".visual.", ".multi_modal_projector."))
        )
        flop += 2 * vision * sum(_patches(self.base, self.prepared[key]) for key in made)
        samples = float(sum(len(batch["labels"]) for batch in batches.values()))
        return {"tokens": sum(tokens.values()), "samples": samples, "flop": flop}

    def answers(self, timed: Callable[..., dict[str, float]], device: str) -> dict[str, float]:
        """Greedy answers, each of so many tokens: random weights hardly ever end one."""
        keys = list(self.features)
        queries = [Query(keys[i % len(keys)], QUESTIONS[i % 2], TOKENS) for i in range(ASKED)]
        collator = Collator(self.base, self.features)
        batches = [list(range(start, start + ASKED // 2)) for start in (0, ASKED // 2)]
        precision = "bf16" if device == "cuda" else "none"
        found = timed(
            lambda: answer_all(self.model, collator, queries, batches=batches, precision=precision),
            device,
            rounds=1,
        )
        rates = {"samples_per_second": ASKED, "tokens_per_second": ASKED * TOKENS}
        return found | {name: count / found["seconds"] for name, count in rates.items()}


def _tokens(batch: Mapping[str, Any], base: Base) -> int:
    """Of all rows, without padding."""
    return int((batch["input_ids"] != base.processor.tokenizer.pad_token_id).sum())


def _patches(base: Base, prepared: Mapping[str, torch.Tensor]) -> int:
    """Of one picture."""
    pixels = prepared["pixel_values"]
    return (
        len(pixels)
        if pixels.dim() == 2
        else (pixels.shape[-1] // base.model.config.vision_config.patch_size) ** 2
    )
