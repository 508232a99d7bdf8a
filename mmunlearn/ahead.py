"""The next piece of work is made ready in a thread while this one is worked on."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Made = TypeVar("Made")


def ahead(make: Callable[[Item], Made], items: Iterable[Item]) -> Iterator[Made]:
    """`make` of every item, in order, that of the next one in the making while the caller has this one.

    An error of `make` is raised when its item's turn comes. Where the caller stops, or is told to, what is in the
    making is waited for.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as pool:
        making: deque[Future[Made]] = deque()
        for item in items:
            making.append(pool.submit(make, item))
            if len(making) > 1:
                yield making.popleft().result()
        if making:
            yield making.popleft().result()
