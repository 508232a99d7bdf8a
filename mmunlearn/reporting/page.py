"""The report: one HTML file that needs nothing else, not even a network, and says how to read itself.

Pictures are inlined, there is no script, and a content security policy forbids the page to load anything.
Equal inputs give equal bytes: no dates, no random choice.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape

from mmunlearn.files import read_yaml
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
from mmunlearn.reporting.layout import Table, judges_of, read_table, values, without_ceiling
from mmunlearn.reporting.lifelong_section import lifelong_section
from mmunlearn.reporting.page_pictures import (
    SCORES,
    Pictures,
    answer_examples,
    png_uri,
    rejected_samples,
    sample_grid,
)
from mmunlearn.reporting.page_runs import duration, merged_versions, time_by_rule, training_rows
from mmunlearn.reporting.page_tables import (
    HEADS,
    ceiling_blocks,
    difference_blocks,
    rank_lines,
    score_blocks,
    versus_blocks,
)

TEMPLATE = "report.html.j2"
DEVIATIONS = Path(__file__).resolve().parents[2] / "resources" / "deviations.yaml"
REJECTED = 12  # candidates that are shown
QUESTIONS = {  # filter -> what it asks, and how the threshold compares
    "identity": ("Is it the same face as the person's reference?", "L2 ≤"),
    "scene": ("Is it the scene of the event's references?", "cosine ≥"),
    "subject": ("Is it the same figure as the person's reference?", "cosine ≥"),
    "distortion": ("Is it technically sound (sharp, clean)?", "score ≥"),
    "aesthetic": ("Is it pleasing to look at?", "score ≥"),
}


def write_report(
    *,
    manifest: Path,
    filters: Path,
    people: Path,
    events: Path,
    table3: Path,
    ceiling: Path,
    versus: Path,
    ranks: Path,
    differences: Path,
    tradeoff: Path,
    answers: Sequence[Path],
    splits: Sequence[Path],
    trainings: Sequence[Path],
    run_config: Path,
    settings: Mapping[str, Any],
    page: Path,
    benchmarks: str | Path,
    labels: Mapping[str, str],
    sample_people: int,
    sample_events: int,
    deviations: Path = DEVIATIONS,
    lifelong: Sequence[Path] = (),
) -> None:
    """Write the self-contained report.

    Args:
        manifest: images/manifest.parquet, with the accepted pictures, `<image_id>.png`, beside it; a refused candidate
            lies at its `path`, relative to the working folder, and is shown without its picture where that is gone.
        filters: the JSON of `check_images`.
        people, events: the curated JSON lines.
        table3, ceiling, versus, ranks, differences: Table III and what stands beside it (CSV), see `make_table`.
        tradeoff: Figure 8 (PNG).
        answers: `<model>/<recipe>/seed-<n>/dataset.jsonl` files of Answer rows.
        splits, trainings: JSON files of Split and Training records.
        run_config: the merged configuration, whose digest is shown.
        settings: `scale`, `seed` and the filters' `thresholds`.
        page: the HTML file.
        benchmarks: see `time_by_rule`.
        labels: method as recipes name it -> as tables do.
        sample_people, sample_events: most rows and columns of the grid of pictures.
        deviations: parts of a title and rows: what it is about, what the paper says, what is done here.
        lifelong: tables and figures of the lifelong phase, see `lifelong_section`; none where it has not run.

    Raises:
        RecordError: an input does not hold the rows that its name promises.
        FileNotFoundError: an input does not exist.
    """
    pictures = Pictures(
        people={one.person_id: one for one in read_jsonl(people, Person)},
        events={one.event_id: one for one in read_jsonl(events, Event)},
        candidates=read_manifest(manifest),
        folder=manifest.parent,
    )
    trained = [read_json(path, Training) for path in trainings]
    rows, ceiling_rows = read_table(table3), read_table(ceiling)
    statistics = json.loads(filters.read_text(encoding="utf-8"))
    times = time_by_rule(Path(benchmarks))
    total_time = duration(sum(row["seconds"] for row in times))
    inputs = (run_config, manifest, table3, ceiling, versus, ranks, differences)
    context = {
        "about": _about(settings, pictures, rows, ceiling_rows) | {"versions": merged_versions(trained)},
        "digests": {path.name: sha256_of(path)[:16] for path in inputs},
        "facts": _facts(statistics, len(trained), len(answers), total_time),
        "grid": sample_grid(pictures, sample_people, sample_events),
        "rejected": rejected_samples(pictures, REJECTED),
        "statistics": statistics,
        "filters": _filter_rows(statistics, settings["thresholds"]),
        "heads": HEADS,
        "table3": score_blocks(rows),
        "differences": difference_blocks(read_table(differences)),
        "versus": versus_blocks(read_table(versus)),
        "deviations": _deviations(deviations),
        "ranks": rank_lines(read_table(ranks)),
        "ceiling": ceiling_blocks(ceiling_rows, rows),
        "ceiling_without": without_ceiling(ceiling_rows, rows),
        "tradeoff": png_uri(tradeoff),
        "examples": answer_examples(answers, [read_json(path, Split) for path in splits], pictures, labels),
        "trainings": training_rows(trained, labels),
        "times": times,
        "total_time": total_time,
        "lifelong": lifelong_section(lifelong),
    }
    write_text(page, render(TEMPLATE, context))


def render(template: str, context: Mapping[str, Any]) -> str:
    """A page of one of the templates here."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        undefined=jinja2.StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(context)


