"""What makes a configuration runnable: the schema, what must hold across keys, and that its paths lead somewhere.

Imported by the Snakefile: nothing heavy here.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Iterable, Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from mmunlearn.curation.listing import pattern_problem
from mmunlearn.dataset.splits import concepts_to_forget
from mmunlearn.dataset.templates import template_problem
from mmunlearn.endpoint import ChatError, check_endpoint, has_key, shown_name
from mmunlearn.files import read_yaml
from mmunlearn.ids import FINETUNED, GOAL, TARGETS, parse_recipe, split_id
from mmunlearn.models import needs
from mmunlearn.models.families import FAMILIES, UNCACHED, caches_features
from mmunlearn.records import Event, Person
from mmunlearn.text import fold, model_token, nearest
from mmunlearn.training.methods import METHODS
from mmunlearn.training.methods.light import check_method
from mmunlearn.training.methods.options import LOOP_KEYS
from mmunlearn.weights import entry, known
from mmunlearn.workflow import lifelong_check, paths, schema
from mmunlearn.workflow.errors import ConfigError
from mmunlearn.workflow.params import OWN_LABELS, labels, relearn_problem
from mmunlearn.workflow.schema import SCHEMA

__all__ = ["SCHEMA", "ConfigError", "check", "prepare"]

SHARDS = 1000
"""Shards have three digits."""
PLURALS = {"person": "people", "event": "events"}
ANSWERS = {"person": (Person, "name"), "event": (Event, "description")}
"""Kind of question -> the record whose fields its answer's template may name, and the one that it must."""
OUTPUT_OF = {
    "make_table4": "table4",
    "plot_figure10": "figures",
    "draw_unseen": "robustness",
    "export_dataset": "export",
}
"""Rule -> the output that cannot be made without it, where pictures that are there may lack what it takes."""
SHARDED = ("FSDP", "DEEPSPEED")
"""What `accelerate config` calls trainings of which no process has the whole model."""
logger = logging.getLogger("mmunlearn")


def prepare(config: dict[str, Any]) -> None:
    """What overlays cannot say: leave out the models and methods that one sets to null (they are merged), fill in what
    a model's row leaves to the schema's defaults and the percents that follow from others, and write paths as they are
    meant. What is wrong is left as it is, for `check`."""
    lifelong = config.get("lifelong")
    for place, section in (
        (config, "models"),
        (config, "methods"),
        (lifelong, "methods"),
        (lifelong, "lumoe"),
    ):
        if isinstance(place, dict) and isinstance(place.get(section), dict):
            place[section] = {name: row for name, row in place[section].items() if row is not None}
    models = config.get("models")
    for name, row in models.items() if isinstance(models, dict) else ():
        models[name] = schema.model_defaults() | row if isinstance(row, dict) else row
    _fill_percents(config)
    paths.settle(config)


def _fill_percents(config: dict[str, Any]) -> None:
    """The percents that are null: what is forgotten together, and what figures show, is the tables' first percent."""
    dataset, *shown = sections = [config.get(name) for name in ("dataset", "figures", "robustness")]
    if not all(isinstance(one, dict) for one in sections) or not isinstance(dataset.get("percents"), list):
        return
    for section in shown:
        if section.get("percent") is None:
            section["percent"] = next(iter(dataset["percents"]), None)
    if dataset.get("both_percents") is None:
        dataset["both_percents"] = [shown[0]["percent"]]


def check(config: Mapping[str, Any], *, places: bool = True) -> None:
    """Validate a prepared configuration: against resources/config.schema.yaml, across keys, and against the disk.

    Args:
        places: whether paths must lead somewhere; a job need not look again.

    Raises:
        ConfigError: every problem found, one a line; an unknown key comes with the nearest known one.
    """
    if error := fault(config, places=places):
        raise error


