"""Building a method from its configuration row: registered, or of another package."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmunlearn.training.methods import METHODS
from mmunlearn.training.methods.base import Method


def build_method(name: str, options: Mapping[str, Any]) -> Method:
    """The method of a configuration row.

    Args:
        options: the method's own keys, and perhaps `path`, `package.module:Class` of a method outside the registry.

    Raises:
        registry.UnknownName: no method of that name.
        ValueError: a path for a registered name, or one that leads to no method, or an option that the method does not
            take.
    """
    options = dict(options)
    path = options.pop("path", None)
    if name in METHODS and path:
        raise ValueError(f"methods.{name}.path: '{name}' is a registered method; give yours another name")
    try:
        cls = METHODS.load_path(name, path) if path else METHODS.load(name)
        method = cls(**options)
    except (ImportError, TypeError, ValueError) as error:
        raise ValueError(f"methods.{name}: {error}") from error
    if missing := [attribute for attribute in ("views", "watch") if not hasattr(method, attribute)]:
        raise ValueError(f"methods.{name}: {cls.__name__} has no {' and no '.join(missing)}")
    return method
