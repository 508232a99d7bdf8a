"""The paths that a configuration names: where they lead, and that what the run needs lies there.

Snakemake takes outputs whose inputs are missing for sources, so on a finished run it never looks for what has gone.
Imported by the Snakefile: nothing heavy here.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Collection, Iterator, Mapping
from fnmatch import filter as matching
from pathlib import Path
from typing import Any

from mmunlearn.curation.listing import check_table
from mmunlearn.dataset.local_sets import HOW
from mmunlearn.dataset.local_sets import problems as problems_of_sets
from mmunlearn.files import read_refusals, read_text
from mmunlearn.lifelong.picture_folder import missing_pictures
from mmunlearn.records import POPE_SUBSETS
from mmunlearn.robustness.wordings import read_paraphrases
from mmunlearn.text import nearest
from mmunlearn.weights import known
from mmunlearn.workflow.errors import ConfigError
from mmunlearn.workflow.schema import Place, places, schema

CHOSEN = {
    "curation": ("backend",),
    "images": ("generator", "scorers"),
    "dataset": ("reference_sets",),
    "evaluation": ("judge",),
    "lifelong": ("data",),
}
"""Keys that choose among the backends whose sections stand beside them."""
HELD = {
    "images.pocket.weights": ("card.json",),
    "images.flux.source": ("model_index.json",),
    "dataset.files.people": ("manifest.csv",),
    "dataset.files.pope": tuple(f"coco_pope_{subset}.json" for subset in POPE_SUBSETS),
    "models.*.source": ("config.json", "*.safetensors"),
}
"""What a folder must hold, as names or patterns."""
READERS = {
    "images.files.manifest": lambda path: None,  # its columns are looked at, see `_of_table`
    "training.unlearn.refusals": read_refusals,
    "lifelong.train.refusals": read_refusals,
    "robustness.paraphrases": read_paraphrases,
}
"""Of the files that jobs read only late; of the others the encoding alone is looked at."""
TO_BRING = {
    **dict.fromkeys(("data/mike", "data/laion", "data/pope", "data/coco/val2014"), "build_reference_set"),
    **dict.fromkeys(("data/MLUBench.zip", "data/mlubench"), "read_tasks"),
    **dict.fromkeys(("data/PEBench", "data/PEBench/PEBench.csv"), "list_pictures"),
}
"""Path -> the rule that needs it.

