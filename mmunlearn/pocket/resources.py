"""Where the pocket world keeps its data files."""

import json
from pathlib import Path
from typing import Any

from mmunlearn.files import read_text

_FOLDER = Path(__file__).resolve().parents[2] / "resources" / "pocket"


def pocket_resource(name: str) -> Path:
    """Return the path of one data file, such as ``people.jsonl``.

    Raises:
        FileNotFoundError: there is no such file.
    """
    path = _FOLDER / name
    if not path.is_file():
        raise FileNotFoundError(f"no pocket resource {name!r} in {_FOLDER}")
    return path


def read_rows(name: str) -> list[dict[str, Any]]:
    """Read a JSON-lines data file into one dictionary a line, in file order."""
    lines = read_text(pocket_resource(name)).splitlines()
    return [json.loads(line) for line in lines if line.strip()]
