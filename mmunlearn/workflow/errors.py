"""Errors that end a run before anything runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import wraps
from inspect import signature
from typing import Any


class ConfigError(ValueError):
    """The configuration cannot be run; a line a problem: the key, what was found, what to write."""

    def __init__(self, problems: Iterable[str]) -> None:
        lines = (problem.replace("\n", "\\n").replace("\r", "\\r") for problem in problems)
        super().__init__("\n  ".join(["the configuration cannot be run:", *lines]))


class NoPlan(SystemExit):
    """What a rule asks for cannot be told. Not an Exception: Snakemake would take the outputs of the rule for sources
    where they lie on the disk, and end as if all were well."""


def decisive(cls: type) -> type:
    """Class decorator: an error in a method of wildcards alone, which is an input function or a param of rules, ends
    the run."""
    for name, method in vars(cls).items():
        if callable(method) and list(signature(method).parameters) == ["self", "wildcards"]:
            setattr(cls, name, _ending(method))
    return cls


def _ending(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def call(self: Any, wildcards: Any) -> Any:
        try:
            return method(self, wildcards)
        except Exception as error:
            names = getattr(wildcards, "__dict__", {}).items()
            asked = ", ".join(f"{name}={value}" for name, value in names if isinstance(value, str))
            raise NoPlan(
                f"{method.__qualname__} was asked for {asked or 'no wildcards'}; "
                f"found {type(error).__name__}: {error}; correct what it names"
            ) from error

    return call
