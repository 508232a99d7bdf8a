"""The settings that a training's record names, against those of the configuration."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mmunlearn.files import listed, shown
from mmunlearn.records import RecordError, Training, read_json


def check_training(path: Path, settings: Mapping[str, Any]) -> None:
    """Compare training.json with the configuration.

    Args:
        settings: of `differences`.

    Raises:
        RecordError: the training had other settings; names each, both values, the file and what trains it again.
    """
    if found := differences(read_json(path, Training).settings, settings):
        raise other_settings({path: found})


def differences(recorded: Mapping[str, Any], settings: Mapping[str, Any]) -> list[str]:
    """What a training had otherwise, a clause a setting.

    Args:
        recorded: `settings` of its training.json.
        settings: by the same names, what the configuration says; what is not among them leaves its result alone.
    """
    here = dict(_leaves({name: recorded[name] for name in settings if name in recorded}))
    asked = dict(_leaves(json.loads(json.dumps(settings))))
    return [
        f"{name} {_value(here, name)}, which the configuration says is {_value(asked, name)}"
        for name in dict.fromkeys((*asked, *here))
        if name not in here or name not in asked or here[name] != asked[name]
    ]


def other_settings(found: Mapping[Path, list[str]]) -> RecordError:
    """The error of trainings with other settings. `found`: training.json -> its `differences`."""
    what = listed([f"in {path} {'; '.join(clauses)}" for path, clauses in found.items()])
    return RecordError(
        f"Asked for trainings by the configuration. Found {what}. Train again (start the run with --forcerun "
        f"{shlex.join(map(str, found))}), or set the configuration back."
    )


def _value(leaves: Mapping[str, Any], name: str) -> str:
    return shown(leaves[name]) if name in leaves else "absent"


def _leaves(value: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted name -> value that is no mapping."""
    for name, one in value.items():
        if isinstance(one, Mapping):
            yield from _leaves(one, f"{before}{name}.")
        else:
            yield before + name, one
