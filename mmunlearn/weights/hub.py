"""Downloads: from the model hub by its own client, from a plain address by `plain.py`. Whole files or none."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmunlearn.endpoint import redacted
from mmunlearn.records import write_text
from mmunlearn.weights.entries import Entry
from mmunlearn.weights.errors import WeightsError
from mmunlearn.weights.files import measure
from mmunlearn.weights.lock import acceptance
from mmunlearn.weights.plain import download_plain

COMMIT = re.compile("[0-9a-f]{40}")
logger = logging.getLogger("mmunlearn")


def download(entry: Entry, folder: Path, revision: str | None) -> str | None:
    """Fetch what a folder lacks.

    Args:
        entry: of the weights.
        folder: where the files go, below their names in the repository.
        revision: commit of the repository; None: the entry's, or the one that a broken-off fetch began with,
            or the newest.

    Returns:
        The commit that the files are from; None for a plain address.

    Raises:
        WeightsError: refused, not found, broken off or not what the hub lists; no such file is left.
    """
    for path in folder.rglob("*"):
        if path.is_symlink() and not path.exists():
            path.unlink()
    if entry.url is not None:
        download_plain(entry, folder)
        return None
    with online():
        return _download_repository(entry, folder, revision)


@contextmanager
def online() -> Iterator[None]:
    """Let the hub's client reach the hub inside the block, unless the user has set it, or transformers, offline."""
    from huggingface_hub import constants

    if "MMUNLEARN_OFFLINE" not in os.environ or os.environ.get("TRANSFORMERS_OFFLINE"):
        yield
        return
    before, constants.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE, False
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def note_path(folder: Path) -> Path:
    """Holds the commit of a fetch that has begun, so that one that broke off goes on with the same commit."""
    return folder.with_name(f".{folder.name}.revision")


def _noted(note: Path) -> str | None:
    """The commit of a fetch that has begun; None where there is none. Raises WeightsError where its note is damaged."""
    commit = note.read_text(encoding="utf-8", errors="replace") if note.exists() else None
    if commit is None or COMMIT.fullmatch(commit):
        return commit
    raise WeightsError(
        f"asked for the commit with which a fetch began; found none in {note}; remove this file, and with it the files "
        "beside it that came from that commit"
    )


def _download_repository(entry: Entry, folder: Path, revision: str | None) -> str:
    from huggingface_hub import HfApi

    note = note_path(folder)
    if revision is None:
        revision = entry.revision or _noted(note)
    with _explained(entry, f"the files of {entry.repo}"):
        info = HfApi().model_info(entry.repo, revision=revision, files_metadata=True)
    offered = {one.rfilename: one for one in info.siblings or []}
    lacking = entry.unmatched(sorted(offered))
    if lacking:
        raise WeightsError(
            f"asked {entry.repo} at revision {info.sha} for '{entry.name}'; found no {', '.join(lacking)} in it; "
            f"name a revision that has them in resources/weights.yaml, or a folder in weights.sources.{entry.name}"
        )
    commit = str(info.sha)
    write_text(note, commit)
    names = entry.select(sorted(offered), whole=offered)
    missing = [name for name in names if not (folder / name).is_file()]
    for number, name in enumerate(missing, start=1):
        size = offered[name].size
        logger.info("%s (%d of %d, %s bytes) from %s", name, number, len(missing), size, entry.repo)
        lfs = offered[name].lfs
        _download_file(entry, folder, name, commit, lfs.sha256 if lfs else None)
    return commit


def _download_file(entry: Entry, folder: Path, name: str, commit: str, expected: str | None) -> None:
    """One file of a repository, compared with the checksum that the hub lists for large ones."""
    from huggingface_hub import hf_hub_download

    with _explained(entry, name):
        hf_hub_download(entry.repo, name, revision=commit, local_dir=folder)
    if expected is not None:
        fact = measure(folder / name)
        if fact.sha256 != expected:
            (folder / name).unlink()
            raise WeightsError(
                f"asked {entry.repo} at {commit} for {name} with the SHA-256 {expected} that the hub lists; "
                f"received {fact.size} bytes with {fact.sha256}; nothing was kept: run the rule again"
            )


@contextmanager
def _explained(entry: Entry, what: str) -> Iterator[None]:
    """Say what to do about the client's errors, without what they were asked with: no token gets into a log."""
    from huggingface_hub import errors, get_token

    try:
        yield
    except Exception as error:
        request = f"asked {entry.repo} on the model hub for {what}"
        token = get_token()
        status = getattr(getattr(error, "response", None), "status_code", None)
        if isinstance(error, errors.GatedRepoError) or (status in (401, 403)):
            secret = "it was set" if token else "none was set"
            gated = entry.gated or isinstance(error, errors.GatedRepoError)
            todo = "check that the repository exists and that HF_TOKEN, where set, is valid"
            todo = acceptance(str(entry.repo)) if gated else todo
            found = f"refused ({status or 'gated'}; HF_TOKEN: {secret})"
            raise WeightsError(f"{request}; found it {found}; {todo}") from None
        text = redacted(str(error), token or "")[:300]
        todo = "check the connection, HF_ENDPOINT and the disk, then run the rule again; whole files are kept"
        if isinstance(error, errors.OfflineModeIsEnabled):
            todo = "unset HF_HUB_OFFLINE, or put the files there by hand"
        raise WeightsError(f"{request}; found {type(error).__name__}: {text}; {todo}") from None
