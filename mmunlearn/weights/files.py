"""Files of a folder of weights: what is missing, links to the user's own, soundness and checksums."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from mmunlearn.files import read_text
from mmunlearn.progress import progress
from mmunlearn.weights.entries import Entry
from mmunlearn.weights.errors import WeightsError
from mmunlearn.weights.lock import SMALL, Fact, listing
from mmunlearn.weights.tensors import read_header, refuse

MEGABYTE = 10**6
LARGE = 256  # megabytes from which a checksum shows its progress
QUANTISED = ("I8", "I16", "I32")
"""Types that no network in real numbers has in a file; masks may be bytes or truth values, positions 64 bits."""
POINTER = b"version https://git-lfs"


def missing_files(entry: Entry, folder: Path, recorded: list[str]) -> list[str]:
    """Names and patterns that a folder lacks: of the entry, of the recorded files, and shards of an index.

    Raises:
        WeightsError: an index is not JSON.
    """
    files = listing(folder)
    indices = [name for name in entry.select(files) if name.endswith(".index.json")]
    shards = [
        (Path(index).parent / shard).as_posix() for index in indices for shard in shards_of(folder / index)
    ]
    lacking = {name for name in [*recorded, *shards] if name not in files}
    return sorted(lacking | set(entry.unmatched(files)))


def link_files(entry: Entry, source: Path, folder: Path) -> None:
    """Make a folder of links to the files of the user's own folder.

    Links of an earlier source are replaced; files that are no links are never touched.

    Raises:
        WeightsError: the user's folder is missing or incomplete, or a file of the same name lies in the way.
    """
    request = f"asked for '{entry.name}' in {source}, as weights.sources.{entry.name} says"
    if not source.is_dir():
        raise WeightsError(f"{request}; found no such folder; correct the path, or remove the key")
    missing = missing_files(entry, source, [])
    if missing:
        raise WeightsError(
            f"{request}; found none of: {', '.join(missing)}; they come from {entry.origin}: put them into that "
            "folder, or remove the key"
        )
    if folder.is_dir() and folder.samefile(source):
        return
    files = listing(source)
    names = entry.select(files, whole=files)
    for name in entry.select(listing(folder) if folder.is_dir() else []):
        if name not in names and (folder / name).is_symlink():
            (folder / name).unlink()
    for name in names:
        link, target = folder / name, (source / name).absolute()
        if link.is_symlink():
            if link.readlink() == target:
                continue
            link.unlink()
        elif link.exists() and link.samefile(target):
            continue
        elif link.exists():
            raise WeightsError(f"{request}; found another file at {link}; move it away, or remove the key")
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(target)


def check_sound(path: Path, origin: str = "") -> None:
    """Refuse a file that is visibly cut off or no such file at all.

    Safetensors must be as long as their header says, JSON must parse; nothing may be empty or a Git LFS pointer.

    Raises:
        WeightsError: names the file, what is wrong with it and where it comes from.
    """
    with path.open("rb") as handle:
        head = handle.read(len(POINTER))
    if not head:
        raise _unsound(path, "an empty file", origin)
    if head == POINTER:
        raise _unsound(path, "a Git LFS pointer (`git lfs pull` brings the file itself)", origin)
    if path.suffix == ".json":
        read_json(path, origin)
    elif path.suffix == ".safetensors":
        try:
            with path.open("rb") as file:
                length = int.from_bytes(file.read(8), "little")
                header = json.loads(file.read(min(length, path.stat().st_size)))
            ends = [row["data_offsets"][1] for key, row in header.items() if key != "__metadata__"]
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise _unsound(path, f"no whole safetensors file ({error})", origin) from error
        promised, size = 8 + length + max(ends, default=0), path.stat().st_size
        if size != promised:
            raise _unsound(path, f"no whole safetensors file ({size:,} bytes, not {promised:,})", origin)


def check_shards(folder: Path, stem: str, remedy: str) -> None:
    """See, by names and headers, that a network's weights are whole and one set: its one file, or every shard of its
    index with the tensors listed there and no others.

    Args:
        stem: of the files' names.
        remedy: what to do about it, for messages.

    Raises:
        WeightsError: a file is missing, cut off or one too many, a shard's tensors are not those listed, or tensors are
            quantised; names file and keys.
    """
    index = folder / f"{stem}.safetensors.index.json"
    indexed = index.exists()
    names = shards_of(index) if indexed else sorted(path.name for path in folder.glob("*.safetensors"))
    whole = f"{stem}.safetensors"
    if indexed and whole not in names and (folder / whole).exists():
        raise WeightsError(
            f"asked for one set of weights; found {folder / whole} and {index}, which are two; {remedy}"
        )
    if names and not indexed and whole not in names:
        raise WeightsError(
            f"asked for {folder / whole}, or {index.name} beside it; found {', '.join(names)}; {remedy}"
        )
    if lacking := [name for name in names if not (folder / name).exists()]:
        raise WeightsError(
            f"asked for the {len(names)} files that {index} lists; found no {', '.join(lacking)}; {remedy}"
        )
    listed: dict[str, str] = read_json(index).get("weight_map", {}) if indexed else {}
    for name in names:
        check_sound(folder / name)
        found = read_header(folder / name)
        whole_numbers = [
            key for key, entry in found.items() if entry.dtype in QUANTISED and len(entry.shape) > 1
        ]
        refuse(folder / name, {"whole numbers": whole_numbers}, remedy)
        if indexed:
            here = {key for key, shard in listed.items() if shard == name}
            refuse(folder / name, {"missing": here - found.keys(), "unexpected": found.keys() - here}, remedy)


def snapshot_commit(repo: str | None, folder: Path, files: Mapping[str, Fact]) -> str | None:
    """The commit that files are of, where all are links into one snapshot of the repository in the hub's cache,
    `models--<organisation>--<name>/snapshots/<commit>/`, and hold what its blobs are named by; None: nobody can know.

    A blob is called by the SHA-256 of a large file, or by Git's digest of a small one.
    """
    commits = {_blob_commit(repo, folder / name, fact) for name, fact in files.items()} if repo else {None}
    return commits.pop() if len(commits) == 1 else None


def _blob_commit(repo: str, path: Path, fact: Fact) -> str | None:
    snapshot, blob = _in_snapshot(repo, path), path.resolve()
    if snapshot is None or blob.parent.name != "blobs":
        return None
    if len(blob.name) == 64:
        return snapshot if blob.name == fact.sha256 else None
    content = path.read_bytes() if fact.size < SMALL else b""
    return snapshot if blob.name == hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest() else None


def _in_snapshot(repo: str, path: Path) -> str | None:
    """The commit of the snapshot that a file's links lead through."""
    name = f"models--{repo.replace('/', '--')}"
    while True:
        path = path.parent.resolve() / path.name
        if found := re.search(rf"/{re.escape(name)}/snapshots/([0-9a-f]{{40}})/", path.as_posix()):
            return found[1]
        if not path.is_symlink():
            return None
        path = path.parent / path.readlink()


