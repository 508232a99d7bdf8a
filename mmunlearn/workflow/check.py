"""What makes a configuration runnable: the schema, and what must hold across keys; errors name the nearest known key.

Imported by the Snakefile: nothing heavy here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from string import Formatter
from typing import Any

from mmunlearn.dataset.splits import concepts_to_forget
from mmunlearn.endpoint import ChatError, check_endpoint
from mmunlearn.files import read_yaml
from mmunlearn.models.families import FAMILIES
from mmunlearn.records import Event, Person
from mmunlearn.text import nearest
from mmunlearn.training.methods import METHODS
from mmunlearn.weights import known
from mmunlearn.workflow.params import LOOP_KEYS, labels

SCHEMA = Path(__file__).resolve().parents[2] / "resources" / "config.schema.yaml"


class ConfigError(ValueError):
    """The configuration cannot be run; the message names the key, what was found and what to write."""


def prepare(config: dict[str, Any]) -> None:
    """What overlays cannot say: leave out the models and methods that one sets to null (they are merged), fill in what
    a model's row leaves to the schema's defaults and the percents that follow from others, and let paths that begin
    with weights/ lie in `weights.folder`."""
    for section in ("models", "methods"):
        if isinstance(config.get(section), dict):
            config[section] = {name: row for name, row in config[section].items() if row is not None}
    _fill_models(config.get("models"))
    _fill_percents(config)
    folder = (config.get("weights") or {}).get("folder")
    if isinstance(folder, str):
        for section in ("images", "dataset", "models"):
            config[section] = _moved(config.get(section), folder.rstrip("/"))


@cache
def schema() -> dict[str, Any]:
    """What resources/config.schema.yaml says."""
    return read_yaml(SCHEMA)


def _fill_models(models: Any) -> None:
    keys = schema()["properties"]["models"]["additionalProperties"]["properties"]
    defaults = {key: one["default"] for key, one in keys.items() if "default" in one}
    for name, row in models.items() if isinstance(models, dict) else ():
        if isinstance(row, dict):
            models[name] = row | {key: value for key, value in defaults.items() if key not in row}


def _fill_percents(config: dict[str, Any]) -> None:
    """The percents that are null: what is forgotten together, and what figures show, is the tables' first percent."""
    sections = [config.get(name) for name in ("dataset", "figures", "robustness")]
    if all(isinstance(one, dict) for one in sections) and sections[0].get("percents"):
        dataset, *shown = sections
        for section in shown:
            section["percent"] = section.get("percent") or dataset["percents"][0]
        dataset["both_percents"] = dataset.get("both_percents") or [shown[0]["percent"]]


def _moved(value: Any, folder: str) -> Any:
    if isinstance(value, dict):
        return {key: _moved(one, folder) for key, one in value.items()}
    return f"{folder}/{value[8:]}" if isinstance(value, str) and value.startswith("weights/") else value


def check(config: Mapping[str, Any]) -> None:
    """Validate a merged configuration against resources/config.schema.yaml and across keys.

    Raises:
        ConfigError: every problem found, one a line; an unknown key comes with the nearest known one.
    """
    from jsonschema import Draft202012Validator

    validator = Draft202012Validator(schema())
    errors = sorted(validator.iter_errors(dict(config)), key=lambda error: list(map(str, error.path)))
    unknown = dict(_unknown_methods(config))
    problems = [*unknown.values()] + [
        line for error in errors if not set(map(str, error.path)) & unknown.keys() for line in _explain(error)
    ]
    problems = problems or list(_conflicts(config))
    if problems:
        raise ConfigError("the configuration cannot be run:\n  " + "\n  ".join(problems))


def _explain(error: Any) -> list[str]:
    where = ".".join(map(str, error.path))
    if where.endswith("key_env"):
        return [f"{where}: the name of an environment variable (A-Z, 0-9, _) or null, never the key itself"]
    if where.endswith("base_url"):
        return [
            f"{where}: an address such as https://api.openai.com/v1, without user, password, query or white space"
        ]
    if error.validator == "additionalProperties":
        known = error.schema.get("properties", {})
        unknown = [key for key in error.instance if key not in known]
        return [
            f"unknown key '{'.'.join(filter(None, [where, key]))}': {nearest(key, known)}" for key in unknown
        ]
    if error.validator != "required" and (".openai" in where or "base_url" in str(error.schema)):
        return [
            f"{where or 'top level'}: {error.validator} must be {error.validator_value}"
        ]  # without what is there
    return [f"{where or 'top level'}: {error.message}"]


