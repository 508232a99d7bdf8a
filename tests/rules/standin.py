"""Runs workflow scripts as Snakemake does: in a working folder, on an object of Snakemake's own classes.

What a script is given comes from the real rules, read with a small configuration: no test can promise a
script what its rule does not give.
"""

from __future__ import annotations

import copy
import pickle
import runpy
import shutil
import signal
from collections.abc import Iterable, Iterator, Mapping
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import yaml
from snakemake.api import SnakemakeApi
from snakemake.iocontainers import (
    InputFiles,
    Log,
    Namedlist,
    OutputFiles,
    Params,
    ResourceList,
    Snakemake,
    Wildcards,
)
from snakemake.rules import Rule
from snakemake.settings.enums import Quietness, RerunTrigger
from snakemake.settings.types import ConfigSettings, DAGSettings, OutputSettings, ResourceSettings

from mmunlearn.backends import SCORERS
from mmunlearn.registry import Entry
from mmunlearn.workflow import job

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "workflow_scripts"
HISTOGRAMS = Entry("tests.rules.histograms:HistogramScorers")


def run_script(
    name: str,
    *,
    input: Any = (),
    output: Any = (),
    params: Any = (),
    wildcards: Any = (),
    log: Any = (),
    threads: int = 1,
    rule: str = "",
    config: Mapping[str, Any] | None = None,
    cwd: Path,
) -> None:
    """Run workflow_scripts/<name>.py in a folder; what it is given are lists, or mappings from names.

    Args:
        rule: its name, where it is not the script's.
    """
    standin = Snakemake(
        named(InputFiles, input), named(OutputFiles, output), named(Params, params),
        named(Wildcards, wildcards), threads, ResourceList(), named(Log, log), dict(config or {}), rule or name, None,
    )  # fmt: skip
    received = pickle.loads(pickle.dumps(standin, protocol=4))  # as it travels to the script's process
    with chdir(cwd), patch.object(job, "receipts", no_receipts):
        runpy.run_path(str(SCRIPTS / f"{name}.py"), init_globals={"snakemake": received})


@contextmanager
def no_receipts(inputs: Any, outputs: Any, rule: str) -> Iterator[None]:
    """Tests edit what jobs read."""
    yield


def named(kind: type[Namedlist], items: Any) -> Namedlist:
    """A Namedlist as Snakemake makes it: several files of one name are spread, a param is never."""
    made = kind()
    pairs = items.items() if isinstance(items, Mapping) else ((None, item) for item in items)
    for name, value in pairs:
        several = isinstance(value, list) and kind is not Params
        start = len(made)
        made.extend(value if several else [value])
        if name is not None:
            made._set_name(name, start, end=len(made) if several else None)
    return made


class Rules:
    """The rules as Snakemake reads them with a configuration.

    Snakemake keeps what a Snakefile defines in globals that the next one overwrites, so only the configuration that
    was read last has rules whose functions can be called; another one is read again.
    """

    _read: tuple[str, dict[str, Rule]] = ("", {})

    @classmethod
    def of(cls, folder: Path) -> dict[str, Rule]:
        config = (folder / "config.yaml").read_text(encoding="utf-8")
        if cls._read[0] != config:
            with SnakemakeApi() as api:
                workflow = api.workflow(ResourceSettings(), snakefile=ROOT / "Snakefile", workdir=folder)
                cls._read = config, {rule.name: rule for rule in workflow._workflow.rules}
        return cls._read[1]

    @classmethod
    def needed(
        cls, folder: Path, targets: Iterable[str], overlays: Iterable[str] = ()
    ) -> list[tuple[str, dict[str, Any]]]:
        """The jobs that Snakemake would run for these targets, in order: their rule and what it gives its script."""
        cls._read = "", {}
        with _own_signals(), SnakemakeApi(OutputSettings(dryrun=True, quiet={Quietness.ALL})) as api:
            workflow = api.workflow(
                ResourceSettings(cores=1),
                ConfigSettings(configfiles=[folder / path for path in overlays]),
                snakefile=ROOT / "Snakefile",
                workdir=folder,
            )
            asked = DAGSettings(targets=set(targets), rerun_triggers={RerunTrigger.MTIME})
            workflow.dag(asked).execute_workflow(executor="dryrun")
            dag = workflow._workflow.dag
            jobs = [job for level in dag.toposorted() for job in level if dag.needrun(job)]
            return [(job.rule.name, cls._given(job)) for job in jobs]

    @staticmethod
    def _given(job: Any) -> dict[str, Any]:
        files = {kind: _plain(getattr(job, kind)) for kind in ("input", "output", "log")}
        return {**files, "params": dict(job.params.items()), "wildcards": dict(job.wildcards_dict)}


