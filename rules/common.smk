"""Checks the configuration and names what the phases share: wildcards, splits, settings, input functions.

Leaf values only go into params: a whole subtree would rerun jobs for keys that they do not use.
"""

from mmunlearn import config as settings
from mmunlearn import recipes, samples
from mmunlearn.workflow import code_digest

settings.prepare(config)
settings.check(config)

SPLITS = recipes.splits(config)
TABLE3, TABLE4 = recipes.scored(config), recipes.scored_both(config)
STEPS, CONCEPTS = recipes.scored_steps(config), recipes.concepts(config)
SUITES = ["dataset", "real", "world"]
WEIGHTS, REVIEW, IMAGES, TRAINING = (config[key] for key in ("weights", "review", "images", "training"))
DECIDED = settings.decisions(config)
CURATOR = config["curation"][config["curation"]["backend"]]
SHIPPED_TEXTS = CURATOR if config["curation"]["backend"] == "shipped" else {"people": [], "events": []}
SHARDS = range(-(-config["curation"]["n_people"] // IMAGES["people_per_shard"]))
ASKING = {**TRAINING["job"], "gpu": min(1, TRAINING["job"]["gpu"])}
TRACE_STEPS = config["figures"]["steps"]
TRACE_SPLITS = [f"{target}{config['figures']['percent']:02d}" for target in config["dataset"]["targets"]]
TRACE_METHODS = sorted({recipes.parse_recipe(recipe).method for _, recipe, _, _ in STEPS})


wildcard_constraints:
    model="[a-z0-9.-]+",
    recipe="finetuned|[a-z0-9+]+-(person|event|both)[0-9]{2}(@[0-9]+|-[0-9]+)?",
    method="[a-z0-9+]+",
    split="(person|event|both)[0-9]{2}",
    step="[0-9]+",
    concept="[0-9]+",
    seed="[0-9]+",
    shard="[0-9]{3}",
    set="real|world|replay",
    weights="[a-z0-9][a-z0-9.-]*",
    suite="dataset|real|world|replay",


def model_spec(wildcards):
    """The row of `models` that a job loads."""
    row = config["models"][wildcards.model]
    return {key: row[key] for key in ("family", "source", "dtype", "attention", "revision")}


def lora_targets(wildcards):
    """Which modules of a model get LoRA, where its row says so."""
    return config["models"][wildcards.model]["lora_targets"]


def checkpoint(wildcards):
    """What stands for a base model as inputs."""
    return settings.base_inputs(config, config["models"][wildcards.model])


def pictures_of_suite(wildcards):
    """The file that lists a suite's pictures with their checksums."""
    if wildcards.suite == "dataset":
        return "<results>/images/manifest.parquet"
    return f"<results>/dataset/{wildcards.suite}.jsonl"


def splits_of(wildcards):
    """The split files of a split: two of `both`."""
    return [f"<results>/dataset/splits/{part}.json" for part in recipes.parts(wildcards.split)]


def finetuning(wildcards):
    """What the training loop takes for finetuned and goal models."""
    return settings.optimisation(config, "finetune", wildcards.model)


def unlearning(wildcards):
    """What the training loop takes for unlearned models."""
    return settings.optimisation(config, "unlearn", wildcards.model)


def method_row(wildcards):
    """The configuration row of an unlearning method."""
    return recipes.method_row(config, wildcards.method)


def method_options(wildcards):
    """What the method itself takes: its row without the loop's keys."""
    return {k: v for k, v in sorted(method_row(wildcards).items()) if k not in recipes.LOOP_KEYS}


def finetuned_answers(wildcards):
    return recipes.anchor(config, wildcards, "finetuned", "dataset")


def finetuned_real_answers(wildcards):
    return recipes.anchor(config, wildcards, "finetuned", "real")


def goal_answers(wildcards):
    return recipes.anchor(config, wildcards, recipes.goal_of(wildcards), "dataset")


def judgements(wildcards):
    """G-Eval judgements: the event target has them, the person target has none."""
    if wildcards.split.startswith("person"):
        return []
    folder = f"<results>/judgements/{wildcards.model}/{wildcards.recipe}/seed-{wildcards.seed}"
    return f"{folder}/{wildcards.split}.jsonl"
