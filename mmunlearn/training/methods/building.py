"""Building a method from its configuration row: registered, or of another package."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from mmunlearn.text import nearest
from mmunlearn.training.methods import METHODS
from mmunlearn.training.methods.base import Method


def build_method(name: str, options: Mapping[str, Any], path: str | None = None) -> Method:
    """The method of a configuration row.

    Args:
        options: the row's own keys, without those of the loop (rate, step cap, targets); `path` and `label` may be
            among them.
        path: `package.module:Class` of a method outside the registry. A `label` in the row wins over the class's,
            and without either it is the name in capitals.

    Raises:
        ValueError: no method of that name (with the nearest one), a path that leads to no method, a path for a
            registered name, or an option that the method does not take.
    """
    options = dict(options)
    path = options.pop("path", None) or path
    label = options.pop("label", None)
    if name in METHODS and path:
        raise ValueError(f"methods.{name}.path: '{name}' is a registered method; give yours another name")
    if name not in METHODS and not path:
        raise ValueError(f"method '{name}' is unknown; {nearest(name, METHODS)}")
    chosen = _load(name, path or METHODS[name].path)
    try:
        method = chosen(**options)
    except (TypeError, ValueError) as error:
        raise ValueError(f"methods.{name}: {error}") from error
    if missing := [name for name in ("views", "watch") if not hasattr(method, name)]:
        raise ValueError(f"methods.{name}: {chosen.__name__} has no {' and no '.join(missing)}")
    method.label = label or getattr(method, "label", name.upper())
    return method


def _load(name: str, path: str) -> type[Method]:
    module, _, attribute = path.partition(":")
    try:
        found = getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(
            f"methods.{name}.path: '{path}' cannot be loaded, expected module:Class ({error})"
        ) from error
    if not (isinstance(found, type) and issubclass(found, Method)):
        raise ValueError(f"methods.{name}.path: '{path}' is no mmunlearn.training.methods.base.Method")
    return found
