"""The only module that knows Snakemake: what every workflow script needs around its one call, and its plan."""

from __future__ import annotations

import hashlib
import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from functools import cache
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from snakemake.script import Snakemake

WORK = Path("work")
LIBRARY = Path(__file__).resolve().parent
logger = logging.getLogger("mmunlearn")


class Files:
    """Named or numbered files of a rule as paths; a name with several files gives a list."""

    def __init__(self, files: Any) -> None:
        self._files = files

    def __getattr__(self, name: str) -> Any:
        return _paths(getattr(self._files, name))

    def get(self, name: str) -> Path | None:
        """The file of that name, or None where the rule has none."""
        return Path(self._files[name]) if name in self._files.keys() else None  # noqa: SIM118

    def __getitem__(self, index: int) -> Path:
        return Path(self._files[index])

    def __iter__(self) -> Iterator[Path]:
        return map(Path, self._files)


def _paths(value: Any) -> Any:
    return Path(value) if isinstance(value, str) else [Path(one) for one in value]


@dataclass(frozen=True)
class Job:
    """What a script sees of its rule.

    `config` is for what must not rerun a job when it changes (where to compute, where verdicts lie): all else are
    params. `work` is where resumable, undeclared files lie.
    """

    input: Files
    output: Files
    params: Any
    config: Mapping[str, Any]
    work: Path = WORK


@contextmanager
def job(snakemake: Snakemake) -> Iterator[Job]:
    """Run a script's body with its log file.

    Yields the job's inputs and outputs as paths, its params and the configuration.

    Messages go to the rule's log and to the terminal; an error is logged with its traceback before it is
    raised again, so that the log file tells the whole story.
    """
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    if snakemake.log:
        Path(snakemake.log[0]).parent.mkdir(parents=True, exist_ok=True)
        handlers.append(logging.FileHandler(snakemake.log[0], mode="w", encoding="utf-8"))
    wildcards = "/".join(map(str, snakemake.wildcards))
    name = "/".join(filter(None, [snakemake.rule, wildcards]))
    formatter = logging.Formatter(f"%(asctime)s {name}: %(message)s", "%H:%M:%S")
    for handler in handlers:
        handler.setFormatter(formatter)
        logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield Job(Files(snakemake.input), Files(snakemake.output), snakemake.params, snakemake.config)
    except Exception:
        logger.exception("failed")
        raise
    finally:
        for handler in handlers:
            logger.removeHandler(handler)
            handler.close()


@cache
def code_digest(*modules: str) -> str:
    """Digest of library sources, as a param of cheap rules: Snakemake does not see an edited module.

    Args:
        modules: files or folders below the package, e.g. `evaluation` or `reporting/tables.py`.
    """
    digest = hashlib.sha256()
    for module in modules:
        path = LIBRARY / module
        for source in sorted(path.rglob("*.*") if path.is_dir() else [path]):
            if source.suffix in (".py", ".j2"):
                digest.update(source.relative_to(LIBRARY).as_posix().encode() + source.read_bytes())
    return digest.hexdigest()[:16]


@dataclass(frozen=True)
class PlannedJob:
    """A job that Snakemake plans.

    Attributes:
        to_run: False where its outputs are there and up to date.
        benchmark: where its seconds and memory will stand, or stand already.
        gpus: what it asks of the machine.
        target: it only collects files and runs nothing.
        inputs: its named inputs that are one file.
    """

    rule: str
    wildcards: Mapping[str, str]
    outputs: tuple[Path, ...]
    benchmark: Path | None
    gpus: int
    to_run: bool
    target: bool
    inputs: Mapping[str, Path] = field(default_factory=dict)


def plan_jobs(arguments: list[str]) -> tuple[dict[str, Any], list[PlannedJob]] | None:
    """Ask Snakemake for the merged configuration and all jobs of its targets, those that are done included.

    Nothing runs, nothing but Snakemake's own folder is written, and no torch is imported.

    Args:
        arguments: Snakemake's own, e.g. `["--configfile", "presets/paper.yaml", "--", "table4"]`.

    Returns:
        None where Snakemake has printed an error: a wrong configuration, or an input that nothing makes.
    """
    from snakemake import api, cli
    from snakemake.settings import types

    told = StringIO()  # which profile it uses
    try:
        with redirect_stderr(told):
            _, args = cli.parse_args(arguments)
    except SystemExit:  # its parser has refused an option, or a profile's
        print("snakemake:", told.getvalue().strip().splitlines()[-1], file=sys.stderr)
        return None
    said = types.OutputSettings(log_level_override=logging.ERROR, enable_file_logging=False)
    with api.SnakemakeApi(said) as own:
        try:
            workflow = own.workflow(
                resource_settings=types.ResourceSettings(cores=1, default_resources=args.default_resources),
                config_settings=types.ConfigSettings(
                    config=cli.parse_config(args.config), configfiles=args.configfile or []
                ),
                snakefile=Path("Snakefile"),
            )
            triggers = types.DAGSettings(
                targets=set(args.targets),
                rerun_triggers=args.rerun_triggers,
                max_checksum_file_size=args.max_checksum_file_size,
            )
            with redirect_stdout(StringIO()):
                workflow.dag(triggers).printrulegraph()  # the cheapest of its commands that builds the graph
            dag, config = workflow._workflow.dag, workflow._workflow.config
        except Exception as error:  # Snakemake explains all of its own
            own.print_exception(error)
            return None
        to_run = set(dag.needrun_jobs(exclude_finished=False))
        return config, [_planned(job, job in to_run) for job in dag.jobs]


def _planned(job: Any, to_run: bool) -> PlannedJob:
    return PlannedJob(
        rule=job.rule.name,
        wildcards=dict(job.wildcards_dict),
        outputs=tuple(map(Path, job.output)),
        benchmark=Path(job.benchmark) if job.benchmark else None,
        gpus=int(job.resources.get("gpu", 0) or 0),
        to_run=to_run,
        target=bool(job.rule.norun),
        inputs={name: Path(value) for name, value in job.input.items() if isinstance(value, str)},
    )
