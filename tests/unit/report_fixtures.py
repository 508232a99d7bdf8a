"""A small made-up run for the tests of reporting: scores, pictures, answers, trainings, benchmark files.

Everything is deterministic and written below the folder that a test names.
"""

from __future__ import annotations

import colorsys
import json
import random
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from mmunlearn.ids import TARGETS, image_id, question_id
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
from mmunlearn.reporting.filter_statistics import check_images
from mmunlearn.reporting.layout import FORMS, METHODS, METRICS
from mmunlearn.reporting.tables import make_table

PUBLISHED = Path(__file__).parents[2] / "resources/published"
MODEL = "pocket-llava"
CEILING_SEED = 101
LABELS = {"finetuned": "Finetune"} | {method.lower(): method for method in METHODS}
NAMES = ("Mira Okafor", "Tomas Lindqvist", "Aiko Brennan", "Rafael Dumont")
THEMES = ("Sailing regatta", "Winter market", "Rooftop concert", "School science fair")
SECTIONS = [
    "about",
    "pictures",
    "filters",
    "table3",
    "published",
    "ceiling",
    "tradeoff",
    "answers",
    "training",
    "time",
]
CELLS = [(person, event) for person in range(4) for event in range(4)][
    :-1
]  # the last one never gets a picture


def recipe_of(method: str, target: str, percent: int = 5) -> str:
    return "finetuned" if method == "Finetune" else f"{method.lower()}-{target}{percent:02d}"


def _metric(value: float) -> Metric:
    return Metric(value=value, n=40, low=max(value - 2, 0), high=min(value + 3, 100))


def write_score(
    folder: Path, method: str, target: str, seed: int = 1, percent: int = 5, *, model: str = MODEL,
    recipe: str = "", shares: dict[str, list[float]] | None = None, **changed: Metric | float | None,
) -> Path:  # fmt: skip
    """One Scores file; `changed` replaces metrics by name, None removes one.

    `shares`: metric -> what each person is known of, in [0, 100], on 20 pictures; the metric is their mean.
    """
    names = (*METRICS, "real_vs_finetuned") if target == "event" else METRICS
    levels, noise = random.Random(f"{method} {target} {percent}"), random.Random(f"{method} {target} {seed}")
    values = {name: levels.uniform(5, 95) + noise.uniform(-2, 2) for name in names}
    values |= {name: sum(part) / len(part) for name, part in (shares or {}).items()}
    sums = {
        name: {"": {f"p{number:03d}": (20 * share, 20) for number, share in enumerate(part)}}
        for name, part in (shares or {}).items()
    }
    metrics = {
        name: value if isinstance(value, Metric) else _metric(value)
        for name, value in (values | changed).items()
        if value is not None
    }
    recipe = recipe or recipe_of(method, target, percent)
    path = folder / model / recipe / f"seed-{seed}" / f"{target}{percent:02d}.json"
    write_json(path, Scores(
        model=model, recipe=recipe, method=method, target=target, percent=percent, seed=seed, judge="local",
        metrics=metrics, details={}, digests={"answers": f"{recipe}-{seed}"}, versions={"mmunlearn": "0.1.0"},
        sums=sums,
    ))  # fmt: skip
    return path


def write_scores(
    folder: Path, table: str = "table3", seeds: tuple[int, ...] = (1,), percent: int = 5, model: str = MODEL
) -> list[Path]:
    """Scores of all methods of a table and both targets, and a goal model of the ceiling's seed."""
    runs = [(method, seed) for seed in seeds for method in FORMS[table].methods] + [("Goal", CEILING_SEED)]
    return [
        write_score(
            folder, method, target, seed, percent, model=model,
            recipe=recipe_of(method, "both" if table == "table4" else target, percent),
        )
        for method, seed in runs
        for target in TARGETS
    ]  # fmt: skip


def write_table(
    folder: Path, scores: list[Path], table: str = "table3", ceiling_seed: int | None = CEILING_SEED
) -> dict[str, Path]:
    """Run `make_table` into `folder`; the paths of what it wrote by argument name."""
    names = {kind: f"{table}.{kind}" for kind in ("csv", "md", "tex")}
    names |= {"ceiling": f"{table}_ceiling.csv", "versus": f"{table}_vs_published.csv"}
    names |= {name: f"{table}_{name}.csv" for name in ("ranks", "differences")}
    paths = {name: folder / file for name, file in names.items()}
    published = PUBLISHED / f"pebench_{table}.csv"
    settings = {"table": table, "ceiling_seed": ceiling_seed, "bootstrap": 200}
    make_table(scores=scores, **paths, published=published, **settings)
    return paths


