"""A pilot: what one shard says of all pictures, beside what the plan assumed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mmunlearn.evaluation.intervals import FEW, interval, mean
from mmunlearn.records import Candidate, read_manifest, write_json, write_text
from mmunlearn.synthesis.candidates import reasons
from mmunlearn.synthesis.drawing_cost import DrawingCost, drawing_cost, mean_size
from mmunlearn.synthesis.filter_counts import filter_counts
from mmunlearn.synthesis.policy import Thresholds, expected_draws
from mmunlearn.workflow.benchmark import read_benchmark
from mmunlearn.workflow.pilot_page import pilot_page

Config = Mapping[str, Any]
Cells = Mapping[str, Sequence[Candidate]]
GB = 1e9


def write_pilot(
    numbers: Path,
    page: Path,
    *,
    shard: Path,
    batch: int,
    thresholds: Mapping[str, float],
    config: Config,
    work: Path,
) -> None:
    """Write what a shard says of all, as JSON and as Markdown.

    Args:
        shard: Parquet, rows of `Candidate`.
        batch: pictures that are drawn together.
        thresholds: settings of `Thresholds`.
        config: merged and checked.
        work: folder of the candidates' store.
    """
    rows = read_manifest(shard)
    images = config["images"]
    cells: dict[str, list[Candidate]] = {}
    for row in rows:
        cells.setdefault(row.image_id, []).append(row)
    rates = Rates(cells, (batch, images["max_attempts"]), config["seed"], config["evaluation"]["bootstrap"])
    cost = drawing_cost(rows, work)
    benchmark = read_benchmark(Path("benchmarks", config["scale"], "draw_shard", f"{shard.stem}.tsv"))
    measured = measured_assumptions(rates, cost, len(rows), benchmark and benchmark[0])
    embedding = mean_size(work, "prompt_embeddings/*/*.safetensors")
    pilot = {
        "shard": shard.stem,
        "people": len({row.person_id for row in rows}),
        "cells": len(cells),
        "valid": sum(any(row.accepted for row in of_cell) for of_cell in cells.values()),
        "asked_share": images["min_accepted_share"],
        "candidates": len(rows),
        "max_attempts": images["max_attempts"],
        "no_face": sum(row.faces == 0 for row in rows),
        "several_faces": sum(row.faces > 1 for row in rows),
        "filters": {name: asdict(one) for name, one in filter_counts(rows, Thresholds(**thresholds)).items()},
        "interval_over": rates.over,
        "acceptance": rates.acceptance(),
        "drawn_a_cell": rates.drawn(rates.over),
        "drawn_a_valid_picture": {over: rates.drawn_for_valid(over) for over in ("cell", "person")},
        "cost": asdict(cost) | {"embedding_bytes": embedding, "job_seconds": benchmark and benchmark[0]},
        "plan": {name: config["plan"][name]["value"] for name in measured},
        "measured": measured,
        "all": all_drawing(config, batch, measured, rates, cost, embedding),
    }
    write_json(numbers, pilot)
    write_text(page, pilot_page(pilot))


class Rates:
    """Rates of a shard with their 95% intervals, over people where it has enough of them, else over its cells.

    Args:
        cells: image_id -> candidates.
        attempts: least and most pictures that a cell may take.
        seed, resamples: of the bootstrap.
    """

    def __init__(self, cells: Cells, attempts: tuple[int, int], seed: int, resamples: int) -> None:
        self._cells, self.attempts, self._draws = cells, attempts, {"seed": seed, "resamples": resamples}
        people = {rows[0].person_id for rows in cells.values()}
        self.over = "person" if len(people) >= FEW else "cell"

    def acceptance(self) -> dict[str, float]:
        """Share of the candidates that pass all filters."""
        passing = lambda rows: sum(not reasons(row) for row in rows)  # noqa: E731
        return self._rate(passing, len, (0.0, 1.0), self.over)

    def drawn(self, over: str) -> dict[str, float]:
        """Pictures drawn for a cell."""
        return self._rate(len, lambda rows: 1, self.attempts, over)

    def drawn_for_valid(self, over: str) -> dict[str, float | None]:
        """Pictures drawn for a valid one; None where none is valid, or too few are for an upper bound."""
        ends = (0.0, 1 / self.attempts[0])
        rate = self._rate(lambda rows: sum(row.accepted for row in rows), len, ends, over)
        turned = {"value": rate["value"], "low": rate["high"], "high": rate["low"]}
        return {name: 1 / value if value > 0 else None for name, value in turned.items()}

    def _rate(
        self,
        part: Callable[[Sequence[Candidate]], float],
        whole: Callable[[Sequence[Candidate]], float],
        ends: tuple[float, float],
        over: str,
    ) -> dict[str, float]:
        clusters: dict[str, tuple[float, int]] = {}
        for image_id, rows in self._cells.items():
            name = image_id if over == "cell" else rows[0].person_id
            total, n = clusters.get(name, (0.0, 0))
            clusters[name] = (total + part(rows), n + int(whole(rows)))
        low, high = interval({"": clusters}, ends=ends, **self._draws)
        return {"value": mean({"": clusters}), "low": low, "high": high}


def measured_assumptions(
    rates: Rates, cost: DrawingCost, candidates: int, job_seconds: float | None
) -> dict[str, float]:
    """Names of the plan's assumptions -> what the shard shows, to three digits.

    `acceptance` is the one at which the plan, which takes all cells for alike, counts as many pictures as were drawn
    here, where the share of candidates that pass would have it count fewer: some cells are harder than others. What a
    job takes besides drawing and scoring is known where one job has drawn the whole shard.
    """
    drawn = rates.drawn(rates.over)["value"]
    values = {"acceptance": min(rates.acceptance()["value"], acceptance_of(drawn, rates.attempts))}
    if cost.draw_seconds is not None and cost.score_seconds is not None:
        values |= {"draw_seconds": cost.draw_seconds, "score_seconds": cost.score_seconds}
        if job_seconds is not None and cost.timed == candidates and job_seconds >= cost.seconds:
            inside = candidates * (cost.draw_seconds + cost.score_seconds)
            values["draw_job_seconds"] = max(0.0, job_seconds - inside)
    return {name: float(f"{value:.3g}") for name, value in values.items()}


def acceptance_of(drawn: float, ends: tuple[int, int]) -> float:
    """The acceptance at which `expected_draws` gives so many pictures a cell, by halving."""
    low, high = 0.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if expected_draws(middle, *ends) > drawn else (low, middle)
    return high


def all_drawing(
    config: Config,
    batch: int,
    measured: Mapping[str, float],
    rates: Rates,
    cost: DrawingCost,
    embedding: float,
) -> dict[str, dict[str, float]]:
    """Pictures, hours and disk of all drawing: by the `plan`, by the `pilot`, and at the ends of its interval."""
    drawn = rates.drawn(rates.over)
    ends = {name: acceptance_of(drawn[name], rates.attempts) for name in ("low", "high")}
    cases = {"plan": {}, "pilot": measured, **{name: {**measured, "acceptance": ends[name]} for name in ends}}
    cells = config["curation"]["n_people"] * config["curation"]["n_events"]
    found = {name: drawing(config, batch, values) for name, values in cases.items()}
    for name in ("pilot", *ends):
        bytes_of_all = found[name]["pictures"] * cost.candidate_bytes + cells * (
            cost.picture_bytes + embedding
        )
        found[name]["disk_gb"] = bytes_of_all / GB
    return found


def drawing(config: Config, batch: int, values: Mapping[str, float]) -> dict[str, float]:
    """Pictures and hours of references, shards and what is drawn again for pairs of scenes, as the plan counts them by
    its assumptions; `values` replace some of these."""
    images, curation = config["images"], config["curation"]
    assumed = {name: row["value"] for name, row in config["plan"].items()} | values
    cells = curation["n_people"] * curation["n_events"]
    again = cells * assumed["pair_refusals"] * images["candidates"]
    of_cells = cells * expected_draws(assumed["acceptance"], batch, images["max_attempts"])
    pictures = images["references_per_event"] * curation["n_events"] + of_cells + again
    jobs = 1 + -(-curation["n_people"] // images["people_per_shard"]) + (again > 0)
    each = assumed["draw_seconds"] + assumed["score_seconds"]
    hours = (pictures * each + jobs * assumed["draw_job_seconds"]) / 3600
    return {"pictures": pictures, "hours": hours, "gpu_hours": hours * images["job"]["gpu"]}
