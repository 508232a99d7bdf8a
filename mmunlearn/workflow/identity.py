"""What makes a job run again: digests of the code and of the files that its result rests on, not places and times.

Snakemake compares params by `repr`. Imported by the Snakefile: nothing heavy here.
"""

from __future__ import annotations

import ast
import hashlib
import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import cache
from importlib.util import resolve_name
from pathlib import Path
from typing import Any

from mmunlearn.digests import STORE, checksums, tree
from mmunlearn.files import PICTURES
from mmunlearn.provenance import checkpoint_files, of_checkpoint
from mmunlearn.records import digest_of, read_json
from mmunlearn.training.methods.light import DECIDING, find_source
from mmunlearn.weights.errors import WeightsError
from mmunlearn.weights.lock import Lock, lock_path, read_lock
from mmunlearn.workflow.job import LIBRARY, WORK

WIRING = Path("workflow", "job.py")
"""What every script imports: no result rests on it."""


class Recorded(str):
    """Text in a param that counts by a digest: Snakemake compares and records that, a script has the text.

    The digest is computed when it is first compared: a job of a cluster, which reads the rules once more, never does.
    """

    _digest: Callable[[], str]
    _kind: type

    def __new__(cls, text: str, digest: Callable[[], str], kind: type = str) -> Recorded:
        """`kind`: what the script has, str or Path."""
        made = super().__new__(cls, text)
        made._digest, made._kind = digest, kind
        return made

    def __repr__(self) -> str:
        return f"<{self._digest()}>"

    def __reduce__(self) -> tuple[type, tuple[str]]:
        return self._kind, (str(self),)


class Contents:
    """Digests of the files and folders that a configuration names.

    Each is computed once and then stands, so that a record says what lay there when the run began.

    Args:
        receipts: folder of the receipts of fetched weights, for a folder that was removed after the run.
        home: where fetched weights lie.
    """

    def __init__(self, receipts: Path, home: str) -> None:
        self._receipts, self._home = receipts, Path(home)
        self._found: dict[str, str] = {}
        self._asked: dict[str, Callable[[], str]] = {}

    def of(self, path: str, kind: type = str) -> Recorded:
        """A file, or all files of a folder, as a param."""
        return self._recorded(path, kind, lambda: _files(path), lambda name: True)

    def pictures(self, path: str) -> Recorded:
        """A folder of pictures, and nothing else that lies there."""
        return self._recorded(
            path,
            Path,
            lambda: {name: one for name, one in _files(path).items() if one.suffix.lower() in PICTURES},
            lambda name: True,
        )

    def checkpoint(self, path: str) -> Recorded:
        """The folder of a model: the files of its checkpoint alone."""
        return self._recorded(
            path,
            str,
            lambda: {Path(file).name: Path(file) for file in checkpoint_files(path)},
            of_checkpoint,
        )

    def settle(self) -> None:
        """Compute all that were asked for, before jobs run."""
        for digest in [*self._asked.values()]:
            digest()

    def _recorded(
        self, path: str, kind: type, files: Callable[[], Mapping[str, Path]], counts: Callable[[str], bool]
    ) -> Recorded:
        def digest() -> str:
            if path not in self._found:
                found = files()
                if found:
                    self._found[path] = digest_of(sorted(self._checksums(path, found).items()))
                else:
                    receipt = self._receipt(path)
                    rows = sorted((name, sha256) for name, sha256 in receipt.items() if counts(name))
                    return digest_of(rows) if rows else "nothing there"  # not for good: weights may come
            return self._found[path]

        self._asked.setdefault(path, digest)
        return Recorded(path, lambda: f"files {digest()}", kind)

    @staticmethod
    def _checksums(path: str, files: Mapping[str, Path]) -> dict[str, str]:
        """A lock vouches for files that are not younger than itself."""
        facts: dict[str, Any] = {}
        written = 0
        with suppress(WeightsError, OSError):
            lock = read_lock(Path(path))
            if lock is not None:
                facts, written = {**lock.files, **lock.converted}, lock_path(Path(path)).stat().st_mtime_ns

        def known(name: str, status: os.stat_result) -> str | None:
            fact = facts.get(name)
            same = fact is not None and fact.size == status.st_size and status.st_mtime_ns <= written
            return fact.sha256 if same else None

        return checksums(files, WORK / STORE, known)

    def _receipt(self, path: str) -> dict[str, str]:
        receipt = self._receipts / f"{Path(path).name}.json"
        if Path(path).parent != self._home or not receipt.is_file():
            return {}
        lock = read_json(receipt, Lock)
        return {name: fact.sha256 for name, fact in {**lock.files, **lock.converted}.items()}


def _files(path: str) -> dict[str, Path]:
    place = Path(path)
    return {"": place} if place.is_file() else tree(place)


