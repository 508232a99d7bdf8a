"""A file from a plain address: whole or not at all, never over a weaker connection than asked for, never endlessly."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
from pathlib import Path
from typing import Any

from mmunlearn.endpoint import redacted, shown_url
from mmunlearn.progress import progress
from mmunlearn.records import atomic_path
from mmunlearn.weights.entries import Entry
from mmunlearn.weights.errors import WeightsError
from mmunlearn.weights.files import MEGABYTE
from mmunlearn.weights.lock import Fact

TIMEOUT = 60.0
"""Seconds until the answer begins, and for every megabyte of it."""
LARGEST = 2**36
"""Bytes of a file at most whose server does not say its size."""
logger = logging.getLogger("mmunlearn")


def download_plain(entry: Entry, folder: Path) -> None:
    """Fetch the one file of an entry with an address.

    Raises:
        WeightsError: refused, broken off, too slow, or not of the pinned SHA-256; no file is left.
    """
    import httpx2

    (name,) = entry.files
    request = f"asked {shown_url(str(entry.url))} for {name}"
    again = f"run the rule again, or put the file at {folder / name} by hand"
    logger.info("%s from %s", name, shown_url(str(entry.url)))
    with atomic_path(folder / name) as temporary:
        try:
            fact = asyncio.run(_fetch(str(entry.url), temporary, name))
        except httpx2.HTTPStatusError as error:
            answer = error.response
            problem = f"found it refused ({answer.status_code} {redacted(answer.reason_phrase)[:100]})"
        except TimeoutError:
            problem = f"broken off (less than a megabyte in {TIMEOUT:g} seconds); nothing was kept"
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            problem = f"broken off ({redacted(str(error))[:200] or type(error).__name__}); nothing was kept"
        else:
            pin = entry.pin(name)
            if not pin or fact.sha256.startswith(pin):
                return
            problem = (
                f"expected the SHA-256 {pin} that resources/weights.yaml pins; received {fact.size} bytes with "
                f"{fact.sha256}; nothing was kept"
            )
        raise WeightsError(f"{request}; {problem}; {again}")


async def _fetch(url: str, target: Path, name: str) -> Fact:
    """Write an answer's body to a file and to the disk."""
    import httpx2

    async def safe(request: Any) -> None:
        if request.url.scheme != "https" and url.startswith("https:"):
            raise httpx2.UnsupportedProtocol(
                f"it leads from https to {request.url.scheme}, where anyone can change it"
            )

    digest, size, loop = hashlib.sha256(), 0, asyncio.get_running_loop()
    headers = {"User-Agent": "mmunlearn", "Accept-Encoding": "identity"}
    client = httpx2.AsyncClient(headers=headers, follow_redirects=True, event_hooks={"request": [safe]})
    async with (
        asyncio.timeout(TIMEOUT) as wall,
        client,
        client.stream("GET", url, timeout=TIMEOUT) as answer,
    ):
        answer.raise_for_status()
        length = answer.headers.get("Content-Length", "")
        total = int(length) if length.isdecimal() else None
        megabytes = None if total is None else -(-total // MEGABYTE)
        with target.open("wb") as handle, progress(None, name, megabytes, "MB") as bar:
            try:
                async for block in answer.aiter_raw():
                    handle.write(block)
                    digest.update(block)
                    if (size + len(block)) // MEGABYTE > size // MEGABYTE:
                        wall.reschedule(loop.time() + TIMEOUT)
                        bar.update()
                    size += len(block)
                    if total is None and size > LARGEST:
                        raise OSError(f"no end after {size:,} bytes")
            except httpx2.TransportError as error:
                raise OSError(f"expected {total} bytes; received {size}: {error}") from None
            handle.flush()
            os.fsync(handle.fileno())
    return Fact(sha256=digest.hexdigest(), size=size)
