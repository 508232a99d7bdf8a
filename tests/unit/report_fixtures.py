"""A small made-up run for the tests of reporting: scores, pictures, answers, trainings, benchmark files.

Everything is deterministic and written below the folder that a test names.
"""

from __future__ import annotations

import colorsys
import json
import random
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFilter

from mmunlearn.records import (
    Answer,
    Candidate,
    Event,
    Metric,
    Person,
    Scores,
    Split,
    Training,
    sha256_of,
    write_json,
    write_jsonl,
    write_manifest,
)
from mmunlearn.reporting.figure8 import plot_figure8
from mmunlearn.reporting.filter_statistics import filter_statistics
from mmunlearn.reporting.layout import METHODS, METRICS
from mmunlearn.reporting.tables import make_table3

PUBLISHED = Path(__file__).parents[2] / "resources/published/pebench_table3.csv"
MODEL = "pocket-llava"
CEILING_SEED = 101

LEVELS = {  # method -> target -> the six metrics, of the prototype's kind
    "Finetune": {"person": (0, 0, 98.6, 99.4, 71.0, 72.4), "event": (0, 0, 97.2, 99.1, 64.2, 72.4)},
    "PO": {"person": (99, 98, 84.6, 99.0, 58.1, 71.6), "event": (71.2, 69.5, 96.0, 98.4, 60.6, 71.9)},
    "GA": {"person": (100, 100, 21.3, 96.2, 30.2, 73.0), "event": (88.4, 86.1, 56.5, 91.3, 31.4, 69.2)},
    "GD": {"person": (100, 100, 30.4, 98.0, 44.7, 71.8), "event": (84.9, 85.3, 90.2, 94.8, 52.7, 70.4)},
    "KL": {"person": (100, 99.5, 29.1, 97.7, 47.9, 71.7), "event": (85.6, 83.7, 88.4, 95.1, 50.3, 70.6)},
    "DPO": {"person": (100, 100, 3.8, 93.4, 12.6, 71.2), "event": (79.8, 80.3, 14.1, 79.6, 22.8, 70.9)},
    "Goal": {"person": (100, 100, 98.9, 99.6, 70.2, 71.5), "event": (100, 100, 97.4, 98.0, 63.8, 71.5)},
}
NAMES = ("Mira Okafor", "Tomas Lindqvist", "Aiko Brennan", "Rafael Dumont", "Leila Novak", "Jonas Mbeki",
         "Carmen Ito", "Pavel Sorensen")  # fmt: skip
THEMES = ("Sailing regatta", "Winter market", "Rooftop concert", "School science fair", "Harvest picnic",
          "Night train", "Marathon finish", "Lantern festival")  # fmt: skip


def write_score(
    folder: Path, method: str, target: str, seed: int = 1, percent: int = 5, **changed: Metric | None
) -> Path:
    """One Scores file; `changed` replaces metrics by name, None removes one."""
    rng = random.Random(f"{method} {target} {seed} {percent}")
    metrics = {}
    for name, level in zip(METRICS, LEVELS[method][target], strict=True):
        value = level if level in (0, 100) else max(0.0, min(100.0, level + rng.uniform(-2, 2)))
        metrics[name] = Metric(value=value, n=40, low=max(0, value - 6.2), high=min(100, value + 5.1))
    if target == "event":
        metrics["real_vs_finetuned"] = Metric(value=rng.uniform(40, 90), n=40)
    metrics = {name: metric for name, metric in (metrics | changed).items() if metric is not None}
    recipe = "finetuned" if method == "Finetune" else f"{method.lower()}-{target}{percent:02d}"
    score = Scores(
        model=MODEL, recipe=recipe, method=method, target=target, percent=percent, seed=seed, judge="local",
        metrics=metrics, details={}, digests={"answers": f"{recipe}-{seed}"}, versions={"mmunlearn": "0.1.0"},
    )  # fmt: skip
    path = folder / MODEL / recipe / f"seed-{seed}" / f"{target}{percent:02d}.json"
    write_json(path, score)
    return path


def write_scores(folder: Path, seeds: tuple[int, ...] = (1,), percent: int = 5) -> list[Path]:
    """Scores of all seven methods and both targets, and a goal model of the ceiling's seed."""
    paths = [
        write_score(folder, method, target, seed, percent)
        for seed in seeds
        for method in METHODS
        for target in ("person", "event")
    ]
    lower = {name: Metric(value=81.4, n=40, low=75.2, high=87.0) for name in METRICS[:2]}
    return [
        *paths,
        write_score(folder, "Goal", "person", CEILING_SEED, percent),
        write_score(folder, "Goal", "event", CEILING_SEED, percent, **lower),
    ]