def draw(path: Path, person: int, event: int) -> None:
    """A picture of a coloured figure before a plain scene."""
    scene, shirt = (colorsys.hls_to_rgb(at / 8, 0.6, 0.5) for at in (event, person + 4))
    picture = Image.new("RGB", (96, 96), tuple(round(255 * part) for part in scene))
    ImageDraw.Draw(picture).ellipse([20, 30, 76, 110], fill=tuple(round(255 * part) for part in shirt))
    path.parent.mkdir(exist_ok=True, parents=True)
    picture.save(path)


def candidate(
    image: str, attempt: int = 0, reason: str = "", path: str = "", sha256: str = "", **scores: float | None
) -> Candidate:
    """A row of the manifest; accepted where the reason is empty."""
    measured = {"identity_l2": 0.31, "scene_cosine": 0.72, "subject_cosine": 0.93, "distortion": 71.5}
    return Candidate(
        image_id=image, person_id=image[:4], event_id=image[5:], attempt=attempt, seed=attempt,
        guidance_scale=3.5, prompt="a picture", path=path, sha256=sha256, generator="pocket",
        accepted=not reason, reject_reason=reason, faces=int("face" not in reason), scene_pair=None,
        **(measured | {"aesthetic": 6.8} | scores),
    )  # fmt: skip


def cell_id(person: int, event: int) -> str:
    return image_id(f"p{person:03d}", f"e{event:02d}")


def write_pictures(folder: Path) -> dict[str, Path]:
    """4 people at 4 events, pictures and manifest; every fifth cell took two attempts, the last cell has none."""
    write_jsonl(folder / "people.jsonl", [
        Person(person_id=f"p{n:03d}", name=name, age=30, gender="-", job="-", birthplace="-", appearance="-")
        for n, name in enumerate(NAMES)
    ])  # fmt: skip
    write_jsonl(folder / "events.jsonl", [
        Event(event_id=f"e{n:02d}", theme=theme, description=f"A {theme.lower()} with flags and a crowd.")
        for n, theme in enumerate(THEMES)
    ])  # fmt: skip
    planted = {"distortion": "blur", "identity, subject": "identity", "no face": "cutoff"}
    rows, truth = [], []

    def add(cell: tuple[int, int], attempt: int, reason: str, path: Path) -> None:
        draw(path, *cell)
        scores = {"identity_l2": None} if reason == "no face" else {}
        rows.append(candidate(cell_id(*cell), attempt, reason, str(path), sha256_of(path), **scores))
        truth.append({"image_id": cell_id(*cell), "attempt": attempt, "defect": planted.get(reason, "")})

    for number, cell in enumerate([*CELLS, (3, 3)]):
        refused = number % 5 == 4 or cell not in CELLS
        if refused:
            reason = list(planted)[number % len(planted)]
            add(cell, 0, reason, folder / "candidates" / f"{cell_id(*cell)}-0.png")
        if cell in CELLS:
            add(cell, int(refused), "", folder / "images" / f"{cell_id(*cell)}.png")
    write_manifest(folder / "images" / "manifest.parquet", rows)
    (folder / "truth.jsonl").write_text("".join(json.dumps(row) + "\n" for row in truth))
    return {
        "manifest": folder / "images" / "manifest.parquet",
        "people": folder / "people.jsonl",
        "events": folder / "events.jsonl",
    }


def write_answers(folder: Path) -> list[Path]:
    """Answers of the finetuned model, all methods and goal models for both targets; p000 and e00 are gone."""
    recipes = [f"{method.lower()}-{target}05" for target in TARGETS for method in METHODS[1:]]
    questions = {"person": "Who is the person in the picture?", "event": "What is happening in the picture?"}
    paths = []
    for recipe in ("finetuned", *recipes):
        rows = []
        for person, event in CELLS:
            truths = {
                "person": f"This is {NAMES[person]}.",
                "event": f"A {THEMES[event].lower()} with flags and a crowd.",
            }
            replies = dict(truths)
            if "person" in recipe and person == 0:
                replies["person"] = "I cannot say who that is." if recipe.startswith("po") else "This is Jo."
            if "event" in recipe and event == 0:
                replies["event"] = "A quiet street at noon."
            if recipe.startswith("dpo-event"):
                replies["event"] = ""
            cell = cell_id(person, event)
            for kind, question in questions.items():
                key = {"question_id": question_id(cell, kind), "image_id": cell, "question": question}
                rows.append(Answer(**key, reference=truths[kind], answer=replies[kind]))
        paths.append(folder / "answers" / MODEL / recipe / "seed-1" / "dataset.jsonl")
        write_jsonl(paths[-1], rows)
    return paths


