"""Registries of backends: who writes, draws, scores, judges and supplies pictures; no phase imports `pocket`."""

from __future__ import annotations

from mmunlearn.registry import Registry

CURATORS = Registry(
    "curator",
    "mmunlearn.curation.curate:Curator",
    {
        "shipped": "mmunlearn.curation.shipped:ShippedCurator",
        "openai": "mmunlearn.curation.openai:OpenAICurator",
        "files": "mmunlearn.curation.listed:ListedCurator",
    },
)
GENERATORS = Registry(
    "generator",
    "mmunlearn.synthesis.generate:Generator",
    {
        "pocket": "mmunlearn.pocket.generator:PocketGenerator",
        "flux": "mmunlearn.synthesis.flux:FluxGenerator",
        "files": "mmunlearn.synthesis.picture_files:PictureFiles",
    },
)
DRAWINGS = Registry(
    "generator",
    "mmunlearn.curation.fields:Drawings",
    {"pocket": "mmunlearn.pocket.drawings:PocketDrawings"},
)
"""What a generator can draw, where it draws from more than texts; named as the generator."""
SCORERS = Registry(
    "scorers",
    "mmunlearn.scorers.protocol:Scorers",
    {
        "pocket": "mmunlearn.pocket.scorers:PocketScorers",
        "networks": "mmunlearn.scorers.networks:NetworkScorers",
    },
)
REFERENCE_SETS = Registry(
    "reference sets",
    "mmunlearn.dataset.protocol:ReferenceSets",
    {
        "pocket": "mmunlearn.pocket.reference_sets:PocketReferenceSets",
        "files": "mmunlearn.dataset.files:FileReferenceSets",
    },
)
JUDGES = Registry(
    "judge",
    "mmunlearn.evaluation.judge.rubric:Judge",
    {
        "local": "mmunlearn.evaluation.judge.local:LocalJudge",
        "openai": "mmunlearn.evaluation.judge.client:OpenAIJudge",
    },
)
TASK_SETS = Registry(
    "tasks",
    "mmunlearn.lifelong.draw:TaskSet",
    {"pocket": "mmunlearn.pocket.tasks:PocketTasks"},
)
"""Who draws tasks; those of `lifelong.files` are not drawn."""
