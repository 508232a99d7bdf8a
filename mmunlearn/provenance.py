"""What a number rests on: versions, memory and the files of a checkpoint."""

from __future__ import annotations

import platform
import resource
import sys
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import mmunlearn

_RECORDED = ("torch", "transformers", "peft", "accelerate", "snakemake", "numpy")


def versions() -> dict[str, str]:
    """Versions of Python, this package and the libraries that shape its results."""
    installed = {"python": platform.python_version(), "mmunlearn": mmunlearn.__version__}
    for name in _RECORDED:
        with suppress(PackageNotFoundError):
            installed[name] = version(name)
    return installed


def peak_memory_gb() -> float:
    """Peak memory of this process in GB: of the GPU where one was used, else resident."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        return round(torch.cuda.max_memory_allocated() / 1e9, 3)
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(kilobytes * (1 if sys.platform == "darwin" else 1024) / 1e9, 3)


def of_checkpoint(name: str) -> bool:
    """Whether a file of a checkpoint's folder is read: configuration, weights, tokenizer or template."""
    return Path(name).parent == Path() and name.endswith(
        (".json", ".safetensors", ".jinja", ".txt", ".model")
    )


def checkpoint_files(source: str) -> list[str]:
    """The files of a checkpoint folder that are read, sorted."""
    return sorted(path.as_posix() for path in Path(source).glob("*") if of_checkpoint(path.name))
