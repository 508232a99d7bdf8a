"""What a machine lacks for a run: a finding a line, each with what to do. Nothing runs, and no network is asked unless
`network` says so.

A check is a function of the planned run that yields findings; CHECKS lists them in the order in which they are printed.
"""

from __future__ import annotations

import os
import platform
import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

from mmunlearn.endpoint import has_key, shown_name, shown_url
from mmunlearn.weights import Entry, WeightsError, entry
from mmunlearn.weights.files import missing_files
from mmunlearn.weights.lock import acceptance, read_lock
from mmunlearn.workflow import machine
from mmunlearn.workflow.check import endpoints
from mmunlearn.workflow.gpu import GpuNeed, gpu_needs
from mmunlearn.workflow.paths import to_bring
from mmunlearn.workflow.storage import WEIGHTS
from mmunlearn.workflow.work import Estimate, PlannedJob, Sizes

Status = Literal["ok", "missing", "unknown", "note"]
GB = 1e9
DRAWING = frozenset(("draw_references", "draw_shard", "settle_pictures", "draw_unseen"))
ASKING = {
    "curation": frozenset(("curate_people", "curate_events")),
    "evaluation": frozenset(("judge_answers", "judge_stages")),
    "lifelong.gates.vlm": frozenset(("ask_gate",)),
}
"""Section with an endpoint -> the rules that ask it."""
HUB = "https://huggingface.co"
OWN_FOLDERS = ("results", "work", "logs", "benchmarks", ".snakemake")
"""What every run writes to."""
ADVICE = re.compile(r"; (?=bring it|set |'.+' is to hold )|\. (?=Put |Correct |Bring )")
"""Where a message about data goes on with what to do."""


class Finding(NamedTuple):
    """A line: what was looked at, how it is, what was found, and what to do where anything is."""

    what: str
    status: Status
    found: str
    todo: str = ""


@dataclass(frozen=True)
class PlannedRun:
    """What the checks look at.

    Attributes:
        config: merged and checked.
        jobs: all jobs of the targets.
        disk: gigabytes that they will still write, see `disk_left`.
        network: whether addresses are tried.
        executor: the package of the workflow profile's executor that is not here; empty: none is lacking.
    """

    config: Mapping[str, Any]
    jobs: Sequence[PlannedJob]
    disk: float = 0.0
    network: bool = False
    executor: str = ""

    @cached_property
    def left(self) -> list[PlannedJob]:
        """The jobs that are to run."""
        return [job for job in self.jobs if job.to_run and not job.target]

    @cached_property
    def rules(self) -> frozenset[str]:
        """The rules of these."""
        return frozenset(job.rule for job in self.left)

    @cached_property
    def weights(self) -> list[Entry]:
        """What the run loads of resources/weights.yaml."""
        jobs = self.jobs if self.left else ()
        names = sorted({job.wildcards["weights"] for job in jobs if job.rule == "fetch_weights"})
        return [entry(name, self.config["weights"]["revisions"].get(name)) for name in names]

    @cached_property
    def to_fetch(self) -> list[Entry]:
        """Those that the run will download."""
        weights = self.config["weights"]
        mine = [one for one in self.weights if weights["download"] and one.name not in weights["sources"]]
        return [one for one in mine if _missing(one, Path(weights["folder"]) / one.name)]


def disk_left(config: Mapping[str, Any], jobs: Sequence[PlannedJob]) -> float:
    """Gigabytes that jobs will still write by the plan's arithmetic, without weights, which may lie elsewhere."""
    sizes = Sizes(config)
    left = [Estimate(job, sizes).storage for job in jobs if job.to_run]
    kept = sum(one.disk.total() - one.disk[WEIGHTS] for one in left)
    return (kept + max((one.checkpoint for one in left), default=0.0)) / 1e3


def examine(run: PlannedRun) -> list[Finding]:
    """All findings."""
    return [finding for check in CHECKS for finding in check(run)]


def show_findings(findings: Sequence[Finding]) -> str:
    """A line a finding, and a last one that counts."""
    wide = max(len(one.what) for one in findings)
    lines = [
        f"{one.status:<8} {one.what:<{wide}}  {one.found}{f' -> {one.todo}' if one.todo else ''}"
        for one in findings
    ]
    missing = sum(one.status == "missing" for one in findings)
    last = f"{missing} of {len(findings)} are missing." if missing else "Nothing that is needed is missing."
    return "\n".join([*lines, "", last]) + "\n"


