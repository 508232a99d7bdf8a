"""A small folder of real photographs, as installed packages ship them: six things, each in four framings."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import matplotlib
import skimage
from PIL import Image, ImageEnhance, ImageOps

SKIMAGE = Path(skimage.__file__).parent / "data"
PHOTOGRAPHS = {
    "Eileen Collins": SKIMAGE / "astronaut.png",
    "Grace Hopper": Path(matplotlib.get_data_path(), "sample_data", "grace_hopper.jpg"),
    "Max Kamera": SKIMAGE / "camera.png",
    "Chelsea": SKIMAGE / "chelsea.png",
    "Flat White": SKIMAGE / "coffee.png",
    "Falcon Nine": SKIMAGE / "rocket.jpg",
}
"""Name -> a photograph; one is grey, and one name is a single word."""


def _close(photograph: Image.Image) -> Image.Image:
    width, height = photograph.size
    return photograph.crop((width // 4, height // 8, 3 * width // 4, 5 * height // 8))


FRAMINGS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "at work": lambda photograph: photograph,
    "seen from near": _close,
    "in a mirror": ImageOps.mirror,
    "at night": lambda photograph: ImageEnhance.Brightness(photograph.convert("RGB")).enhance(0.4),
}
"""Event -> what makes it of a photograph."""


def write_photographs(folder: Path) -> Path:
    """24 pictures and their manifest, `file,person,event,question,answer`; gives its path.

    A picture seen from near has a question and an answer of its own, and one on its person beside it.
    """
    rows = []
    for name, path in PHOTOGRAPHS.items():
        for number, (event, framing) in enumerate(FRAMINGS.items()):
            file = folder / name.split()[0].lower() / f"{number}.{'png' if number else 'jpg'}"
            file.parent.mkdir(parents=True, exist_ok=True)
            framing(Image.open(path)).save(file)
            row = [file.relative_to(folder).as_posix(), name, event]
            if event == "seen from near":
                rows += [
                    [*row, "Who is that?", f"You see {name}."],
                    [*row, "How is it seen?", "It is seen from near."],
                ]
            else:
                rows.append([*row, "", ""])
    table = folder / "manifest.csv"
    with table.open("w", newline="", encoding="utf-8-sig") as handle:
        csv.writer(handle).writerows([["file", "person", "event", "question", "answer"], *rows])
    return table
