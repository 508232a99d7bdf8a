"""Figures 7, 9 and 10, asked for as files: all that they need and the tables do not is made by its own rules."""

from __future__ import annotations

import re
import zlib
from pathlib import Path
from statistics import fmean

import pytest
from PIL import Image

from mmunlearn.evaluation.rouge import rouge_l
from mmunlearn.ids import FINETUNED, concepts_of, kind_of
from mmunlearn.names import says_name
from mmunlearn.records import Answer, Person, Scores, read_json, read_jsonl, write_json, write_jsonl
from mmunlearn.reporting.layout import read_table, write_table
from tests.rules.mini import split_of

FIGURES = [f"figures/fig{number}.{kind}" for number in (7, 9, 10) for kind in ("png", "pdf")]
PERSON, EVENT = "ga-person15-0", "ga-event15-0"


@pytest.fixture(scope="module")
def figures(judged, tmp_path_factory):
    """The figures, by the jobs that Snakemake would run for them."""
    world = judged.copy(tmp_path_factory.mktemp("figures") / "world")
    world.bring(*FIGURES)
    return world


def answers(world, recipe):
    return read_jsonl(world.results / "answers" / "tiny" / recipe / "seed-1" / "dataset.jsonl", Answer)


def matrix(world):
    return read_table(world.results / "tables" / "figure9.csv")


def drawn(path):
    """What a PDF draws, unpacked."""
    streams = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", path.read_bytes(), flags=re.DOTALL)
    return b"".join(zlib.decompress(one) for one in streams)


@pytest.mark.parametrize("number", [7, 9, 10])
def test_a_figure_is_a_picture_and_a_page(figures, number):
    path = figures.results / "figures" / f"fig{number}.png"
    with Image.open(path) as picture:
        seen = picture.convert("RGB").getcolors(1 << 24)
        assert min(picture.size) > 400 and len(seen) > 20
    ink = sum(count for count, colour in seen if colour != (255, 255, 255))
    assert 0.02 < ink / sum(count for count, _ in seen) < 0.9
    page = path.with_suffix(".pdf")
    assert page.read_bytes().startswith(b"%PDF")
    assert drawn(page).count(b"BT") > 10, "it has texts"


def test_a_figure_that_is_made_needs_no_job(figures):
    assert figures.bring(*FIGURES, "tables/figure9.csv") == []


def test_figure7_scores_every_method_of_its_targets_after_every_step(figures):
    scores = [read_json(path, Scores) for path in (figures.results / "scores").glob("*/*@*/seed-1/*.json")]
    assert {(one.recipe, one.method, one.target, one.percent) for one in scores} == {
        (f"{method}-{target}15@{step}", method.upper(), target, 15)
        for method in ("ga", "dpo") for target in ("person", "event") for step in (1, 2)
    }  # fmt: skip
    assert all(one.metrics["retain"].n == figures.config["figures"]["questions"] for one in scores)


def test_figure7_asks_its_ends_what_it_asks_after_every_step(figures):
    for split in ("person15", "event15"):
        of = figures.results / "scores" / "tiny"
        step = read_json(of / f"ga-{split}@2" / "seed-1" / f"{split}.json", Scores)
        for name in ("finetuned", f"goal-{split}"):
            end = read_json(of / name / "seed-1" / f"{split}.sampled.json", Scores)
            assert end.details["sample"] == step.details["sample"]
            assert {metric: one.n for metric, one in end.metrics.items()} == {
                metric: one.n for metric, one in step.metrics.items()
            }


def test_figure9_says_what_is_left_of_every_concept(figures):
    (person,), (event,) = (split_of(figures, f"{target}15").forgotten for target in ("person", "event"))
    people = read_jsonl(figures.results / "curation" / "people.jsonl", Person)
    name = {one.person_id: one.name for one in people}[person]
    regions = {
        (FINETUNED, person): "", (FINETUNED, event): "", (person, person): "A1", (person, event): "C1",
        (event, person): "C2", (event, event): "A2",
    }  # fmt: skip
    rows = matrix(figures)
    assert {(row["unlearned"], row["tested"]): row["region"] for row in rows} == regions
    assert len(rows) == len(regions)
    for row in rows:
        recipe = {person: PERSON, event: EVENT}.get(row["unlearned"], FINETUNED)
        left = [
            says_name(one.answer, name) if row["kind"] == "person" else rouge_l(one.answer, one.reference)
            for one in answers(figures, recipe)
            if row["tested"] in concepts_of(one.image_id) and kind_of(one.question_id) == row["kind"]
        ]
        assert (row["model"], row["n"], row["reason"]) == ("tiny", str(len(left)), "")
        assert float(row["value"]) == pytest.approx(100 * fmean(left), abs=0.005)


def test_figure9_reads_what_g_eval_says_of_the_event_split(figures):
    given = {Path(path).as_posix() for path in figures.job("plot_figure9")["input"]["judgements"]}
    assert given == {
        f"results/mini/judgements/tiny/{recipe}/seed-1/event15.jsonl"
        for recipe in (FINETUNED, "goal-event15", EVENT)
    }


def test_figure9_sees_what_a_model_still_knows(figures, tmp_path):
    world = figures.copy(tmp_path / "world")
    path = world.results / "answers" / "tiny" / PERSON / "seed-1" / "dataset.jsonl"
    write_jsonl(path, [row.model_copy(update={"answer": row.reference}) for row in answers(world, PERSON)])
    assert world.bring("figures/fig9.png") == ["plot_figure9"]
    (person,) = split_of(world, "person15").forgotten
    changed = {row["tested"]: row["value"] for row in matrix(world) if row["unlearned"] == person}
    assert set(map(float, changed.values())) == {100.0}


def better_retain(world):
    path = world.results / "scores" / "tiny" / "ga-person15@2" / "seed-1" / "person15.json"
    scores = read_json(path, Scores)
    retain = scores.metrics["retain"].model_copy(update={"value": 77.0})
    write_json(path, scores.model_copy(update={"metrics": scores.metrics | {"retain": retain}}))


def better_facts(world):
    path = world.results / "tables" / "table3.csv"
    rows = read_table(path)
    write_table(path, list(rows[0]), [row | {"world_fact": "77.00"} for row in rows])


@pytest.mark.parametrize(("number", "change"), [(7, better_retain), (10, better_facts)])
def test_a_figure_is_drawn_again_from_other_numbers(figures, tmp_path, number, change):
    world = figures.copy(tmp_path / "world")
    path = world.results / "figures" / f"fig{number}.png"
    before = path.read_bytes()
    change(world)
    assert world.bring(f"figures/fig{number}.png") == [f"plot_figure{number}"]
    assert path.read_bytes() != before