def read_json(path: Path, origin: str = "") -> Any:
    """The content of a JSON file among the weights. Raises WeightsError where it is cut off."""
    try:
        return json.loads(read_text(path))
    except ValueError as error:
        raise _unsound(path, f"no whole JSON file ({error})", origin) from error


def shards_of(index: Path) -> list[str]:
    """The files that a *.index.json lists, as it names them. Raises WeightsError as `read_json`."""
    content = read_json(index)
    return sorted(set(content.get("weight_map", {}).values())) if isinstance(content, dict) else []


def _unsound(path: Path, what: str, origin: str) -> WeightsError:
    source = f" from {origin}" if origin else ""
    return WeightsError(f"asked for {described(path)}; found {what}; get it anew{source}")


def described(path: Path) -> str:
    """A path, and where it leads to."""
    return f"{path} (a link to {path.readlink()})" if path.is_symlink() else str(path)


def measure(path: Path) -> Fact:
    """SHA-256 and size of a file, with a progress bar for large ones."""
    size = path.stat().st_size
    megabytes, digest = -(-size // MEGABYTE), hashlib.sha256()
    display = progress(None, f"sha256 {path.name}", megabytes, "MB") if megabytes >= LARGE else nullcontext()
    with path.open("rb") as handle, display as bar:
        while block := handle.read(MEGABYTE):
            digest.update(block)
            if bar is not None:
                bar.update()
    return Fact(sha256=digest.hexdigest(), size=size)
