"""The settings of a run that leave with its data: a value that is not named here stays behind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SETTINGS: dict[str, tuple[str, ...]] = {
    "": ("seed",),
    "curation": ("backend", "n_people", "n_events"),
    "review": ("reviewers",),
    "images": ("generator", "scorers", "size", "guidance_scales", "candidates", "stop_at_first_valid", "max_attempts",
               "references_per_event", "person_reference", "filter", "min_accepted_share"),
    "images.thresholds": ("identity_l2", "scene_cosine", "scene_pair", "subject_cosine", "distortion", "aesthetic"),
    "dataset": ("targets", "percents"),
    "dataset.questions": ("person", "event"),
    "dataset.answers": ("person", "event"),
}  # fmt: skip
OPTIONS = {  # of the backends that a run may have chosen
    "curation.openai": ("model", "temperature"),
    "images.pocket": ("defect_rate",),
    "images.flux": ("dtype", "steps", "max_sequence_length", "compile", "quantisation"),
    "images.networks": ("subject_crop", "quick_gelu"),
}


def public_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a configuration that made the data set, without paths, addresses and names of keys."""
    images = config["images"]
    backends = {config["curation"]["backend"], images["generator"], images["scorers"]}
    options = {place: keys for place, keys in OPTIONS.items() if place.rpartition(".")[2] in backends}
    settings: dict[str, Any] = {}
    for place, keys in (SETTINGS | options).items():
        source, target = config, settings
        for name in filter(None, place.split(".")):
            source, target = source.get(name, {}), target.setdefault(name, {})
        target |= {key: source[key] for key in keys if not isinstance(source.get(key, {}), Mapping)}
    return settings
