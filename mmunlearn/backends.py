"""Backends by name: each is imported only when it is asked for, so that no phase imports `pocket`."""

from __future__ import annotations

from importlib import import_module
from typing import Any

BACKENDS: dict[str, dict[str, str]] = {
    "curator": {
        "shipped": "mmunlearn.curation.shipped:ShippedCurator",
        "openai": "mmunlearn.curation.openai:OpenAICurator",
    },
    "generator": {
        "pocket": "mmunlearn.pocket.generator:build_generator",
        "flux": "mmunlearn.synthesis.flux:build_generator",
    },
    "scorers": {
        "pocket": "mmunlearn.pocket.scorers:build_scorers",
        "networks": "mmunlearn.scorers.networks:NetworkScorers",
    },
    "reference_sets": {
        "pocket": "mmunlearn.pocket.reference_sets:PocketReferenceSets",
        "files": "mmunlearn.dataset.files:FileReferenceSets",
    },
    "judge": {
        "local": "mmunlearn.evaluation.judge.local:LocalJudge",
        "openai": "mmunlearn.evaluation.judge.client:OpenAIJudge",
    },
}


class UnknownBackend(KeyError):
    """No backend of that kind has the name asked for."""

    def __str__(self) -> str:
        return str(self.args[0])


def backend(kind: str, name: str) -> Any:
    """The class or factory registered as `name`, imported now.

    Raises:
        UnknownBackend: names the nearest registered backend.
    """
    names = BACKENDS[kind]
    if name not in names:
        from mmunlearn.text import nearest

        raise UnknownBackend(f"{kind} backend '{name}' is unknown; {nearest(name, names)}")
    module, attribute = names[name].split(":")
    return getattr(import_module(module), attribute)
