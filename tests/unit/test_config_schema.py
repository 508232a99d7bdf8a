"""config.yaml is complete and explained, the presets fit it, and the schema refuses everything else."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from snakemake.utils import update_config

from mmunlearn import backends
from mmunlearn.registry import Registry
from mmunlearn.workflow.check import ConfigError, check, prepare
from mmunlearn.workflow.reading import extended
from mmunlearn.workflow.schema import SCHEMA

ROOT = Path(__file__).parents[2]
PRESETS = sorted((ROOT / "presets").glob("*.yaml"))
Schema = dict[str, Any]


def load(path: Path) -> dict[str, Any]:
    return copy.deepcopy(_loaded(path))


@cache
def _loaded(path: Path) -> dict[str, Any]:
    return extended(path)


def merged(overlay: dict[str, Any]) -> dict[str, Any]:
    """config.yaml with an overlay, merged as Snakemake merges a --configfile."""
    config = load(ROOT / "config.yaml")
    update_config(config, copy.deepcopy(overlay))
    prepare(config)
    return config


OPTIONAL = {
    "methods.*": {"path", "label"},
    "lifelong.methods.*": {"method", "task_rates", "stop", "reference_model", "label"},
    "lifelong.lumoe.*": {"label"},
}
"""Keys that a row of the user's may leave out."""


def objects(schema: Schema, where: str = "") -> Iterator[tuple[str, Schema]]:
    """Every object of the schema with named properties, and its dotted place."""
    if "properties" in schema:
        yield where, schema
    for name, child in schema.get("properties", {}).items():
        yield from objects(child, f"{where}.{name}".strip("."))
    if isinstance(schema.get("additionalProperties"), dict):
        yield from objects(schema["additionalProperties"], f"{where}.*")
    for name, child in schema.get("$defs", {}).items():
        yield from objects(child, f"$defs.{name}")


def test_the_schema_is_a_schema() -> None:
    Draft202012Validator.check_schema(load(SCHEMA))


@pytest.mark.parametrize(("where", "schema"), list(objects(load(SCHEMA))))
def test_every_object_is_closed_complete_and_described(where: str, schema: Schema) -> None:
    if not where.endswith("methods.*"):  # the options of a method are its class's to know
        assert schema["additionalProperties"] is False
    optional = OPTIONAL.get(where, set()) | {
        name for name, child in schema["properties"].items() if "default" in child
    }
    assert set(schema["required"]) == set(schema["properties"]) - optional
    silent = [name for name, child in schema["properties"].items() if not child.get("description")]
    assert not silent, f"no description: {silent}"


def test_the_config_file_is_valid() -> None:
    check(merged({}))


@pytest.mark.parametrize("preset", PRESETS, ids=lambda path: path.stem)
def test_a_preset_is_valid_over_the_config_file(preset: Path) -> None:
    check(merged(load(preset)))


@pytest.mark.parametrize("preset", PRESETS, ids=lambda path: path.stem)
def test_a_preset_has_results_of_its_own(preset: Path) -> None:
    """All but one that is the first part of another's run."""
    assert load(preset)["scale"] == {"paper-first": "paper"}.get(preset.stem, preset.stem)


def test_a_model_s_row_needs_family_and_source_alone() -> None:
    config = merged({"models": {"mine": {"family": "other", "source": "resources/pocket/llava"}}})
    check(config)
    row = config["models"]["mine"]
    assert row == config["models"]["pocket-llava"] | {"family": "other"}


