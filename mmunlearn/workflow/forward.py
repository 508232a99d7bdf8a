"""What Snakemake's own process does with an interrupt."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from typing import Any

import psutil


def forward_interrupts() -> None:
    """Let an interrupt of this process reach the processes of its group that it has started: at a terminal they have it
    anyway, by `kill -INT` they would run on, and their results would be thrown away."""
    before = signal.getsignal(signal.SIGINT)
    if not callable(before):  # ignored
        return

    def receive(number: int, frame: Any) -> None:
        for child in psutil.Process().children(recursive=True):
            with suppress(ProcessLookupError, psutil.NoSuchProcess):
                if os.getpgid(child.pid) == os.getpgrp():
                    child.send_signal(number)
        before(number, frame)

    signal.signal(signal.SIGINT, receive)
