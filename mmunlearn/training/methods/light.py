"""A method's class without what is heavy, so that a wrong row is refused before anything runs.

The source of the class is run as it stands, statement by statement; what it imports from elsewhere than the standard
library, this package and its own is a stand-in. Building a method only looks at its options, so tensors have no part in
it; where they have one, `Undecided` says so, and the method is really built before the first job (`building`).
"""

from __future__ import annotations
import __future__

import ast
import builtins
import sys
from collections.abc import Mapping
from importlib.machinery import PathFinder
from importlib.util import find_spec, resolve_name
from pathlib import Path
from typing import Any, ClassVar

from mmunlearn.text import nearest
from mmunlearn.training.methods import METHODS
from mmunlearn.training.methods.options import EXPECTED, build, option_problems, split_row

LIBRARY = "mmunlearn"
DECIDING = ("losses.py", "schedule.py", "sets.py", "stopping.py", "views.py")
"""Of `training`, beside a method: what is learnt from which questions, in which steps, and until when."""
FOREIGN = {
    *sys.stdlib_module_names, "accelerate", "datasets", "diffusers", "numpy", "pandas", "peft", "sklearn", "tokenizers",
    "torch", "torchvision", "transformers",
}  # fmt: skip
"""Packages that know nothing of this one: no class of theirs is a method."""
MODULES = 200
"""Modules of a package that are run for one method at most."""


class Undecided(BaseException):
    """What is asked for rests on something heavy. Not an Exception, so that no class catches it."""


class Heavy:
    """What a class derives from that derives from a stand-in."""


class Elsewhere(Heavy):
    """Of a package that may derive it from this one's classes."""


class Foreign(Heavy):
    """Of a package that is in FOREIGN."""


class StandIn:
    """Anything that is imported from elsewhere: it can be named, called and derived from, and is good for nothing."""

    built = False
    """Whether methods are being built: then it may not be looked at either."""

    def __init__(self, package: str = "") -> None:
        self._foreign = package in FOREIGN

    def __getattr__(self, name: str) -> StandIn:
        if StandIn.built or (name.startswith("__") and name.endswith("__")):
            raise Undecided(name) if StandIn.built else AttributeError(name)
        return self

    def __call__(self, *_: Any, **__: Any) -> StandIn:
        return self.__getattr__("call")

    def __getitem__(self, _: Any) -> StandIn:
        return self.__getattr__("item")

    def __or__(self, _: Any) -> StandIn:
        return self.__getattr__("or")

    __ror__ = __or__

    def __mro_entries__(self, _: tuple[Any, ...]) -> tuple[type, ...]:
        return (Foreign if self._foreign else Elsewhere,)

    def __bool__(self) -> bool:
        raise Undecided("truth")

    __lt__ = __gt__ = __le__ = __ge__ = __iter__ = __len__ = __float__ = __int__ = __call__
    __instancecheck__ = __subclasscheck__ = __contains__ = __call__


def check_method(name: str, options: Mapping[str, Any]) -> bool:
    """Build the method of a row without importing it.

    Args:
        options: the row's own keys, and perhaps `path`.

    Returns:
        Whether all was seen; False where the class, or the building of it, rests on something heavy.

    Raises:
        ValueError: the path leads nowhere or to no method, or the class refuses the options; a line a problem.
    """
    path, options = split_row(name, options)
    path = path or METHODS[name].path
    sources = Sources(path.partition(":")[0].partition(".")[0])
    try:
        cls = _class_at(f"methods.{name}.path", path, sources)
        StandIn.built = True
        if not issubclass(cls, Heavy):
            build(name, cls, options)
            return sources.whole
        if "__init__" in vars(cls) and (problems := option_problems(name, cls, options)):
            raise ValueError("\n".join(problems))
    except ValueError as error:
        unexpected = error.__cause__ is not None and not isinstance(error.__cause__, EXPECTED)
        if not (unexpected and not sources.whole) and StandIn.__name__ not in str(error):
            raise  # else it is what Python says where a stand-in is added, multiplied, ..., or something lacks here
    except Undecided:
        pass
    finally:
        StandIn.built = False
    return False