Where config.yaml or a preset expects other people's data: a plan can be made before it lies there, a run cannot
begin."""
GUIDES = {
    "build_reference_set": 'README, "Real and World sets"',
    "read_tasks": 'README, "Lifelong unlearning"; docs/lifelong_data.md',
    "list_pictures": 'README, "Pictures that are there"',
}
"""Rule -> where it is said how its data is brought. What `dataset.files` names is described by HOW besides."""
SQLITE = b"SQLite format 3\0"
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


def settle(config: dict[str, Any]) -> None:
    """Write every path as it is meant: `~` is a home, and what begins with weights/ lies in `weights.folder`."""
    for place in places(config):
        _write(config, place.key, _at_home(place.path))
    weights = config.get("weights")
    folder = weights.get("folder") if isinstance(weights, dict) else None
    for place in places(config) if isinstance(folder, str) else ():
        if place.path.startswith("weights/") and place.key[0] != "weights":
            _write(config, place.key, f"{folder.rstrip('/')}/{place.path.removeprefix('weights/')}")


def _at_home(path: str) -> str:
    """A path whose `~` or `~user` is a home; as it is where there is no such user."""
    try:
        return str(Path(path).expanduser()) if path.startswith("~") else path
    except RuntimeError:
        return path


def _write(config: Any, key: tuple[str, ...], path: str) -> None:
    for name in key[:-1]:
        config = config[name]
    config[key[-1]] = path


def problems(config: Mapping[str, Any]) -> Iterator[str]:
    """Paths in use that lead nowhere, or to something else, of a configuration that fits the schema; each names its
    key. What has still to be brought is for `to_bring`."""
    for place in places(config):
        if _in_use(place, config) and place.path not in TO_BRING and (problem := _problem(place, config)):
            yield f"{'.'.join(place.key)}: {problem}"
    yield from _of_table(config["images"])


def brought_error(config: Mapping[str, Any], rules: Collection[str]) -> ConfigError | None:
    """What some rules need and a plan does not, where it is not there, if anything."""
    lines = [line for line, rule in to_bring(config).items() if rule in rules]
    return ConfigError(lines) if lines else None


def to_bring(config: Mapping[str, Any]) -> dict[str, str]:
    """Data that the shipped configuration only says the place of, what folders of data lack, and weights that nothing
    will fetch, where they are not there: a line each with its key -> the rule that needs it."""
    lines = {}
    for place in places(config):
        key = ".".join(place.key)
        if not _in_use(place, config) or not (fault := _fault(place)):
            continue
        if place.path in TO_BRING:
            what = f": {HOW[place.key[-1]]}" if place.key[:2] == ("dataset", "files") else ""
            how = f"bring it{what} ({GUIDES[TO_BRING[place.path]]}), or name where it lies"
            lines[f"{key}: {fault}; {how}"] = TO_BRING[place.path]
        elif _listed(place, config) and not _fetched(Path(place.path).name, config["weights"]):
            how = f"name a folder of yours by weights.sources: {{{Path(place.path).name}: ...}}, or put the files there"
            lines[f"{key}: {fault}; set weights.download: true, {how}"] = "fetch_weights"
    lines |= dict.fromkeys(_of_reference_sets(config["dataset"]), "build_reference_set")
    if "read_tasks" not in lines.values():
        lines |= dict.fromkeys(_of_tasks(config["lifelong"]), "read_tasks")
    return lines


def _of_reference_sets(dataset: Mapping[str, Any]) -> Iterator[str]:
    """What the folders of the reference sets that are there lack, by names and lists alone."""
    if dataset["reference_sets"] == "files":
        files = dataset["files"]
        for keys, problem in problems_of_sets(files, dataset["n_real"], dataset["n_world"]):
            how = "; ".join(f"'{files[key]}' is to hold {HOW[key]}" for key in keys)
            yield f"dataset.files.{keys[0]}: {problem.rstrip('.')}; {how} ({GUIDES['build_reference_set']})"


def _of_table(images: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with the columns of a table of pictures, where it is there and is text."""
    table = images["files"]["manifest"]
    if images["generator"] != "files" or table is None or not Path(table).is_file():
        return
    try:
        check_table(Path(table), images["files"]["columns"])
    except ValueError as error:
        yield f"images.files.manifest: {error}"


