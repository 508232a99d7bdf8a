"""The attacks on one run, from files to a file each."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmunlearn.digests import STORE, checksums
from mmunlearn.ids import Run
from mmunlearn.models.loading import ModelSpec
from mmunlearn.provenance import versions
from mmunlearn.records import Attack, write_json
from mmunlearn.robustness import ATTACKS
from mmunlearn.robustness.target import GenerationSettings, TargetModel

logger = logging.getLogger(__name__)


def attack_model(
    outputs: Mapping[str, Path],
    run: Run,
    files: Mapping[str, Path],
    *,
    spec: Mapping[str, Any],
    label: str,
    settings: Mapping[str, Any],
    attacks: Mapping[str, Mapping[str, Any]],
    paraphrases: Path,
    batch: int,
    work: Path,
    version: int,
) -> None:
    """Write the findings of every attack; the base is loaded once to be asked.

    Args:
        outputs: attack -> its JSON.
        files: those of TargetModel; `unseen`: features of the pictures that no model has trained on.
        spec: settings of `ModelSpec`.
        label: the method's name in tables and figures.
        settings, batch: of `GenerationSettings`.
        attacks: attack -> options of its function.
        paraphrases: other wordings, YAML.
        work, version: see TargetModel.
    """
    files = {**files, "paraphrases": paraphrases}
    asked = GenerationSettings(**settings, batch=batch)
    target = TargetModel(run, ModelSpec(**spec), files, asked, work, version, min(outputs.values()))
    digests = {name: checksums({name: path}, work / STORE)[name] for name, path in files.items()}
    for name in ATTACKS:
        method = ATTACKS.load(name)
        findings, details = method.attack(target, **attacks[name])
        record = Attack(
            **run._asdict(), method=label, target=target.split.target, percent=target.split.percent, attack=name,
            findings=findings, details=details, digests={key: digests[key] for key in method.reads},
            versions=versions(),
        )  # fmt: skip
        write_json(outputs[name], record)
        logger.info(
            "%s: %s", name, ", ".join(f"{one.setting} {one.metric} {one.result.value}" for one in findings)
        )