Param = Callable[[Any], Recorded]
"""A param as a function of wildcards: Snakemake makes plain text of any other."""


def code_digest(script: str, *modules: str) -> Param:
    """Code as a param: a script, library sources, and all that these import.

    Snakemake does not see an edited module. Comments, docstrings and formatting do not count.

    Args:
        script: name of a workflow script.
        modules: files or folders below the package, e.g. `evaluation` or `reporting/tables.py`, for what a script
            loads by name; templates count, too.
    """

    def digest() -> str:
        files = {
            LIBRARY.parent / "workflow_scripts" / f"{script}.py",
            *(file for module in modules for file in _sources(LIBRARY / module)),
        }
        todo = list(files)
        while todo:
            imported = _module(todo.pop()).imports - files - {LIBRARY / WIRING}
            files |= imported
            todo += imported
        return _digest_of_files(files)

    return lambda wildcards: Recorded(script, lambda: f"code of {script} {digest()}")


def digest_of_sources(modules: Iterable[str]) -> str:
    """Digest of the code in files or folders below the package, without what they import."""
    return _digest_of_files({file for module in modules for file in _sources(LIBRARY / module)})


def method_digest(path: str) -> Recorded:
    """The code that decides what a training learns: the method's class with those of ours that it builds on, or, of
    another package, with what its module imports from there; and DECIDING. All else that a training runs is under its
    rule's version.

    Args:
        path: of the class, `module:Class`.
    """
    module = path.partition(":")[0]
    methods = LIBRARY / "training" / "methods"

    def digest() -> str:
        source = find_source(module)
        if source is None or not source.is_file():
            return "nothing there"
        files, todo = set(), [source] if source.is_relative_to(LIBRARY) else _of_package(module)
        while todo:
            file = todo.pop()
            files.add(file)
            todo += {one for one in _module(file).imports if one.is_relative_to(methods)} - files
        return _digest_of_files(files | {LIBRARY / "training" / name for name in DECIDING})

    return Recorded(path, lambda: f"code of the method {digest()}")


def _of_package(module: str) -> list[Path]:
    """The sources of a module and of all that it imports from its own package."""
    package, found, todo = module.partition(".")[0], {}, [module]
    while todo:
        name = todo.pop()
        file = find_source(name) if name.partition(".")[0] == package and name not in found else None
        if file is None or file.suffix != ".py" or not file.is_file():
            continue
        found[name] = file
        inside = name if file.name == "__init__.py" else name.rpartition(".")[0]
        for node in ast.walk(ast.parse(file.read_bytes())):
            if isinstance(node, ast.Import):
                todo += [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                origin = "." * node.level + (node.module or "")
                origin = resolve_name(origin, inside) if node.level else origin
                todo += [origin, *(f"{origin}.{alias.name}" for alias in node.names)]
    return [*found.values()]


class _Module:
    """Digest of a source, and the library's files that it names in its imports."""

    def __init__(self, file: Path) -> None:
        content = file.read_bytes()
        self.imports: set[Path] = set()
        if file.suffix == ".py":
            tree = ast.parse(content)
            self.imports = _imports(tree)
            content = repr(_shape(tree)).encode()
        self.digest = hashlib.sha256(content).hexdigest()


def _module(file: Path) -> _Module:
    status = file.stat()
    return _read_module(file, status.st_size, status.st_mtime_ns)


@cache
def _read_module(file: Path, size: int, changed: int) -> _Module:
    return _Module(file)


def _digest_of_files(files: Iterable[Path]) -> str:
    root = LIBRARY.parent
    rows = (
        [file.relative_to(root).as_posix() if file.is_relative_to(root) else file.name, _module(file).digest]
        for file in files
    )
    return digest_of(sorted(rows))


def _sources(path: Path) -> list[Path]:
    files = path.rglob("*.*") if path.is_dir() else [path]
    return [file for file in files if file.suffix in (".py", ".j2")]


def _imports(tree: ast.AST) -> set[Path]:
    names = {
        f"{node.module}.{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(LIBRARY.name)
        for alias in node.names
    }
    paths = (LIBRARY.parent.joinpath(*name.split(".")) for name in names)
    candidates = (one for path in paths for one in (path.with_suffix(".py"), path.parent.with_suffix(".py")))
    return {file for file in candidates if file.is_file()}


def _shape(value: Any) -> Any:
    """A syntax tree as plain data, without texts that stand alone and without what is empty, which differs between
    versions of Python."""
    if isinstance(value, ast.AST):
        fields = ((name, _shape(one)) for name, one in ast.iter_fields(value))
        return type(value).__name__, [(name, one) for name, one in fields if one not in (None, [])]
    if isinstance(value, list):
        return [_shape(one) for one in value if not _is_text(one)]
    return value


def _is_text(node: Any) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
