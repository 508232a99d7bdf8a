"""The one shape of registry: names of classes that are imported, and whose type is checked, when they are looked up."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, NamedTuple

from mmunlearn.text import nearest


class Entry(NamedTuple):
    """Where a class is, as `package.module:Class`, how tables spell it, and the options that it takes; of a method, the
    passes over a batch that one step makes: 1 for each view with gradients, a third for each that a reference sees."""

    path: str
    label: str = ""
    options: tuple[str, ...] = ()
    passes: float = 2


class UnknownName(KeyError):
    """Nothing of that name is registered; the message names the nearest one."""

    def __str__(self) -> str:
        return str(self.args[0])


class Registry(dict[str, Entry]):
    """Name -> entry. Nothing is imported before `load`; another package may add entries of its own.

    Args:
        what: the registered things in the singular, for messages.
        base: `package.module:Class` that every registered class derives from.
        entries: by name; a path alone is an entry without label and options.
    """

    def __init__(self, what: str, base: str, entries: Mapping[str, str | Entry]) -> None:
        super().__init__(
            (name, Entry(entry) if isinstance(entry, str) else entry) for name, entry in entries.items()
        )
        self.what, self._base = what, base

    def __missing__(self, name: str) -> Entry:
        raise UnknownName(f"{self.what} '{name}' is unknown; {nearest(name, self)}")

    def load(self, name: str) -> type[Any]:
        """The class of a name. Raises UnknownName, and as `load_path`."""
        return self.load_path(name, self[name].path)

    def load_path(self, name: str, path: str) -> type[Any]:
        """The class at `package.module:Class`, which need not be registered.

        Raises:
            ImportError: the path leads nowhere; the cause says why.
            TypeError: what is there does not derive from the registry's base.
        """
        loaded, base = _load(self.what, name, path), _load(self.what, name, self._base)
        if not (isinstance(loaded, type) and base in loaded.__mro__):
            raise TypeError(f"{self.what} '{name}': {path} is no {self._base.replace(':', '.')}")
        return loaded


def _load(what: str, name: str, path: str) -> Any:
    module, _, attribute = path.partition(":")
    try:
        return getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ImportError(
            f"{what} '{name}': '{path}' cannot be loaded, expected package.module:Class ({error})"
        ) from error
