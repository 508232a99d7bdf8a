"""Fixtures that several unit tests share."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

from tests.tiny import load_tiny, write_checkpoint

settings.register_profile("shared machine", deadline=None, derandomize=True)
settings.load_profile("shared machine")


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("tiny-llava"))


@pytest.fixture
def tiny_base(tiny_checkpoint: Path):
    return load_tiny(tiny_checkpoint)
