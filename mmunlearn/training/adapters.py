"""Adapters and checkpoints as folders: written whole or not at all."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import torch
from safetensors.torch import save_file

from mmunlearn.atomic import atomic_folder
from mmunlearn.models.loading import (
    ADAPTER_CONFIG,
    ADAPTER_FILES,
    ADAPTER_RECORD,
    ADAPTER_WEIGHTS,
    POLICY,
    check_recorded,
)
from mmunlearn.records import sha256_of, write_json
from mmunlearn.weights.errors import WeightsError, brief
from mmunlearn.weights.tensors import read_tensors, shapes_of

WEIGHTS = ADAPTER_WEIGHTS
LAST_GOOD = "last_good.safetensors"
CHECKPOINT_REMEDY = (
    "this checkpoint, which a killed job has left, is removed: the training goes on without it"
)
logger = logging.getLogger(__name__)


def save_adapter(
    model: Any, folder: Path, state: Mapping[str, torch.Tensor] | None = None, *, recorded: bool = False
) -> None:
    """Write the policy as adapter_config.json and adapter_model.safetensors, replacing what was there.

    Args:
        state: the model's weights, where they had to be gathered from several processes.
        recorded: write the files' checksums, too, where there is no training.json beside the folder.
    """
    with atomic_folder(folder) as temporary:
        model.save_pretrained(temporary, selected_adapters=[POLICY], state_dict=state)
        (temporary / "README.md").unlink(missing_ok=True)
        if recorded:
            sums = {name: sha256_of(temporary / name) for name in ADAPTER_FILES}
            write_json(temporary / ADAPTER_RECORD, sums)


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


def last_checkpoint(folder: Path, check: Callable[[Path], object] = lambda path: None) -> Path | None:
    """The newest checkpoint that is whole; trainer_state.json is written last, so one without it is half a checkpoint
    of a killed job. Such ones are removed.

    Args:
        check: raises OSError or ValueError where a complete checkpoint is damaged.
    """
    complete = []
    for path in folder.glob("checkpoint-*"):
        try:
            complete.append((json.loads((path / "trainer_state.json").read_text())["global_step"], path))
        except (OSError, ValueError, KeyError, TypeError):
            logger.warning("%s is incomplete and removed", path)
            shutil.rmtree(path, ignore_errors=True)
    for _, path in sorted(complete, reverse=True):
        try:
            check(path)
        except (OSError, ValueError) as error:
            logger.warning("%s is damaged and removed: %s", path, brief(error))
            shutil.rmtree(path, ignore_errors=True)
        else:
            return path
    return None


def check_state(checkpoint: Path) -> None:
    """See that the description of the adapter, and what torch has written of optimizer, schedule and random numbers,
    archives with checksums, is whole.

    Raises:
        OSError, ValueError: it is not; names the file.
    """
    json.loads((checkpoint / ADAPTER_CONFIG).read_text(encoding="utf-8"))
    for path in sorted({*checkpoint.glob("*.pt*"), checkpoint / "optimizer.pt", checkpoint / "scheduler.pt"}):
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


def read_last_good(checkpoint: Path, trained: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """What `write_last_good` has written of the weights that are trained.

    Raises:
        FileNotFoundError: it has not.
        WeightsError: it is damaged or holds others; names file and keys.
    """
    return read_tensors(checkpoint / LAST_GOOD, shapes_of(trained), CHECKPOINT_REMEDY)