@contextmanager
def _own_signals() -> Iterator[None]:
    """Snakemake's scheduler leaves handlers behind, with which the tests' processes could not be ended."""
    kinds = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = [signal.getsignal(kind) for kind in kinds]
    try:
        yield
    finally:
        for kind, handler in zip(kinds, before, strict=True):
            signal.signal(kind, handler)


@dataclass(frozen=True)
class World:
    """A working folder with its configuration.

    Its pictures are judged by colour histograms, so that no test rests on trained weights.
    """

    root: Path
    config: dict[str, Any]

    @classmethod
    def make(cls, root: Path, config: dict[str, Any]) -> World:
        root.mkdir(parents=True)
        (root / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
        (root / "resources").symlink_to(ROOT / "resources")
        for row in config[
            "models"
        ].values():  # a configuration names what there is; who needs a model writes one
            folder = root / row["source"]
            folder.mkdir(parents=True, exist_ok=True)
            for name in ("config.json", "model.safetensors"):
                (folder / name).touch()
        return cls(root, config)

    @property
    def rules(self) -> dict[str, Rule]:
        return Rules.of(self.root)

    def copy(self, root: Path) -> World:
        """The same world elsewhere: all paths are relative, so its rules hold there, too."""
        shutil.copytree(self.root, root, symlinks=True)
        return World(root, self.config)

    @property
    def results(self) -> Path:
        return self.root / "results" / self.config["scale"]

    def job(self, rule: str, **wildcards: Any) -> dict[str, Any]:
        """What a rule gives its script, as plain lists and dictionaries."""
        made, values = self.rules[rule], {name: str(value) for name, value in wildcards.items()}
        with chdir(self.root):
            files, written = made.expand_input(values)[0], made.expand_output(values)[0]
            params = made.expand_params(values, files, written, None)[0]
        return {
            "input": _plain(files),
            "output": _plain(written),
            "params": dict(params.items()),
            "wildcards": values,
            "log": _plain(made.expand_log(values)),
        }

    def run(
        self,
        rule: str,
        *,
        input: Any = None,
        output: Any = None,
        params: Any = None,
        config: Any = None,
        **wildcards: Any,
    ) -> None:
        """Run a rule's script; `input`, `output`, `params` replace single ones by name, or a whole list; `config`
        replaces sections of the configuration by keys of them. Raises KeyError where there is none to replace."""
        given = self.job(rule, **wildcards)
        for kind, values in (("input", input), ("output", output), ("params", params)):
            if values is not None:
                given[kind] = (
                    _replaced(given[kind], values, f"{kind} of {rule}")
                    if isinstance(values, dict)
                    else values
                )
        changed = copy.deepcopy(self.config)
        for section, values in (config or {}).items():
            changed[section] = _replaced(changed[section], values, f"configuration {section}")
        self._run(rule, given, changed)

    def _run(self, rule: str, given: Mapping[str, Any], config: Mapping[str, Any]) -> None:
        script = Path(self.rules[rule].script).stem
        with patch.dict(SCORERS, pocket=HISTOGRAMS):
            run_script(script, rule=rule, **given, config=config, cwd=self.root)

    def bring(self, *files: str) -> list[str]:
        """Run all jobs that these files below the results folder still need; gives their rules."""
        wanted = [str((self.results / file).relative_to(self.root)) for file in files]
        jobs = Rules.needed(self.root, wanted)
        for rule, given in jobs:
            self._run(rule, given, self.config)
        return [rule for rule, _ in jobs]

    def log(self, rule: str, **wildcards: Any) -> str:
        """What a job has left in its log file."""
        return (self.root / self.job(rule, **wildcards)["log"][0]).read_text(encoding="utf-8")


def _replaced(before: Mapping[str, Any], values: Mapping[str, Any], where: str) -> dict[str, Any]:
    if unknown := values.keys() - dict(before).keys():
        raise KeyError(f"{where}: nothing is called {sorted(unknown)}, so a test would replace nothing")
    return {**before, **values}


def _plain(files: Namedlist) -> dict[str, Any] | list[str]:
    if not files.keys():
        return list(map(str, files))
    return {name: str(one) if isinstance(one, str) else list(map(str, one)) for name, one in files.items()}
