"""Brings a preset's weights: a folder that the user names, files that lie there, or, if allowed, a download."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from pathlib import Path

from mmunlearn.endpoint import shown_url
from mmunlearn.records import digest_of, write_json
from mmunlearn.weights.entries import Conversion, Entry, entry
from mmunlearn.weights.errors import WeightsError
from mmunlearn.weights.files import (
    check_sound,
    described,
    link_files,
    measure,
    missing_files,
    snapshot_commit,
)
from mmunlearn.weights.hub import download as fetch_missing
from mmunlearn.weights.hub import note_path
from mmunlearn.weights.lock import Converted, Fact, Lock, listing, lock_path, missing_message, read_lock

logger = logging.getLogger("mmunlearn")


def fetch_weights(
    receipt: Path, *, name: str, folder: str, source: str | None, download: bool, revision: str | None = None
) -> None:
    """Make <folder>/<name>/ hold whole, known files and write what they are to `receipt`.

    Every file is compared with the pins of resources/weights.yaml and with <folder>/<name>.lock.json, which the
    first fetch writes. Pickled files are turned into safetensors beside them.

    Args:
        receipt: JSON, the lock without time and user's folder: equal weights from one place give equal bytes.
        name: key of resources/weights.yaml.
        folder: where all weights lie.
        source: a folder of the user with the files, which are linked, never copied or changed; None: none.
        download: whether missing files may be fetched; never where a source is given.
        revision: commit that the user pins; None: that of resources/weights.yaml, if any.

    Raises:
        WeightsError: no such weights; a file is missing or wrong; the hub refuses; a pickled file holds other things
            than tensors.
    """
    row = entry(name, revision)
    home = Path(folder) / name
    lock = read_lock(home)
    recorded = list(lock.files) if lock else []
    if lock and row.revision and lock.revision not in (None, row.revision):
        raise WeightsError(
            f"asked for '{name}' at revision {row.revision}, which {_pinned_by(name, revision)} pins; found files of "
            f"{lock.revision}, as {lock_path(home)} recorded; move {home} away and delete the lock to fetch them anew"
        )
    origin, address, commit = "placed", row.repo or shown_url(str(row.url)), None
    home.mkdir(parents=True, exist_ok=True)
    if source is not None:
        origin, address = "folder", source
        link_files(row, Path(source).expanduser(), home)
    elif download and missing_files(row, home, recorded):
        origin = "hub" if row.repo else "url"
        commit = fetch_missing(row, home, lock.revision if lock else None)
    if missing := missing_files(row, home, recorded):
        raise WeightsError(missing_message(home, missing))
    files = {}
    for file in row.select(listing(home), whole=recorded):
        check_sound(home / file, row.origin)
        files[file] = measure(home / file)
        _compare(row, home, file, files[file], lock)
    converted = {one.target: _convert(one, home, files, lock) for one in row.convert if one.source in files}
    commit = lock.revision if lock else commit or snapshot_commit(row.repo, home, files)
    if row.revision and commit != row.revision:
        _doubt(row, home, commit, _pinned_by(name, revision))
    if lock is None or lock.files != files or lock.converted != converted:
        lock = _record(row, home, lock, files, converted, (origin, address, commit))
    address = None if lock.origin == "folder" else lock.address
    write_json(receipt, lock.model_copy(update={"address": address}).model_dump(exclude={"time"}))


def _pinned_by(name: str, revision: str | None) -> str:
    return f"weights.revisions.{name}" if revision else "resources/weights.yaml"


def _doubt(row: Entry, home: Path, commit: str | None, pinned_by: str) -> None:
    """Files that did not come by a download are of another commit than the pinned one, which is an error, or of one
    that nobody can know."""
    if commit:
        raise WeightsError(
            f"asked for '{row.name}' at revision {row.revision}, which {pinned_by} pins; found files of {commit} in "
            f"{home}, as the hub's cache names them; name a folder of the pinned one, or correct the pin"
        )
    logger.warning(
        "%s pins revision %s, but nothing says of which commit the files in %s are: their checksums alone are recorded",
        pinned_by, row.revision, home,
    )  # fmt: skip


def _compare(row: Entry, home: Path, file: str, fact: Fact, lock: Lock | None) -> None:
    """Refuse a file whose checksum is neither pinned nor recorded."""
    pin, recorded = row.pin(file), lock.files.get(file) if lock else None
    if pin and not fact.sha256.startswith(pin):
        expected, says = pin, "resources/weights.yaml pins"
        todo = f"move the file away and get it anew from {row.origin}"
    elif recorded and recorded != fact:
        expected, says = f"{recorded.sha256} ({recorded.size} bytes)", f"{lock_path(home)} recorded"
        todo = (
            f"move the file away and get it anew from {row.origin}, or delete the lock if the change is meant"
        )
    else:
        return
    raise WeightsError(
        f"asked for {described(home / file)} with the SHA-256 {expected} that {says}; "
        f"found {fact.sha256} ({fact.size} bytes); {todo}"
    )


def _convert(one: Conversion, home: Path, files: dict[str, Fact], lock: Lock | None) -> Converted:
    """Make the safetensors file, unless it lies there as recorded for this very source."""
    target, source = home / one.target, files[one.source]
    options = digest_of([one.drop_prefixes, one.rename])
    recorded = lock.converted.get(one.target) if lock else None
    if recorded and (recorded.source_sha256, recorded.options) != (source.sha256, options):
        recorded = None
    if recorded is None or not target.is_file():
        from mmunlearn.weights.convert import convert_pickled

        logger.info("converting %s to %s", one.source, one.target)
        convert_pickled(home / one.source, target, drop_prefixes=one.drop_prefixes, rename=one.rename)
    made = measure(target)
    if recorded and (recorded.sha256, recorded.size) != (made.sha256, made.size):
        raise WeightsError(
            f"asked for {target}, made of {one.source}, with the SHA-256 {recorded.sha256} that {lock_path(home)} "
            f"recorded; found {made.sha256} ({made.size} bytes); delete the file to have it made again, "
            "or delete the lock if the change is meant"
        )
    return Converted(**made.model_dump(), source=one.source, source_sha256=source.sha256, options=options)


def _record(
    row: Entry,
    home: Path,
    lock: Lock | None,
    files: dict[str, Fact],
    converted: dict[str, Converted],
    source: tuple[str, str | None, str | None],
) -> Lock:
    """Write the first lock, or the earlier one with the files that are new."""
    if lock is None:
        origin, address, revision = source
        lock = Lock(
            name=row.name,
            origin=origin,
            address=address,
            revision=revision,
            files=files,
            converted=converted,
            time=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        of = (
            f"of commit {revision}"
            if revision
            else "of a commit that nobody can know; their checksums pin them"
        )
        logger.info("recorded the checksums of %d files in %s, %s", len(files), lock_path(home), of)
    else:
        old = {**lock.files, **lock.converted}
        new = [name for name, fact in {**files, **converted}.items() if old.get(name) != fact]
        logger.warning("recorded further files in %s: %s", lock_path(home), ", ".join(new) or "none")
        lock = lock.model_copy(update={"files": files, "converted": converted})
    write_json(lock_path(home), lock)
    note_path(home).unlink(missing_ok=True)
    return lock
