"""The mini configuration, and the steps of its workflow as the rules run them."""

from __future__ import annotations

from typing import Any

import yaml

from mmunlearn.ids import Run
from mmunlearn.records import Split, read_json
from mmunlearn.workflow.targets import Targets
from tests.rules.standin import ROOT, World

SETS = ("real", "world", "replay")
THRESHOLDS = {  # for the histogram scorers
    "identity_l2": 1.2,
    "scene_cosine": 0.8,
    "scene_pair": 0.5,
    "subject_cosine": 0.3,
    "distortion": 50,
    "aesthetic": 4,
}


def mini_config(**images: Any) -> dict[str, Any]:
    """The shipped configuration, shrunken; `images` replaces keys of that section."""
    config = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    config |= {"scale": "mini", "seeds": [1], "ceiling_seed": 101}
    config["seed"] = 4  # its first attempts show all five defects, and one cell never gets a valid picture
    config["curation"] |= {"n_people": 4, "n_events": 4}
    config["images"] |= {
        "size": 128, "guidance_scales": [3.5, 2.5, 4.5], "people_per_shard": 2,
        "stop_at_first_valid": True, "candidates": 5, "max_attempts": 6, "references_per_event": 2,
        "thresholds": THRESHOLDS, "min_accepted_share": 0.9, "person_reference": "face+subject",
        "pocket": {"weights": "resources/pocket/scorers", "defect_rate": 0.4},
    } | images  # fmt: skip
    config["dataset"] |= {"percents": [15], "both_percents": [15], "n_real": 2, "n_world": 3, "n_replay": 4}
    tiny = {"family": "llava", "source": "models/tiny", "dtype": "float32", "attention": "sdpa"}
    config["models"] = {"tiny": tiny | {"revision": None, "batch": None, "lora_targets": None}}
    training, loop = config["training"], {"accumulation": 1, "warmup_steps": 0}
    training["average"] = "token"  # so few steps teach long sentences sooner
    training["lora"] = {"rank": 16, "alpha": 32, "dropout": 0.0}
    training["finetune"] |= {"epochs": 12, "batch": 8, "learning_rate": 0.03, **loop}
    training["unlearn"] |= {
        "batch": 4,
        "stop": {"window": 5, "forget_bound": 1.0, "refusal_bound": 0.1},
        **loop,
    }
    slow = {"targets": ["person", "event"], "learning_rate": 2.0e-4, "max_steps": 3}
    preferring = {"beta": 0.1, "lambda1": 1.0, "lambda2": 1.0, "reference": "finetuned"}
    balanced = {"targets": ["both"], "alpha": 0.3, "beta": 0.2, "gamma": 0.5, "event_growth": 0.05}
    config["methods"] = {"ga": slow, "dpo": slow | preferring, "gd+bgd": slow | balanced}
    config["figures"] = {"percent": 15, "steps": [1, 2], "concept_method": "ga", "questions": 4}
    config["robustness"] |= {"percent": 15, "questions": 3, "methods": ["ga"], "quantise_group": 8}
    config["robustness"]["relearn"] |= {"samples": 1, "steps": [0, 2], "learning_rate": 0.01}
    config["evaluation"] |= {"batch": 16, "bootstrap": 50}
    config["evaluation"]["max_new_tokens"] = {"person": 8, "event": 8, "object": 2}
    config["report"] = {"sample_people": 3, "sample_events": 2}
    return config


def curate(world: World) -> World:
    for rule in ("curate_people", "curate_events", "accept_texts", "write_prompts"):
        world.run(rule)
    return world


def draw(world: World) -> World:
    """Everything from the first picture to the merged manifest."""
    world.run("draw_references")
    draw_shards(world)
    for rule in ("settle_pictures", "merge_manifest"):
        world.run(rule)
    return world


def draw_shards(world: World, **changed: Any) -> None:
    curation, images = world.config["curation"], world.config["images"]
    for shard in range(-(-curation["n_people"] // images["people_per_shard"])):
        world.run("draw_shard", shard=f"{shard:03d}", **changed)


def scored(world: World, output: str = "table3") -> list[dict[str, Any]]:
    """Wildcards of every score that an output reads."""
    return [
        {**row.run._asdict(), "split": split}
        for row in Targets(world.config).of(output)
        for split in row.outputs[output]
    ]


def trainings(world: World) -> list[Run]:
    """Every run that Table III needs, the finetuned ones first."""
    return [row.run for row in Targets(world.config).of("table3")]


def train(world: World, recipe: str, seed: int, **changed: Any) -> None:
    """Train one recipe by the rule that makes it."""
    rule = Targets(world.config).row(Run("tiny", recipe, seed)).rule
    world.run(rule, model="tiny", recipe=recipe, seed=seed, **changed)


def split_of(world: World, name: str) -> Split:
    return read_json(world.results / "dataset" / "splits" / f"{name}.json", Split)
