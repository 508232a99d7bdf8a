"""The HTTP connection of a chat endpoint: every attempt is bounded in time and in size, and no redirect is followed.

Attempts run on an event loop of their own thread, where one can be ended at any point: while a name is looked up, while
a server sends one byte a second. Imported at the first call alone: it needs the package openai.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextvars import ContextVar
from functools import cache
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx2
import openai

from mmunlearn.endpoint import ChatError, is_local, redacted, shown_url

LARGEST = 4 * 2**20
"""Bytes of an answer at most, as it is after decompression: a chat's reply has some thousand."""
SLOWEST = 2**18
"""Bytes a second of a file that is sent or fetched, at least."""
BLOCK = 2**16
T = TypeVar("T")
_lock = threading.Lock()
_largest: ContextVar[int] = ContextVar("largest", default=LARGEST)


class UnreadableError(RuntimeError):
    """An answer is larger than it may be, or compressed in a way that nobody asked for."""


class Connection:
    """The library's client for one endpoint. Safe to share between threads.

    Args:
        base_url, key: as they are sent.
        timeout: seconds of one attempt, from the look-up of the name to the last byte.
    Raises:
        ChatError: the environment's proxy or certificates cannot be used.
    """

    def __init__(self, base_url: str, key: str, timeout: float) -> None:
        self._timeout = timeout
        try:
            http = openai.DefaultAsyncHttpxClient(
                trust_env=not is_local(base_url),
                follow_redirects=False,
                headers={"Accept-Encoding": "gzip, deflate"},
                event_hooks={"response": [_bound]},
            )
            self._client = openai.AsyncOpenAI(
                base_url=base_url,
                api_key=key or "none",
                timeout=timeout,
                max_retries=0,  # tried again where attempts are counted
                http_client=http,
            )
        except (ValueError, ImportError, OSError, httpx2.InvalidURL) as error:
            found = f"{type(error).__name__}: {redacted(str(error), key)[:200]}"
        else:
            found = ""
        if found:  # outside the handler: the cause may quote a proxy's password
            raise ChatError(
                f"Asked for a connection to {shown_url(base_url)} by the proxy and the certificates of the environment "
                f"(HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, SSL_CERT_FILE). Found {found}. Correct or unset them."
            )
        if shown_url(base_url) != base_url:
            for name in ("openai", "httpx2", "httpcore2"):  # they tell of addresses
                logging.getLogger(name).setLevel(logging.WARNING)
        if not f".{urlsplit(base_url).hostname}".endswith(".openai.com"):  # whose the environment's ids are
            self._client.organization = self._client.project = None

    def run(self, work: Callable[[Any], Awaitable[T]], size: int = 0) -> T:
        """What one attempt with the client gives.

        Args:
            size: bytes of a file that it sends or fetches: it may take longer by that, and be larger.
        Raises:
            TimeoutError, UnreadableError, openai.OpenAIError: what became of it instead.
        """
        future = asyncio.run_coroutine_threadsafe(self._attempt(work, size), _loop())
        try:
            return future.result()
        finally:
            future.cancel()  # where the caller was interrupted

    async def _attempt(self, work: Callable[[Any], Awaitable[T]], size: int) -> T:
        _largest.set(LARGEST + size)
        async with asyncio.timeout(self._timeout + size / SLOWEST):
            return await work(self._client)

    def close(self) -> None:
        self.run(lambda client: client.close())


def _loop() -> asyncio.AbstractEventLoop:
    """The one loop, which every connection uses."""
    with _lock:
        return _started()


@cache
def _started() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="chat", daemon=True).start()
    return loop


async def _bound(response: httpx2.Response) -> None:
    """Let an answer's body be decompressed here, where it can be measured."""
    coding = response.headers.pop("Content-Encoding", "identity").strip().lower()
    response.stream = _Body(response.stream, coding, _largest.get())


class _Body(httpx2.AsyncByteStream):
    def __init__(self, stream: Any, coding: str, largest: int) -> None:
        self._stream, self._coding, self._largest = stream, coding, largest

    async def __aiter__(self) -> AsyncIterator[bytes]:
        decode, size = _decoder(self._coding), 0
        async for part in self._stream:
            for block in decode(part):
                size += len(block)
                if size > self._largest:
                    raise UnreadableError(f"an answer of more than {self._largest:,} bytes")
                yield block

    async def aclose(self) -> None:
        await self._stream.aclose()


def _decoder(coding: str) -> Callable[[bytes], Iterator[bytes]]:
    """What makes small blocks of plain bytes from a part of a body."""
    if coding in ("", "identity"):
        return lambda part: iter((part,))
    if coding not in ("gzip", "x-gzip", "deflate"):
        raise UnreadableError(f"an answer in the coding '{coding[:40]}', which was not asked for")
    inflate = zlib.decompressobj(wbits=47)  # gzip or zlib, as the data says

    def decode(part: bytes) -> Iterator[bytes]:
        try:
            while part and not inflate.eof:
                yield inflate.decompress(part, BLOCK)
                part = inflate.unconsumed_tail
            while not inflate.eof and (rest := inflate.decompress(b"", BLOCK)):
                yield rest
        except zlib.error as error:
            raise httpx2.ReadError(f"a body that does not decompress: {error}") from None

    return decode