def fault(config: Mapping[str, Any], *, places: bool = True, gpus: Any = None) -> ConfigError | None:
    """What `check` raises. The Snakefile raises it itself, so that Snakemake prints no traceback of this module.

    Warns of data that has to be brought, of keys to be set, and of jobs that ask for more than the `gpus` that all may
    have at once (None: no bound), before a run, though not before a plan.
    """
    unknown = _unknown_methods(config)
    rest = {name: row for name, row in config["methods"].items() if name not in unknown} if unknown else {}
    problems = [*unknown.values(), *schema.problems({**config, "methods": rest} if unknown else config)]
    if not problems:
        problems = [*_conflicts(config)]
        problems += [*paths.problems(config), *_shard_conflicts(config)] if places else []
    if not places or problems:
        return ConfigError(problems) if problems else None
    for line in (*paths.to_bring(config), *_keys_to_set(config), *_gpus_to_name(config, gpus)):
        logger.warning("Before a run that needs it: %s", line)
    return None


def _conflicts(config: Mapping[str, Any]) -> Iterable[str]:
    if config["ceiling_seed"] in config["seeds"]:
        yield f"ceiling_seed: {config['ceiling_seed']} is also in seeds; the ceiling needs a seed of its own"
    images, curation = config["images"], config["curation"]
    if images["max_attempts"] < images["candidates"]:
        yield "images.max_attempts: must be at least images.candidates"
    if images["generator"] == "flux" and images["size"] % 16:
        yield f"images.size: FLUX draws multiples of 16, not {images['size']}"
    if -(-curation["n_people"] // images["people_per_shard"]) > SHARDS:
        yield f"images.people_per_shard: {curation['n_people']} people are more than {SHARDS} shards; write more"
    if not images["stop_at_first_valid"] and images["max_attempts"] % images["candidates"]:
        yield "images.max_attempts: must be a multiple of images.candidates, which are drawn together"
    if images["generator"] == "pocket" and curation["backend"] == "openai":
        yield "curation.backend: the pocket generator cannot draw what openai writes; set it to shipped"
    yield from _files_conflicts(config)
    yield from _review_conflicts(config["review"])
    yield from _endpoint_conflicts(config)
    judge = config["evaluation"]["openai"]
    if judge["max_cost"] is not None and judge["max_tokens_key"] is None:
        yield "evaluation.openai.max_cost: a bound on the cost needs one on the reply; set max_tokens_key"
    if judge["max_cost"] is not None and not (judge["prompt_price"] and judge["completion_price"]):
        yield "evaluation.openai.max_cost: a bound on the cost needs prompt_price and completion_price above 0"
    sizes = {"person": curation["n_people"], "event": curation["n_events"]}
    if images["generator"] != "files" and min(sizes.values()) < 2:
        yield "curation: n_people and n_events must be at least 2: a forget set is halved"
    dataset = config["dataset"]
    for key in ("percents", "both_percents"):
        if config["figures"]["percent"] not in dataset[key]:
            yield f"figures.percent: {config['figures']['percent']} is not in dataset.{key}"
    yield from _training_conflicts(config)
    if config["robustness"]["percent"] not in dataset["percents"]:
        yield f"robustness.percent: {config['robustness']['percent']} is not in dataset.percents"
    for target, size in sizes.items():
        asked = target in dataset["targets"]
        percents = {*dataset["both_percents"], *dataset["percents"]} if asked else set()
        if not asked and images["generator"] != "files":  # Table IV forgets both
            percents = {*dataset["both_percents"]}
        yield from _percent_conflicts(target, size, percents)
    for target in dataset["targets"] if "robustness" in config["outputs"] else ():
        if problem := relearn_problem(config, split_id(target, config["robustness"]["percent"])):
            yield problem
    yield from _unknown_names(config)
    yield from _text_conflicts(dataset)
    yield from lifelong_check.conflicts(config)


def _percent_conflicts(target: str, size: int, percents: Iterable[int]) -> Iterable[str]:
    """Shares of so many people or events that leave none of them to forget, or none to retain."""
    plural = PLURALS[target]
    fit = [percent for percent in range(1, 100) if 0 < concepts_to_forget(size, percent) < size]
    todo = f"set {fit[0]} to {fit[-1]}" if fit else f"set curation.n_{plural} to 2 or more"
    for percent in sorted({*percents} - {*fit}):
        yield f"dataset.percents: {percent}% of {size} {plural}: nothing to forget or to retain; {todo}"


def _files_conflicts(config: Mapping[str, Any]) -> Iterable[str]:
    """Of pictures that are there already: the list of them says who and what they show, once, or in part."""
    images, curation, dataset = config["images"], config["curation"], config["dataset"]
    listed = {"curation.backend": curation["backend"], "images.generator": images["generator"]}
    if "files" not in listed.values():
        return
    for key in (key for key, value in listed.items() if value != "files"):
        yield f"{key}: people, events and pictures are of one list; set it to files, or the other one to another"
    options = images["files"]
    table, pattern = options["manifest"] is not None, options["pattern"]
    if table == (pattern is not None):
        yield "images.files: manifest or pattern says who and what the pictures show; set one, the other to null"
        return
    names = [name for name in options["columns"].values() if name is not None] if table else []
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"images.files.columns: '{name}' is named twice; a column says one thing"
    if pattern is not None and (problem := pattern_problem(pattern)):
        yield f"images.files.pattern: {problem}"
        return
    for target, key, size in (
        ("person", "n_people", curation["n_people"]),
        ("event", "n_events", curation["n_events"]),
    ):
        if options["columns"][target] if table else f"{{{target}}}" in pattern:
            continue
        others = [one for one in TARGETS if one != target]
        if target in dataset["targets"]:
            yield f"dataset.targets: images.files names no {target}, so none can be forgotten; set it to {others}"
        if size != 1:
            yield f"curation.{key}: images.files names no {target}, so it must be 1, not {size}"
    if problem := template_problem(dataset["answers"]["person"], Person, "name", only=("name",)):
        yield f"dataset.answers.person: {problem}: of people on pictures that are there it is all that is known"
    yield from _output_conflicts(config, config["outputs"])


def _output_conflicts(config: Mapping[str, Any], outputs: Collection[str]) -> Iterable[str]:
    """Of `outputs`, and of the export, what cannot be made of pictures that are there, which are described well."""
    options, curation, dataset = config["images"]["files"], config["curation"], config["dataset"]
    both = [one for one in ("table4", "figures") if one in outputs]  # Figure 10 is of Table IV
    for target in TARGETS:
        found = (
            options["columns"][target]
            if options["pattern"] is None
            else f"{{{target}}}" in options["pattern"]
        )
        if found and both and target not in dataset["targets"]:
            size = curation[f"n_{PLURALS[target]}"]
            yield from _percent_conflicts(target, size, dataset["both_percents"])
        for output in both if not found else ():
            yield f"outputs: {output} forgets people and events, and images.files names no {target}; leave it out"
    if "robustness" in outputs:
        yield "outputs: robustness needs pictures that no model has seen, and files draws none; leave it out"
    if "export" in outputs:
        yield "export: a data card names the licence of its pictures, and of files only you know it; leave it out"


def _training_conflicts(config: Mapping[str, Any]) -> Iterable[str]:
    training = config["training"]
    if training["processes"] > 1 and training["job"]["gpu"] != training["processes"]:
        yield f"training.job.gpu: must be training.processes, {training['processes']}, not {training['job']['gpu']}"
    for name, row in config["methods"].items():
        try:
            check_method(name, {key: value for key, value in row.items() if key not in LOOP_KEYS})
        except ValueError as error:
            yield from str(error).splitlines()
    yield from _label_conflicts(labels(config))


def _shard_conflicts(config: Mapping[str, Any]) -> Iterable[str]:
    """Models whose vision tower would run in the loop, where no process has the whole of it."""
    file = config["training"]["accelerate_config"]
    try:
        found = read_yaml(file) if file else None
    except (OSError, ValueError):
        return  # what is wrong with it is for `paths.problems`, or for accelerate
    kind = str(found.get("distributed_type")) if isinstance(found, dict) else ""
    for name, row in config["models"].items() if kind.upper() in SHARDED else ():
        if not caches_features(row) and row["family"] not in UNCACHED:
            yield (
                f"models.{name}.cache_features: training.accelerate_config, {file}, has distributed_type {kind}, and "
                f"no process of it has the whole vision tower to make features with; set it to true"
            )


def build_error(config: Mapping[str, Any], recipes: Iterable[str]) -> ConfigError | None:
    """What is wrong, if anything, with the methods of recipes that cannot be judged without what is heavy: they are
    built here, before the first job. Where this process has no torch, the training job tells."""
    names = sorted({parse_recipe(recipe).method for recipe in recipes} - {FINETUNED, GOAL})
    rows = {
        name: {key: value for key, value in config["methods"][name].items() if key not in LOOP_KEYS}
        for name in names
    }
    problems: list[str] = []
    for name, row in rows.items():
        if "path" not in row or check_method(name, row) or find_spec("torch") is None:
            continue
        try:
            import_module("mmunlearn.training.methods.building").build_method(name, row)
        except ValueError as error:
            problems.append(str(error))
    return ConfigError(problems) if problems else None


def outputs_error(config: Mapping[str, Any], rules: Collection[str]) -> ConfigError | None:
    """What is wrong, if anything, with outputs that a run makes by some rules: asked for by name, none of them need
    stand in the configuration."""
    outputs = [output for rule, output in OUTPUT_OF.items() if rule in rules]
    problems = [*_output_conflicts(config, outputs)] if config["images"]["generator"] == "files" else []
    return ConfigError(problems) if problems else None


def _gpus_to_name(config: Mapping[str, Any], most: Any) -> Iterable[str]:
    limit = getattr(most, "value", most)
    for section in ("images", "training"):
        if limit is not None and (number := config[section]["job"]["gpu"]) > limit:
            yield (
                f"{section}.job.gpu: {number}, of {limit} for all jobs; start it with --resources gpu={number} judge=1"
            )


def gpus_error(jobs: Iterable[Any], most: Any) -> ConfigError | None:
    """What is wrong, if anything, with the GPUs that Snakemake's jobs ask for: `--resources` cuts each job's to `most`
    (None: no bound), while a training starts as many processes as its configuration says."""
    limit = getattr(most, "value", most)
    asked = {job.rule.name: job.rule.resources["gpu"].value for job in jobs if "gpu" in job.rule.resources}
    problems = [
        f"{rule} asks for {number} GPUs; Snakemake would cut it to {limit}, which all jobs may have at once; start it "
        f"with --resources gpu={number} judge=1 or more, or lower the `gpu` of its `job`"
        for rule, number in asked.items()
        if limit is not None and number > limit
    ]
    return ConfigError(problems) if problems else None


def _label_conflicts(spelled: Mapping[str, str]) -> Iterable[str]:
    """Methods that tables could not tell apart, from each other or from the rows that tables have of their own."""
    reserved = {_spelling(label): name for name, label in OWN_LABELS.items()}
    reserved |= {_spelling(entry.label): name for name, entry in METHODS.items()}
    first: dict[str, str] = {}
    for name, label in spelled.items():
        key, where = _spelling(label), f"methods.{name}.label"
        if not key:
            yield f"{where}: {label!r} prints nothing; write a name"
        elif re.fullmatch(r"(finetune|goal),?seed[0-9]+", key):
            yield f"{where}: '{label}' is how tables spell another seed's model; write another"
        for owner in {reserved.get(key, name), first.setdefault(key, name)} - {name}:
            yield f"{where}: '{label}' is also how {owner} is spelt; write another"


def _spelling(label: str) -> str:
    """What labels have in common that a reader takes for one."""
    return fold(label).replace(" ", "")


def _endpoint_conflicts(config: Mapping[str, Any]) -> Iterable[str]:
    for section in ("curation", "evaluation"):
        options = config[section]["openai"]
        try:
            check_endpoint(options["base_url"], options["key_env"])
        except ChatError as error:
            yield f"{section}.openai: {error}"


def _keys_to_set(config: Mapping[str, Any]) -> Iterable[str]:
    """Keys of endpoints in use that are not set here: they may be where the jobs run."""
    for where, options in endpoints(config).items():
        if not has_key(options["key_env"]):
            yield f"{where}.openai.key_env: {shown_name(options['key_env'])} is not set here"


def endpoints(config: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Section -> its endpoint's options, of those in use. Which targets are asked for is not known here, so gates count
    whatever `outputs` says."""
    outputs, own = config["outputs"], config["lifelong"]
    curation, judge, gate = config["curation"], config["evaluation"], own["gates"]["vlm"]
    asked = any(row["gate"] == "vlm" for row in own["lumoe"].values())
    sections = (
        ("curation", curation, curation["backend"] == "openai" and set(outputs) - {"lifelong"}),
        ("evaluation", judge, judge["judge"] == "openai"),
        ("lifelong.gates.vlm", gate, gate["asks"] == "openai" and asked),
    )
    return {where: section["openai"] for where, section, used in sections if used}


def _review_conflicts(review: Mapping[str, Any]) -> Iterable[str]:
    if review["verdicts"] is None and review["reviewers"]:
        yield "review.verdicts: name the folder of the reviewers' CSV files, as review.reviewers is not 0"


def _unknown_methods(config: Mapping[str, Any]) -> dict[str, str]:
    """Rows of `methods` that neither the registry knows nor a `path` explains -> what to say of each."""
    return {
        name: f"unknown key 'methods.{name}': {nearest(name, METHODS)}; a method of your own needs a path"
        for name, row in (config["methods"].items() if isinstance(config.get("methods"), dict) else ())
        if isinstance(name, str) and name not in METHODS and not (isinstance(row, dict) and "path" in row)
    }


def _unknown_names(config: Mapping[str, Any]) -> Iterable[str]:
    for key in ("sources", "revisions"):
        for name in config["weights"][key]:
            if name not in known():
                yield f"weights.{key}.{name}: unknown weights; {nearest(name, known())}"
            elif key == "revisions" and entry(name).repo is None:
                yield f"weights.revisions.{name}: {entry(name).origin} is no repository, so it has no commits"
    methods = [("figures.concept_method", config["figures"]["concept_method"])]
    methods += [("robustness.methods", name) for name in config["robustness"]["methods"] or ()]
    for key, name in methods:
        if name not in config["methods"]:
            yield f"{key}: '{name}' is not in methods; {nearest(name, config['methods'])}"
    for name in config["robustness"]["methods"] or ():
        if not {*config["methods"].get(name, config["dataset"])["targets"]} & {*config["dataset"]["targets"]}:
            yield f"robustness.methods: '{name}' forgets none of dataset.targets; add one to methods.{name}.targets"
    for name, row in config["models"].items():
        if row["family"] not in FAMILIES:
            yield f"models.{name}.family: '{row['family']}' is unknown; {nearest(row['family'], FAMILIES)}"
        if row["cache_features"] and not caches_features(row):
            yield f"models.{name}.cache_features: family {row['family']} has no features to keep; set it to null"
        yield from needs.row_problems(name, row, paths.checkpoint_folder(row["source"], row["revision"]))


def _text_conflicts(dataset: Mapping[str, Any]) -> Iterable[str]:
    questions = dataset["questions"]
    if fold(questions["person"]) == fold(questions["event"]):
        yield "dataset.questions: person and event are one question, which has two answers; word one of them otherwise"
    for part in ("questions", "answers"):
        for kind, text in dataset[part].items():
            if not fold(text):
                yield f"dataset.{part}.{kind}: {text!r} prints nothing; write a text"
            if token := model_token(text):
                yield f"dataset.{part}.{kind}: models may read '{token}' as a token of their own; leave out < and >"
    for kind, (record, needed) in ANSWERS.items():
        if "{" in dataset["questions"][kind] or "}" in dataset["questions"][kind]:
            yield f"dataset.questions.{kind}: a question is asked as it stands; leave out the braces"
        problem = template_problem(dataset["answers"][kind], record, needed)
        if problem is None and kind == "person" and dataset["reference_sets"] == "files":
            problem = template_problem(dataset["answers"][kind], record, needed, only=(needed,))
            problem = problem and f"{problem}: of the public figures of dataset.files it is all that is known"
        if problem:
            yield f"dataset.answers.{kind}: {problem}"
