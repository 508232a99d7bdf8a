"""A method's class without what is heavy, so that a wrong row is refused before anything runs.

The source of the class is run as it stands, statement by statement; what it imports from elsewhere than the standard
library, this package and its own is a stand-in. Building a method only looks at its options, so tensors have no part in
it; where they have one, `Undecided` says so, and the training job, which builds the method first of all, tells.
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
from mmunlearn.training.methods.options import build, option_problems, split_row

LIBRARY = "mmunlearn"
MODULES = 200
"""Modules of a package that are run for one method at most."""


class Undecided(Exception):
    """What is asked for rests on something heavy."""


class Elsewhere:
    """What a class derives from that derives from a stand-in."""


class StandIn:
    """Anything that is imported from elsewhere: it can be named, called and derived from, and is good for nothing."""

    built = False
    """Whether methods are being built: then it may not be looked at either."""

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
        return (Elsewhere,)

    def __bool__(self) -> bool:
        raise Undecided("truth")

    __lt__ = __gt__ = __le__ = __ge__ = __iter__ = __len__ = __float__ = __int__ = __call__
    __instancecheck__ = __subclasscheck__ = __contains__ = __call__


def check_method(name: str, options: Mapping[str, Any]) -> None:
    """Build the method of a row without importing it.

    Args:
        options: the row's own keys, and perhaps `path`.

    Raises:
        ValueError: the path leads nowhere or to no method, or the class refuses the options; a line a problem.
    """
    path, options = split_row(name, options)
    try:
        cls = _class_at(f"methods.{name}.path", path or METHODS[name].path)
        StandIn.built = True
        if not issubclass(cls, Elsewhere):
            build(name, cls, options)
        elif "__init__" in vars(cls) and (problems := option_problems(name, cls, options)):
            raise ValueError("\n".join(problems))
    except ValueError as error:
        if StandIn.__name__ not in str(error):  # what Python says where one is added, multiplied, ...
            raise
    except Exception:  # Undecided, or what a class alone does not expect to lack here
        return
    finally:
        StandIn.built = False


def _class_at(where: str, path: str) -> type:
    """The class at `package.module:Class`. Raises ValueError where there is none, Undecided where it is not plain."""
    module, _, attribute = path.partition(":")
    sources = Sources(module.partition(".")[0])
    file = find_source(module)
    if file is None:
        raise ValueError(
            f"{where}: there is no module '{module}' for '{path}', where Snakemake looks for modules; correct the "
            "path, or install the package"
        )
    if file.suffix != ".py":
        raise Undecided(path)
    names, base = sources.run(module), sources.run("mmunlearn.training.methods.base")["Method"]
    found = names.get(attribute)
    if found is None:
        classes = [one for one, value in names.items() if isinstance(value, type) and issubclass(value, base)]
        raise ValueError(f"{where}: {file.name} has no '{attribute}'; {nearest(attribute, classes)}")
    if isinstance(found, StandIn):
        raise Undecided(path)
    if not isinstance(found, type) or not issubclass(found, (base, Elsewhere)):
        raise ValueError(
            f"{where}: {path} is no mmunlearn.training.methods.base.Method; derive it from that class"
        )
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


class Sources:
    """Modules run from their sources, each once; those of this package once a process.

    Args:
        package: whose modules are run besides those of this package.
    """

    _library: ClassVar[dict[str, dict[str, Any]]] = {}

    def __init__(self, package: str) -> None:
        self._package, self._own = package, {}

    def run(self, module: str) -> dict[str, Any]:
        """The names that a module defines, stand-ins where a statement does not work by itself."""
        run = self._library if module.split(".")[0] == LIBRARY else self._own
        if module in run:
            return run[module]
        file = find_source(module)
        if len(self._own) > MODULES:
            raise Undecided(module)
        names = run[module] = {
            "__name__": "builtins",  # a module that exists, where dataclasses look
            "__package__": module if file and file.name == "__init__.py" else module.rpartition(".")[0],
            "__builtins__": {**vars(builtins), "__import__": self._import},
        }
        if file is None or file.suffix != ".py":
            return names
        for statement in ast.parse(file.read_bytes()).body:
            tree, lazily = ast.Module([statement], []), __future__.annotations.compiler_flag
            try:
                exec(compile(tree, str(file), "exec", lazily, dont_inherit=True), names)
            except Exception:  # whatever it defines is not known
                names |= dict.fromkeys(_defined(statement), StandIn())
        return names

    def _import(self, name: str, scope: Any = None, _: Any = None, wanted: Any = (), level: int = 0) -> Any:
        """What stands for `__import__` in these modules."""
        module = resolve_name("." * level + name, scope["__package__"]) if level else name
        first = module.partition(".")[0]
        if first in sys.stdlib_module_names:
            return builtins.__import__(name, fromlist=wanted or ())
        if first not in (LIBRARY, self._package) or not wanted:
            return StandIn()
        names = self.run(module)
        parts = {
            one: f"{module}.{one}" for one in wanted if one not in names and find_source(f"{module}.{one}")
        }
        return Module(names | {one: Module(self.run(part)) for one, part in parts.items()})


def _defined(statement: ast.stmt) -> set[str]:
    """The names that a statement gives values."""
    stored = (
        node for node in ast.walk(statement) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    )
    named = ast.ClassDef | ast.FunctionDef
    return {node.id for node in stored} | ({statement.name} if isinstance(statement, named) else set())