def _of_tasks(lifelong: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with the released tasks, or is missing of their pictures, by names alone."""
    if lifelong["data"] != "files":
        return
    tasks, pictures = (Path(lifelong["files"][key]) for key in ("tasks", "pictures"))
    try:
        missing = missing_pictures(tasks, pictures, lifelong["tasks"])
    except (ValueError, OSError) as error:
        yield f"lifelong.files: {error}"
    else:
        if problem := missing.problem(pictures, lifelong["keep_available"]):
            yield f"lifelong.files.pictures: {problem}"


def _listed(place: Place, config: Mapping[str, Any]) -> bool:
    """Whether a path is that of weights by their name."""
    return place.key[0] != "weights" and Path(place.path).parent == Path(config["weights"]["folder"])


def _fetched(name: str, weights: Mapping[str, Any]) -> bool:
    """Whether the rule fetch_weights will fill the folder of a name."""
    return weights["download"] or name in weights["sources"]


def _in_use(place: Place, config: Mapping[str, Any]) -> bool:
    """Whether a path is outside all backends, or in the section of one that is chosen."""
    section, name, *_ = place.key
    keys = CHOSEN.get(section, ())
    backends = {one for key in keys for one in schema()["properties"][section]["properties"][key]["enum"]}
    return name not in backends - {config[section][key] for key in keys}


def _problem(place: Place, config: Mapping[str, Any]) -> str | None:
    path = Path(place.path)
    if place.path.startswith("~"):
        return (
            f"'{place.path}' names the home of a user that this machine does not know; write the whole path"
        )
    if place.key == ("weights", "folder"):
        return f"'{path}' is no folder; name another" if _what(path) not in ("folder", None) else None
    if _listed(place, config):
        return _weights_problem(path)
    if place.key[0] == "models":
        return _model_problem(place, config["models"][place.key[1]])
    if fault := _fault(place):
        return f"{fault}; correct the path{', in which no variable is replaced' if '$' in place.path else ''}"
    return _text_problem(".".join(place.key), path) if place.kind == "file" else None


def _text_problem(key: str, path: Path) -> str | None:
    """What is wrong with a file, all of which hold text."""
    try:
        READERS.get(key, read_text)(path)
    except ValueError as error:
        return str(error)
    return None


def _weights_problem(path: Path) -> str | None:
    if path.name not in known():
        return (
            f"'{path}' lies in weights.folder, which holds what resources/weights.yaml lists, and '{path.name}' is not "
            f"there ({nearest(path.name, known())}); a folder of yours lies elsewhere"
        )
    return f"'{path}' is no folder; name another" if _what(path) not in ("folder", None) else None


def _model_problem(place: Place, row: Mapping[str, Any]) -> str | None:
    source, revision = row["source"], row["revision"]
    if revision is None:
        fault = _fault(place)
        hint = ", or a hub id with its revision" if HUB_ID.fullmatch(source) else ""
        return fault and f"{fault}; name a folder with config.json and *.safetensors{hint}"
    if _what(Path(source)) == "folder":
        key = f"models.{place.key[1]}.revision"
        return f"'{source}' is a folder, and {key}, '{revision}', is for a hub id; set it to null"
    if not HUB_ID.fullmatch(source):
        return f"'{source}' is neither a folder nor a hub id, organisation/name; correct it"
    if not _cached(source, revision):
        return (
            f"{source} at {revision} is not in the hub's local cache, {_cache()}; fetch it with: "
            f"hf download {source} --revision {revision}"
        )
    return None


def _cache() -> Path:
    """The folder of the hub's local cache, as its client finds it."""
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface"
    given = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    return Path(given or Path(home) / "hub").expanduser()


def _cached(source: str, revision: str) -> bool:
    """Whether a commit, or one that a branch or tag stands for, is in the local cache."""
    return (checkpoint_folder(source, revision) / "config.json").is_file()


def checkpoint_folder(source: str, revision: str | None) -> Path:
    """Where a model's files lie: its source, or the snapshot of a hub id's revision in the local cache."""
    if revision is None:
        return Path(source)
    folder = _cache() / f"models--{source.replace('/', '--')}"
    reference = folder / "refs" / revision
    commit = reference.read_text(encoding="utf-8").strip() if reference.is_file() else revision
    return folder / "snapshots" / commit


def _fault(place: Place) -> str | None:
    """What is wrong with what lies at a path."""
    path, kind = Path(place.path), place.kind
    found = _what(path)
    if found is not None and not os.access(path, os.R_OK | (os.X_OK if found == "folder" else 0)):
        return f"the {found} '{path}' may not be read; change its permissions"
    if kind == "made":
        above = next((one for one in path.absolute().parents if _what(one)), path)
        if found == "file" and _begin(path) not in (SQLITE, b""):
            return f"'{path}' is to be a file of verdicts that the run makes; found another file"
        if found == "folder" or _what(above) != "folder":
            return f"'{path}' is to be a file that the run makes; found a {found or 'file above it'}"
        return None
    wanted = "file or folder" if kind == "any" else kind
    if found is None:
        return f"there is no {wanted} '{path}'{', only a link to nowhere' if path.is_symlink() else ''}"
    if found not in wanted:
        return f"a {wanted} is asked for; found a {found}, '{path}'"
    key = ".".join((place.key[0], "*", place.key[2]) if place.key[0] == "models" else place.key)
    names = [one.name for one in path.iterdir()] if key in HELD else []
    lacking = [one for one in HELD.get(key, ()) if not matching(names, one)]
    return f"the folder '{path}' holds no {lacking[0]}" if lacking else None


def _begin(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(len(SQLITE))


def _what(path: Path) -> str | None:
    """Whether a path leads to a `file`, a `folder`, a `device`, or to nothing that can be seen."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return None
    return "folder" if stat.S_ISDIR(mode) else "file" if stat.S_ISREG(mode) else "device"
