"""The lock beside a folder of weights: checksums recorded at the first fetch and checked ever after."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from mmunlearn.records import Record, RecordError, digest_of, read_json, sha256_of
from mmunlearn.weights.entries import entry, known
from mmunlearn.weights.errors import WeightsError

SMALL = 1_000_000  # bytes up to which a fingerprint reads a whole file
BLOCK, BLOCKS = 65_536, 64  # what it reads of a larger one, evenly spread


class Fact(Record):
    """Checksum and size of a file."""

    sha256: str
    size: int


class Converted(Fact):
    """A safetensors file that the rule made, the pickled file that it was made from, and a digest of how."""

    source: str
    source_sha256: str
    options: str


class Lock(Record):
    """<folder>/<name>.lock.json. Files are named relative to <folder>/<name>, with slashes.

    Attributes:
        origin: `hub`, `url`, `folder` (the user named one) or `placed` (the files lay there already).
        address: repository, URL or folder, as `origin` is; for `placed` where they should come from.
        revision: commit of the hub's repository, as resolved at the first fetch, or of the snapshot in the hub's cache
            that the files are links to; None where nothing says it.
        time: of the first fetch, UTC; None in a receipt.
    """

    name: str
    origin: str
    address: str | None
    revision: str | None
    files: dict[str, Fact]
    converted: dict[str, Converted]
    time: str | None = None


def lock_path(folder: Path) -> Path:
    """The lock of a folder of weights: beside it, so that nothing that empties the folder takes it along."""
    return folder.with_name(f"{folder.name}.lock.json")


def read_lock(folder: Path) -> Lock | None:
    """The lock of a folder of weights, None before the first fetch.

    Raises:
        WeightsError: the file is not a lock.
    """
    path = lock_path(folder)
    if not path.exists():
        return None
    try:
        return read_json(path, Lock)
    except RecordError as error:
        raise WeightsError(
            f"asked for the recorded checksums of {folder}; found that {path} is no lock ({error}); "
            "restore the file, or delete it to record the present weights' checksums anew"
        ) from error


def listing(folder: Path) -> list[str]:
    """Names of a folder's files, relative and sorted, also behind links; without hidden ones and broken links."""
    files = []
    for parent, folders, names in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths = (Path(parent, name) for name in names if not name.startswith("."))
        files += [path.relative_to(folder).as_posix() for path in paths if path.is_file()]
    return sorted(files)


def missing_message(folder: Path, missing: list[str]) -> str:
    """What to say of files that are missing in a folder of weights: which, from where, where to put them."""
    where = "\n".join(f"  {folder / file}" for file in missing)
    head = f"asked for the weights in {folder}; found none of:\n{where}\n"
    if folder.name not in known():
        return head + "restore the folder, or name another one in the configuration"
    row = entry(folder.name)
    gate = f" (gated: {acceptance(row.repo or '')})" if row.gated else ""
    return (
        f"{head}They come from {row.origin}, licence: {row.licence}{gate}.\n"
        f"Put them there by hand, or name a folder that holds them in weights.sources.{row.name}, "
        "or set weights.download to true, which lets the rule fetch_weights fetch them"
    )


def acceptance(repo: str) -> str:
    """What a gated repository asks for."""
    return f"accept the licence at https://huggingface.co/{repo} and set HF_TOKEN to a token of that account"


def fingerprint(folder: Path) -> str:
    """Digest of a folder of weights, for feature caches and params; loads no weights.

    It covers names, sizes, the content of files below 1 MB, and of larger ones 64 blocks all over the file, which
    no other training leaves as they are: seconds, where checksums of whole models would take minutes. With a lock,
    the recorded checksums count besides, and each file's size is compared.

    Raises:
        WeightsError: the folder or a recorded file is missing, or a size differs.
    """
    folder = Path(folder)
    lock = read_lock(folder)
    files = listing(folder)
    if lock is None:
        if not files:
            raise WeightsError(missing_message(folder, _needed(folder)))
        return digest_of([_glance(folder, name) for name in files])
    facts = {**lock.files, **lock.converted}
    missing = [name for name in facts if name not in files]
    if missing:
        raise WeightsError(missing_message(folder, missing))
    for name, fact in facts.items():
        size = (folder / name).stat().st_size
        if size != fact.size:
            raise WeightsError(
                f"asked for {folder / name} of {fact.size} bytes, as {lock_path(folder)} records; found {size} "
                f"bytes; move the file away to have it fetched again, or delete the lock if the change is meant, then "
                f"run the rule fetch_weights"
            )
    return digest_of([[name, fact.sha256, *_glance(folder, name)] for name, fact in sorted(facts.items())])


def _needed(folder: Path) -> list[str]:
    return entry(folder.name).files if folder.name in known() else ["any file"]


def _glance(folder: Path, name: str) -> list[str | int]:
    path = folder / name
    size = path.stat().st_size
    if size < SMALL:
        return [name, size, sha256_of(path)]
    digest = hashlib.sha256()
    with path.open("rb") as handle:
        for index in range(BLOCKS):
            handle.seek(index * (size - BLOCK) // (BLOCKS - 1))
            digest.update(handle.read(BLOCK))
    return [name, size, digest.hexdigest()]