@pytest.mark.parametrize(
    ("overlay", "message"),
    [
        ({"sede": 1}, "unknown key 'sede'"),
        ({"images": {"thresholds": {"identity_12": 0.5}}}, "unknown key 'images.thresholds.identity_12'"),
        ({"methods": {"gaa": {"learning_rate": 1e-4, "max_steps": 5}}}, "unknown key 'methods.gaa'"),
        ({"models": {"other": {"famly": "llava"}}}, "unknown key 'models.other.famly'"),
        ({"methods": {"ga": {"learning_rate": "1e-4"}}}, "methods.ga.learning_rate"),
        ({"seeds": []}, "seeds"),
        ({"dataset": {"answers": {"person": "Somebody."}}}, "dataset.answers.person"),
        ({"images": {"generator": "fluxx"}}, "images.generator"),
        # an integer is written without a point, and true is no number
        ({"seeds": [1.0]}, "seeds.0: a whole number without a point is asked for; found 1.0"),
        ({"seeds": [True]}, "seeds.0: a whole number"),
        ({"ceiling_seed": 7.0}, "ceiling_seed: a whole number"),
        ({"ceiling_targets": ["people"]}, r"ceiling_targets.0: 'people' is not one of \['person', 'event'\]"),
        ({"ceiling_targets": []}, "ceiling_targets: "),
        ({"figures": {"steps": [2.0]}}, "figures.steps.0: a whole number"),
        ({"dataset": {"percents": [5.0]}}, "dataset.percents.0: a whole number"),
        ({"training": {"lora": {"alpha": True}}}, "training.lora.alpha: a number is asked for; found True"),
        (
            {"training": {"unlearn": {"epochs": "5"}}},
            "training.unlearn.epochs: a number .* found '5', which is read as text",
        ),
        # numbers are finite
        ({"images": {"thresholds": {"scene_pair": math.nan}}}, "images.thresholds.scene_pair: .* found nan"),
        ({"images": {"thresholds": math.nan}}, "images.thresholds: .* found nan"),
        ({"images": {"guidance_scales": [3.5, math.inf]}}, "images.guidance_scales.1: .* found inf"),
        ({"evaluation": {"max_missing_share": math.nan}}, "evaluation.max_missing_share: .* found nan"),
        ({"evaluation": {"openai": {"max_cost": math.inf}}}, "evaluation.openai.max_cost: .* found inf"),
        ({"methods": {"dpo": {"beta": -math.inf}}}, "methods.dpo.beta: .* found -inf"),
        ({"plan": {"acceptance": {"value": math.nan}}}, "plan.acceptance.value: .* found nan"),
        ({"plan": {"token_seconds": {"value": {"pocket-llava": math.inf}}}}, "pocket-llava: .* found inf"),
        ({"seed": 10**400}, "seed: a number is asked for; found 1000"),
        # and do not plan without end
        ({"curation": {"n_people": 10000000000}}, "curation.n_people: 10000000000 is greater than .* 10000"),
        ({"curation": {"n_events": 10**9}}, "curation.n_events: .* greater than"),
        (
            {"curation": {"n_people": 2000}, "images": {"people_per_shard": 1}},
            "images.people_per_shard: 2000 people",
        ),
        ({"seed": 2**32}, "seed: 4294967296 is greater than"),
        ({"seeds": list(range(101))}, "seeds: .* is too long"),
        ({"evaluation": {"bootstrap": 10**9}}, "evaluation.bootstrap: .* greater than"),
        (
            {"evaluation": {"openai": {"concurrency": 10**6}}},
            "evaluation.openai.concurrency: maximum must be 256",
        ),
        ({"dataset": {"n_real": 10**9}}, "dataset.n_real: .* greater than"),
        ({"images": {"size": 10**6}}, "images.size: .* greater than"),
        ({"images": {"candidates": 10**9, "max_attempts": 10**9}}, "images.candidates: .* greater than"),
        # patterns go to the end of the text
        ({"scale": "pocket\n"}, "scale: a name of lower-case letters, digits and hyphens is asked for"),
        ({"models": {"mine\n": {"family": "other", "source": "a"}}}, r"models: a name .* found 'mine\\n'"),
        ({"models": {"..": {"family": "other", "source": "a"}}}, "models: a name .* found '..'"),
        ({"methods": {"ga\n": {"path": "a:B"}}}, "methods: a name"),
        ({"methods": {"goal": {"path": "a:B"}}}, "methods: a name .* neither finetuned nor goal"),
        ({"weights": {"sources": {"flux-dev\n": "a"}}}, "weights.sources: a name"),
        ({"evaluation": {"openai": {"base_url": "http://localhost/v1\n"}}}, "evaluation.openai.base_url: "),
        ({"curation": {"openai": {"key_env": "KEY\n"}}}, "curation.openai.key_env: "),
        ({"training": {"unlearn": {"refusals": "a\nb"}}}, "training.unlearn.refusals: a path in one line"),
        (
            {"training": {"unlearn": {"refusals": "{model}.txt"}}},
            "training.unlearn.refusals: a path in one line",
        ),
        ({"robustness": {"paraphrases": ""}}, "robustness.paraphrases: a path in one line"),
        ({"dataset": {"questions": {"person": " \n"}}}, "dataset.questions.person: text that is not blank"),
        ({"dataset": {"questions": {"person": "Who\0"}}}, "dataset.questions.person: .* does not print"),
        # a regular expression is one
        ({"models": {"pocket-llava": {"lora_targets": ".*(q_proj"}}}, "lora_targets: .* is not a 'regex'"),
        ({"models": {"pocket-llava": {"lora_targets": ""}}}, "lora_targets: "),
        # no default hides what is written
        ({"figures": {"percent": 0}}, "figures.percent: 0 is less than"),
        ({"robustness": {"percent": 0}}, "robustness.percent: 0 is less than"),
        ({"robustness": {"percent": False}}, "robustness.percent: a whole number .* or null .* found False"),
        ({"dataset": {"both_percents": []}}, "dataset.both_percents: "),
        ({"dataset": {"percents": 5}}, "dataset.percents: a list is asked for; found 5"),
        ({"dataset": {"percents": []}}, "dataset.percents: "),
        ({"dataset": {"percents": "5"}}, "dataset.percents: a list"),
        # what YAML reads as something else
        ({"models": {1: {"family": "other"}}}, "models: .* found '1', which YAML reads as a number"),
        (
            {"models": {False: {"family": "other"}}},
            "models: .* YAML reads as true or false .* put it in quotes",
        ),
        ({"methods": {False: {}}}, "methods: .* YAML reads as true or false"),
        ({"methods": {date(2026, 1, 1): {}}}, "methods: .* found '2026-01-01', which YAML reads as a date"),
        ({"methods": {None: {}}}, "methods: .* YAML reads as nothing"),
        ({None: 3}, "top level: .* YAML reads as nothing"),
        ({"plan": {"train_seconds": {"value": {1.5: 3}}}}, "plan.train_seconds.value: .* reads as a number"),
        ({"scale": date(2026, 1, 1)}, "scale: .* YAML reads as a date"),
        ({"scale": False}, "scale: .* YAML reads as true or false"),
        ({"images": {"flux": {"quantisation": False}}}, "quantisation: .* YAML reads as true or false"),
        ({"methods": {"ga": {"label": 7}}}, "methods.ga.label: .* YAML reads as a number"),
        ({"images": {"guidance_scales": {1.0}}}, "images.guidance_scales: .* a set"),
        # sections that are none
        ({"images": None}, "images: a section with keys is asked for; found None"),
        ({"models": [1]}, "models: a section"),
        ({"models": {"mine": 3}}, "models.mine: a section"),
        ({"methods": "ga"}, "methods: a section"),
        ({"lifelong": {"drift": {"methods": []}}}, "lifelong.drift.methods: "),
        ({"lifelong": {"drift": {"models": []}}}, "lifelong.drift.models: "),
        (
            {"lifelong": {"methods": {"ga": {"targets": ["person"]}}}},
            "lifelong.methods.ga.targets: `targets` belongs to `methods`; lifelong.methods has none",
        ),
        ({"methods": {"ga": [3]}}, "methods.ga: a section"),
        ({"weights": "nowhere"}, "weights: a section"),
        ({"dataset": 3, "figures": [], "review": True}, "dataset: a section"),
        ({"curation": {"shipped": "people.jsonl"}}, "curation.shipped: a section"),
    ],
)
def test_a_wrong_overlay_is_refused_by_path(overlay: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as told:
        check(merged(overlay))
    assert all(line.startswith("  ") for line in str(told.value).splitlines()[1:]), "a line a problem"


def patterns(node: Any) -> Iterator[str]:
    """Every pattern of the schema."""
    for key, value in (
        node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    ):
        if key == "pattern" and isinstance(value, str):
            yield value
        else:
            yield from patterns(value)


def test_no_end_of_a_pattern_lets_a_newline_through() -> None:
    ends = [pattern for pattern in patterns(load(SCHEMA)) if "$" in pattern.replace("|goal)$)", "")]
    assert len(ends) > 8 and all(pattern.endswith(r"$(?!\n)") for pattern in ends)


def unbounded(schema: Schema, where: str = "") -> Iterator[str]:
    """Whole numbers and lists without an upper bound."""
    types = schema.get("type", [])
    if "integer" in types and "maximum" not in schema:
        yield where
    if "array" in types and not {"maxItems", "uniqueItems"} & schema.keys():
        yield where
    for name, child in {**schema.get("properties", {}), **schema.get("$defs", {})}.items():
        yield from unbounded(child, f"{where}.{name}")
    for word in ("items", "additionalProperties"):
        if isinstance(schema.get(word), dict):
            yield from unbounded(schema[word], f"{where}.{word}")


def test_every_whole_number_and_every_list_has_an_end() -> None:
    assert list(unbounded(load(SCHEMA))) == []


@pytest.mark.parametrize(
    ("registry", "section", "key"),
    [
        (backends.CURATORS, "curation", "backend"),
        (backends.GENERATORS, "images", "generator"),
        (backends.SCORERS, "images", "scorers"),
        (backends.REFERENCE_SETS, "dataset", "reference_sets"),
        (backends.JUDGES, "evaluation", "judge"),
    ],
)
def test_the_schema_knows_the_registered_backends(registry: Registry, section: str, key: str) -> None:
    assert load(SCHEMA)["properties"][section]["properties"][key]["enum"] == list(registry)


def unexplained(node: yaml.MappingNode, lines: list[str], where: str = "") -> Iterator[str]:
    """Keys of block mappings with a value of their own that no comment explains, on their line or right above."""
    for key, value in node.value:
        name = f"{where}.{key.value}".strip(".")
        if isinstance(value, yaml.MappingNode) and not value.flow_style:
            yield from unexplained(value, lines, name)
        else:
            above = lines[key.start_mark.line - 1].strip()
            tail = lines[value.end_mark.line][value.end_mark.column :]
            if "#" not in tail and not above.startswith("#"):
                yield name


def test_every_key_of_the_config_file_is_explained() -> None:
    text = (ROOT / "config.yaml").read_text(encoding="utf-8")
    assert list(unexplained(yaml.compose(text), text.splitlines())) == []
