"""Robustness by its rules: four attacks on Finetune, Goal and GA, the table and the figure, on a tiny model."""

from __future__ import annotations

import csv

import pytest

from mmunlearn.records import Answer, Attack, read_json, read_jsonl, read_manifest, sha256_of
from mmunlearn.registry import Registry
from mmunlearn.robustness import ATTACKS
from tests.rules.mini import scored, split_of

FINDINGS = {
    "relearning": {("step 0", "recovered"), ("step 2", "recovered")},
    "quantisation": {
        (setting, metric) for setting in ("unrounded", "8 bit", "4 bit") for metric in ("efficacy", "retain")
    },
    "membership": {(score, "auc") for score in ("loss", "zlib", "min-k", "min-k++")},
    "paraphrase": {
        (setting, metric)
        for setting in ("original", "paraphrased", "worst wording")
        for metric in ("efficacy", "generality")
    },
}
FILES = ["adapter", "questions", "split", "people", "features"]
DIGESTS = {
    "relearning": FILES,
    "quantisation": [*FILES, "finetuned", "goal"],
    "membership": [*FILES, "unseen"],
    "paraphrase": [*FILES, "finetuned", "goal", "paraphrases"],
}
JOB = {"model": "tiny", "recipe": "ga-person15", "split": "person15", "seed": 1}


@pytest.fixture(scope="module")
def attacked(judged, tmp_path_factory):
    """Everything that `snakemake robustness` makes."""
    world = judged.copy(tmp_path_factory.mktemp("robust") / "world")
    for split in ("person15", "event15"):
        world.run("draw_unseen", split=split)
        world.run("encode_unseen", model="tiny", split=split)
    for job in scored(world, "robustness"):
        world.run("attack_model", **job)
    world.run("make_robustness")
    world.run("plot_robustness")
    return world


def attack(world, recipe: str, split: str, name: str) -> Attack:
    folder = world.results / "robustness" / "tiny" / recipe / "seed-1" / split
    return read_json(folder / f"{name}.json", Attack)


def values(attack: Attack) -> dict[tuple[str, str], float | None]:
    return {(one.setting, one.metric): one.result.value for one in attack.findings}


@pytest.mark.parametrize("name", ["person15", "event15"])
def test_unseen_pictures_are_of_the_same_cells_and_no_candidate_of_the_data_set(attacked, name):
    manifest = read_manifest(attacked.results / "images" / "manifest.parquet")
    split, rows = (
        split_of(attacked, name),
        read_manifest(attacked.results / f"robustness/unseen/{name}.parquet"),
    )
    assert rows and {row.image_id for row in rows} <= set(split.forget_train)
    assert not {row.sha256 for row in rows} & {row.sha256 for row in manifest}
    for row in rows:
        assert row.accepted and sha256_of(attacked.root / row.path) == row.sha256
        assert row.attempt > max(one.attempt for one in manifest if one.image_id == row.image_id)


@pytest.mark.parametrize("name", FINDINGS)
def test_every_attack_has_its_findings_and_says_what_they_rest_on(attacked, name):
    jobs = scored(attacked, "robustness")
    assert len(jobs) == 6
    for job in jobs:
        one = attack(attacked, job["recipe"], job["split"], name)
        assert (one.attack, one.model, one.recipe, one.seed) == (name, "tiny", job["recipe"], 1)
        assert f"{one.target}{one.percent}" == job["split"]
        top = 1 if name == "membership" else 100
        assert values(one).keys() == FINDINGS[name]
        assert all(value is not None and 0 <= value <= top for value in values(one).values())
        given = attacked.job("attack_model", **job)
        files = {**given["input"], "paraphrases": given["params"]["paraphrases"]}
        assert one.digests == {key: sha256_of(attacked.root / files[key]) for key in DIGESTS[name]}
        assert list(one.digests) == DIGESTS[name] and one.versions["torch"]


