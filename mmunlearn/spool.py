"""What a job works in and what it has finished, below `work/`, until a job that has read its outputs succeeds.

`work/<kind>/<digest of the first output's path>/` holds a folder named by a digest of all that shapes the outputs; a
file beside it for each output, named by the digest of its path, says where that is. So nothing is made twice where a
job ends between its last line of work and Snakemake's record of it, by a time limit or a kill: the next one finds the
files whole, by their checksums, and links them into place.
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

KINDS = ("answers", "relearning", "training")
"""Folders below `work` with spools."""
SIGN = ".json"
"""Of the files that say where the work on an output lies: the digests of all outputs of its job."""
RECORD = "checksums.json"
"""Of a finished job: name of an output -> SHA-256."""
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
        digests = [_digest(work, path) for path in sorted(self.outputs.values())]
        self.folder = work / kind / digests[0] / identity
        self.folder.mkdir(parents=True, exist_ok=True)
        for digest in digests:
            sign = work / kind / f"{digest}{SIGN}"
            if stays:
                sign.unlink(missing_ok=True)
            elif _signed(sign) != digests:
                write_json(sign, digests)

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
        self._vouch({name: self.folder / name for name in self.outputs})
        _empty(self.folder, {RECORD, *(Path(name).parts[0] for name in self.outputs)})
        self.remove_others()

    def remove_others(self) -> None:
        """Remove other work on the same outputs."""
        _empty(self.folder.parent, {self.folder.name})

    def _vouch(self, files: Mapping[str, Path]) -> None:
        write_json(self.folder / RECORD, {name: sha256_of(path) for name, path in files.items()})

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


def supersede(spools: Iterable[Spool]) -> None:
    """Vouch for the outputs of a job's spools, which it has written itself, and remove older work on them."""
    stay: dict[Path, set[str]] = {}
    for spool in spools:
        spool._vouch(spool.outputs)
        stay.setdefault(spool.folder.parent, set()).add(spool.folder.name)
    for home, names in stay.items():
        _empty(home, names)


def finished(work: Path, read: Iterable[Path]) -> list[Path]:
    """The folders of the work that has made these very files, by their checksums; not of work on them that goes on."""
    folders: dict[Path, None] = {}
    for path in read:
        digest = _digest(work, path)
        for kind in KINDS:
            signed = _signed(work / kind / f"{digest}{SIGN}")
            for record in (work / kind / signed[0]).glob(f"*/{RECORD}") if signed else ():
                with suppress(OSError, ValueError, AttributeError):
                    if sha256_of(path) in json.loads(record.read_text(encoding="utf-8")).values():
                        folders[record.parent] = None
    return list(folders)


def release(folders: Iterable[Path]) -> None:
    """Remove finished work whose outputs a job has read which has succeeded: Snakemake has recorded them. What lies
    beside it, on the same outputs, stays."""
    for folder in folders:
        home = folder.parent
        with suppress(OSError):
            if (folder / RECORD).exists():
                with scratch_folder(home) as away:
                    folder.rename(away / folder.name)
            home.rmdir()  # unless other work lies there
            signs = [
                home.with_name(f"{digest}{SIGN}") for digest in _signed(home.with_name(f"{home.name}{SIGN}"))
            ]
            for sign in signs:
                sign.unlink(missing_ok=True)


def _digest(work: Path, path: Path) -> str:
    return digest_of(os.path.relpath(path, work))


def _signed(sign: Path) -> list[str]:
    """The digests of a job's outputs, first the one that names its folder; none where it is missing or damaged."""
    try:
        digests = json.loads(sign.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return [one for one in digests if isinstance(one, str)] if isinstance(digests, list) else []


def _empty(folder: Path, stays: Iterable[str]) -> None:
    for path in folder.iterdir():
        if path.name in stays:
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
