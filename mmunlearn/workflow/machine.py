"""What this machine has: packages, NVIDIA's GPUs, room on disks, a token of the hub, an endpoint that answers.

Nothing heavy is imported, no CUDA context is made, and no network is asked but for what `reachable` is given.
"""

from __future__ import annotations

import csv
import os
import shutil
import socket
import subprocess
import tomllib
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from mmunlearn.cards import found as visible_cards
from mmunlearn.workflow.job import LIBRARY

PROJECT = LIBRARY.parent / "pyproject.toml"
QUERY = ("nvidia-smi", "--query-gpu=uuid,name,memory.total", "--format=csv,noheader,nounits")
SECONDS = 20.0
"""Until nvidia-smi, or an address, counts as silent."""
MEBIBYTE = 2**20
EXECUTORS = "snakemake-executor-plugin-"
OWN = frozenset(f"{EXECUTORS}{name}" for name in ("local", "dryrun", "touch"))
"""Snakemake's own executors, of which there are no packages."""


class Card(NamedTuple):
    """A GPU, and its memory in bytes; 0 where nvidia-smi does not say it."""

    name: str
    memory: int


def project() -> dict[str, Any]:
    """The section `project` of pyproject.toml."""
    return tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]


def lacking_version(found: str, asked: str) -> str | None:
    """What to say of a version that is not among those asked for (`>=3.11`)."""
    return None if SpecifierSet(asked).contains(found, prereleases=True) else f"{found}, not {asked}"


def lacking_packages(requirements: Iterable[str]) -> list[str]:
    """Of requirements (`name>=1.0`) those that are not installed here, each with what is."""
    lacking = []
    for text in requirements:
        asked = Requirement(text)
        try:
            found = metadata.version(asked.name)
        except metadata.PackageNotFoundError:
            lacking.append(f"no {asked.name}")
            continue
        if wrong := lacking_version(found, str(asked.specifier)):
            lacking.append(f"{asked.name} {wrong}")
    return lacking


def cards() -> tuple[list[Card], str]:
    """The GPUs that jobs may take here, or none and why: of CUDA_VISIBLE_DEVICES, or all that nvidia-smi lists."""
    try:
        done = subprocess.run(QUERY, capture_output=True, text=True, errors="replace", timeout=SECONDS)
    except FileNotFoundError:
        return [], "there is no nvidia-smi"
    except (OSError, subprocess.TimeoutExpired) as error:
        return [], f"nvidia-smi does not answer ({type(error).__name__})"
    listed = {}
    rows = csv.reader(done.stdout.splitlines(), skipinitialspace=True)
    for uuid, name, size in (row for row in rows if len(row) == 3):
        listed[uuid] = Card(name, int(size) * MEBIBYTE if size.isdecimal() else 0)
    if not listed:
        said = " ".join((done.stderr or done.stdout).split())[:120]
        return [], f"nvidia-smi lists none: {said or 'it says nothing'}"
    parts = Card("part of a GPU in MIG mode", 0)
    found = [listed.get(uuid, parts) for uuid in visible_cards().values()]
    return found, "" if found else "CUDA_VISIBLE_DEVICES shows none"


def memory_bytes() -> int:
    """Main memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def lacking_executor(profile: Path) -> str:
    """The package of the executor that a folder's profile names, where it is not installed; else nothing."""
    files = sorted([*profile.glob("profile*.y*ml"), *profile.glob("config*.y*ml")])
    try:
        settings = yaml.safe_load(files[-1].read_text(encoding="utf-8")) if files else None
    except yaml.YAMLError:  # Snakemake says what is wrong with it
        return ""
    name = f"{EXECUTORS}{settings.get('executor', 'local') if isinstance(settings, dict) else 'local'}"
    return name if name not in OWN and lacking_packages([name]) else ""


def executor_cure(package: str) -> str:
    """What installs an executor's package."""
    return f".venv/bin/pip install -c constraints.txt -e '.[{package.rpartition('-')[2]}]'"


def writable(path: Path) -> bool:
    """Whether a folder is there, or can be made, and files can be written to it."""
    there = next(one for one in (path.absolute(), *path.absolute().parents) if one.exists())
    return there.is_dir() and os.access(there, os.W_OK | os.X_OK)


def free_bytes(path: Path) -> tuple[int, int]:
    """The file system that a path lies on, or will, and the bytes free there."""
    there = next(one for one in (path.absolute(), *path.absolute().parents) if one.exists())
    return there.stat().st_dev, shutil.disk_usage(there).free


def has_token() -> bool:
    """Whether the hub's client finds a token: in the environment, or in the file that its login writes."""
    if any(os.environ.get(name, "").strip() for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")):
        return True
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface"
    home = Path(os.environ.get("HF_HOME") or cache).expanduser()
    path = Path(os.environ.get("HF_TOKEN_PATH") or home / "token").expanduser()
    return path.is_file() and path.stat().st_size > 0


def reachable(url: str) -> str | None:
    """Why nothing takes a connection at an address, or None; nothing is sent."""
    try:
        parts = urlsplit(url)
        if not parts.hostname:
            return "no web address"
        port = parts.port or (80 if parts.scheme == "http" else 443)
        socket.create_connection((parts.hostname, port), timeout=SECONDS).close()
    except ValueError:  # of a port, or of a name that no address can have
        return "no web address"
    except OSError as error:
        return type(error).__name__ if not error.strerror else error.strerror
    return None