def test_unattacked_values_are_those_of_the_recipe_s_own_answers(attacked):
    """Unrounded and in the original wording, a model says what it said in the evaluation."""
    split = split_of(attacked, "person15")
    path = attacked.results / "answers/tiny/ga-person15/seed-1/dataset.jsonl"
    answers = {row.question_id: row for row in read_jsonl(path, Answer)}
    rows = [answers[f"{image}-person"] for image in split.forget_train]
    hits = sum(row.reference.removeprefix("This is ").rstrip(".") in row.answer for row in rows)
    efficacy = 100 - 100 * hits / len(rows)
    table = {
        name: values(attack(attacked, "ga-person15", "person15", name))
        for name in ("quantisation", "paraphrase")
    }
    assert table["quantisation"]["unrounded", "efficacy"] == efficacy
    assert table["paraphrase"]["original", "efficacy"] == efficacy
    before, ideal = (
        values(attack(attacked, recipe, "event15", "paraphrase"))["original", "efficacy"]
        for recipe in ("finetuned", "goal-event15")
    )
    assert before <= 50 <= ideal


def test_what_was_learnt_by_heart_is_a_member_comes_back_and_does_not_stand_rounding_or_other_words(attacked):
    """On events: the finetuned model's sentences are its training's, the goal model's are not."""
    tables = {name: values(attack(attacked, "finetuned", "event15", name)) for name in FINDINGS}
    assert all(value > 0.5 for value in tables["membership"].values())
    assert tables["relearning"]["step 0", "recovered"] < tables["relearning"]["step 2", "recovered"]
    assert tables["quantisation"]["4 bit", "efficacy"] != tables["quantisation"]["unrounded", "efficacy"]
    assert tables["paraphrase"]["paraphrased", "efficacy"] > tables["paraphrase"]["original", "efficacy"]
    losses = {
        attack(attacked, recipe, "event15", "relearning").details["losses"][0]["loss"]
        for recipe in ("finetuned", "ga-event15", "goal-event15")
    }
    assert len(losses) == 3, "every recipe is trained on from its own adapter"


def test_relearning_trains_on_samples_that_are_not_asked(attacked):
    one = attack(attacked, "ga-person15", "person15", "relearning")
    split = split_of(attacked, "person15")
    pictures = len(split.forget_train) + len(split.forget_test)
    assert one.details["steps"] == 2 and len(one.details["samples"]) == 1
    assert one.details["asked"] == pictures - 1
    assert one.details["settings"]["learning_rate"] == 0.01
    assert not list((attacked.root / "work" / "relearning").iterdir())
    same = attack(attacked, "goal-person15", "person15", "relearning")
    assert same.details["samples"] == one.details["samples"]


def test_the_table_holds_every_finding(attacked):
    with (attacked.results / "tables" / "robustness.csv").open(encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert {row["method"] for row in rows} == {"Finetune", "GA", "Goal"}
    assert len(rows) == 2 * 3 * (2 + 6 + 4 + 6)
    row = next(r for r in rows if (r["method"], r["target"], r["setting"]) == ("GA", "person", "min-k"))
    one = values(attack(attacked, "ga-person15", "person15", "membership"))["min-k", "auc"]
    assert float(row["value"]) == one
    assert "Membership" in (attacked.results / "tables" / "robustness.md").read_text()
    assert (attacked.results / "figures" / "robustness.pdf").stat().st_size > 1000


def test_made_again_they_are_the_same_bytes_whatever_was_attacked_before(attacked, tmp_path, monkeypatch):
    """One attack leaves nothing behind that the next one could see."""
    world = attacked.copy(tmp_path / "world")
    paths = [world.root / path for path in world.job("attack_model", **JOB)["output"].values()]
    before = [path.read_text() for path in paths]
    order = ["paraphrase", "membership", "relearning", "quantisation"]
    others = Registry(
        "attack", "mmunlearn.robustness.base:AttackMethod", {name: ATTACKS[name] for name in order}
    )
    monkeypatch.setattr("mmunlearn.robustness.attack.ATTACKS", others)
    world.run("attack_model", **JOB)
    assert [path.read_text() for path in paths] == before
