"""The one shape of registry: names of classes that are imported, and whose type is checked, when they are looked up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any, NamedTuple

from mmunlearn.text import nearest


class Entry(NamedTuple):
    """Where a class is, as `package.module:Class`, how tables spell it, and the options that it takes."""

    path: str
    label: str = ""
    options: tuple[str, ...] = ()


class UnknownName(KeyError):
    """Nothing of that name is registered; the message names the nearest one."""

    def __str__(self) -> str:
        return str(self.args[0])


class Registry(Mapping[str, Entry]):
    """Name -> entry. Nothing is imported before `load`.

    Args:
        what: the registered things in the singular, for messages.
        base: `package.module:Class` that every registered class derives from.
        entries: by name; a path alone is an entry without label and options.
    """

    def __init__(self, what: str, base: str, entries: Mapping[str, str | Entry]) -> None:
        self.what, self._base = what, base
        self._entries = {
            name: Entry(entry) if isinstance(entry, str) else entry for name, entry in entries.items()
        }

    def __getitem__(self, name: str) -> Entry:
        """Raises UnknownName."""
        if name not in self._entries:
            raise UnknownName(f"{self.what} '{name}' is unknown; {nearest(name, self._entries)}")
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def load(self, name: str) -> type[Any]:
        """The class of a name. Raises UnknownName, and as `load_path`."""
        return self.load_path(name, self[name].path)

    def load_path(self, name: str, path: str) -> type[Any]:
        """The class at `package.module:Class`, which need not be registered.

        Raises:
            ImportError: the path leads nowhere; the cause says why.
            TypeError: what is there does not derive from the registry's base.
        """
        found, base = _load(self.what, name, path), _load(self.what, name, self._base)
        if not (isinstance(found, type) and base in found.__mro__):
            raise TypeError(f"{self.what} '{name}': {path} is no {self._base.replace(':', '.')}")
        return found


def _load(what: str, name: str, path: str) -> Any:
    module, _, attribute = path.partition(":")
    try:
        return getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ImportError(
            f"{what} '{name}': '{path}' cannot be loaded, expected package.module:Class ({error})"
        ) from error
