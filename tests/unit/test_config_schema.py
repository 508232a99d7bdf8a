"""config.yaml is complete and explained, the presets fit it, and the schema refuses everything else."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from snakemake.utils import update_config

from mmunlearn import backends
from mmunlearn.registry import Registry
from mmunlearn.workflow.check import SCHEMA, ConfigError, check, prepare

ROOT = Path(__file__).parents[2]
PRESETS = sorted((ROOT / "presets").glob("*.yaml"))
Schema = dict[str, Any]


def load(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def merged(overlay: dict[str, Any]) -> dict[str, Any]:
    """config.yaml with an overlay, merged as Snakemake merges a --configfile."""
    config = load(ROOT / "config.yaml")
    update_config(config, copy.deepcopy(overlay))
    prepare(config)
    return config


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
    if where != "methods.*":  # the options of a method are its class's to know
        assert schema["additionalProperties"] is False
    optional = {"path", "label"} if where == "methods.*" else set()
    optional |= {name for name, child in schema["properties"].items() if "default" in child}
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
    assert load(preset)["scale"] == preset.stem


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
    ],
)
def test_a_wrong_overlay_is_refused_by_path(overlay: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check(merged(overlay))


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
