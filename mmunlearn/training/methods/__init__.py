"""Unlearning methods behind a registry: one method, one file, one line here, one row in the configuration."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from mmunlearn.config import nearest
from mmunlearn.training.methods.base import Method

METHODS = {
    "po": "mmunlearn.training.methods.po:PO",
    "ga": "mmunlearn.training.methods.ga:GA",
    "gd": "mmunlearn.training.methods.gd:GD",
    "kl": "mmunlearn.training.methods.kl:KL",
    "dpo": "mmunlearn.training.methods.dpo:DPO",
}


def build_method(name: str, options: Mapping[str, Any]) -> Method:
    """The method of a configuration row; `options` are its own keys, without rate and step cap.

    Raises:
        ValueError: no method of that name (with the nearest one), or an option that it does not take.
    """
    if name not in METHODS:
        raise ValueError(f"method '{name}' is unknown; {nearest(name, METHODS)}")
    module, attribute = METHODS[name].split(":")
    try:
        return getattr(import_module(module), attribute)(**options)
    except TypeError as error:
        raise ValueError(f"methods.{name}: {error}") from error
