"""What a workflow script sees of its rule."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from mmunlearn.atomic import full_disk_named
from mmunlearn.cards import own_cards
from mmunlearn.claims import claim
from mmunlearn.ids import Run
from mmunlearn.interrupts import Stopped, stopping
from mmunlearn.records import digest_of
from mmunlearn.spool import finished, release
from mmunlearn.tasks import TaskSequence
from mmunlearn.verdicts import verdict_files
from mmunlearn.workflow.soundness import receipts

if TYPE_CHECKING:
    from snakemake.script import Snakemake

WORK = Path("work")
LIBRARY = Path(__file__).resolve().parents[1]
logger = logging.getLogger("mmunlearn")


UNREAD = ("base", "check", "weights")
"""Inputs that only have to be there first: what they stand for is found by the job's settings."""


class Files(Mapping[str, Any]):
    """The files of a rule as paths: `**files` are the named ones but UNREAD, `files[0]` and `paths` take them by place.

    A name with several files, or with none, gives a list.
    """

    def __init__(self, files: Any) -> None:
        self._files = files

    def __getattr__(self, name: str) -> Any:
        return _paths(getattr(self._files, name))

    def __getitem__(self, key: str | int) -> Any:
        if isinstance(key, str) and key not in self:
            raise KeyError(key)
        return _paths(self._files[key])

    def __contains__(self, key: object) -> bool:
        return key in self._files.keys()  # noqa: SIM118 - the list itself holds paths

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._files.keys() if name not in UNREAD)  # noqa: SIM118 - the list itself holds paths

    def __len__(self) -> int:
        return sum(1 for _ in self)

    @property
    def paths(self) -> list[Path]:
        """All files, named or not."""
        return list(map(Path, self._files))


def _paths(value: Any) -> Any:
    return Path(value) if isinstance(value, str) else [Path(one) for one in value]


IDENTITY = ("code", "decided", "version")
"""Params that only say when a job is to run anew."""


@dataclass(frozen=True)
class Job:
    """What a script sees of its rule.

    Attributes:
        params: as keyword arguments, without those of IDENTITY.
        version: of the rule, 0 where it has none; a text where its code was edited, see versions.py.
        config: for what must not rerun a job when it changes (where to compute, where verdicts lie): all else are
            params.
        work: where resumable, undeclared files lie.
        log: the job's log file.
    """

    input: Files
    output: Files
    params: Mapping[str, Any]
    version: int | str
    wildcards: Mapping[str, str]
    config: Mapping[str, Any]
    log: Path | None
    threads: int = 1
    work: Path = WORK

    @property
    def place(self) -> Path:
        """The first output; of a job without any, where it works."""
        return self.output.paths[0] if self.output.paths else self.work

    @property
    def run(self) -> Run:
        """The run that the job makes or asks."""
        return Run(self.wildcards["model"], self.wildcards["recipe"], int(self.wildcards["seed"]))

    @property
    def curator(self) -> dict[str, Any]:
        """The options of the curation backend."""
        curation = self.config["curation"]
        if curation["backend"] == "files":
            return {"pictures": self.input["pictures"]}
        return curation[curation["backend"]]

    @property
    def verdicts(self) -> list[Path]:
        """The reviewers' CSV files."""
        return [Path(path) for path in verdict_files(self.config["review"]["verdicts"])]

    @property
    def device(self) -> str:
        """Where networks draw, score and retrieve."""
        return self.config["images"]["device"]

    @property
    def stop_below(self) -> dict[str, Any] | None:
        """When drawing stops early: finished shards are not drawn anew for it."""
        return self.config["images"]["stop_below"]

    @property
    def weights(self) -> dict[str, Any]:
        """Where the weights of the job's name lie, where they come from: the user's folder if any, and whether they may
        be fetched."""
        weights = self.config["weights"]
        source = weights["sources"].get(self.wildcards["weights"])
        revision = weights["revisions"].get(self.wildcards["weights"])
        return {
            "folder": weights["folder"],
            "source": source,
            "download": weights["download"],
            "revision": revision,
        }

    @property
    def batch(self) -> int:
        """Questions a generation batch."""
        return self.config["evaluation"]["batch"]

    @property
    def judge(self) -> dict[str, Any] | None:
        """The options of the judge; the local one has none."""
        evaluation = self.config["evaluation"]
        return evaluation.get(evaluation["judge"])

    @property
    def gate(self) -> dict[str, Any]:
        """The gate that the job asks, and how it reaches the vision model that it may ask."""
        return {"gate": self.wildcards["gate"], "endpoint": self.config["lifelong"]["gates"]["vlm"]["openai"]}

    @property
    def sequence(self) -> TaskSequence:
        """The sequence of tasks that the job unlearns, asks or scores."""
        names = (self.wildcards[name] for name in ("model", "method", "order"))
        return TaskSequence(*names, int(self.wildcards["seed"]))

    @property
    def training(self) -> dict[str, Any]:
        """What a training run is besides its files and params: whose it is, and what leaves its result alone."""
        return {"run": self.run, **self.trainer}

    @property
    def trainer(self) -> dict[str, Any]:
        """What leaves a training's result alone."""
        keys = ("save_steps", "processes", "accelerate_config", "workers", "checkpointing", "trackers")
        settings = {key: self.config["training"][key] for key in keys}
        place = {
            "version": self.version,
            "work": self.work,
            "logs": self.log.with_suffix(""),
        }
        return {**place, **settings}


