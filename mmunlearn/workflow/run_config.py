"""The record of a run's configuration."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from mmunlearn.records import write_text


def write_run_config(output: Path, config: Mapping[str, Any]) -> None:
    """Write the merged configuration as YAML."""
    write_text(output, yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True))
