"""The default run of this folder."""

from __future__ import annotations

import pytest
from filelock import FileLock

from tests.copies import ROOT
from tests.small import Run


@pytest.fixture(scope="session")
def pocket() -> Run:
    """The default run of this folder, made or completed first where it is not there."""
    run = Run(ROOT)
    (ROOT / "results").mkdir(exist_ok=True)
    with FileLock(ROOT / "results" / ".tests.lock"):
        run()
    return run
