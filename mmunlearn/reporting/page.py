"""The report: one HTML file that needs nothing else, not even a network, and says how to read itself.

Pictures are inlined, there is no script, and a content security policy forbids the page to load anything.
Equal inputs give equal bytes: no dates, no random choice.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jinja2
import yaml

from mmunlearn.records import (
    Event,
    Person,
    Split,
    Training,
    read_json,
    read_jsonl,
    read_manifest,
    sha256_of,
    write_text,
)
from mmunlearn.reporting.filter_statistics import MEANT_FOR
from mmunlearn.reporting.layout import Table, read_table
from mmunlearn.reporting.page_pictures import (
    World,
    answer_examples,
    png_uri,
    rejected_samples,
    sample_grid,
)
from mmunlearn.reporting.page_runs import duration, merged_versions, time_by_rule, training_rows
from mmunlearn.reporting.page_tables import HEADS, ceiling_blocks, score_blocks, versus_blocks

TEMPLATE = Path(__file__).with_name("report.html.j2")
REJECTED_SHOWN = 12
CHECKS = {  # filter -> what it asks, and the threshold's comparison and key in the configuration
    "identity": ("Is it the same face as the person's reference?", "L2 ≤", "identity_l2"),
    "scene": ("Is it the scene of the event's references?", "cosine ≥", "scene_cosine"),
    "subject": ("Is it the same figure as the person's reference?", "cosine ≥", "subject_cosine"),
    "distortion": ("Is it technically sound (sharp, clean)?", "score ≥", "distortion"),
    "aesthetic": ("Is it pleasing to look at?", "score ≥", "aesthetic"),
}


def write_report(
    *,
    manifest: Path,
    images_dir: Path,
    filters: Path,
    people: Path,
    events: Path,
    table3: Path,
    ceiling: Path,
    versus: Path,
    tradeoff: Path,
    answers: list[Path],
    splits: list[Path],
    trainings: list[Path],
    benchmarks: list[Path],
    run_config: Path,
    output: Path,
    command: str = "make run",
    sample_people: int = 8,
    sample_events: int = 8,
    benchmarks_root: Path | None = None,
) -> None:
    """Write the self-contained report.

    Args:
        manifest: images/manifest.parquet; a refused candidate lies at its `path`, relative to the working
            folder, and is shown without its picture where the file is not kept.
        images_dir: folder of the accepted pictures, `<image_id>.png`.
        filters: the JSON of `filter_statistics`.
        people, events: the curated JSON lines.
        table3, ceiling, versus, tradeoff: Table III, its ceiling and comparison (CSV), and the figure (PNG).
        answers: `<model>/<recipe>/seed-<n>/dataset.jsonl` files of Answer rows.
        splits, trainings: JSON files of Split and Training records.
        benchmarks, benchmarks_root: see `time_by_rule`.
        run_config: the merged configuration; `scale`, `seed` and `images.thresholds` are shown.
        output: the HTML file.
        command: what was called to make this run.
        sample_people, sample_events: most rows and columns of the grid of pictures.

    Raises:
        RecordError: an input does not hold the rows that its name promises.
        FileNotFoundError: an input does not exist.
    """
    world = World(
        people={one.person_id: one for one in read_jsonl(people, Person)},
        events={one.event_id: one for one in read_jsonl(events, Event)},
        candidates=read_manifest(manifest),
        images_dir=images_dir,
    )
    trained = [read_json(path, Training) for path in trainings]
    rows, ceiling_rows = read_table(table3), read_table(ceiling)
    config = yaml.safe_load(run_config.read_text(encoding="utf-8")) or {}
    statistics = json.loads(filters.read_text(encoding="utf-8"))
    times = time_by_rule(benchmarks, benchmarks_root)
    thresholds = (config.get("images") or {}).get("thresholds") or {}
    context = {
        "about": _about(config, world, rows, ceiling_rows, trained, command, run_config),
        "digests": {
            path.name: sha256_of(path)[:16] for path in (run_config, manifest, table3, ceiling, versus)
        },
        "facts": _facts(statistics, trained, len(answers), times),
        "grid": sample_grid(world, sample_people, sample_events),
        "rejected": rejected_samples(world, REJECTED_SHOWN),
        "statistics": statistics,
        "filters": _filter_rows(statistics, thresholds),
        "heads": HEADS,
        "table3": score_blocks(rows),
        "versus": versus_blocks(read_table(versus)),
        "ceiling": ceiling_blocks(ceiling_rows, rows),
        "tradeoff": png_uri(tradeoff),
        "examples": answer_examples(answers, [read_json(path, Split) for path in splits], world),
        "trainings": training_rows(trained),
        "times": times,
        "total_time": duration(sum(row["seconds"] for row in times)),
    }
    write_text(output, _environment().get_template(TEMPLATE.name).render(context))


def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATE.parent),
        undefined=jinja2.StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _about(
    config: dict[str, Any],
    world: World,
    rows: Table,
    ceiling: Table,
    trained: list[Training],
    command: str,
    run_config: Path,
) -> dict[str, Any]:
    return {
        "scale": str(config.get("scale", run_config.parent.name)),
        "command": command,
        "base_seed": config.get("seed", "not named"),
        "seeds": " / ".join(dict.fromkeys(row["seed_list"] for row in rows)),
        "ceiling_seeds": " / ".join(dict.fromkeys(row["seed_list"] for row in ceiling)),
        "models": ", ".join(dict.fromkeys(row["model"] for row in rows)),
        "judges": ", ".join(dict.fromkeys(row["judge"] for row in rows)),
        "generators": ", ".join(sorted({one.generator for one in world.candidates})),
        "people": len({one.person_id for one in world.candidates}),
        "events": len({one.event_id for one in world.candidates}),
        "versions": merged_versions(trained),
    }


def _facts(
    statistics: dict[str, Any], trained: list[Training], answer_files: int, times: list[dict[str, Any]]
) -> list[tuple[str, str]]:
    """The few numbers of the page's head: (number, what it counts)."""
    return [
        (f"{statistics['accepted']:,} of {statistics['cells']:,}", "cells with an accepted picture"),
        (f"{statistics['candidates']:,}", "candidate pictures drawn"),
        (f"{len(trained)}", "models trained"),
        (f"{answer_files}", "models questioned"),
        (duration(sum(row["seconds"] for row in times)), "of computing, all jobs added up"),
    ]


def _filter_rows(statistics: dict[str, Any], thresholds: dict[str, float]) -> list[dict[str, Any]]:
    """The filters in the order of the paper, then the chain of them all; counts that shares rest on added."""
    rows = []
    for name in MEANT_FOR:
        question, comparison, key = CHECKS[name]
        limit = f"{comparison} {thresholds[key]:g}" if key in thresholds else ""
        rows.append({"name": name, "question": question, "limit": limit, **statistics["filters"][name]})
    chain = {"name": "all five", "question": "Did any filter refuse it?", "limit": ""}
    rows.append(chain | statistics["chain"])
    for row in rows:
        row["planted"] = (row["true_positive"] or 0) + (row["false_negative"] or 0)
        row["defective"] = row["rejected"] - (row["false_positive"] or 0)
    return rows