def table3(folder: Path, scores: list[Path], ceiling_seed: int | None = CEILING_SEED) -> dict[str, Path]:
    """Run `make_table3` into `folder`; the paths of what it wrote by argument name, without `out_`."""
    names = {"csv": "table3.csv", "md": "table3.md", "tex": "table3.tex"}
    names |= {"ceiling": "table3_ceiling.csv", "versus": "table3_vs_published.csv"}
    paths = {name: folder / file for name, file in names.items()}
    outputs = {f"out_{name}": path for name, path in paths.items()}
    make_table3(scores, **outputs, published=PUBLISHED, ceiling_seed=ceiling_seed)
    return paths


def draw(person: int, event: int, size: int = 160, blurred: bool = False) -> Image.Image:
    """A picture of a coloured figure before a striped scene."""
    picture = Image.new("RGB", (size, size))
    canvas = ImageDraw.Draw(picture)
    for line in range(size):
        rgb = colorsys.hls_to_rgb(event / 8 + 0.04, 0.55 + 0.3 * line / size, 0.45)
        canvas.line([(0, line), (size, line)], tuple(round(255 * part) for part in rgb))
    skin = tuple(round(255 * part) for part in colorsys.hls_to_rgb(0.07, 0.35 + 0.06 * person, 0.45))
    shirt = tuple(round(255 * part) for part in colorsys.hls_to_rgb(person / 8, 0.4, 0.5))
    canvas.ellipse([size * 0.22, size * 0.66, size * 0.78, size * 1.3], fill=shirt)
    canvas.ellipse([size * 0.33, size * 0.24, size * 0.67, size * 0.72], fill=skin)
    return picture.filter(ImageFilter.GaussianBlur(5)) if blurred else picture


def candidate(
    image_id: str,
    attempt: int = 0,
    reason: str = "",
    path: str = "",
    sha256: str = "",
    **scores: float | None,
) -> Candidate:
    """A row of the manifest; accepted where the reason is empty."""
    measured = {"identity_l2": 0.31, "scene_cosine": 0.72, "subject_cosine": 0.93, "distortion": 71.5}
    return Candidate(
        image_id=image_id, person_id=image_id[:4], event_id=image_id[5:], attempt=attempt, seed=attempt,
        guidance_scale=3.5, prompt="a picture", path=path, sha256=sha256, generator="pocket",
        accepted=not reason, reject_reason=reason, faces=int("face" not in reason), scene_pair=None,
        **(measured | {"aesthetic": 6.8} | scores),
    )  # fmt: skip