def scope(run: PlannedRun) -> Iterator[Finding]:
    """What the findings are about."""
    count = sum(job.to_run for job in run.jobs)
    yield Finding("run", "note", f"scale {run.config['scale']}: {count:,} jobs to run")


def packages(run: PlannedRun) -> Iterator[Finding]:
    """Python and the packages that the backends in use and the profile's executor need."""
    if run.executor:
        todo = machine.executor_cure(run.executor)
        yield Finding("packages for --workflow-profile", "missing", f"no {run.executor}", todo)
    if not machine.PROJECT.is_file():
        yield Finding(
            "packages", "unknown", f"there is no {machine.PROJECT}, which lists them", "get it again"
        )
        return
    project = machine.project()
    here, asked = platform.python_version(), project["requires-python"]
    if lacking := machine.lacking_version(here, asked):
        yield Finding("python", "missing", lacking, "make PYTHON=/path/to/python3.12 run")
    else:
        yield Finding("python", "ok", here)
    everything = project["dependencies"]
    yield _installed("packages", everything, f"all {len(everything)}", "make run sets them up")
    extras = [text for name in ("paper", "quantisation") for text in project["optional-dependencies"][name]]
    for key, (names, rules, used) in USES.items():
        if rules & run.rules and used(run.config):
            asked = [next((one for one in extras if one.startswith(name)), name) for name in names]
            todo = "make paper" if names[0] in "".join(project["optional-dependencies"]["paper"]) else PIP
            yield _installed(f"packages for {key}", asked, ", ".join(names), todo.format(" ".join(names)))


PIP = ".venv/bin/pip install -c constraints.txt {}"
USES: dict[str, tuple[tuple[str, ...], frozenset[str], Callable[[Mapping[str, Any]], bool]]] = {
    "images.generator": (("diffusers",), DRAWING, lambda c: c["images"]["generator"] == "flux"),
    "images.flux.quantisation": (
        ("torchao",),
        DRAWING,
        lambda c: c["images"]["generator"] == "flux" and c["images"]["flux"]["quantisation"] != "none",
    ),
    "images.scorers": (
        ("facenet-pytorch", "open-clip-torch", "pyiqa"),
        DRAWING,
        lambda c: c["images"]["scorers"] == "networks",
    ),
    "dataset.reference_sets": (
        ("open-clip-torch",),
        frozenset(("build_reference_set",)),
        lambda c: c["dataset"]["reference_sets"] == "files",
    ),
    "lifelong.gates.clip": (
        ("open-clip-torch",),
        frozenset(("ask_gate",)),
        lambda c: c["lifelong"]["gates"]["clip"]["encoder"] is not None,
    ),
    "weights.download": (
        ("huggingface-hub", "httpx2"),
        frozenset(("fetch_weights",)),
        lambda c: c["weights"]["download"],
    ),
} | {
    f"{section}.openai": (("openai",), rules, lambda c, section=section: section in endpoints(c))
    for section, rules in ASKING.items()
}
"""Key -> packages, the rules that need them, and whether a configuration does."""


def _installed(what: str, requirements: Sequence[str], names: str, todo: str) -> Finding:
    lacking = machine.lacking_packages(requirements)
    return Finding(what, "missing", ", ".join(lacking), todo) if lacking else Finding(what, "ok", names)


def gpus(run: PlannedRun) -> Iterator[Finding]:
    """GPUs, and by arithmetic the memory that models and FLUX take of one."""
    asking = [job for job in run.left if job.gpus]
    if not asking:
        yield Finding("gpu", "ok", "no job asks for one")
        return
    found, reason = machine.cards()
    needs, count = list(gpu_needs(run.config, asking)), max(job.gpus or 0 for job in asking)
    most = max((need.bytes for need in needs if need.bytes), default=0)
    if not found:
        size = f"of {most / GB:.0f} GB or more by arithmetic" if most else "of a size that is not known"
        yield Finding("gpu", "missing", reason, f"{len(asking):,} jobs ask for one, {size}: run where it is")
    else:
        status: Status = "ok" if len(found) >= count else "missing"
        sizes = [f"{card.memory / GB:.1f} GB" if card.memory else "memory not known" for card in found]
        names = ", ".join(f"{card.name} ({size})" for card, size in zip(found, sizes, strict=True))
        todo = f"a job asks for {count}: start with --resources gpu={len(found)} judge=1" if count > 1 else ""
        if status == "missing":
            todo = f"a job asks for {count}: lower training.processes and training.job.gpu"
        yield Finding("gpu", status, names, todo)
    smallest = min((card.memory for card in found), default=0)
    yield from (_memory(need, smallest) for need in needs)


