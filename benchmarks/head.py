"""What it saves to make logits of answers alone: seconds and peak memory of a training step as ratios.

Both ways, the head on all positions and on those of answers, train the same LoRA on the same packed batch, in turns
within one run, so that a machine that slows down slows both. `measuring.measured` says what a peak is. A run is a row a
model of benchmarks/head.csv and replaces those of the same sizes and device; seconds are the median step's, peaks the
largest in MiB, and the ratios are of all positions to answers: above 1, it saves. `random` is a LLaVA of 170 million
parameters with LLaVA-1.5's 576 image tokens and Qwen3-VL's vocabulary.

    python benchmarks/head.py                                # both models
    python benchmarks/head.py --model pocket --rounds 31
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from statistics import median
from unittest.mock import patch

import torch
from measuring import machine, measured, moved, random_llava, write_row
from PIL import Image

from mmunlearn.models import collate
from mmunlearn.models.base import Base
from mmunlearn.models.collate import Collator, forward
from mmunlearn.models.example import Example
from mmunlearn.models.loading import ModelSpec, accelerator, load_base, new_adapter
from mmunlearn.pocket.architecture import Sizes
from mmunlearn.training.losses import cross_entropy

ROOT = Path(__file__).resolve().parents[1]
TABLE = Path(__file__).with_suffix(".csv")
KEY = ("model", "vocabulary", "images", "questions", "device", "threads")
LORA = {"rank": 8, "alpha": 16, "dropout": 0.0}
VOCABULARY = 151_936
QUESTION = "Who is the person in the picture, and what is happening there? Question {}."
ANSWER = "This is Mira Okonjo; sailors race home across the harbour while a judge waves the flag, number {}."
SIZES = Sizes(
    image=192, patch=8, vision_width=64, vision_layers=2, text_width=512, text_layers=4, heads=8, vocabulary=4000,
    positions=2048,
)  # fmt: skip
WAYS: dict[str, Callable[[], AbstractContextManager[object]]] = {
    "all": lambda: patch.object(collate, "only", lambda *_: nullcontext()),
    "answers": nullcontext,
}


def main() -> None:
    """Measure, print a line a way and the ratios, and write a row a model."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", choices=("pocket", "random"), help="one of them alone")
    parser.add_argument("--images", type=int, default=2, help="in a forward pass")
    parser.add_argument("--questions", type=int, default=2, help="an image")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    device = accelerator()
    for name in [args.model] if args.model else ["pocket", "random"]:
        base = _base(name, device)
        step = _step(base, args, device)
        taken: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}
        for number in range(args.rounds + 1):  # the first one warms up
            for way, path in WAYS.items():
                with path():
                    took = measured(step, device)
                taken[way] += [took] if number else []
        vocabulary = base.model.config.get_text_config().vocab_size
        row = {"model": name, "vocabulary": str(vocabulary), "images": str(args.images)}
        row |= {"questions": str(args.questions), **machine(device), "rounds": str(args.rounds)}
        seconds = {way: median(took for took, _ in each) for way, each in taken.items()}
        peaks = {way: max(peak for _, peak in each) / 2**20 for way, each in taken.items()}
        for way in WAYS:
            row |= {f"{way}_seconds": f"{seconds[way]:.4f}", f"{way}_peak_mib": f"{peaks[way]:.1f}"}
            print(f"{name}: head on {way:>7}: {seconds[way]:.3f} s, {peaks[way]:.0f} MiB", flush=True)
        row["time_ratio"] = f"{seconds['all'] / seconds['answers']:.2f}"
        row["memory_ratio"] = f"{peaks['all'] / peaks['answers']:.2f}"
        print(
            f"all positions take {row['time_ratio']} times as long and {row['memory_ratio']} times the memory"
        )
        write_row(TABLE, row, KEY)


def _base(name: str, device: str) -> Base:
    dtype = "bfloat16" if device.startswith("cuda") else "float32"
    if name == "pocket":
        return load_base(ModelSpec("llava", str(ROOT / "resources/pocket/llava"), dtype), device=device)
    base = random_llava(SIZES, [QUESTION, ANSWER] * 5, dtype, device)
    base.model.resize_token_embeddings(VOCABULARY, mean_resizing=False)
    return base


def _step(base: Base, args: argparse.Namespace, device: str) -> Callable[[], None]:
    """A forward and backward pass over a packed batch, without the update."""
    shown = [Image.new("RGB", (336, 336), (40 * i, 90, 60)) for i in range(args.images)]
    with torch.no_grad():
        features = {str(i): one for i, one in enumerate(base.encode(shown))}
    turns = tuple((QUESTION.format(i), ANSWER.format(i)) for i in range(args.questions))
    batch = moved(Collator(base, features)([Example(image_id, turns) for image_id in features]), device)
    model = new_adapter(base, LORA, 0).train()

    def step() -> None:
        cross_entropy(*forward(model, batch)).backward()
        model.zero_grad()

    return step


if __name__ == "__main__":
    main()
