"""A TCP proxy for tests: a network that is cut, holds back what passes, or swallows it without a reset or an end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from tidemill.platform.nats_server import free_port

BLOCK = 1 << 16
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]


class TcpProxy:
    """Forwards connections to ``target``, a port of this machine, until told otherwise. ``port`` is its own."""

    def __init__(self, target: int) -> None:
        self.port = free_port()
        self.connections = 0
        """How many were accepted so far."""
        self._target = target
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._dead_before = 0
        self._swallowing = False
        self._breaks: dict[str, list[int]] = {"sent": [], "received": []}

    async def start(self) -> None:
        """Accept connections."""
        self._server = await asyncio.start_server(accepting(self._accept), "127.0.0.1", self.port)

    async def cut(self) -> None:
        """Reset every connection and refuse new ones."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in list(self._open):
            with contextlib.suppress(Exception):
                writer.transport.abort()

    def hold(self) -> None:
        """Let bytes pile up on both sides, as a network does that delays packets; they pass when it is healed."""
        self._flowing.clear()

    def swallow(self, *, new: bool = True) -> None:
        """Nothing passes on the connections there are, ever again; with ``new`` not on those to come before healing."""
        self._dead_before = self.connections + 1
        self._swallowing = new

    def break_off(self, *, sent: int | None = None, received: int | None = None, times: int = 1) -> None:
        """Reset the next ``times`` connections on which the client has sent, or received, that many bytes."""
        for way, after in (("sent", sent), ("received", received)):
            if after is not None:
                self._breaks[way] += [after] * times

    async def heal(self) -> None:
        """Let everything pass again, except on connections that were swallowed."""
        if self._swallowing:
            self._dead_before = self.connections + 1
            self._swallowing = False
        self._flowing.set()
        if self._server is None:
            await self.start()

    async def close(self) -> None:
        """End for good."""
        await self.cut()
        self._flowing.set()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number = self.connections
        try:
            await self._flowing.wait()
            there, back = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        ends = {writer, back}
        self._open |= ends
        try:
            await self._either(
                number, self._pump(number, reader, back, "sent"), self._pump(number, there, writer, "received")
            )
        finally:
            self._open -= ends
            for end in ends:
                with contextlib.suppress(Exception):
                    end.transport.abort()

    def _swallowed(self, number: int) -> bool:
        return self._swallowing or number < self._dead_before

    async def _pump(self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: str) -> None:
        passed = 0
        with contextlib.suppress(OSError):
            while block := await reader.read(BLOCK):
                await self._flowing.wait()
                passed += len(block)
                if self._breaks[way] and passed >= self._breaks[way][0]:
                    del self._breaks[way][0]
                    return
                if not self._swallowed(number):
                    writer.write(block)
                    await writer.drain()

    async def _either(self, number: int, *pumps: Awaitable[None]) -> None:
        """Until one side ends; of a swallowed connection neither hears that the other has."""
        tasks = [asyncio.ensure_future(pump) for pump in pumps]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if self._swallowed(number):
                await asyncio.wait(tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def accepting(serve: Serve) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], None]:
    """A callback that keeps its tasks: asyncio alone would let a connection be collected while it waits."""
    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    return accept


@asynccontextmanager
async def proxied(target: int) -> AsyncIterator[TcpProxy]:
    """A proxy for the block."""
    proxy = TcpProxy(target)
    await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.close()
