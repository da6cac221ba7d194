"""A TCP proxy for tests that can swallow what passes, as a network does whose state was lost: no reset, no end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Proxy:
    """Forwards connections to ``host:port`` until told otherwise. ``port`` is its own."""

    def __init__(self, host: str, port: int) -> None:
        self.port = 0
        self.connections = 0
        self._target = (host, port)
        self._dead_before = 0
        self._swallowing = False
        self._tasks: set[asyncio.Task[None]] = set()

    def swallow(self, *, new: bool = True) -> None:
        """Nothing passes on the connections there are; with ``new`` not on those to come either, until ``mend``."""
        self._dead_before = self.connections + 1
        self._swallowing = new

    def mend(self) -> None:
        """New connections pass again; those that were swallowed stay dead."""
        self._dead_before = self.connections + 1
        self._swallowing = False

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take one connection."""
        self.connections += 1
        number = self.connections
        there_reader, there_writer = await asyncio.open_connection(*self._target)
        for source, sink in ((reader, there_writer), (there_reader, writer)):
            task = asyncio.create_task(self._forward(number, source, sink))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _forward(self, number: int, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65536):
                if self._swallowing or number < self._dead_before:
                    continue
                sink.write(data)
                await sink.drain()
        if not (self._swallowing or number < self._dead_before):
            sink.close()

    async def close(self) -> None:
        """End all that goes on."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def proxied(host: str, port: int) -> AsyncIterator[Proxy]:
    """A proxy on a free loopback port."""
    proxy = Proxy(host, port)
    server = await asyncio.start_server(proxy.accept, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        await proxy.close()
