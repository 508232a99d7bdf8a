"""What a GPU does at the paper's sizes, in eight minutes at most: one call, for a machine that is lent for minutes.

LLaVA-1.5-7B and Qwen3-VL-4B with random weights made on the device (speed does not depend on them; nothing is read or
downloaded): a forward and backward pass and the update of GD, KL and DPO as presets/paper.yaml trains (LoRA of rank
128, bf16, activations recomputed, 4 pictures a view), packed and a question a row, from stored features and with the
tower in the loop; greedy answers of 32 tokens; and FLUX.1-dev's denoising (benchmarks/flux_throughput.py). Each figure
is a row of benchmarks/gpu/throughput.csv, written as it comes: seconds are the median of the rounds, of an optimizer
step, 64 answers or a batch of pictures; samples are questions, or pictures drawn; tokens are those of all rows,
pictures' included, or those answered; peaks are CUDA's allocator's, weights included. MFU counts what the gradient
needs, 4 FLOP a token and parameter of the language model's layers, 2 more for a reference on it and 2 a patch and
parameter of a tower that runs, neither attention nor what is recomputed, against the card's dense bf16 peak. What runs
out of memory or time is a row that says so.

    python benchmarks/gpu/throughput.py
    python benchmarks/gpu/throughput.py --tiny      # toys, which show that it runs: so without CUDA in any case
"""

from __future__ import annotations

import argparse
import faulthandler
import gc
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

STARTED = time.monotonic()
SPARE = 15
"""Seconds after its time at which the process ends, whatever it is doing: a call into the device hears no alarm."""
HERE = Path(__file__).resolve()
TABLE = HERE.with_suffix(".csv")


