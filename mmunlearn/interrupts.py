"""Ctrl-C, SIGTERM (a scheduler's, `kill`) and a closed terminal: work stops in good order and says how to go on."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SAME = 1.0
"""Seconds within which further signals belong to the first: a job has a Ctrl-C from the terminal and from Snakemake."""
GO_ON = "run the same command again to go on"


class Stopped(KeyboardInterrupt):
    """This process was told to stop. `message` says what is kept and how to go on."""

    def __init__(
        self, number: int, message: str = f"what is finished is kept in results/ and work/: {GO_ON}"
    ) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}; {message}")
        self.number, self.message = number, message

    @property
    def status(self) -> int:
        """Exit status, as shells count it."""
        return 128 + self.number


class Request:
    """Whether, and by which signal, a block was asked to stop."""

    number: int | None = None

    def __bool__(self) -> bool:
        return self.number is not None


_last = float("-inf")
"""When this process was last told to stop, by a clock that only goes forward."""


@contextmanager
def stopping() -> Iterator[None]:
    """Signals raise Stopped inside the block, so that what cleans up does."""

    def handle(number: int) -> None:
        raise Stopped(number)

    with _handled(handle):
        yield


@contextmanager
def deferring(then: Callable[[], None] | None = None) -> Iterator[Request]:
    """The first signal only notes the request, which the block heeds at its next safe place; a second Ctrl-C raises
    Stopped. `then` is called at the first one."""
    request = Request()

    def handle(number: int) -> None:
        if not request:
            request.number = number
            if then is not None:
                then()
        elif number == signal.SIGINT:
            raise Stopped(number, f"at once; what was written before is kept: {GO_ON}")

    with _handled(handle):
        yield request


@contextmanager
def _handled(handle: Callable[[int], None]) -> Iterator[None]:
    """Have signals handled inside the block: not those that are ignored, as by nohup, nor outside the main thread."""

    def receive(number: int, frame: Any) -> None:
        global _last
        now, before = time.monotonic(), _last
        if now - before >= SAME:
            _last = now
            handle(number)

    main = threading.current_thread() is threading.main_thread()
    before = {one: signal.getsignal(one) for one in SIGNALS} if main else {}
    before = {one: handler for one, handler in before.items() if handler != signal.SIG_IGN}
    for one in before:
        signal.signal(one, receive)
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
