"""Configuration: recipes, and errors that name the key and the nearest known one."""

from __future__ import annotations

import copy
import importlib
import inspect
import json
from pathlib import Path

import pytest
import yaml
from mmunlearn.config import ConfigError, base_inputs, check, decisions, machine, prepare, receipts
from mmunlearn.recipes import (
    Recipe,
    concepts,
    label,
    method_row,
    parse_recipe,
    parse_split,
    parts,
    recipes,
    scored,
    scored_both,
    scored_steps,
    splits,
)

from mmunlearn.backends import BACKENDS, UnknownBackend, backend
from mmunlearn.training.methods import METHODS
from mmunlearn.verdicts import COLUMNS

CONFIG = yaml.safe_load((Path(__file__).parents[2] / "config.yaml").read_text(encoding="utf-8"))
prepare(CONFIG)


def changed(path: str, value):
    config = copy.deepcopy(CONFIG)
    *parents, last = path.split(".")
    node = config
    for key in parents:
        node = node[key]
    node[last] = value
    return config


def test_the_shipped_configuration_is_valid_and_gives_the_rows_of_table_3():
    check(CONFIG)
    names = [recipe.name for recipe in recipes(CONFIG)]
    assert len(names) == len(set(names)) == 13
    assert {"finetuned", "goal-person05", "goal-event05", "ga-person05", "dpo-event05"} <= set(names)
    rows = scored(CONFIG)
    assert len(rows) == len(set(rows)) == 16, "14 rows of the table and two of the ceiling"


def test_table_4_has_its_methods_for_both_targets():
    rows = scored_both(CONFIG)
    recipes_of = {recipe for _, recipe, _, _ in rows}
    assert recipes_of == {
        "finetuned",
        "goal-both05",
        *(f"{one}-both05" for one in ("gd", "gd+bgd", "kl", "kl+bgd")),
    }
    assert {split for _, _, split, _ in rows} == {"person05", "event05"} and len(rows) == 12 + 2
    assert {recipe for _, recipe, _, seed in rows if seed == CONFIG["ceiling_seed"]} == {"goal-both05"}


def test_figure_7_follows_each_method_and_figure_9_takes_each_concept():
    steps = CONFIG["figures"]["steps"]
    assert len(scored_steps(CONFIG)) == 2 * 5 * len(steps)
    assert ("pocket-llava", f"ga-person05@{steps[-1]}", "person05", 1) in scored_steps(CONFIG)
    assert [one.name for one in concepts(CONFIG)] == ["gd-person05-0", "gd-person05-1", "gd-event05-0"]


def test_labels_are_the_published_ones_and_others_their_own():
    assert [label(CONFIG, one) for one in ("finetuned", "goal-both05", "kl+bgd-both05", "npo-person05")] == [
        "Finetune", "Goal", "KL+BGD", "NPO",
    ]  # fmt: skip
    config = changed("methods", CONFIG["methods"] | {"mine": {"label": "Mine"}, "other": {}})
    assert (label(config, "mine-person05"), label(config, "other-person05")) == ("Mine", "OTHER")


def test_full_preset_multiplies_splits_and_seeds():
    config = changed("dataset.percents", [5, 10, 15]) | {"seeds": [1, 2, 3]}
    assert splits(config) == ["person05", "person10", "person15", "event05", "event10", "event15"]
    assert len(scored(config)) == 3 * 6 * 7 + 6


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("images.guidance_scale", [1.0], "did you mean 'guidance_scales'"),
        ("training.finetune.learning_rat", 1.0, "did you mean 'learning_rate'"),
        ("trainin", {}, "did you mean 'training'"),
        ("training.finetune.learning_rate", "1e-4", "training.finetune.learning_rate"),
        ("seeds", [], "seeds"),
        ("ceiling_seed", CONFIG["seeds"][0], "ceiling_seed"),
        ("methods.ga.max_step", 3, "unknown key 'methods.ga.max_step': did you mean 'max_steps'"),
        ("methods.dpo.lambda3", 1.0, "unknown key 'methods.dpo.lambda3': did you mean 'lambda"),
        ("methods.ga.label", "GD", "methods.gd.label: 'GD' is also how ga is spelt"),
        ("training.processes", 4, "training.job.gpu: must be training.processes, 4, not 0"),
        ("dataset.both_percents", [10], "figures.percent: 5 is not in dataset.both_percents"),
        ("images.max_attempts", 1, "max_attempts"),
        ("curation.n_events", 2, "nothing to forget or to retain"),
        ("curation.n_events", 1, "at least 2"),
        ("models.pocket-llava.family", "lava", "did you mean 'llava'"),
        ("dataset.answers.person", "{name}, {jobb}.", "no field 'jobb'; did you mean 'job'"),
        ("training.finetune.epochs", 2.5, "training.finetune.epochs"),
        ("figures.percent", 10, "figures.percent: 10 is not in dataset.percents"),
        ("figures.concept_method", "gdd", "did you mean 'gd'"),
        ("review.verdicts", "sadi", "review.verdicts: there is no folder 'sadi'"),
        ("review.reviewers", 2, "review.verdicts: name the folder"),
        ("curation.backend", "openai", "the pocket generator cannot draw what openai writes"),
        ("weights.sources", {"flux-deb": "/data"}, "did you mean 'flux-dev'"),
    ],
)
def test_mistakes_are_named_with_their_key(path, value, message):
    with pytest.raises(ConfigError, match=message):
        check(changed(path, value))


