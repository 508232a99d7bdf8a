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
    write_text(output, yaml.safe_dump(_shown(config), sort_keys=False, allow_unicode=True))


def _shown(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: SHOWN.get(key, _shown)(one) for key, one in value.items()}
    return value
