"""What a method's class takes from its row in the configuration. Nothing heavy here."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args, get_origin

from mmunlearn.text import nearest
from mmunlearn.training.methods import METHODS

LOOP_KEYS = ("targets", "learning_rate", "max_steps", "label")
"""Keys of a method's row that the loop, the tables or the targets read; the rest are the method's own options, but for
`path`, where its class lies outside the registry."""
EXPECTED = (TypeError, ValueError, AssertionError)
"""What a class raises that refuses its options."""
KINDS = {"float": (int, float), "int": (int,), "str": (str,), "bool": (bool,)}


def split_row(name: str, options: Mapping[str, Any]) -> tuple[str | None, dict[str, Any]]:
    """The `path` of a row, if any, and the method's own options. Raises ValueError: a path for a registered name."""
    options = dict(options)
    path = options.pop("path", None)
    if name in METHODS and path:
        raise ValueError(f"methods.{name}.path: '{name}' is a registered method; give yours another name")
    return path, options


def build(name: str, cls: Callable[..., Any], options: Mapping[str, Any]) -> Any:
    """An object of a method's class.

    Raises:
        ValueError: what the class does not take, or lacks, or refuses; a line a problem, each with its key.
    """
    if problems := option_problems(name, cls, options):
        raise ValueError("\n".join(problems))
    try:
        method = cls(**options)
        lacking = [attribute for attribute in ("views", "watch") if not hasattr(method, attribute)]
    except Exception as error:
        says = str(error) if isinstance(error, EXPECTED) else f"{type(error).__name__}: {error}"
        raise ValueError(f"methods.{name}: {says or type(error).__name__}") from error
    if lacking:
        raise ValueError(
            f"methods.{name}: {cls.__name__} has no {' and no '.join(lacking)}; define it as the base class says"
        )
    return method


def option_problems(name: str, cls: Callable[..., Any], options: Mapping[str, Any]) -> list[str]:
    """What the signature of a method's class says of options."""
    parameters = _parameters(cls)
    named = {
        key: one
        for key, one in parameters.items()
        if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)
    }
    problems, where = [], f"methods.{name}"
    if not any(one.kind is one.VAR_KEYWORD for one in parameters.values()):
        known = (*LOOP_KEYS, "path", *named)
        problems += [
            f"unknown key '{where}.{key}': {nearest(key, known)}" for key in options if key not in named
        ]
    lacking = [key for key, one in named.items() if one.default is one.empty and key not in options]
    problems += [f"{where}.{key}: {cls.__name__} needs this option; add it to the row" for key in lacking]
    for key, value in options.items():
        if key in named and (wanted := _unlike(value, named[key].annotation)):
            problems.append(f"{where}: {key} must be {wanted}, not {value!r}")
    return problems


def _parameters(cls: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(cls, eval_str=True).parameters
    except Exception:  # an annotation that only a type checker understands
        return inspect.signature(cls).parameters


def _unlike(value: Any, annotation: Any) -> str | None:
    """What is asked for, where a value is of another kind; annotations that are not plain let everything pass."""
    if get_origin(annotation) is Literal:
        return None if value in get_args(annotation) else " or ".join(map(str, get_args(annotation)))
    name = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "")
    kinds = KINDS.get(name)
    if kinds is None or (isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool))):
        return None
    return {"str": "text", "bool": "true or false", "int": "a whole number"}.get(name, "a number")
