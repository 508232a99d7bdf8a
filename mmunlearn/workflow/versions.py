"""The versions of rules, and the code behind each: an edit of what decides a result makes it anew.

A `version` is raised by hand where an edit changes results. Code that no version is stated of counts by its digest, so
that no refactoring elsewhere reruns a job of hours. Imported by the Snakefile: nothing heavy here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mmunlearn.workflow.identity import digest_of_sources

_SPEAKING = ("models/generation.py", "models/dialogue.py", "models/collate.py", "models/families")
_CHOOSING = (
    "synthesis/generate.py",
    "synthesis/candidates.py",
    "synthesis/references.py",
    "synthesis/policy.py",
)
CODE = {
    "list_pictures": ("curation/listing.py", "curation/picture_list.py", "curation/entities.py"),
    "curate": tuple(
        f"curation/{name}.py"
        for name in ("curate", "attributes", "openai", "shipped", "listed", "entities", "fields")
    ),
    "accept_texts": ("curation/acceptance.py", "verdicts.py"),
    "write_prompts": ("curation/prompts.py",),
    "draw_references": ("synthesis/generate.py", "synthesis/references.py", "synthesis/event_references.py"),
    "draw_shard": (*_CHOOSING, "synthesis/shards.py"),
    "settle_pictures": (*_CHOOSING, "synthesis/settle.py", "synthesis/scene_pairs.py", "verdicts.py"),
    "merge_manifest": ("synthesis/manifest.py", "synthesis/policy.py", "verdicts.py"),
    "draw_unseen": (*_CHOOSING, "robustness/unseen.py"),
    "build_questions": ("dataset/questions.py", "dataset/templates.py"),
    "split_concepts": ("dataset/splits.py",),
    "build_reference_set": (
        *("pictures.py", "pocket/reference_sets.py"),
        *(
            f"dataset/{name}.py"
            for name in ("reference_sets", "files", "real_people", "event_pool", "retrieval", "pope_files")
        ),
    ),
    "draw_tasks": (
        "lifelong/draw.py",
        *(f"pocket/{name}.py" for name in ("tasks", "cast", "identities", "knowledge", "known", "worlds")),
    ),
    "read_tasks": ("lifelong/released.py", "lifelong/task_set.py", "tasks.py"),
    "select_questions": (
        "lifelong/task_set.py",
        "evaluation/key_words.py",
        "evaluation/sampling.py",
        "tasks.py",
    ),
    "encode_images": ("pictures.py", "models/tower.py", "models/families"),
    "answer_questions": (*_SPEAKING, "evaluation/sampling.py"),
    "answer_tasks": (*_SPEAKING, "tasks.py"),
    "answer_experts": (*_SPEAKING, "models/experts.py", "lifelong/routing.py", "tasks.py"),
    "ask_gate": (*_SPEAKING, "lifelong/gates/gate.py", "lifelong/gates/clip.py", "lifelong/gates/vlm.py"),
    "measure_drift": ("lifelong/drift.py", "lifelong/drift_rows.py", "lifelong/centroids.py"),
    "attack_model": (
        *_SPEAKING,
        "names.py",
        *(
            f"evaluation/{name}.py"
            for name in ("metrics", "judge/rubrics/g_eval", "intervals", "sampling", "rouge")
        ),
        *(
            f"training/{name}.py"
            for name in ("losses", "schedule", "views", "methods/base", "methods/finetune")
        ),
        *(
            f"robustness/{name}.py"
            for name in ("membership", "paraphrase", "quantisation", "relearning", "target", "wordings")
        ),
    ),
}
"""Script, or what several do -> the files or folders below the package that decide, without what they import."""
DIGESTS: dict[str, dict[int, tuple[str, ...]]] = {
    "list_pictures": {1: ("8d361b9d8b61688c",)},
    "curate": {3: ("2518f08fae6b37fe",)},
    "accept_texts": {1: ("b8f0bf0237ca9786",)},
    "write_prompts": {1: ("7ac96eebd983aaa8",)},
    "draw_references": {2: ("878981c6c450fa72",)},
    "draw_shard": {2: ("9ba63b8072c67ff4",)},
    "settle_pictures": {1: ("30b15d47a8143468",)},
    "merge_manifest": {2: ("9686e1433feb3449",)},
    "draw_unseen": {1: ("cfb1879d3db2c670",)},
    "build_questions": {1: ("790b3822f08164bf",)},
    "split_concepts": {1: ("1ed7cadf6c4e88b8",)},
    "build_reference_set": {2: ("93fa4e10fa681151",)},
    "draw_tasks": {1: ("9258de6ebdc42c8d",)},
    "read_tasks": {2: ("add36bfac1f8e3f4",)},
    "select_questions": {1: ("c915c61f601a7f2f",)},
    "encode_images": {1: ("089ccfe810eb7d05",)},
    "answer_questions": {2: ("8dc4bdd188f71245",)},
    "answer_tasks": {1: ("483a92da0a9784ad",)},
    "answer_experts": {1: ("3c4c580ff78e0530",)},
    "ask_gate": {2: ("efd378be989c72c8",)},
    "measure_drift": {1: ("2e59455f7edfbd92",)},
    "attack_model": {2: ("9af55680609af576", "cddf80a08bbc51a7")},
}
"""Of these -> version -> the digests of the code whose results are that version's: of the committed code, and of
what was committed before it with equal results. An edit that changes results raises the version in the rules; one that
does not adds its digest to the version's."""


def version(number: int, name: str) -> Callable[[Any], int | str]:
    """A rule's version as a param: the number, with the digest of its code where that is not among its DIGESTS."""

    def of(wildcards: Any) -> int | str:
        digest = digest_of_sources(CODE[name])
        return number if digest in DIGESTS[name].get(number, ()) else f"{number} by code {digest}"

    return of