def _conflicts(config: Mapping[str, Any]) -> Iterable[str]:
    if config["ceiling_seed"] in config["seeds"]:
        yield f"ceiling_seed: {config['ceiling_seed']} is also in seeds; the ceiling needs a seed of its own"
    images, curation = config["images"], config["curation"]
    if images["max_attempts"] < images["candidates"]:
        yield "images.max_attempts: must be at least images.candidates"
    if images["generator"] == "flux" and images["size"] % 16:
        yield f"images.size: FLUX draws multiples of 16, not {images['size']}"
    if not images["stop_at_first_valid"] and images["max_attempts"] % images["candidates"]:
        yield "images.max_attempts: must be a multiple of images.candidates, which are drawn together"
    if images["generator"] == "pocket" and curation["backend"] != "shipped":
        yield f"curation.backend: the pocket generator cannot draw what {curation['backend']} writes; set it to shipped"
    yield from _review_conflicts(config["review"])
    yield from _endpoint_conflicts(config)
    judge = config["evaluation"]["openai"]
    if judge["max_cost"] is not None and judge["max_tokens_key"] is None:
        yield "evaluation.openai.max_cost: a bound on the cost needs one on the reply; set max_tokens_key"
    if judge["max_cost"] is not None and not (judge["prompt_price"] and judge["completion_price"]):
        yield "evaluation.openai.max_cost: a bound on the cost needs prompt_price and completion_price above 0"
    sizes = {"person": curation["n_people"], "event": curation["n_events"]}
    if min(sizes.values()) < 2:
        yield "curation: n_people and n_events must be at least 2: a forget set is halved"
    dataset = config["dataset"]
    for key in ("percents", "both_percents"):
        if config["figures"]["percent"] not in dataset[key]:
            yield f"figures.percent: {config['figures']['percent']} is not in dataset.{key}"
    yield from _training_conflicts(config)
    if config["robustness"]["percent"] not in dataset["percents"]:
        yield f"robustness.percent: {config['robustness']['percent']} is not in dataset.percents"
    for target in dataset["targets"]:
        for percent in sorted({*dataset["percents"], *dataset["both_percents"]}):
            if not 0 < concepts_to_forget(sizes[target], percent) < sizes[target]:
                yield f"dataset.percents: {percent}% of {sizes[target]} {target}s: nothing to forget or to retain"
    yield from _unknown_names(config)


def _training_conflicts(config: Mapping[str, Any]) -> Iterable[str]:
    training = config["training"]
    if training["processes"] > 1 and training["job"]["gpu"] != training["processes"]:
        yield f"training.job.gpu: must be training.processes, {training['processes']}, not {training['job']['gpu']}"
    spelled: dict[str, str] = {}
    for name, row in config["methods"].items():
        known = (*LOOP_KEYS, *METHODS[name].options) if name in METHODS else row
        yield from (
            f"unknown key 'methods.{name}.{key}': {nearest(key, known)}" for key in row if key not in known
        )
        spelling = labels(config)[name]
        if spelled.setdefault(spelling, name) != name:
            yield f"methods.{name}.label: '{spelling}' is also how {spelled[spelling]} is spelt"


def _endpoint_conflicts(config: Mapping[str, Any]) -> Iterable[str]:
    for section in ("curation", "evaluation"):
        options = config[section]["openai"]
        try:
            check_endpoint(options["base_url"], options["key_env"])
        except ChatError as error:
            yield f"{section}.openai: {error}"


def _review_conflicts(review: Mapping[str, Any]) -> Iterable[str]:
    folder = review["verdicts"]
    if folder is None and review["reviewers"]:
        yield "review.verdicts: name the folder of the reviewers' CSV files, as review.reviewers is not 0"
    if folder is not None and not Path(folder).is_dir():
        yield f"review.verdicts: there is no folder '{folder}'; create it, or correct the name"


def _unknown_methods(config: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    """Rows of `methods` that neither the registry knows nor a `path` explains, each with what to say of it."""
    rows = config.get("methods")
    for name, row in rows.items() if isinstance(rows, dict) else ():
        if name not in METHODS and not (isinstance(row, dict) and "path" in row):
            yield name, f"unknown key 'methods.{name}': {nearest(name, METHODS)}"


def _unknown_names(config: Mapping[str, Any]) -> Iterable[str]:
    for name in config["weights"]["sources"]:
        if name not in known():
            yield f"weights.sources.{name}: unknown weights; {nearest(name, known())}"
    if config["figures"]["concept_method"] not in config["methods"]:
        method = config["figures"]["concept_method"]
        yield f"figures.concept_method: '{method}' is not in methods; {nearest(method, config['methods'])}"
    for method in config["robustness"]["methods"] or ():
        if method not in config["methods"]:
            yield f"robustness.methods: '{method}' is not in methods; {nearest(method, config['methods'])}"
    for name, row in config["models"].items():
        if row["family"] not in FAMILIES:
            yield f"models.{name}.family: '{row['family']}' is unknown; {nearest(row['family'], FAMILIES)}"
    for kind, record in (("person", Person), ("event", Event)):
        for _, field, _, _ in Formatter().parse(config["dataset"]["answers"][kind]):
            if field is not None and field not in record.model_fields:
                yield f"dataset.answers.{kind}: no field '{field}'; {nearest(field, record.model_fields)}"
