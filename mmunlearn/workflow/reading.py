"""Configuration files as they are written: what merging and YAML would hide. Nothing heavy here."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from snakemake.common.configfile import load_configfile
from snakemake.utils import update_config

from mmunlearn.files import RecordError, read_text
from mmunlearn.workflow.errors import ConfigError

EXTENDS = "extends"
"""Key of a file that is laid over another one: the path of that."""
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
READ_AS = {
    "bool": "true or false",
    "int": "a number",
    "float": "a number",
    "null": "nothing",
    "timestamp": "a date",
}
PLAIN = frozenset((*READ_AS, "str", "seq", "map", "merge", "value"))
"""Tags of what a configuration may hold, or what the check of its values names."""
OLD_NUMBER = re.compile(r"[-+]?(0[0-9_]+|[0-9][0-9_]*(:[0-9_.]+)+)")
"""What YAML 1.1 reads in base 8 or 60."""


def file_error(*paths: str | Path) -> ConfigError | None:
    """What is wrong with files and those that they extend, if anything, a line a problem with file, line and key: each
    has to be a mapping in which every key is text and stands once. One of `paths` that is not there is for Snakemake to
    name."""
    problems = [line for path in map(Path, paths) if path.is_file() for line in _chain_problems(path)]
    return ConfigError(problems) if problems else None


def extended(path: str | Path) -> dict[str, Any]:
    """A configuration file, sound by `file_error`, laid over those that it extends."""
    return _merged(_chain(Path(path)))


def extend(
    config: dict[str, Any], base: str, overlays: Sequence[str | Path], changes: Mapping[str, Any]
) -> None:
    """Put the files that overlays extend below them, in a configuration as Snakemake has merged it. A file that several
    of them extend lies below the first of these alone, so that it takes nothing back.

    Args:
        config: of `base`, over it the overlays, over them the changes; changed in place.
        base: the workflow's own file.
        overlays: of --configfile.
        changes: of --config.
    """
    if EXTENDS not in config:
        return
    if EXTENDS in changes:
        raise ConfigError([f"{EXTENDS}: a key of configuration files; name the file by --configfile"])
    layers = {file.resolve(): file for path in (base, *overlays) for file in _chain(Path(path))}
    config.clear()
    update_config(config, _merged(layers.values()))
    update_config(config, changes)


def _chain(path: Path) -> list[Path]:
    """A file and those that it extends, the lowest first."""
    lower = load_configfile(path).get(EXTENDS)
    return [path] if lower is None else [*_chain(Path(lower)), path]


def _merged(files: Iterable[Path]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for file in files:
        update_config(merged, load_configfile(file))
    merged.pop(EXTENDS, None)
    return merged


def _chain_problems(path: Path, above: Sequence[Path] = ()) -> list[str]:
    """What is wrong with a file and with those that it extends; `above`: the files that extend it."""
    if path in above:
        return [
            f"{path}: {EXTENDS}: the files {', '.join(map(str, above))} extend each other; leave one of the keys out"
        ]
    if above and not path.is_file():
        return [
            f"{above[-1]}: {EXTENDS}: there is no file '{path}' in {Path.cwd().name}/, where the run works; name a "
            f"configuration file, such as a preset"
        ]
    if problems := file_problems(path):
        return problems
    lower = load_configfile(path).get(EXTENDS)
    if lower is None:
        return []
    if not isinstance(lower, str) or not lower.strip():
        return [f"{path}: {EXTENDS}: one configuration file is asked for, not {lower!r}; write its path"]
    return _chain_problems(Path(lower), (*above, path))


def file_problems(path: Path) -> list[str]:
    """What is wrong with a file of JSON or YAML."""
    try:
        text = read_text(path)
    except RecordError as error:
        return [str(error)]
    try:
        return [f"{path}: {problem}" for problem in _json_problems(text)]
    except ValueError:  # as Snakemake reads: YAML where it is no JSON
        pass
    try:
        node = yaml.compose(text, LOADER)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        what = getattr(error, "problem", None) or " ".join(str(error).split())
        tab = "; indent with spaces, not with tabs" if "\t" in text else ""
        return [f"{path}{line}: this is no YAML: {what}{tab}"]
    if not isinstance(node, yaml.MappingNode):
        found = (
            "nothing" if node is None else "a list" if isinstance(node, yaml.SequenceNode) else "one value"
        )
        return [f"{path}: keys with values are asked for; found {found}; write `key: value`, a key a line"]
    return [f"{path}, line {line}: {problem}" for line, problem in _node_problems(node, set())]


def _node_problems(node: yaml.Node, seen: set[int]) -> Iterator[tuple[int, str]]:
    """Line and problem of the keys below a node; what is written once and named by anchors is looked at once."""
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _node_problems(item, seen)
    line, kind = node.start_mark.line + 1, node.tag.rpartition(":")[2]
    if not node.tag.startswith("tag:yaml.org,2002:") or kind not in PLAIN:
        yield line, f"the tag '{node.tag}' is none that a configuration takes; leave it out"
    elif kind in ("int", "float") and OLD_NUMBER.fullmatch(node.value):
        yield (
            line,
            f"YAML reads '{node.value}' in base {60 if ':' in node.value else 8}; write a plain number, or quotes",
        )
    lines: dict[str, int] = {}
    for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
        line = key.start_mark.line + 1
        kind = key.tag.rpartition(":")[2]
        if not isinstance(key, yaml.ScalarNode):
            yield line, "a key is a list or has keys of its own; write text"
        elif kind in READ_AS:
            yield (
                line,
                f"YAML reads the key '{key.value}' as {READ_AS[kind]}; put it in quotes, or rename it",
            )
        elif kind != "merge" and key.value in lines:
            yield line, f"the key '{key.value}' stands in line {lines[key.value]} already; keep one of them"
        else:
            lines[key.value] = line
        yield from _node_problems(value, seen)


def _json_problems(text: str) -> list[str]:
    """Raises ValueError where a text is no JSON."""
    twice: list[str] = []

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in pairs]
        twice.extend(sorted({name for name in names if names.count(name) > 1}))
        return dict(pairs)

    read = json.loads(text, object_pairs_hook=once)
    if not isinstance(read, dict):
        return ["keys with values are asked for; found something else; write {...}"]
    return [f"the key '{name}' stands twice; keep one of them" for name in twice]