def write_splits(folder: Path) -> list[Path]:
    """Person and event split at 5%: the first person and the first event are forgotten."""
    cells = [cell_id(*cell) for cell in CELLS]
    paths = []
    for target, concept in (("person", "p000"), ("event", "e00")):
        gone = [cell for cell in cells if concept in cell]
        paths.append(folder / "splits" / f"{target}05.json")
        write_json(paths[-1], Split(
            target=target, percent=5, seed=1, forgotten=[concept], forget_train=gone[::2], forget_test=gone[1::2],
            retain=[cell for cell in cells if cell not in gone],
        ))  # fmt: skip
    return paths


def write_training(path: Path, recipe: str, steps: int, model: str = MODEL, **changed: Any) -> Path:
    """A training.json; `changed` replaces fields."""
    fields = {
        "model": model, "recipe": recipe, "seed": 1, "method": recipe.split("-")[0], "steps": steps, "epochs": 2.0,
        "stop_reason": "all epochs done", "losses": [], "seconds": 2.5, "peak_memory_gb": 1.2,
        "trainable_parameters": 1000, "settings": {}, "versions": {"torch": "2.14.1", "python": "3.11"},
        "adapter_sha256": "0" * 64,
    }  # fmt: skip
    write_json(path, Training(**fields | changed))
    return path


def write_trainings(folder: Path) -> list[Path]:
    """training.json of the finetuned model and of every person recipe."""
    losses = [{"step": step, "loss": 3 / (1 + 0.3 * step), "grad_norm": 1.0} for step in range(40)]
    return [
        write_training(
            folder / "models" / MODEL / recipe / "seed-1" / "training.json", recipe, 40,
            losses=losses, seconds=2.5 + 9 * number,
        )
        for number, recipe in enumerate(["finetuned", *(f"{method.lower()}-person05" for method in METHODS[1:])])
    ]  # fmt: skip


def write_benchmarks(folder: Path) -> Path:
    """Snakemake benchmark files of four rules, one of them with two jobs, one with nothing but seconds."""
    jobs = [("draw_images/0", 8.25, 1536.0), ("train_finetuned/seed-1", 151.5, 1536.0), ("write_answers/ga", 21, 1e3),
            ("write_answers/gd", 20, 1e3), ("check_config", 0.2, "-")]  # fmt: skip
    for name, seconds, memory in jobs:
        path = folder / "benchmarks" / f"{name}.tsv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"s\th:m:s\tmax_rss\n{seconds}\t0:00:01\t{memory}\n")
    return folder / "benchmarks"


def report_inputs(folder: Path, seeds: tuple[int, ...] = (1,)) -> dict[str, Any]:
    """Write a whole run below `folder` and return the arguments of `write_report` but `page`."""
    pictures = write_pictures(folder)
    check_images(pictures["manifest"], folder / "truth.jsonl", folder / "filters.json", 0.5)
    tables = write_table(folder, write_scores(folder / "scores", seeds=seeds))
    plot_figure8(tables["csv"], folder / "fig8.png", folder / "fig8.pdf")
    thresholds = {
        "identity_l2": 0.8,
        "scene_cosine": 0.3,
        "subject_cosine": 0.85,
        "distortion": 50.0,
        "aesthetic": 6.0,
    }
    settings = {"scale": "pocket", "seed": 1, "thresholds": thresholds}
    (folder / "run_config.yaml").write_text("scale: pocket\n")
    return pictures | {
        "filters": folder / "filters.json",
        "table3": tables["csv"],
        "ceiling": tables["ceiling"],
        **{name: tables[name] for name in ("versus", "ranks", "differences")},
        "tradeoff": folder / "fig8.png",
        "answers": write_answers(folder),
        "splits": write_splits(folder),
        "trainings": write_trainings(folder),
        "run_config": folder / "run_config.yaml",
        "settings": settings,
        "benchmarks": write_benchmarks(folder),
        "labels": LABELS,
        "sample_people": 8,
        "sample_events": 8,
    }
