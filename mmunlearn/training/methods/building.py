"""Building a method from its configuration row: registered, or of another package."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmunlearn.training.methods import METHODS
from mmunlearn.training.methods.base import Method


def build_method(name: str, row: Mapping[str, Any]) -> Method:
    """The method of a configuration row.

    Args:
        row: the method's options, and perhaps `path`, `package.module:Class` of a method outside the registry, and
            `label`, which wins over the class's; without either the label is the name in capitals.

    Raises:
        registry.UnknownName: no method of that name.
        ValueError: a path for a registered name, or one that leads to no method, or an option that the method does not
            take.
    """
    options = {key: value for key, value in row.items() if key not in ("path", "label")}
    if name in METHODS and row.get("path"):
        raise ValueError(f"methods.{name}.path: '{name}' is a registered method; give yours another name")
    try:
        cls = METHODS.load_path(name, row["path"]) if row.get("path") else METHODS.load(name)
        method = cls(**options)
    except (ImportError, TypeError, ValueError) as error:
        raise ValueError(f"methods.{name}: {error}") from error
    if missing := [name for name in ("views", "watch") if not hasattr(method, name)]:
        raise ValueError(f"methods.{name}: {cls.__name__} has no {' and no '.join(missing)}")
    method.label = row.get("label") or getattr(method, "label", name.upper())
    return method