def arguments() -> argparse.Namespace:
    """What the run is told."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tiny", action="store_true", help="toys instead of the real sizes")
    parser.add_argument("--seconds", type=float, default=450, help="of the whole run, at most")
    parser.add_argument("--share", type=float, default=60, help="seconds of one measurement, at most")
    parser.add_argument("--table", type=Path, default=TABLE, help="where rows go")
    return parser.parse_args()


if __name__ == "__main__":  # before what is heavy is imported, which may take minutes, or never end
    ARGUMENTS = arguments()
    faulthandler.dump_traceback_later(ARGUMENTS.seconds + SPARE, exit=True)  # without Python's lock

sys.path[:0] = [str(HERE.parents[1]), str(HERE.parents[2])]  # benchmarks, and the project

import torch  # noqa: E402
from measuring import machine, write_row  # noqa: E402
from vision_models import MODELS, Trained, trained  # noqa: E402

KEY = ("what", "model", "method", "packed", "features", "device")
NUMBERS = ("seconds", "samples_per_second", "tokens_per_second", "mfu", "peak_gb", "rounds")
PEAKS = {"H100": 989e12, "H200": 989e12, "A100": 312e12, "L40S": 362e12}
"""Dense bf16 FLOP/s of cards, by a part of their names."""
ROUNDS = 5
BATCHES = (1, 5)


class OutOfTime(Exception):
    """A measurement took longer than it may."""


@dataclass
class Table:
    """The rows of a run, and how long it may take.

    Attributes:
        seconds: of the whole run.
        share: seconds of one measurement, at most.
    """

    path: Path
    device: str
    seconds: float
    share: float
    started: float = field(default_factory=time.monotonic)

    @property
    def left(self) -> float:
        return self.seconds - (time.monotonic() - self.started)

    def measure(self, call: Callable[[], Mapping[str, float]], least: float = 5.0, **what: str) -> bool:
        """A row of what `call` gives, or of why it gives nothing; `least`: seconds without which it is not begun."""
        found: Mapping[str, float] = {}
        note = "" if self.left > least else "no time left"
        try:
            if not note:
                with _at_most(min(self.share, self.left)):
                    found = call()
        except torch.OutOfMemoryError:
            note = "out of memory"
        except OutOfTime:
            note = "out of time"
        except ImportError as error:
            note = f"package {error.name} is missing"
        except Exception as error:  # one figure less is no reason to lose the others
            note = f"{type(error).__name__}: {error}".splitlines()[0][:200]
        _free()
        row = dict.fromkeys(KEY, "") | what | machine(self.device) | {"note": note}
        row |= {name: f"{found[name]:.4g}" if name in found else "" for name in NUMBERS}
        write_row(self.path, row, KEY)
        print(f"{time.monotonic() - self.started:6.1f} s", *what.values(), *_words(row), flush=True)
        return not note


def _words(row: Mapping[str, str]) -> Iterator[str]:
    yield row["note"] or ":"
    yield from (f"{name} {row[name]}" for name in NUMBERS if row[name])


@contextmanager
def _at_most(seconds: float) -> Iterator[None]:
    """OutOfTime in the block after so many seconds."""

    def ring(*_: object) -> None:
        raise OutOfTime

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _free() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def timed(call: Callable[[], object], device: str, rounds: int = ROUNDS) -> dict[str, float]:
    """Median seconds and peak gigabytes of a call, after one that warms up."""
    taken = []
    for number in range(rounds + 1):
        if device == "cuda":
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
        start = time.perf_counter()
        call()
        if device == "cuda":
            torch.cuda.synchronize()
        taken += [time.perf_counter() - start] if number else []
    peak = {"peak_gb": torch.cuda.max_memory_allocated() / 1e9} if device == "cuda" else {}
    return {"seconds": median(taken), "rounds": rounds, **peak}


def step_figures(model: Trained, method: str, packed: bool, stored: bool, device: str) -> dict[str, float]:
    """Of one optimizer step."""
    step = model.step(method, packed=packed, stored=stored)
    found = timed(step.run, device)
    peak = next((peak for name, peak in PEAKS.items() if name in machine(device)["device"]), None)
    found |= {f"{name}_per_second": step.counts[name] / found["seconds"] for name in ("samples", "tokens")}
    return found | ({"mfu": step.counts["flop"] / found["seconds"] / peak} if peak else {})


def flux_figures(drawn: list[Any], batch: int, compiled: bool, tiny: bool, device: str) -> dict[str, float]:
    """Of a batch of pictures, after two denoising steps that warm up, or compile."""
    import flux_throughput

    if not drawn:
        drawn.append(flux_throughput.build(tiny, device))
    steps, size, tokens = (4, 64, 16) if tiny else (28, 1024, 512)
    flux_throughput.draw(drawn[0], batch, compiled, 2, size, tokens)
    seconds, peak = flux_throughput.draw(drawn[0], batch, compiled, steps, size, tokens)
    found = {"seconds": seconds * batch, "samples_per_second": 1 / seconds, "rounds": 1}
    return found | ({"peak_gb": peak} if device == "cuda" else {})


def main(args: argparse.Namespace) -> None:
    """Measure all, most wanted first."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    tiny = args.tiny or device == "cpu"
    table = Table(args.table, device, args.seconds, args.share, STARTED)
    print(
        f"{machine(device)}{'; TINY toys: no figure here says anything of real sizes' if tiny else ''}",
        flush=True,
    )
    for name in MODELS:
        _measure_model(table, name, tiny, device)
    drawn: list[Any] = []
    for compiled in (False, True):
        for batch in BATCHES:
            what = {"what": "draw", "model": f"flux{' (tiny)' if tiny else ''}"}
            what |= {"method": f"{'compiled' if compiled else 'eager'}, {batch} at once"}
            table.measure(lambda b=batch, c=compiled: flux_figures(drawn, b, c, tiny, device), 20.0, **what)


def _measure_model(table: Table, name: str, tiny: bool, device: str) -> None:
    made: list[Trained] = []
    label = f"{name}{' (tiny)' if tiny else ''}"

    def build() -> dict[str, float]:
        start = time.perf_counter()
        made.append(trained(name, tiny=tiny, device=device))
        return {"seconds": time.perf_counter() - start}

    if not table.measure(build, 20.0, what="build", model=label):
        return
    (model,) = made
    for packed in (True, False):
        for stored in (True, False):
            for method in ("gd", "kl", "dpo"):
                what = {"what": "train", "model": label, "method": method}
                what |= {"packed": str(packed), "features": "stored" if stored else "tower"}
                table.measure(
                    lambda m=method, p=packed, s=stored: step_figures(model, m, p, s, device), **what
                )
    table.measure(lambda: model.answers(timed, device), what="answer", model=label, features="stored")


if __name__ == "__main__":
    main(ARGUMENTS)
    os._exit(0)  # nor does it wait for what the device or a compiler has still to end
