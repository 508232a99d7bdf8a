"""The record of a run's configuration."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from mmunlearn.endpoint import shown_name, shown_url
from mmunlearn.records import write_text

SHOWN = {"base_url": shown_url, "key_env": shown_name}


def write_run_config(output: Path, config: Mapping[str, Any]) -> None:
    """Write the merged configuration as YAML, without what may be a key."""
    write_text(output, yaml.safe_dump(without_keys(config), sort_keys=False, allow_unicode=True))


def without_keys(value: Any) -> Any:
    """A configuration without what may be a key: Snakemake prints and records params as they are."""
    if isinstance(value, Mapping):
        return {key: SHOWN.get(key, without_keys)(one) for key, one in value.items()}
    return value
