"""Checks the configuration and names what the phases share: wildcards, splits, settings, input functions.

Leaf values only go into params: a whole subtree would rerun jobs for keys that they do not use.
"""

from mmunlearn import config as settings
from mmunlearn.workflow import code_digest

settings.prepare(config)
settings.check(config)

SPLITS = settings.splits(config)
SUITES = ["dataset", "real", "world"]
WEIGHTS = config["weights"]
REVIEW = config["review"]
DECIDED = settings.decisions(config)
CURATOR = config["curation"][config["curation"]["backend"]]
SHIPPED_TEXTS = CURATOR if config["curation"]["backend"] == "shipped" else {"people": [], "events": []}
IMAGES = config["images"]
TRAINING = config["training"]
SHARDS = range(-(-config["curation"]["n_people"] // IMAGES["people_per_shard"]))


wildcard_constraints:
    model="[a-z0-9.-]+",
    recipe="[a-z0-9+-]+",
    method="[a-z0-9+]+",
    split="(person|event|both)[0-9]{2}",
    seed="[0-9]+",
    shard="[0-9]{3}",
    set="real|world|replay",
    weights="[a-z0-9][a-z0-9.-]*",
    suite="dataset|real|world|replay",


def model_spec(wildcards):
    """The row of `models` that a job loads."""
    row = config["models"][wildcards.model]
    return {key: row[key] for key in ("family", "source", "dtype")}


def checkpoint(wildcards):
    """What stands for a base model as inputs."""
    return settings.base_inputs(config, config["models"][wildcards.model]["source"])


def pictures_of_suite(wildcards):
    """The file that lists a suite's pictures with their checksums."""
    if wildcards.suite == "dataset":
        return "<results>/images/manifest.parquet"
    return f"<results>/dataset/{wildcards.suite}.jsonl"


def optimisation(phase):
    """What the training loop takes from `training.<phase>` and `training`."""
    own = {key: TRAINING[phase][key] for key in ("batch", "accumulation", "schedule", "warmup_steps")}
    return {**own, **{key: TRAINING[key] for key in ("weight_decay", "max_grad_norm", "save_steps")}}


def method_row(wildcards):
    """The configuration row of an unlearning method."""
    return settings.method_row(config, wildcards.method)


def method_options(wildcards):
    """What the method itself takes: its row without the loop's keys."""
    return {k: v for k, v in sorted(method_row(wildcards).items()) if k not in ("learning_rate", "max_steps")}


def all_trainings():
    """training.json of every recipe that the tables need."""
    return sorted(
        {f"<results>/models/{m}/{r}/seed-{s}/training.json" for m, r, _, s in settings.scored(config)}
    )


def all_answers(suite):
    """Answers of every recipe that the tables need."""
    return sorted(
        {f"<results>/answers/{m}/{r}/seed-{s}/{suite}.jsonl" for m, r, _, s in settings.scored(config)}
    )


def all_scores():
    """Score files of every recipe and split."""
    return [f"<results>/scores/{m}/{r}/seed-{s}/{split}.json" for m, r, split, s in settings.scored(config)]


def anchor_seed(wildcards):
    """The seed whose finetuned and goal models judge a recipe: its own, or the first one for the ceiling."""
    own = int(wildcards.seed)
    return own if own in config["seeds"] else config["seeds"][0]


def anchor(wildcards, recipe, suite):
    """Answers of the finetuned or goal model that a recipe is judged against."""
    folder = f"<results>/answers/{wildcards.model}/{recipe}/seed-{anchor_seed(wildcards)}"
    return f"{folder}/{suite}.jsonl"


def finetuned_answers(wildcards):
    return anchor(wildcards, "finetuned", "dataset")


def finetuned_real_answers(wildcards):
    return anchor(wildcards, "finetuned", "real")


def goal_answers(wildcards):
    return anchor(wildcards, f"goal-{wildcards.split}", "dataset")


def judgements(wildcards):
    """G-Eval judgements: the event target has them, the person target has none."""
    if wildcards.split.startswith("person"):
        return []
    folder = f"<results>/judgements/{wildcards.model}/{wildcards.recipe}/seed-{wildcards.seed}"
    return f"{folder}/{wildcards.split}.jsonl"