@contextmanager
def job(snakemake: Snakemake) -> Iterator[Job]:
    """Run a script's body with its log file, on GPUs of its own where it asks for any and `deal_cards` says so.

    Yields the job's inputs and outputs as paths, its params and the configuration.

    Messages go to the rule's log and to the terminal; an error is logged with its traceback before it is raised again,
    so that the log file tells the whole story. It is said once: both profiles have Snakemake print a failed job's log
    (`show-failed-logs`), so the terminal is spared the same from here and from Python. Ctrl-C and SIGTERM end the body
    by an exception and the script by a line. Inputs that are not what their jobs have written are refused, and what the
    job itself has written is recorded (`receipts`).
    """
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    if snakemake.log:
        Path(snakemake.log[0]).parent.mkdir(parents=True, exist_ok=True)
        handlers.append(logging.FileHandler(snakemake.log[0], mode="w", encoding="utf-8"))
        handlers[0].addFilter(lambda record: not record.exc_info)
    wildcards = "/".join(map(str, snakemake.wildcards))
    name = "/".join(filter(None, [snakemake.rule, wildcards]))
    formatter = logging.Formatter(f"%(asctime)s {name}: %(message)s", "%H:%M:%S")
    for handler in handlers:
        handler.setFormatter(formatter)
        logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        _leave_threads(snakemake)
        gpus = snakemake.resources.get("gpu", 0) if DEALING in os.environ else 0
        it = _job(snakemake)
        with stopping(), full_disk_named(it.place), _claim(it):
            with receipts(it.input.paths, it.output.paths, snakemake.rule), own_cards(gpus):
                read = finished(it.work, it.input.paths)
                yield it
            release(read)
    except Stopped as stopped:
        logger.error("%s", stopped)
        raise SystemExit(stopped.status) from None
    except Exception as error:
        logger.exception("failed")
        if snakemake.log:
            _say_no_more(error)
        raise
    finally:
        for handler in handlers:
            logger.removeHandler(handler)
            handler.close()


def _claim(it: Job) -> AbstractContextManager[None]:
    """Of a job's outputs: one whose Snakemake was killed may still be at them."""
    if not it.output.paths:
        return nullcontext()
    return claim(it.work / "claims" / f"{digest_of(str(it.place))}.json", it.place)


def _leave_threads(snakemake: Snakemake) -> None:
    """Leave torch those of the job's threads that nothing beside it reads with, as sums are split by their number: the
    workers of a training, of which each of its processes has so many, or what reads for a GPU. Several training
    processes share what is left, see `launch`."""
    workers = snakemake.config["training"]["workers"] if snakemake.params.get("loop") is not None else None
    beside = min(1, snakemake.resources.get("gpu", 0)) if workers is None else workers
    if beside:  # environments of jobs that nothing reads beside may lack torch
        left = max(1, snakemake.threads // (1 + beside))
        os.environ["OMP_NUM_THREADS"] = str(left)  # for processes that start; this one has read it
        import_module("torch").set_num_threads(left)


def _say_no_more(error: Exception) -> None:
    """Keep Python from printing an error's traceback as the process ends."""
    others = sys.excepthook

    def hook(kind: type[BaseException], value: BaseException, trace: TracebackType | None) -> None:
        if value is not error:
            others(kind, value, trace)

    sys.excepthook = hook


def _job(snakemake: Snakemake) -> Job:
    params = dict(snakemake.params.items())
    return Job(
        input=Files(snakemake.input),
        output=Files(snakemake.output),
        params={name: value for name, value in params.items() if name not in IDENTITY},
        version=params.get("version", 0),
        wildcards=dict(snakemake.wildcards.items()),
        config=snakemake.config,
        log=Path(snakemake.log[0]) if snakemake.log else None,
        threads=snakemake.threads,
    )


DEALING = "MMUNLEARN_DEALS_CARDS"


def deal_cards(workflow: Any) -> None:
    """Have the jobs that this process starts take GPUs of their own. A process that a scheduler has started for one job
    leaves the GPUs to it; the one that plans all jobs deals them out, inside an allocation, too."""
    if workflow.is_main_process:
        os.environ[DEALING] = "1"
    elif workflow.remote_exec:
        os.environ.pop(DEALING, None)  # schedulers hand on the environment


def require_library(folder: str | Path) -> None:
    """See that this process imports the workflow's own library, and that scripts do, which inherit PYTHONPATH.

    Raises:
        RuntimeError: this one has another folder's, as in a copied folder whose .venv came along.
    """
    before = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if str(folder) not in before:
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(folder), *before]))
    if LIBRARY.parent != Path(folder).resolve():
        raise RuntimeError(
            f"Asked for the workflow in {folder}. Found that it would run the library in {LIBRARY.parent}: this "
            "environment was set up for that folder. Run `make run` here, which sets up one of its own, or start "
            "Snakemake from an environment without an installed mmunlearn."
        )