def _memory(need: GpuNeed, card: int) -> Finding:
    """A line of a model; `card`: bytes of the smallest GPU, 0 where there is none."""
    what = f"gpu memory: {need.what}"
    if not need.bytes:
        return Finding(what, "unknown", need.found, need.todo)
    if not card:
        return Finding(what, "note", need.found)
    fits = need.bytes <= card
    return Finding(what, "ok", need.found) if fits else Finding(what, "missing", need.found, need.todo)


def memory(run: PlannedRun) -> Iterator[Finding]:
    """Main memory that the largest job asks for, and as many of these as there are GPUs, against what is there."""
    asking = [job for job in run.left if job.memory_mb]
    if not asking:
        return
    here, largest = machine.memory_bytes() / GB, max(asking, key=lambda job: job.memory_mb or 0)
    one = (largest.memory_mb or 0) / 1e3
    at_once = max(1, len(machine.cards()[0]) // largest.gpus) if largest.gpus else 1
    found = f"{here:.0f} GB; the largest job, {largest.rule}, asks for {one:.0f} GB"
    if one > here:
        todo = "a scheduler gives as much; here lower the mem_mb of images.job or training.job to what its jobs take"
        yield Finding("memory", "note", found, todo)
    elif one * at_once > here:
        todo = f"nothing bounds the sum here: --resources gpu={at_once} judge=1 mem_mb={here * 1e3:.0f}"
        yield Finding("memory", "note", f"{found}, {at_once} at once {one * at_once:.0f} GB", todo)
    else:
        yield Finding("memory", "ok", found)


def weights(run: PlannedRun) -> Iterator[Finding]:
    """Weights that lie there as recorded, that will be fetched, or that nothing brings."""
    yield from (_weights(row, run.config["weights"]) for row in run.weights)


def _weights(row: Entry, settings: Mapping[str, Any]) -> Finding:
    home, what = Path(settings["folder"]) / row.name, f"weights: {row.name}"
    source = settings["sources"].get(row.name)
    size = f"about {row.gigabytes:g} GB" if row.gigabytes else "of a size that is not known"
    pinned = f", revision {row.revision[:12]}" if row.revision else ""
    if source is not None:
        lacking = missing_files(row, Path(source).expanduser(), [])
        where = f"weights.sources.{row.name}: {source}"
        if lacking:
            return Finding(
                what, "missing", f"{where} lacks {_some(lacking)}", f"put them there, from {row.origin}"
            )
        return Finding(what, "ok", f"taken from {where}")
    try:
        lock, lacking = read_lock(home), _missing(row, home)
    except WeightsError as error:
        return Finding(what, "missing", str(error))
    facts = {**lock.files, **lock.converted} if lock else {}
    for name, fact in facts.items():
        if (home / name).is_file() and (size_now := (home / name).stat().st_size) != fact.size:
            return Finding(
                what,
                "missing",
                f"{home / name} has {size_now:,} bytes; {fact.size:,} were recorded",
                "move it away to have it fetched again, or delete the lock if you meant the change",
            )
    if not lacking:
        how = f"as recorded in {home}.lock.json" if lock else "not recorded yet: the first run does"
        return Finding(what, "ok", f"{home}, {how}")
    if settings["download"]:
        return Finding(
            what, "note", f"{home} lacks {_some(lacking)}: the run fetches {size} from {row.origin}{pinned}"
        )
    return Finding(
        what,
        "missing",
        f"{home} lacks {_some(lacking)}, and nothing fetches them",
        f"set weights.download: true ({size} from {row.origin}, licence: {row.licence}), or name a folder of yours by "
        f"weights.sources.{row.name}",
    )


def _missing(row: Entry, home: Path) -> list[str]:
    lock = read_lock(home)
    return missing_files(row, home, list(lock.files) if lock else [])


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 2} more" if len(names) > 2 else ""
    return f"{', '.join(names[:2])}{more}"


