"""Building a method from its configuration row: registered, or of another package."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmunlearn.training.methods import METHODS
from mmunlearn.training.methods.base import Method
from mmunlearn.training.methods.options import build, split_row


def build_method(name: str, options: Mapping[str, Any]) -> Method:
    """The method of a configuration row; `light.check_method` has tried it when the configuration was read.

    Args:
        options: the method's own keys, and perhaps `path`, `package.module:Class` of a method outside the registry.

    Raises:
        registry.UnknownName: no method of that name.
        ValueError: a path for a registered name, or one that leads to no method, or an option that the method does not
            take.
    """
    path, options = split_row(name, options)
    path = path or METHODS[name].path
    try:
        cls = METHODS.load_path(name, path)
    except Exception as error:  # whatever the module raises
        says = (
            str(error) if isinstance(error, ImportError | TypeError) else f"{type(error).__name__}: {error}"
        )
        raise ValueError(f"methods.{name}: {says}") from error
    return build(name, cls, options)
