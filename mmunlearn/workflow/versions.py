"""The versions of rules, and the code behind each: an edit of what decides a result makes it anew.

A `version` is raised by hand where a commit changes results. Between commits the code itself counts, by its digest, so
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
    "read_tasks": ("lifelong/released.py", "lifelong/task_set.py", "tasks.py"),
    "encode_images": ("pictures.py", "models/tower.py", "models/families"),
    "answer_questions": (*_SPEAKING, "evaluation/sampling.py"),
    "answer_tasks": (*_SPEAKING, "tasks.py"),
    "answer_experts": (*_SPEAKING, "models/experts.py", "lifelong/routing.py", "tasks.py"),
    "ask_gate": (*_SPEAKING, "lifelong/gates/gate.py", "lifelong/gates/clip.py", "lifelong/gates/vlm.py"),
    "measure_drift": ("lifelong/drift.py", "lifelong/drift_rows.py", "lifelong/centroids.py"),
    "attack_model": (
        *_SPEAKING,
        "training/losses.py",
        *(
            f"robustness/{name}.py"
            for name in ("membership", "paraphrase", "quantisation", "relearning", "target")
        ),
    ),
}
"""Script, or what several do -> the files or folders below the package that decide, without what they import."""
DIGESTS: dict[str, str] = {
    "list_pictures": "8d361b9d8b61688c",
    "curate": "2518f08fae6b37fe",
    "accept_texts": "b8f0bf0237ca9786",
    "write_prompts": "7ac96eebd983aaa8",
    "draw_references": "878981c6c450fa72",
    "draw_shard": "9ba63b8072c67ff4",
    "settle_pictures": "30b15d47a8143468",
    "merge_manifest": "9686e1433feb3449",
    "draw_unseen": "cfb1879d3db2c670",
    "build_questions": "790b3822f08164bf",
    "split_concepts": "1ed7cadf6c4e88b8",
    "build_reference_set": "93fa4e10fa681151",
    "read_tasks": "add36bfac1f8e3f4",
    "encode_images": "089ccfe810eb7d05",
    "answer_questions": "8dc4bdd188f71245",
    "answer_tasks": "483a92da0a9784ad",
    "answer_experts": "3c4c580ff78e0530",
    "ask_gate": "efd378be989c72c8",
    "measure_drift": "2e59455f7edfbd92",
    "attack_model": "712e0700bfd14cb1",
}
"""Of these, as they are committed: their results are those of the rules' versions. A commit that edits one writes its
digest here, and raises the version where results change."""


def version(number: int, name: str) -> Callable[[Any], int | str]:
    """A rule's version as a param: the number, with the digest of its code in CODE where that is another one."""

    def of(wildcards: Any) -> int | str:
        digest = digest_of_sources(CODE[name])
        return number if digest == DIGESTS[name] else f"{number} by code {digest}"

    return of
