"""A pilot: what one shard says of all pictures, beside what the plan assumed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
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
from mmunlearn.workflow.sizes import Sizes

Config = Mapping[str, Any]
Cells = Mapping[str, Sequence[Candidate]]
MB = 1e6


def write_pilot(
    numbers: Path,
    page: Path,
    *,
    shard: Path,
    benchmark: Path,
    thresholds: Mapping[str, float],
    config: Config,
    work: Path,
    **fields: Any,
) -> None:
    """Write what a shard says of all, as JSON and as Markdown.

    Args:
        shard: Parquet, rows of `Candidate`.
        benchmark: what Snakemake wrote of the job that drew it, if it did.
        thresholds: settings of `Thresholds`.
        config: merged and checked.
        work: folder of the candidates' store.
        fields: further ones of `Drawing`.
    """
    rows, drawing = read_manifest(shard), Drawing(config, **fields)
    cells: dict[str, list[Candidate]] = {}
    for row in rows:
        cells.setdefault(row.image_id, []).append(row)
    rates = Rates(cells, drawing.attempts, config["seed"], config["evaluation"]["bootstrap"])
    cost = drawing_cost(rows, work)
    job_seconds, _ = read_benchmark(benchmark) or (None, 0.0)
    enforced, limits = config["images"]["filter"] == "enforce", Thresholds(**thresholds)
    values = {
        "acceptance": min(rates.acceptance()["value"], drawing.acceptance(rates.drawn(rates.over)["value"])),
        **drawing.seconds(cost, len(rows), job_seconds),
        "picture_mb": cost.picture_bytes / MB,
    }
    if embedding := mean_size(work, "prompt_embeddings/*/*.safetensors"):
        values["embedding_mb"] = embedding / MB
    measured = {name: float(f"{value:.3g}") for name, value in values.items()}
    pilot = {
        "shard": shard.stem,
        "people": len({row.person_id for row in rows}),
        "cells": len(cells),
        "valid": sum(any(row.accepted for row in of_cell) for of_cell in cells.values()),
        "asked_share": config["images"]["min_accepted_share"],
        "candidates": len(rows),
        "max_attempts": drawing.attempts[1],
        "no_face": sum(row.faces == 0 for row in rows),
        "several_faces": sum(row.faces > 1 for row in rows),
        "enforced": enforced,
        "filters": {name: asdict(one) for name, one in filter_counts(rows, limits, enforced).items()},
        "interval_over": rates.over,
        "acceptance": rates.acceptance(),
        "drawn_a_cell": rates.drawn(rates.over),
        "drawn_a_valid_picture": {over: rates.drawn_for_valid(over) for over in ("cell", "person")},
        "cost": asdict(cost) | {"job_seconds": job_seconds},
        "measured": measured,
        "plan": {name: config["plan"][name]["value"] for name in measured},
        "all": drawing.cases(measured, rates.drawn(rates.over), cost.candidate_bytes - cost.picture_bytes),
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
        return self._rate(lambda rows: sum(not reasons(row) for row in rows), len, (0.0, 1.0), self.over)

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


@dataclass(frozen=True)
class Drawing:
    """All that a configuration draws: references, shards, and what is drawn again for pairs of scenes; counted as the
    plan counts it, which takes all cells for alike.

    Attributes:
        config: merged and checked.
        batch, max_attempts: least and most pictures of a cell.
        redraws: pictures in place of one that is refused afterwards, at most.
        networks: names of the fetched weights that a job reads.
    """

    config: Config
    batch: int
    max_attempts: int
    redraws: int
    networks: Sequence[str]

    @property
    def attempts(self) -> tuple[int, int]:
        """Least and most pictures of a cell."""
        return self.batch, self.max_attempts

    @cached_property
    def _assumed(self) -> dict[str, Any]:
        return {name: row["value"] for name, row in self.config["plan"].items()}

    @property
    def _reading(self) -> float:
        """Seconds in which a job reads its networks."""
        sizes = self._assumed["weights_mb"]
        return sum(sizes.get(name, 0.0) for name in self.networks) / self._assumed["read_mb_second"]

    def acceptance(self, drawn: float) -> float:
        """The acceptance at which so many pictures a cell are expected, by halving; 1 where all cells take as many. It
        is less than the share of candidates that pass where some cells are harder than others."""
        low, high = (0.0 if self.batch < self.max_attempts else 1.0), 1.0
        for _ in range(50):
            middle = (low + high) / 2
            more = expected_draws(middle, *self.attempts) > drawn
            low, high = (middle, high) if more else (low, middle)
        return high

    def seconds(self, cost: DrawingCost, candidates: int, job_seconds: float | None) -> dict[str, float]:
        """The assumptions on time, as far as a shard tells them. What a job takes besides drawing and scoring is known
        where one job has drawn the whole shard: it took longer then than its pictures."""
        if cost.draw_seconds is None or cost.score_seconds is None:
            return {}
        values = {"draw_seconds": cost.draw_seconds, "score_seconds": cost.score_seconds}
        if job_seconds is not None and cost.timed == candidates and job_seconds >= cost.seconds:
            inside = candidates * (cost.draw_seconds + cost.score_seconds)
            values["draw_job_seconds"] = max(0.0, job_seconds - inside - self._reading)
        return values

    def cases(
        self, measured: Mapping[str, float], drawn: Mapping[str, float], features: float
    ) -> dict[str, dict[str, float]]:
        """Totals by the `plan`, by the `pilot`, and at the ends of its interval, `low` and `high`.

        Args:
            drawn: pictures of a cell with the ends of their interval.
            features: bytes of what is measured in a picture, which the plan leaves out.
        """
        ends = {end: {**measured, "acceptance": self.acceptance(drawn[end])} for end in ("low", "high")}
        cases = {"pilot": measured, **ends}
        found = {"plan": self.totals({})} | {name: self.totals(values) for name, values in cases.items()}
        for name in cases:
            found[name]["disk"] += found[name]["pictures"] * features / MB / 1000
        return found

    def totals(self, values: Mapping[str, float]) -> dict[str, float]:
        """Pictures, hours and GB; `values` replace assumptions of the plan."""
        images, curation, assumed = self.config["images"], self.config["curation"], self._assumed | values
        cells = Sizes(self.config).cells
        again = cells * assumed["pair_refusals"] * self.redraws
        references = images["references_per_event"] * curation["n_events"]
        pictures = references + cells * expected_draws(assumed["acceptance"], *self.attempts) + again
        jobs = 1 + -(-curation["n_people"] // images["people_per_shard"]) + (again > 0)
        each = assumed["draw_seconds"] + assumed["score_seconds"]
        hours = (pictures * each + jobs * (assumed["draw_job_seconds"] + self._reading)) / 3600
        disk = (pictures + cells) * assumed["picture_mb"] + cells * assumed["embedding_mb"]
        return {
            "pictures": pictures,
            "hours": hours,
            "gpu_hours": hours * images["job"]["gpu"],
            "disk": disk / 1000,
        }