def gates(run: PlannedRun) -> Iterator[Finding]:
    """Repositories whose licence must be accepted, of those that will be fetched."""
    for row in run.to_fetch:
        if row.gated and not machine.has_token():
            yield Finding(f"gate: {row.repo}", "missing", "HF_TOKEN is not set", acceptance(str(row.repo)))
        elif row.gated:
            todo = f"accept '{row.licence}' at {HUB}/{row.repo} with the token's account, if it has not"
            yield Finding(
                f"gate: {row.repo}", "unknown", "a token is set; the hub alone knows the rest", todo
            )


def keys(run: PlannedRun) -> Iterator[Finding]:
    """Keys of endpoints in use: whether they are set, never what they are."""
    for section, options in _asked(run):
        name, what = options["key_env"], f"key: {section}.openai"
        if name is None:
            yield Finding(what, "ok", "key_env is null: none is needed")
        elif has_key(name):
            yield Finding(what, "ok", f"{shown_name(name)} is set")
        else:
            todo = f"export {shown_name(name)}=..., where the jobs run"
            yield Finding(what, "missing", f"{shown_name(name)} is not set", todo)


def _asked(run: PlannedRun) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The endpoints that the jobs that are to run ask."""
    for section, options in endpoints(run.config).items():
        if ASKING[section] & run.rules:
            yield section, options


def addresses(run: PlannedRun) -> Iterator[Finding]:
    """Whether endpoints, and the hub where anything is to be fetched, take a connection; no call is made."""
    urls = {f"endpoint: {section}.openai": options["base_url"] for section, options in _asked(run)}
    if run.to_fetch:
        urls["hub"] = os.environ.get("HF_ENDPOINT") or HUB
    for what, url in urls.items():
        if not run.network:
            yield Finding(
                what, "unknown", f"{shown_url(url)} was not tried", "mmunlearn doctor --network tries it"
            )
        elif reason := machine.reachable(url):
            todo = "correct base_url, start the server, or open the network"
            if what == "hub":
                todo = 'open the network, set HF_ENDPOINT to a mirror, or fetch elsewhere: README, "Weights"'
            yield Finding(what, "missing", f"{shown_url(url)} takes no connection: {reason}", todo)
        else:
            yield Finding(what, "ok", f"{shown_url(url)} takes connections; nothing was asked of it")


def folders(run: PlannedRun) -> Iterator[Finding]:
    """Other people's data that the run reads: a line for each thing that is missing."""
    lines = [line for line, rule in to_bring(run.config).items() if rule in run.rules - {"fetch_weights"}]
    for line in lines:
        key, _, rest = line.partition(": ")
        found, todo = [*ADVICE.split(rest, maxsplit=1), ""][:2]
        yield Finding(f"data: {key}", "missing", found, todo)
    if not lines:
        yield Finding("data", "ok", "every folder and file that the configuration names is there")


def written(run: PlannedRun) -> Iterator[Finding]:
    """Folders of the run that cannot be written."""
    names = [*OWN_FOLDERS, *([run.config["weights"]["folder"]] if run.to_fetch else [])]
    for name in (name for name in names if not machine.writable(Path(name))):
        yield Finding(
            f"folder: {name}",
            "missing",
            "it cannot be written here",
            "change its owner or its mode, or make it a link",
        )


def disk(run: PlannedRun) -> Iterator[Finding]:
    """Room for what the run will still write, a line a file system."""
    folder = Path(run.config["weights"]["folder"])
    fetched = sum(one.gigabytes or 0 for one in run.to_fetch)
    places = [(Path("results"), run.disk, "results, work"), (folder, fetched, "weights")]
    systems: dict[int, list[tuple[Path, float, str]]] = {}
    for path, size, name in places:
        if size:
            systems.setdefault(machine.free_bytes(path)[0], []).append((path, size, name))
    for group in systems.values():
        free = machine.free_bytes(group[0][0])[1] / GB
        needed, names = sum(size for _, size, _ in group), ", ".join(name for *_, name in group)
        found = f"{needed:,.1f} GB needed, {free:,.1f} GB free at {shlex.quote(str(group[0][0]))}"
        fits = needed <= free
        todo = (
            ""
            if fits
            else "free some, or put results/, work/ (links will do) or weights.folder on a larger disk"
        )
        yield Finding(f"disk: {names}", "ok" if fits else "missing", found, todo)


CHECKS: tuple[Callable[[PlannedRun], Iterator[Finding]], ...] = (
    scope, packages, gpus, memory, weights, gates, keys, addresses, folders, written, disk,
)  # fmt: skip
