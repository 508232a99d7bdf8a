"""Adapters and checkpoints as folders: written whole or not at all."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import torch
from safetensors.torch import save_file

from mmunlearn.atomic import atomic_folder
from mmunlearn.models.loading import ADAPTER_FILES, ADAPTER_RECORD, ADAPTER_WEIGHTS, POLICY, check_recorded
from mmunlearn.records import sha256_of, write_json
from mmunlearn.weights.errors import WeightsError, brief
from mmunlearn.weights.tensors import read_tensors, shapes_of

WEIGHTS = ADAPTER_WEIGHTS
LAST_GOOD = "last_good.safetensors"
CHECKPOINT_REMEDY = "remove this checkpoint, which the killed job has left: the training begins anew"
logger = logging.getLogger(__name__)


def save_adapter(model: Any, folder: Path, state: Mapping[str, torch.Tensor] | None = None) -> None:
    """Write the policy as adapter_config.json and adapter_model.safetensors, replacing what was there.

    Args:
        state: the model's weights, where they had to be gathered from several processes.
    """
    with atomic_folder(folder) as temporary:
        model.save_pretrained(temporary, selected_adapters=[POLICY], state_dict=state)
        (temporary / "README.md").unlink(missing_ok=True)


def record_adapter(folder: Path) -> None:
    """Write the checksums of an adapter's files into its folder, where there is no training.json beside it."""
    write_json(folder / ADAPTER_RECORD, {name: sha256_of(folder / name) for name in ADAPTER_FILES})


def is_sound(folder: Path) -> bool:
    """Whether an adapter is there, and is still the one that was written."""
    try:
        if not all((folder / name).exists() for name in ADAPTER_FILES):
            return False
        check_recorded(folder)
    except WeightsError:
        logger.warning("%s is not the adapter that was written", folder)
        return False
    return True


def copy_adapter(source: Path, folder: Path) -> None:
    """Copy a saved adapter, replacing what was there."""
    with atomic_folder(folder) as temporary:
        for name in ADAPTER_FILES:
            shutil.copyfile(source / name, temporary / name)


def link_adapter(source: Path, folder: Path) -> None:
    """Put a saved adapter into a second folder without another copy on the disk, where its file system can."""
    with atomic_folder(folder) as temporary:
        for name in ADAPTER_FILES:
            try:
                os.link(source / name, temporary / name)
                os.utime(temporary / name)  # as new as a copy: a resumed job's may be older than its inputs
            except OSError:
                shutil.copyfile(source / name, temporary / name)


def last_checkpoint(folder: Path) -> str | None:
    """The newest complete checkpoint; trainer_state.json is written last, so one without it is half a checkpoint
    of a killed job and is removed."""
    complete = []
    for path in folder.glob("checkpoint-*"):
        try:
            complete.append((json.loads((path / "trainer_state.json").read_text())["global_step"], path))
        except (OSError, ValueError, KeyError):
            logger.warning("%s is incomplete and removed", path)
            shutil.rmtree(path, ignore_errors=True)
    return str(max(complete)[1]) if complete else None


def check_state(checkpoint: Path) -> None:
    """See that what torch has written of optimizer, schedule and random numbers, archives with checksums, is whole.

    Raises:
        WeightsError: it is not; names the file.
    """
    for path in sorted(checkpoint.glob("*.pt*")):
        try:
            with ZipFile(path) as archive:
                damaged = archive.testzip()
        except (OSError, BadZipFile) as error:
            damaged = brief(error)
        if damaged:
            raise WeightsError(f"asked for {path}; found it damaged ({damaged}); {CHECKPOINT_REMEDY}")


def write_last_good(checkpoint: Path, weights: Mapping[str, torch.Tensor]) -> None:
    """Put the weights that last gave a finite loss beside a checkpoint's."""
    save_file({name: value.contiguous() for name, value in weights.items()}, checkpoint / LAST_GOOD)


def read_last_good(checkpoint: Path, trained: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor] | None:
    """What `write_last_good` has written of the weights that are trained; None where it has not.

    Raises:
        WeightsError: it holds others; names file and keys.
    """
    path = checkpoint / LAST_GOOD
    return read_tensors(path, shapes_of(trained), CHECKPOINT_REMEDY) if path.exists() else None