def _deviations(path: Path) -> list[dict[str, Any]]:
    """The parts of the list, with what is between backticks as code."""
    parts = read_yaml(path)
    return [
        part | {"rows": [{name: _with_code(text) for name, text in row.items()} for row in part["rows"]]}
        for part in parts
    ]


def _with_code(text: str) -> Markup:
    return Markup(re.sub("`([^`]*)`", r"<code>\1</code>", str(escape(text))))


def _about(settings: Mapping[str, Any], pictures: Pictures, rows: Table, ceiling: Table) -> dict[str, Any]:
    return {
        "scale": settings["scale"],
        "base_seed": settings["seed"],
        "seeds": " / ".join(values(rows, "seed_list")),
        "ceiling_seeds": " / ".join(values(ceiling, "seed_list")),
        "models": ", ".join(values(rows, "model")),
        "judges": judges_of(rows),
        "generators": ", ".join(sorted({one.generator for one in pictures.candidates})),
        "people": len({one.person_id for one in pictures.candidates}),
        "events": len({one.event_id for one in pictures.candidates}),
    }


def _facts(
    statistics: Mapping[str, Any], trainings: int, answer_files: int, total_time: str
) -> list[tuple[str, str]]:
    """The few numbers of the page's head: (number, what it counts)."""
    return [
        (f"{statistics['accepted']:,} of {statistics['cells']:,}", "cells with an accepted picture"),
        (f"{statistics['candidates']:,}", "candidate pictures"),
        (f"{trainings}", "models trained"),
        (f"{answer_files}", "models questioned"),
        (total_time, "of computing, all jobs added up"),
    ]


def _filter_rows(statistics: Mapping[str, Any], thresholds: Mapping[str, float]) -> list[dict[str, Any]]:
    """The filters in the order of the paper, then the chain of them all; counts that shares rest on added."""
    rows = []
    for name in MEANT_FOR:
        question, comparison = QUESTIONS[name]
        limit = f"{comparison} {thresholds[SCORES[name]]:g}"
        rows.append({"name": name, "question": question, "limit": limit, **statistics["filters"][name]})
    chain = {"name": "all five", "question": "Did any filter refuse it?", "limit": ""}
    rows.append(chain | statistics["chain"])
    for row in rows:
        row["planted"] = (row["true_positive"] or 0) + (row["false_negative"] or 0)
        row["defective"] = row["rejected"] - (row["false_positive"] or 0)
    return rows
