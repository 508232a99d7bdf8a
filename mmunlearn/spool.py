"""What a job works in and what it has finished, below `work/`, until a job that has read its outputs succeeds.

`work/<kind>/<digest of the outputs>/` holds `outputs.json`, which names these files, and a folder named by a digest of
all that shapes them. So nothing is made twice where a job ends between its last line of work and Snakemake's record of
it, by a time limit or a kill: the next one finds the files whole, by their checksums, and links them into place.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from mmunlearn.atomic import atomic_path, scratch_folder
from mmunlearn.records import digest_of, sha256_of, write_json

KINDS = ("answers", "training")
"""Folders below `work` with spools."""
OUTPUTS = "outputs.json"
"""Of a list of files, relative to `work`."""
RECORD = "checksums.json"
"""Of a finished job: name below the folder -> SHA-256."""
logger = logging.getLogger(__name__)


class Spool:
    """The folder of a job's unfinished and finished work.

    Attributes:
        folder: exists; checkpoints and the like lie here, and the outputs by their names.
        outputs: name below the folder -> output file.
    """

    def __init__(
        self, work: Path, kind: str, outputs: Mapping[str, Path], identity: str, *, stays: bool = False
    ) -> None:
        """
        Args:
            kind: one of KINDS.
            identity: digest of all that shapes the outputs.
            stays: after they have been read, too.
        """
        if kind not in KINDS:
            raise ValueError(
                f"a spool of kind {kind} is asked for; found {', '.join(KINDS)}; add it to KINDS"
            )
        self.outputs = dict(outputs)
        names = _relative(work, self.outputs.values())
        home = work / kind / digest_of(names)
        self.folder = home / identity
        self.folder.mkdir(parents=True, exist_ok=True)
        if stays:
            (home / OUTPUTS).unlink(missing_ok=True)
        elif _outputs(home / OUTPUTS) != names:
            write_json(home / OUTPUTS, names)

    def is_finished(self) -> bool:
        """Whether all outputs are there, and the very files that were written. A damaged one and its record go."""
        record = self.folder / RECORD
        try:
            sums = json.loads(record.read_text(encoding="utf-8"))
            if all(sha256_of(self.folder / name) == sums[name] for name in self.outputs):
                logger.info("finished before, in %s", self.folder)
                return True
        except FileNotFoundError:
            if not record.exists():
                return False
        except (OSError, ValueError, KeyError, TypeError):
            pass
        logger.warning("%s is not the work that was finished: it is made again", self.folder)
        record.unlink(missing_ok=True)
        for name in self.outputs:
            (self.folder / name).unlink(missing_ok=True)
        return False

    def finish(self) -> None:
        """Vouch for the outputs. What else the job has worked in, and older work on the same outputs, goes."""
        write_json(self.folder / RECORD, {name: sha256_of(self.folder / name) for name in self.outputs})
        stays = {RECORD, *(Path(name).parts[0] for name in self.outputs)}
        _empty(self.folder, stays)
        supersede([self.folder])

    def deliver(self) -> None:
        """Put all outputs into place."""
        for name in self.outputs:
            self.link(name)

    def link(self, name: str) -> None:
        """Put an output into place, finished or growing, without a second copy where the file system can."""
        with atomic_path(self.outputs[name]) as temporary:
            try:
                os.link(self.folder / name, temporary)
                os.utime(temporary)  # as new as a copy: it may be older than the job's inputs
            except OSError:
                shutil.copyfile(self.folder / name, temporary)


def supersede(folders: Iterable[Path]) -> None:
    """Remove older work on the outputs of these spools' folders."""
    stay: dict[Path, set[str]] = {}
    for folder in folders:
        stay.setdefault(folder.parent, {OUTPUTS}).add(folder.name)
    for home, names in stay.items():
        _empty(home, names)


def release(work: Path, read: Iterable[Path]) -> None:
    """Remove the spools of files that a job has read which has succeeded: Snakemake has recorded them."""
    names = set(_relative(work, read))
    for kind in KINDS:
        for record in (work / kind).glob(f"*/{OUTPUTS}"):
            if names.intersection(_outputs(record)):
                with suppress(OSError), scratch_folder(record.parent) as away:
                    record.parent.rename(away / record.parent.name)


def _relative(work: Path, paths: Iterable[Path]) -> list[str]:
    return sorted(os.path.relpath(path, work) for path in paths)


def _outputs(record: Path) -> list[str]:
    """What OUTPUTS lists; nothing where it is missing or damaged."""
    try:
        names = json.loads(record.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []


def _empty(folder: Path, stays: Iterable[str]) -> None:
    for path in folder.iterdir():
        if path.name in stays:
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
