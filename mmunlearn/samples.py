"""Which questions a recipe is asked, as the configuration says: settings of `evaluation.sampling.Sample`.

Imported by the Snakefile: nothing heavy here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmunlearn.recipes import parse_recipe, parts, scored, scored_both

Settings = dict[str, Any]


def sample(config: Mapping[str, Any], recipe: str) -> Settings | None:
    """What a recipe is asked, None for everything: a sample of the retain set where the configuration names one, fewer
    questions of each set after k steps, and of one concept alone those on what the splits forget."""
    found, own = parse_recipe(recipe), {"seed": config["seed"]}
    if found.concept is not None:
        return own | dict.fromkeys(("retain", "real", "world"), 0) | {"own_kind": True}
    if found.step is not None:
        return own | dict.fromkeys(("retain", "real", "world"), config["figures"]["questions"])
    retain = config["evaluation"].get("retain_sample")
    return None if retain is None else own | {"retain": retain}


def splits(config: Mapping[str, Any], recipe: str) -> list[str]:
    """The split files that a recipe's sample is drawn for, those that its answers are scored on; none without one."""
    found = parse_recipe(recipe)
    if sample(config, recipe) is None:
        names = []
    elif found.concept is not None:
        names = [f"{target}{found.percent:02d}" for target in config["dataset"]["targets"]]
    elif found.target is None:
        rows = (*scored(config), *scored_both(config))
        names = sorted({split for _, name, split, _ in rows if name == found.name})
    else:
        names = parts(found.split)
    return [f"<results>/dataset/splits/{name}.json" for name in names]