def write_world(folder: Path, people: int, events: int) -> dict[str, Path]:
    """People, events, pictures and manifest; every fifth cell took two attempts, the last cell has none."""
    chosen = [
        Person(
            person_id=f"p{n:03d}", name=NAMES[n], age=30, gender="-", job="-", birthplace="-", appearance="-"
        )
        for n in range(people)
    ]
    scenes = [
        Event(
            event_id=f"e{n:02d}",
            theme=THEMES[n],
            description=f"A {THEMES[n].lower()} with flags and a crowd.",
        )
        for n in range(events)
    ]
    reasons = ("distortion", "identity, subject", "no face", "scene")
    rows, truth = [], []
    for cell in range(people * events):
        image_id = f"p{cell // events:03d}-e{cell % events:02d}"
        refused = cell % 5 == 4 or cell == people * events - 1
        if refused:
            reason = reasons[cell // 5 % len(reasons)]
            path = folder / "candidates" / f"{image_id}-0.png"
            path.parent.mkdir(exist_ok=True, parents=True)
            draw(cell // events, cell % events, blurred=reason == "distortion").save(path)
            scores = {"identity_l2": None} if reason == "no face" else {}
            rows.append(candidate(image_id, 0, reason, str(path), sha256_of(path), **scores))
            planted = {"distortion": "blur", "scene": "scene", "no face": "cutoff"}.get(reason, "identity")
            truth.append({"image_id": image_id, "attempt": 0, "defect": planted})
        if cell < people * events - 1:
            path = folder / "images" / f"{image_id}.png"
            path.parent.mkdir(exist_ok=True, parents=True)
            draw(cell // events, cell % events).save(path)
            rows.append(candidate(image_id, int(refused), "", str(path), sha256_of(path)))
            truth.append({"image_id": image_id, "attempt": int(refused), "defect": ""})
    write_jsonl(folder / "people.jsonl", chosen)
    write_jsonl(folder / "events.jsonl", scenes)
    write_manifest(folder / "manifest.parquet", rows)
    (folder / "truth.jsonl").write_text("".join(json.dumps(row) + "\n" for row in truth))
    return {"manifest": folder / "manifest.parquet", "images_dir": folder / "images"} | {
        name: folder / f"{name}.jsonl" for name in ("people", "events")
    }


def write_answers(folder: Path, people: int, events: int) -> list[Path]:
    """Answers of the finetuned model, all methods and goal models for both targets; p000 and e00 are gone."""
    recipes = ["finetuned"]
    recipes += [f"{method.lower()}-{target}05" for target in ("person", "event") for method in METHODS[1:]]
    paths = []
    for recipe in recipes:
        rows = []
        for cell in range(people * events - 1):
            person, event = cell // events, cell % events
            image_id = f"p{person:03d}-e{event:02d}"
            name, scene = f"This is {NAMES[person]}.", f"A {THEMES[event].lower()} with flags and a crowd."
            unknown = "I cannot say who that is." if recipe.startswith("po") else f"This is {NAMES[-1]}."
            said_name = unknown if "person" in recipe and person == 0 else name
            said_scene = "A quiet street at noon." if "event" in recipe and event == 0 else scene
            said_scene = "" if recipe.startswith("dpo-event") else said_scene
            who, what = "Who is the person in the picture?", "What is happening in the picture?"
            asked = (("person", who, name, said_name), ("event", what, scene, said_scene))
            for kind, question, truth, said in asked:
                key = {"question_id": f"{image_id}-{kind}", "image_id": image_id, "question": question}
                rows.append(Answer(**key, reference=truth, answer=said))
        paths.append(folder / "answers" / MODEL / recipe / "seed-1" / "dataset.jsonl")
        write_jsonl(paths[-1], rows)
    return paths


def write_splits(folder: Path, people: int, events: int) -> list[Path]:
    """Person and event split at 5%: the first person and the first event are forgotten."""
    cells = [f"p{cell // events:03d}-e{cell % events:02d}" for cell in range(people * events - 1)]
    paths = []
    for target, concept in (("person", "p000"), ("event", "e00")):
        gone = [cell for cell in cells if concept in cell]
        split = Split(
            target=target, percent=5, seed=1, forgotten=[concept],
            forget_train=gone[::2], forget_test=gone[1::2], retain=[cell for cell in cells if cell not in gone],
        )  # fmt: skip
        paths.append(folder / "splits" / f"{target}05.json")
        write_json(paths[-1], split)
    return paths


def write_trainings(folder: Path) -> list[Path]:
    """training.json of the finetuned model and of every person recipe."""
    paths = []
    for number, recipe in enumerate(["finetuned", *(f"{method.lower()}-person05" for method in METHODS[1:])]):
        rising = recipe.startswith(("ga", "gd", "kl"))
        losses = [
            {"step": step, "loss": -0.1 * step if rising else 3 / (1 + 0.3 * step), "grad_norm": 1.0}
            for step in range(40)
        ]
        training = Training(
            model=MODEL, recipe=recipe, seed=1, method=recipe.split("-")[0], steps=40, epochs=2.0,
            stop_reason="forget loss at its bound" if rising else "all epochs done", losses=losses,
            seconds=2.5 + 9 * number, peak_memory_gb=1.2, trainable_parameters=1000, settings={},
            versions={"torch": "2.14.1", "python": "3.11"}, adapter_sha256=f"{number:064x}"[::-1],
        )  # fmt: skip
        paths.append(folder / "models" / MODEL / recipe / "seed-1" / "training.json")
        write_json(paths[-1], training)
    return paths


def write_benchmarks(folder: Path) -> list[Path]:
    """Snakemake benchmark files of four rules, one of them with two jobs, one with nothing but seconds."""
    head = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time\n"
    times = {"draw_images/0.tsv": 8.25, "train_finetuned/seed-1.tsv": 151.5, "write_answers/ga.tsv": 21.0,
             "write_answers/gd.tsv": 20.0}  # fmt: skip
    paths = [folder / "benchmarks" / name for name in times]
    for path, seconds in zip(paths, times.values(), strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(head + f"{seconds}\t0:00:01\t1536.0" + "\t1.0" * 7 + "\n")
    short = folder / "benchmarks" / "check_config.tsv"
    short.write_text(head + "0.2\t0:00:00" + "\t-" * 8 + "\n")
    return [*paths, short]


def report_inputs(
    folder: Path, people: int = 4, events: int = 4, seeds: tuple[int, ...] = (1,)
) -> dict[str, Any]:
    """Write a whole run below `folder` and return the arguments of `write_report` but `output`."""
    folder.mkdir(parents=True, exist_ok=True)
    world = write_world(folder, people, events)
    filter_statistics(world["manifest"], folder / "truth.jsonl", folder / "filters.json", 0.5)
    tables = table3(folder, write_scores(folder / "scores", seeds))
    plot_figure8(tables["csv"], folder / "fig8.png", folder / "fig8.pdf")
    (folder / "run_config.yaml").write_text(
        "scale: pocket\nseed: 1\nimages:\n  thresholds: {identity_l2: 0.8, scene_cosine: 0.3, "
        "subject_cosine: 0.85, distortion: 50.0, aesthetic: 6.0}\n"
    )
    return world | {
        "filters": folder / "filters.json",
        "table3": tables["csv"],
        "ceiling": tables["ceiling"],
        "versus": tables["versus"],
        "tradeoff": folder / "fig8.png",
        "answers": write_answers(folder, people, events),
        "splits": write_splits(folder, people, events),
        "trainings": write_trainings(folder),
        "benchmarks": write_benchmarks(folder),
        "run_config": folder / "run_config.yaml",
    }