def test_a_bound_on_the_cost_needs_prices():
    config = changed("evaluation.openai.max_cost", 1.0)
    check(config)
    config["evaluation"]["openai"]["prompt_price"] = 0
    with pytest.raises(ConfigError, match="needs prompt_price and completion_price"):
        check(config)


def test_names_of_recipes_and_splits():
    assert parse_recipe("finetuned") == Recipe("finetuned")
    assert parse_recipe("gd+bgd-both05") == Recipe("gd+bgd", "both", 5)
    assert parse_split("event15") == ("event", 15)
    assert parse_recipe("ga-person05@8") == Recipe("ga", "person", 5, step=8)
    assert parse_recipe("gd-event05-1") == Recipe("gd", "event", 5, concept=1)
    for name in ("finetuned", "ga-person05@8", "gd+bgd-both05", "gd-event05-1"):
        assert parse_recipe(name).name == name
    assert parts("both05") == ["person05", "event05"] and parts("event15") == ["event15"]
    for wrong in ("ga", "ga-person5x", "goal-persons05", "ga-05", "ga-person05@", "ga-person05@1-2"):
        with pytest.raises(ConfigError):
            parse_recipe(wrong)


def test_an_unknown_method_is_named_with_the_nearest_one():
    with pytest.raises(ConfigError, match="did you mean 'npo'"):
        method_row(CONFIG, "nop")


def test_backends_are_found_by_name_and_misses_are_explained():
    for kind, names in BACKENDS.items():
        for name in names:
            assert callable(backend(kind, name))
    with pytest.raises(UnknownBackend, match="did you mean 'pocket'"):
        backend("generator", "poket")


def test_the_thresholds_are_the_shipped_calibration():
    shipped = Path(__file__).parents[2] / "resources" / "pocket" / "scorers" / "calibration.json"
    assert CONFIG["images"]["thresholds"] == json.loads(shipped.read_text())["thresholds"]


def test_an_address_with_a_password_is_refused_and_a_key_in_place_of_its_name_is_not_repeated():
    with pytest.raises(ConfigError, match=r"curation\.openai\.base_url"):
        check(changed("curation.openai.base_url", "https://me:word@host/v1"))
    with pytest.raises(ConfigError, match="never the key itself") as told:
        check(changed("curation.openai.key_env", "sk-secret"))
    assert "sk-secret" not in str(told.value)


def test_whole_batches_make_whole_units():
    config = changed("images.stop_at_first_valid", False)
    config["images"]["max_attempts"] = 12
    with pytest.raises(ConfigError, match=r"multiple of images\.candidates"):
        check(config)


def test_an_overlay_can_leave_out_a_model_and_move_the_weights():
    config = changed("weights.folder", "/scratch/weights/")
    config["models"] |= {"other": None, "llava-1.5-7b": {"source": "weights/llava-1.5-7b"}}
    prepare(config)
    assert set(config["models"]) == {"pocket-llava", "llava-1.5-7b"}
    assert config["models"]["llava-1.5-7b"]["source"] == "/scratch/weights/llava-1.5-7b"
    assert config["images"]["flux"]["source"] == "/scratch/weights/flux-dev"
    assert receipts(config, [config["images"]["flux"]["source"]]) == ["<results>/weights/flux-dev.json"]
    assert config["images"]["pocket"]["weights"] == CONFIG["images"]["pocket"]["weights"]


def test_decisions_that_change_nothing_are_none(tmp_path):
    """An empty folder, and verdicts that only confirm where nobody must, rerun nothing."""
    config = changed("review.verdicts", None)
    assert set(decisions(config).values()) == {"none"}
    config["review"]["verdicts"] = str(tmp_path)
    assert set(decisions(config).values()) == {"none"}
    row = "picture,p000-e00,{},{},Kim,2026-01-01T10:00:00Z,"
    said = [",".join(COLUMNS), row.format("a" * 64, "accept")]
    (tmp_path / "kim.csv").write_text("\n".join(said) + "\n")
    assert set(decisions(config).values()) == {"none"}
    (tmp_path / "kim.csv").write_text("\n".join([*said, row.format("b" * 64, "reject")]) + "\n")
    decided = decisions(config)
    assert decided["rejected"] != "none" and decided["texts"] == decided["confirmed"] == "none"
    config["review"]["reviewers"] = 1
    assert decisions(config)["confirmed"] != "none" and decisions(config)["rejected"] == decided["rejected"]


def test_a_hub_id_has_no_files_and_what_trainings_run_on_is_no_part_of_the_results():
    row = CONFIG["models"]["pocket-llava"]
    assert "resources/pocket/llava/config.json" in base_inputs(CONFIG, row)
    assert base_inputs(CONFIG, row | {"source": "llava-hf/llava-1.5-7b-hf", "revision": "main"}) == []
    assert "precision" not in machine(CONFIG)


def test_percents_of_null_are_the_first_of_the_tables():
    config = changed("dataset", CONFIG["dataset"] | {"percents": [10, 15], "both_percents": None})
    config["figures"]["percent"] = None
    prepare(config)
    assert (config["figures"]["percent"], config["dataset"]["both_percents"]) == (10, [10])


def test_the_options_of_registered_methods_are_those_that_their_classes_take():
    for name, entry in METHODS.items():
        module, _, attribute = entry.path.partition(":")
        signature = inspect.signature(getattr(importlib.import_module(module), attribute))
        assert set(entry.options) == set(signature.parameters), name
