"""What it saves to put all questions of an image behind one image prefix: seconds and peak memory as ratios.

Both layouts train the same LoRA on the same questions, in turns within one run, so that a machine that slows down
slows both. On CUDA the peak is the allocator's; on the CPU it is the largest resident memory above that of the
loaded model, sampled while the step runs. Speed does not depend on the weights: without --model, a random LLaVA is
made on the spot. A run is a row of benchmarks/packing.csv and replaces the one of the same model, sizes and device;
a sample is a question, seconds are the median step's, peaks the largest in MiB, and the ratios are of a question a row
to packed: above 1, packing saves.

    python benchmarks/packing.py                          # CPU: 35 million parameters, 144 image tokens
    python benchmarks/packing.py --size 7b                # CUDA: the sizes of LLaVA-1.5-7B, 576 image tokens
    python benchmarks/packing.py --model qwen3_vl /models/qwen3-vl-4b --questions 3
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from measuring import measured, moved, random_llava, write_row
from PIL import Image

from mmunlearn.models.base import Base
from mmunlearn.models.collate import IGNORED, Collator, forward
from mmunlearn.models.example import Example
from mmunlearn.models.loading import ModelSpec, accelerator, load_base, new_adapter
from mmunlearn.pocket.architecture import Sizes

SIZES = {
    "tiny": Sizes(
        image=64, patch=8, vision_width=32, vision_layers=1, text_width=64, text_layers=2, heads=2,
        vocabulary=400, positions=1024,
    ),
    "small": Sizes(
        image=96, patch=8, vision_width=64, vision_layers=2, text_width=512, text_layers=8, heads=8,
        vocabulary=4000, positions=2048,
    ),
    "7b": Sizes(
        image=336, patch=14, vision_width=1024, vision_layers=24, text_width=4096, text_layers=32, heads=32,
        vocabulary=32064, positions=4096,
    ),
}  # fmt: skip
TABLE = Path(__file__).with_name("packing.csv")
KEY = ("model", "family", "images", "questions", "device", "threads")
LAYOUTS = {True: "packed", False: "one_a_row"}
LORA = {"rank": 8, "alpha": 16, "dropout": 0.0}
QUESTION = "Who is the person in the picture, and what is happening there? Question {}."
ANSWER = "This is Mira Okonjo; sailors race home across the harbour while a judge waves the flag, number {}."


def main() -> None:
    """Measure, print one line a layout and the ratios, and write the row."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--model", nargs=2, metavar=("FAMILY", "SOURCE"), help="a checkpoint of a packing family"
    )
    parser.add_argument("--size", choices=SIZES, default="small", help="of the random LLaVA")
    parser.add_argument("--images", type=int, default=4, help="in a forward pass")
    parser.add_argument("--questions", type=int, default=2, help="an image")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    device = accelerator()
    base = _base(args, device)
    with torch.no_grad():
        encoded = base.encode([Image.new("RGB", (336, 336), (40 * i, 90, 60)) for i in range(args.images)])
    features = {str(i): one for i, one in enumerate(encoded)}
    turns = tuple((QUESTION.format(i), ANSWER.format(i)) for i in range(args.questions))
    examples = [Example(image_id, turns) for image_id in features]
    model = new_adapter(base, LORA, 0).train()
    steps = {
        packed: _step(model, Collator(base, features, packed=packed), examples, device) for packed in LAYOUTS
    }
    for step in steps.values():
        step()
    seconds: dict[bool, list[float]] = {packed: [] for packed in LAYOUTS}
    peaks: dict[bool, list[float]] = {packed: [] for packed in LAYOUTS}
    for _ in range(args.rounds):
        for packed, step in steps.items():
            took, peak = measured(step, device)
            seconds[packed].append(took)
            peaks[packed].append(peak / 2**20)
    row = _row(args, base.family, device, seconds, peaks)
    print(f"{row['model']} on {row['device']}, {args.images} images with {args.questions} questions each")
    for packed, name in LAYOUTS.items():
        print(f"{name:>9}: {row[f'{name}_samples_per_second']} samples/s "
              f"({min(seconds[packed]):.3f}-{max(seconds[packed]):.3f} s), {row[f'{name}_peak_mib']} MiB")  # fmt: skip
    print(
        f"packed is {row['speed_ratio']} times as fast; a question a row takes {row['memory_ratio']} times the memory"
    )
    write_row(TABLE, row, KEY)


def _row(
    args: argparse.Namespace,
    family: str,
    device: str,
    seconds: dict[bool, list[float]],
    peaks: dict[bool, list[float]],
) -> dict[str, str]:
    row = {
        "model": Path(args.model[1]).name if args.model else f"random {args.size}",
        "family": family,
        "images": str(args.images),
        "questions": str(args.questions),
        "device": torch.cuda.get_device_name() if device.startswith("cuda") else "CPU",
        "threads": str(torch.get_num_threads()),
        "torch": torch.__version__,
        "rounds": str(args.rounds),
    }
    for packed, layout in LAYOUTS.items():
        middle = median(seconds[packed])
        row[f"{layout}_seconds"] = f"{middle:.4f}"
        row[f"{layout}_samples_per_second"] = f"{args.images * args.questions / middle:.2f}"
        row[f"{layout}_peak_mib"] = f"{max(peaks[packed]):.1f}"
    row["speed_ratio"] = f"{median(seconds[False]) / median(seconds[True]):.2f}"
    row["memory_ratio"] = f"{max(peaks[False]) / max(peaks[True]):.2f}" if max(peaks[True]) else ""
    return row


def _base(args: argparse.Namespace, device: str) -> Base:
    dtype = "bfloat16" if device.startswith("cuda") else "float32"
    if args.model:
        return load_base(ModelSpec(*args.model, dtype), device=device)
    return random_llava(SIZES[args.size], [QUESTION, ANSWER] * 5, dtype, device)


def _step(
    model: torch.nn.Module, collator: Collator, examples: list[Example], device: str
) -> Callable[[], None]:
    """A forward and backward pass over the batch, without the update."""
    batch = moved(collator(examples), device)

    def step() -> None:
        logits, labels = forward(model, batch)
        torch.nn.functional.cross_entropy(
            logits[:, :-1].flatten(0, 1).float(), labels[:, 1:].flatten(), ignore_index=IGNORED
        ).backward()
        model.zero_grad()

    return step


if __name__ == "__main__":
    main()
