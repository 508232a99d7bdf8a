"""One attack on one model, from files to a file."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmunlearn.provenance import versions
from mmunlearn.records import Attack, sha256_of, write_json
from mmunlearn.robustness.membership import infer_membership
from mmunlearn.robustness.paraphrase import paraphrase
from mmunlearn.robustness.quantisation import quantise
from mmunlearn.robustness.relearning import relearn
from mmunlearn.robustness.subject import Subject

logger = logging.getLogger(__name__)
ATTACKS = {
    "relearning": relearn,
    "quantisation": quantise,
    "membership": infer_membership,
    "paraphrase": paraphrase,
}


def attack_model(
    attack: str,
    subject: Subject,
    output: Path,
    options: Mapping[str, Any],
    files: Mapping[str, Path],
    *,
    work: Path,
) -> None:
    """Write the findings of an attack.

    Args:
        attack: key of ATTACKS; `options` and `files` are its function's own arguments.
        work: where an attack that trains keeps its checkpoints.
    """
    more = {"work": work} if attack == "relearning" else {}
    findings, details = ATTACKS[attack](subject, **options, **files, **more)
    given = {
        "adapter": subject.adapter / "adapter_model.safetensors", "questions": subject.questions,
        "split": subject.split, "people": subject.people, "features": subject.features,
        "finetuned": subject.finetuned, "goal": subject.goal, **files,
    }  # fmt: skip
    own = subject.own
    write_json(
        output,
        Attack(
            model=subject.model, recipe=subject.recipe, method=subject.label, target=own.target,
            percent=own.percent, seed=subject.seed, attack=attack, findings=findings, details=details,
            digests={name: sha256_of(path) for name, path in given.items() if path}, versions=versions(),
        ),
    )  # fmt: skip
    logger.info(", ".join(f"{one.setting} {one.metric} {one.result.value}" for one in findings))
