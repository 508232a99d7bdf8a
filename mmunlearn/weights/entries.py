"""resources/weights.yaml: the weights that presets use, one entry a name."""

from __future__ import annotations

from collections.abc import Collection
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, StringConstraints, ValidationError, model_validator

from mmunlearn.endpoint import shown_url
from mmunlearn.files import read_yaml
from mmunlearn.records import Record
from mmunlearn.text import nearest
from mmunlearn.weights.errors import WeightsError

RESOURCE = Path(__file__).resolve().parents[2] / "resources" / "weights.yaml"


def _inside(name: str) -> str:
    if name.startswith("/") or ".." in name.split("/"):
        raise ValueError(f"'{name}' leaves the folder")
    return name


Name = Annotated[str, AfterValidator(_inside)]
Commit = Annotated[str, StringConstraints(pattern="^[0-9a-f]{40}$")]
Checksum = Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]
Digits = Annotated[str, StringConstraints(pattern="^[0-9a-f]{8,63}$")]


class Conversion(Record):
    """A pickled file `source` that becomes the safetensors file `target`; YAML says `from` and `to`."""

    source: Name = Field(alias="from")
    target: Name = Field(alias="to")
    drop_prefixes: tuple[str, ...] = ()
    rename: dict[str, str] = Field(default_factory=dict)


class Entry(Record):
    """Weights of one name: a hub repository or the address of one file.

    Attributes:
        files: names or patterns, all needed, except a conversion's source where its target lies there.
        optional: patterns that may match nothing.
        sha256: pin of each plainly named file, or None.
        sha256_prefix: first digits of further pins.
        gigabytes: of all files, about; for messages, no result rests on it.
    """

    name: str
    repo: str | None = None
    revision: Commit | None = None
    url: str | None = None
    files: list[Name]
    optional: tuple[Name, ...] = ()
    sha256: dict[str, Checksum | None]
    sha256_prefix: dict[str, Digits] = Field(default_factory=dict)
    licence: str
    gated: bool
    gigabytes: float | None = None
    convert: tuple[Conversion, ...] = ()

    @model_validator(mode="after")
    def _complete(self) -> Entry:
        named = {file for file in self.files if not _is_pattern(file)}
        sources, targets = [one.source for one in self.convert], [one.target for one in self.convert]
        claims = {
            "needs either repo or url": (self.repo is None) != (self.url is None),
            "a url is one file with a plain name": self.url is None or len(named) == len(self.files) == 1,
            f"sha256 must list exactly {sorted(named)}": set(self.sha256) == named,
            "sha256_prefix names a file that files do not": set(self.sha256_prefix) <= named,
            "convert.from is not in files": set(sources) <= named,
            "convert.to is no safetensors file": all(one.endswith(".safetensors") for one in targets),
        }
        problems = [claim for claim, holds in claims.items() if not holds]
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @property
    def origin(self) -> str:
        """Where the files come from, in words."""
        return shown_url(self.url) if self.url else f"{self.repo} on the model hub"

    def pin(self, file: str) -> str | None:
        """Digits with which a file's SHA-256 must begin: all 64, fewer, or None."""
        return self.sha256.get(file) or self.sha256_prefix.get(file)

    def select(self, listing: list[str], *, whole: Collection[str] = ()) -> list[str]:
        """Files of a listing that these weights consist of, sorted.

        Args:
            listing: names.
            whole: conversion targets to take as they are, although their source is in the listing, too; of other
                conversions the source is taken, or its target where there is no source.
        """
        plain = {one.target for one in self.convert if one.target in whole or one.source not in listing}
        unwanted = {one.source if one.target in plain else one.target for one in self.convert}
        patterns = {*self.files, *self.optional, *plain}
        return sorted(
            file
            for file in listing
            if file not in unwanted and any(fnmatchcase(file, pattern) for pattern in patterns)
        )

    def unmatched(self, listing: list[str]) -> list[str]:
        """Needed names and patterns that no file of a listing matches."""
        spared = {one.source for one in self.convert if one.target in listing}
        return [
            pattern
            for pattern in self.files
            if pattern not in spared and not any(fnmatchcase(file, pattern) for file in listing)
        ]


def _is_pattern(name: str) -> bool:
    return any(sign in name for sign in "*?[")


def known() -> list[str]:
    """The names in resources/weights.yaml."""
    return sorted(_rows())


def entry(name: str, revision: str | None = None) -> Entry:
    """The weights of a name.

    Args:
        revision: commit that the user pins instead of the resource's; None: that.

    Raises:
        WeightsError: there are none, with the nearest known name; or the resource is not well-formed.
    """
    rows = _rows()
    if name not in rows:
        raise WeightsError(
            f"asked for weights '{name}'; found no such entry in {RESOURCE.name}; {nearest(name, rows)}"
        )
    try:
        return Entry(name=name, **rows[name] | ({"revision": revision} if revision else {}))
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, [name, *problem["loc"]]))
        raise WeightsError(
            f"asked for weights '{name}'; found a wrong row in {RESOURCE.name} ({where}: {problem['msg']}); "
            "correct it as the file's head describes"
        ) from error


def _rows() -> dict[str, Any]:
    return read_yaml(RESOURCE)
