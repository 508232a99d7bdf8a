"""Robustness by its rules: four attacks on Finetune, Goal and GA, the table and the figure, on a tiny model."""

from __future__ import annotations

import csv

import pytest

from mmunlearn.records import Answer, Attack, read_json, read_jsonl, read_manifest, sha256_of
from tests.rules.mini import scored, split_of

NAMES = ("relearning", "quantisation", "membership", "paraphrase")


@pytest.fixture(scope="module")
def attacked_world(judged, tmp_path_factory):
    """Everything that `snakemake robustness` makes."""
    world = judged.copy(tmp_path_factory.mktemp("robust") / "world")
    for split in ("person15", "event15"):
        world.run("draw_unseen", split=split)
        world.run("encode_unseen", model="tiny", split=split)
    for model, recipe, seed, split in map(dict.values, scored(world, "robustness")):
        for name in NAMES:
            world.run(f"attack_{name}", model=model, recipe=recipe, split=split, seed=seed)
    world.run("make_robustness")
    world.run("plot_robustness")
    return world


def found(world, recipe: str, split: str, name: str) -> Attack:
    folder = world.results / "robustness" / "tiny" / recipe / "seed-1" / split
    return read_json(folder / f"{name}.json", Attack)


def values(attack: Attack) -> dict[tuple[str, str], float | None]:
    return {(one.setting, one.metric): one.result.value for one in attack.findings}


def test_unseen_pictures_are_of_the_same_cells_and_no_candidate_of_the_data_set(attacked_world):
    world = attacked_world
    manifest = read_manifest(world.results / "images" / "manifest.parquet")
    for name in ("person15", "event15"):
        split, rows = (
            split_of(world, name),
            read_manifest(world.results / f"robustness/unseen/{name}.parquet"),
        )
        assert rows and {row.image_id for row in rows} <= set(split.forget_train)
        assert not {row.sha256 for row in rows} & {row.sha256 for row in manifest}
        for row in rows:
            assert row.accepted and sha256_of(world.root / row.path) == row.sha256
            assert row.attempt > max(one.attempt for one in manifest if one.image_id == row.image_id)


def test_every_attack_has_its_findings_and_says_what_they_rest_on(attacked_world):
    for _, recipe, _, split in map(dict.values, scored(attacked_world, "robustness")):
        table = {name: values(found(attacked_world, recipe, split, name)) for name in NAMES}
        assert set(table["relearning"]) == {("step 0", "recovered"), ("step 2", "recovered")}
        assert set(table["quantisation"]) == {
            (setting, metric)
            for setting in ("unrounded", "8 bit", "4 bit")
            for metric in ("efficacy", "retain")
        }
        assert set(table["membership"]) == {(name, "auc") for name in ("loss", "zlib", "min-k", "min-k++")}
        assert set(table["paraphrase"]) == {
            (setting, metric)
            for setting in ("original", "paraphrased", "worst wording")
            for metric in ("efficacy", "generality")
        }
        for name, own in table.items():
            top = 1 if name == "membership" else 100
            assert all(value is not None and 0 <= value <= top for value in own.values()), (recipe, own)
            attack = found(attacked_world, recipe, split, name)
            assert attack.digests["adapter"] and attack.versions["torch"]


def test_unattacked_values_are_those_of_the_recipe_s_own_answers(attacked_world):
    """Unrounded, in the original wording and before any step, a model says what it said in the evaluation."""
    world = attacked_world
    split = split_of(world, "person15")
    said = {
        row.question_id: row
        for row in read_jsonl(world.results / "answers/tiny/ga-person15/seed-1/dataset.jsonl", Answer)
    }
    own = [said[f"{image}-person"] for image in split.forget_train]
    told = (
        100 * sum(row.reference.removeprefix("This is ").rstrip(".") in row.answer for row in own) / len(own)
    )
    assert (
        values(found(world, "ga-person15", "person15", "quantisation"))["unrounded", "efficacy"] == 100 - told
    )
    assert values(found(world, "ga-person15", "person15", "paraphrase"))["original", "efficacy"] == 100 - told
    event = values(found(world, "finetuned", "event15", "paraphrase"))
    ideal = values(found(world, "goal-event15", "event15", "paraphrase"))
    assert event["original", "efficacy"] <= 50 <= ideal["original", "efficacy"]


def test_relearning_trains_on_samples_that_are_not_asked(attacked_world):
    attack = found(attacked_world, "ga-person15", "person15", "relearning")
    split = split_of(attacked_world, "person15")
    everything = len(split.forget_train) + len(split.forget_test)
    assert attack.details["steps"] == 2 and len(attack.details["samples"]) == 1
    assert attack.details["asked"] == everything - 1
    assert attack.details["settings"]["learning_rate"] == 0.01
    assert not list((attacked_world.root / "work" / "relearning").iterdir())
    same = found(attacked_world, "goal-person15", "person15", "relearning")
    assert same.details["samples"] == attack.details["samples"]


def test_the_table_holds_every_finding(attacked_world):
    with (attacked_world.results / "tables" / "robustness.csv").open(encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert {row["method"] for row in rows} == {"Finetune", "GA", "Goal"}
    assert len(rows) == 2 * 3 * (2 + 6 + 4 + 6)
    row = next(r for r in rows if (r["method"], r["target"], r["setting"]) == ("GA", "person", "min-k"))
    one = values(found(attacked_world, "ga-person15", "person15", "membership"))["min-k", "auc"]
    assert float(row["value"]) == one
    assert "Membership" in (attacked_world.results / "tables" / "robustness.md").read_text()
    assert (attacked_world.results / "figures" / "robustness.pdf").stat().st_size > 1000


def test_made_again_they_are_the_same_bytes(attacked_world, tmp_path):
    world = attacked_world.copy(tmp_path / "world")
    paths = [
        world.results / "robustness/tiny/ga-person15/seed-1/person15" / f"{name}.json"
        for name in ("relearning", "membership")
    ]
    before = [path.read_text() for path in paths]
    for name in ("relearning", "membership"):
        world.run(f"attack_{name}", model="tiny", recipe="ga-person15", split="person15", seed=1)
    assert [path.read_text() for path in paths] == before
