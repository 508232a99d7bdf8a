"""Unlearning methods behind a registry: one method, one file, one line here, one row in the configuration.

A method of another package needs no line here: its configuration row says `path: "package.module:Class"`. Imported
by the Snakefile: nothing heavy here; a method's module is loaded when it is built.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from mmunlearn.recipes import nearest

if TYPE_CHECKING:
    from mmunlearn.training.methods.base import Method


class Entry(NamedTuple):
    """Where a method is, as `module:Class`, and how tables spell it."""

    path: str
    label: str


METHODS = {
    "po": Entry("mmunlearn.training.methods.po:PO", "PO"),
    "ga": Entry("mmunlearn.training.methods.ga:GA", "GA"),
    "gd": Entry("mmunlearn.training.methods.gd:GD", "GD"),
    "kl": Entry("mmunlearn.training.methods.kl:KL", "KL"),
    "dpo": Entry("mmunlearn.training.methods.dpo:DPO", "DPO"),
    "npo": Entry("mmunlearn.training.methods.npo:NPO", "NPO"),
    "simnpo": Entry("mmunlearn.training.methods.simnpo:SimNPO", "SimNPO"),
    "gd+bgd": Entry("mmunlearn.training.methods.gd_bgd:GDBGD", "GD+BGD"),
    "kl+bgd": Entry("mmunlearn.training.methods.kl_bgd:KLBGD", "KL+BGD"),
}


def labels() -> dict[str, str]:
    """The published spelling of every registered method by its name."""
    return {name: entry.label for name, entry in METHODS.items()}


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
    method.label = label or getattr(method, "label", name.upper())
    return method


def _load(name: str, path: str) -> type[Method]:
    from mmunlearn.training.methods.base import Method

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
