"""The configuration: checked at parse time, and the recipes that follow from it.

Imported by the Snakefile: nothing heavy here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from string import Formatter
from typing import Any

import yaml

from mmunlearn.judge_settings import judge_identity, judge_name, judge_resources  # noqa: F401  (rules use them)
from mmunlearn.recipes import LOOP_KEYS, ConfigError, concepts_to_forget, label, nearest

SCHEMA = Path(__file__).resolve().parents[1] / "resources" / "config.schema.yaml"
THRESHOLDS = ("identity_l2", "scene_cosine", "scene_pair", "subject_cosine", "distortion", "aesthetic")
STOPPING = ("window", "forget_bound", "refusal_bound")


def prepare(config: dict[str, Any]) -> None:
    """What overlays cannot say: leave out the models and methods that one sets to null (they are merged), fill in the
    percents that follow from others, and let paths that begin with weights/ lie in `weights.folder`."""
    for section in ("models", "methods"):
        if isinstance(config.get(section), dict):
            config[section] = {name: row for name, row in config[section].items() if row is not None}
    _fill_percents(config)
    folder = (config.get("weights") or {}).get("folder")
    if isinstance(folder, str):
        for section in ("images", "dataset", "models"):
            config[section] = _moved(config.get(section), folder.rstrip("/"))


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

    validator = Draft202012Validator(yaml.safe_load(SCHEMA.read_text(encoding="utf-8")))
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
    if error.validator == "additionalProperties":
        known = error.schema.get("properties", {})
        unknown = [key for key in error.instance if key not in known]
        return [
            f"unknown key '{'.'.join(filter(None, [where, key]))}': {nearest(key, known)}" for key in unknown
        ]
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
    judge = config["evaluation"]["openai"]
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
    from mmunlearn.training.methods import METHODS

    training = config["training"]
    if training["processes"] > 1 and training["job"]["gpu"] != training["processes"]:
        yield f"training.job.gpu: must be training.processes, {training['processes']}, not {training['job']['gpu']}"
    spelled: dict[str, str] = {}
    for name, row in config["methods"].items():
        known = (*LOOP_KEYS, *METHODS[name].options) if name in METHODS else row
        yield from (
            f"unknown key 'methods.{name}.{key}': {nearest(key, known)}" for key in row if key not in known
        )
        said = label(config, f"{name}-person05")
        if spelled.setdefault(said, name) != name:
            yield f"methods.{name}.label: '{said}' is also how {spelled[said]} is spelt"


def _review_conflicts(review: Mapping[str, Any]) -> Iterable[str]:
    folder = review["verdicts"]
    if folder is None and review["reviewers"]:
        yield "review.verdicts: name the folder of the reviewers' CSV files, as review.reviewers is not 0"
    if folder is not None and not Path(folder).is_dir():
        yield f"review.verdicts: there is no folder '{folder}'; create it, or correct the name"


def _unknown_methods(config: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    """Rows of `methods` that neither the registry knows nor a `path` explains, each with what to say of it."""
    from mmunlearn.training.methods import labels

    rows = config.get("methods")
    for name, row in rows.items() if isinstance(rows, dict) else ():
        if name not in labels() and not (isinstance(row, dict) and "path" in row):
            yield name, f"unknown key 'methods.{name}': {nearest(name, labels())}"


def _unknown_names(config: Mapping[str, Any]) -> Iterable[str]:
    from mmunlearn.models.families import FAMILIES
    from mmunlearn.records import Event, Person
    from mmunlearn.weights import known

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


def verdict_files(folder: str | None) -> list[str]:
    """The reviewers' CSV files of a folder, sorted; none where there is no folder."""
    return sorted(path.as_posix() for path in Path(folder).glob("*.csv")) if folder else []


def decisions(config: Mapping[str, Any]) -> dict[str, str]:
    """Digests of what the reviewers have decided on texts and on pictures.

    As a param, they make a job run anew when a decision that matters to it changes, where the files themselves
    would rerun everything after each further CSV. Raises RecordError where a file is damaged.
    """
    review = config["review"]
    from mmunlearn.records import digest_of
    from mmunlearn.review.verdicts import confirmed, read_verdicts, rejected

    said = read_verdicts(map(Path, verdict_files(review["verdicts"])))
    reviewers = review["reviewers"]
    refused = {kind: sorted(rejected(said, kind)) for kind in ("person", "event", "picture")}
    agreed = {kind: sorted(confirmed(said, kind, reviewers)) if reviewers else [] for kind in refused}
    texts = [refused["person"], refused["event"], agreed["person"], agreed["event"]]
    decided = {"texts": texts, "rejected": [refused["picture"]], "confirmed": [agreed["picture"]]}
    return {name: digest_of(parts) if any(parts) else "none" for name, parts in decided.items()}


