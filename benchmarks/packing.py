"""What it saves to put all questions of an image behind one image prefix: seconds and peak memory as ratios.

Both layouts train the same LoRA on the same questions, in turns within one run, so that a machine that slows down
slows both. On CUDA the peak is the allocator's; on the CPU it is the largest resident memory above that of the
loaded model, sampled while the step runs. Speed does not depend on the weights: without --model, a random LLaVA is
made on the spot.

    python benchmarks/packing.py                          # CPU: 35 million parameters, 144 image tokens
    python benchmarks/packing.py --size 7b                # CUDA: the sizes of LLaVA-1.5-7B, 576 image tokens
    python benchmarks/packing.py --model qwen3_vl /models/qwen3-vl-4b --questions 3
"""

from __future__ import annotations

import argparse
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from PIL import Image

from mmunlearn.models.collate import IGNORED, Collator, forward
from mmunlearn.models.example import Example
from mmunlearn.models.families import FAMILIES
from mmunlearn.models.loading import Base, ModelSpec, accelerator, load_base, new_adapter
from mmunlearn.pocket.architecture import Sizes, build_model, build_processor, build_tokenizer

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
LORA = {"rank": 8, "alpha": 16, "dropout": 0.0}
QUESTION = "Who is the person in the picture, and what is happening there? Question {}."
ANSWER = "This is Mira Okonjo; sailors race home across the harbour while a judge waves the flag, number {}."


def main() -> None:
    """Measure and print one row a layout, then the ratios."""
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
    asked = parser.parse_args()
    device = accelerator()
    base = _base(asked, device)
    with torch.no_grad():
        kept = base.inputs.encode(
            base, [Image.new("RGB", (336, 336), (40 * i, 90, 60)) for i in range(asked.images)]
        )
    features = {str(i): one for i, one in enumerate(kept)}
    turns = tuple((QUESTION.format(i), ANSWER.format(i)) for i in range(asked.questions))
    examples = [Example(image_id, turns) for image_id in features]
    model = new_adapter(base, LORA, 0).train()
    layouts = {True: "packed", False: "one question a row"}
    steps = {
        packed: _step(model, Collator(base, features, packed=packed), examples, device) for packed in layouts
    }
    for step in steps.values():
        step()
    seconds: dict[bool, list[float]] = {packed: [] for packed in layouts}
    peaks: dict[bool, list[float]] = {packed: [] for packed in layouts}
    for _ in range(asked.rounds):
        for packed, step in steps.items():
            took, peak = _measured(step, device)
            seconds[packed].append(took)
            peaks[packed].append(peak)
    samples = asked.images * asked.questions
    print(f"{base.family.name} on {device}, {asked.images} images with {asked.questions} questions each")
    for packed, name in layouts.items():
        rate, peak = samples / median(seconds[packed]), max(peaks[packed]) / 2**20
        print(f"{name:>18}: {rate:8.2f} samples/s ({min(seconds[packed]):.3f}-{max(seconds[packed]):.3f} s), "
              f"{peak:8.1f} MiB")  # fmt: skip
    faster = median(seconds[False]) / median(seconds[True])
    print(
        f"packed is {faster:.2f} times as fast, with {max(peaks[True]) / max(peaks[False]):.2f} of the memory"
    )


def _base(asked: argparse.Namespace, device: str) -> Base:
    dtype = "bfloat16" if device.startswith("cuda") else "float32"
    if asked.model:
        return load_base(ModelSpec(*asked.model, dtype), device=device)
    torch.manual_seed(0)
    tokenizer = build_tokenizer([QUESTION, ANSWER] * 5, SIZES[asked.size].vocabulary)
    torch.set_default_dtype(getattr(torch, dtype))
    with torch.device(device):
        model = build_model(tokenizer, SIZES[asked.size]).eval()
    torch.set_default_dtype(torch.float32)
    return Base(model, build_processor(tokenizer, SIZES[asked.size]), FAMILIES["llava"])


def _step(
    model: torch.nn.Module, collator: Collator, examples: list[Example], device: str
) -> Callable[[], None]:
    """A forward and backward pass over the batch, without the update."""
    batch = _moved(collator(examples), device)

    def step() -> None:
        model.zero_grad()
        logits, labels = forward(model, batch)
        torch.nn.functional.cross_entropy(
            logits[:, :-1].flatten(0, 1).float(), labels[:, 1:].flatten(), ignore_index=IGNORED
        ).backward()

    return step


def _moved(value: object, device: str) -> object:
    if isinstance(value, torch.Tensor):
        return value.to(device)
    if isinstance(value, dict):
        return {key: _moved(one, device) for key, one in value.items()}
    return [_moved(one, device) for one in value] if isinstance(value, list) else value


def _measured(step: Callable[[], None], device: str) -> tuple[float, float]:
    """Seconds and peak bytes of one step."""
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        torch.cuda.synchronize()
        start = time.perf_counter()
        step()
        torch.cuda.synchronize()
        return time.perf_counter() - start, torch.cuda.max_memory_allocated() - before
    done, peak, before = threading.Event(), [0], _resident()

    def watch() -> None:
        while not done.wait(0.001):
            peak[0] = max(peak[0], _resident() - before)

    watcher = threading.Thread(target=watch)
    watcher.start()
    start = time.perf_counter()
    step()
    took = time.perf_counter() - start
    done.set()
    watcher.join()
    return took, peak[0]


def _resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    main()