def _class_at(where: str, path: str, sources: Sources) -> type:
    """The class at `package.module:Class`. Raises ValueError where there is none, Undecided where it is not plain."""
    module, _, attribute = path.partition(":")
    file = find_source(module)
    if file is None:
        raise ValueError(
            f"{where}: there is no module '{module}' for '{path}', where Snakemake looks for modules; correct the "
            "path, or install the package"
        )
    other = f"{where}: {path} is no mmunlearn.training.methods.base.Method; derive it from that class"
    if module.partition(".")[0] in FOREIGN:
        raise ValueError(other)
    if file.suffix != ".py":
        raise Undecided(path)
    try:
        names, base = sources.run(module), sources.run("mmunlearn.training.methods.base")["Method"]
    except SourceError as error:
        raise ValueError(f"{where}: {path} cannot be imported: {error}; correct the file") from error
    found = names.get(attribute)
    if found is None:
        classes = [one for one, value in names.items() if isinstance(value, type) and issubclass(value, base)]
        raise ValueError(f"{where}: {file.name} has no '{attribute}'; {nearest(attribute, classes)}")
    if isinstance(found, StandIn) and not found._foreign:
        raise Undecided(path)
    if not isinstance(found, type) or not issubclass(found, (base, Elsewhere)):
        raise ValueError(other)
    return found


def find_source(module: str) -> Path | None:
    """The file of a module, found without importing what it lies in; None where there is none."""
    first, *rest = module.split(".")
    try:
        spec = find_spec(first)
    except (ImportError, ValueError):
        spec = None
    for name in rest:
        places = spec.submodule_search_locations if spec else None
        spec = PathFinder.find_spec(name, list(places)) if places else None
    if spec is None:
        return None
    return Path(spec.origin) if spec.has_location else Path(spec.name)


class Module:
    """A module whose source was run here: its names, and for what is not among them stand-ins."""

    def __init__(self, names: dict[str, Any]) -> None:
        self._names = names

    def __getattr__(self, name: str) -> Any:
        return self._names.get(name, StandIn())


class SourceError(Exception):
    """A file is no Python."""


class Sources:
    """Modules run from their sources, each once; those of this package once a process.

    Args:
        package: whose modules are run besides those of this package.

    Attributes:
        whole: whether every statement of the package worked by itself.
    """

    _library: ClassVar[dict[str, dict[str, Any]]] = {}

    def __init__(self, package: str) -> None:
        self._package, self._own, self.whole = package, {}, True

    def run(self, module: str) -> dict[str, Any]:
        """The names that a module defines, stand-ins where a statement does not work by itself.

        Raises:
            SourceError: it, or one of its package that it imports, is no Python.
        """
        run = self._library if module.split(".")[0] == LIBRARY else self._own
        if module in run:
            return run[module]
        file = find_source(module)
        if len(self._own) > MODULES:
            raise Undecided(module)
        names = run[module] = {
            "__name__": "builtins",  # a module that exists, where dataclasses look
            "__file__": str(file),
            "__package__": module if file and file.name == "__init__.py" else module.rpartition(".")[0],
            "__builtins__": {**vars(builtins), "__import__": self._import},
        }
        if file is None or file.suffix != ".py":
            return names
        for statement in _statements(file):
            tree, lazily = ast.Module([statement], []), __future__.annotations.compiler_flag
            try:
                exec(compile(tree, str(file), "exec", lazily, dont_inherit=True), names)
            except SourceError:
                raise
            except (Exception, Undecided):  # whatever it defines is not known
                names |= dict.fromkeys(_defined(statement), StandIn())
                self.whole = self.whole and run is self._library
        return names

    def _import(self, name: str, scope: Any = None, _: Any = None, wanted: Any = (), level: int = 0) -> Any:
        """What stands for `__import__` in these modules."""
        module = resolve_name("." * level + name, scope["__package__"]) if level else name
        first = module.partition(".")[0]
        if first in sys.stdlib_module_names:
            return builtins.__import__(name, fromlist=wanted or ())
        if first not in (LIBRARY, self._package) or not wanted:
            return StandIn(first)
        names = self.run(module)
        parts = {
            one: f"{module}.{one}" for one in wanted if one not in names and find_source(f"{module}.{one}")
        }
        return Module(names | {one: Module(self.run(part)) for one, part in parts.items()})


def _statements(file: Path) -> list[ast.stmt]:
    source = file.read_bytes()
    try:
        compile(source, str(file), "exec", dont_inherit=True)
        return ast.parse(source).body
    except (SyntaxError, ValueError) as error:  # ValueError: a null byte
        line = getattr(error, "lineno", None)
        raise SourceError(
            f"{file}{f', line {line}' if line else ''}: {getattr(error, 'msg', error)}"
        ) from error


def _defined(statement: ast.stmt) -> set[str]:
    """The names that a statement gives values."""
    stored = (
        node for node in ast.walk(statement) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    )
    named = ast.ClassDef | ast.FunctionDef
    return {node.id for node in stored} | ({statement.name} if isinstance(statement, named) else set())