def curation_identity(config: Mapping[str, Any], what: str) -> list[Any]:
    """What decides the texts of `people` or `events`: the file, or the model that writes them."""
    backend = config["curation"]["backend"]
    options = config["curation"][backend]
    return [
        options[key] for key in ((what,) if backend == "shipped" else ("base_url", "model", "temperature"))
    ]


def receipts(config: Mapping[str, Any], folders: Iterable[str]) -> list[str]:
    """Receipts of the rule fetch_weights for those of the folders that it fills."""
    home = Path(config["weights"]["folder"])
    return sorted({f"<results>/weights/{Path(f).name}.json" for f in folders if Path(f).parent == home})


def picture_weights(config: Mapping[str, Any]) -> list[str]:
    """What stands for the weights of the generator and the scorers in use, as inputs of the rules that draw."""
    images = config["images"]
    flux, networks = images["flux"], images["networks"]
    folders = [flux["source"]] if images["generator"] == "flux" else []
    if images["scorers"] == "networks":
        folders += [networks[name] for name in ("face", "scene", "subject", "distortion", "aesthetic")]
    card = [f"{images['pocket']['weights']}/card.json"] if images["scorers"] == "pocket" else []
    return card + receipts(config, folders)


SET_OPTIONS = {
    "real": ("people", "events", "clip", "quick_gelu"),
    "world": ("pope", "coco"),
    "replay": (),
}


def set_options(config: Mapping[str, Any], name: str) -> dict[str, Any]:
    """What a reference set reads of its backend's section, `dataset.<backend>`: no other set's key rebuilds it."""
    section = config["dataset"].get(config["dataset"]["reference_sets"], {})
    return {key: section[key] for key in SET_OPTIONS[name] if key in section}


def set_lists(config: Mapping[str, Any], name: str) -> list[str]:
    """The lists of a reference set's pictures, so that an edited one makes the set anew; the backend reports a
    missing one."""
    section, lists = set_options(config, name), []
    if "people" in section:
        lists.append(f"{section['people']}/manifest.csv")
    if "pope" in section:
        lists += [
            f"{section['pope']}/coco_pope_{subset}.json" for subset in ("random", "popular", "adversarial")
        ]
    return [path for path in lists if Path(path).exists()]


def set_weights(config: Mapping[str, Any], name: str) -> list[str]:
    """Receipts of the weights that retrieve a reference set's pictures."""
    section = set_options(config, name)
    return receipts(config, [section["clip"]]) if "clip" in section else []


def base_inputs(config: Mapping[str, Any], row: Mapping[str, Any]) -> list[str]:
    """What stands for a model's base as inputs, so that other weights or another template train anew: the receipt of
    fetched weights, or the files of any other folder. A hub id has none: its revision says which weights are meant."""
    if row["revision"] is not None:
        return []
    return receipts(config, [row["source"]]) or checkpoint_files(row["source"])


def checkpoint_files(source: str) -> list[str]:
    """Configuration, weights, tokenizer and template of a checkpoint folder; config.json even where it is missing,
    so that its absence is reported."""
    found = {
        path.as_posix()
        for path in Path(source).glob("*")
        if path.suffix in (".json", ".safetensors", ".jinja")
    }
    return sorted(found | {f"{source}/config.json"})


def optimisation(config: Mapping[str, Any], phase: str, model: str) -> dict[str, Any]:
    """What the training loop takes from `training.<phase>`, `training` and the model's own row."""
    training = config["training"]
    own = {key: training[phase][key] for key in ("batch", "accumulation", "schedule", "warmup_steps")}
    own["batch"] = config["models"][model]["batch"] or own["batch"]
    return {**own, **{key: training[key] for key in ("weight_decay", "max_grad_norm")}}


def machine(config: Mapping[str, Any]) -> dict[str, Any]:
    """What trainings run on, as far as it leaves the results alone: no param, so that it reruns nothing."""
    return {
        key: config["training"][key]
        for key in ("processes", "accelerate_config", "checkpointing", "trackers")
    }


def checkpoints(config: Mapping[str, Any]) -> dict[str, int]:
    """How often trainings keep a checkpoint, which leaves the results alone, too."""
    return {"save_steps": config["training"]["save_steps"]}
