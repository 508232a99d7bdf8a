"""The only module that knows Snakemake: what every workflow script needs around its one call."""

from __future__ import annotations

import hashlib
import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
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
