"""A network that the suite can cut: a TCP proxy, and one for S3 that answers in the store's place."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Literal

from tidemill.platform.nats_server import free_port

BLOCK = 1 << 16
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]


class TcpProxy:
    """Forwards connections to ``target``. Cut: they are dropped and new ones refused. Held: nothing passes."""

    def __init__(self, target: int) -> None:
        self.port = free_port()
        self.connections = 0
        """How many were accepted so far."""
        self._target = target
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()

    async def start(self) -> None:
        """Accept connections."""
        self._server = await asyncio.start_server(_held(self._accept), "127.0.0.1", self.port)

    async def cut(self) -> None:
        """Reset every connection and refuse new ones."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self._drop()

    def hold(self) -> None:
        """Let bytes pile up on both sides, as a network does that swallows packets."""
        self._flowing.clear()

    async def heal(self) -> None:
        """Let everything pass again."""
        self._flowing.set()
        if self._server is None:
            await self.start()

    async def close(self) -> None:
        """End for good."""
        await self.cut()
        self._flowing.set()

    def _drop(self) -> None:
        for writer in list(self._open):
            with contextlib.suppress(Exception):
                writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            await self._flowing.wait()
            there, back = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        ends = {writer, back}
        self._open |= ends
        try:
            await _first(self._pump(reader, back), self._pump(there, writer))
        finally:
            self._open -= ends
            for end in ends:
                with contextlib.suppress(Exception):
                    end.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while block := await reader.read(BLOCK):
                await self._flowing.wait()
                writer.write(block)
                await writer.drain()


Trouble = Literal["none", "storage-full", "quota", "slow", "refuse", "reset", "unavailable"]

_ANSWERS: dict[str, tuple[int, str, str]] = {
    "storage-full": (507, "XMinioStorageFull", "Storage backend has reached its minimum free drive threshold."),
    "quota": (400, "XMinioAdminBucketQuotaExceeded", "Bucket quota exceeded"),
    "unavailable": (503, "ServiceUnavailable", "Reduce your request rate."),
}
_WRITES = ("PUT", "POST")


@dataclass
class S3Proxy:
    """Stands before an S3 server; one request a connection. ``trouble`` says what happens to requests from now on."""

    target: int
    port: int = field(default_factory=free_port)
    trouble: Trouble = "none"
    requests: int = 0
    troubled: int = 0
    """Requests that met trouble."""
    _server: asyncio.Server | None = field(default=None, repr=False)

    async def start(self) -> None:
        """Accept connections."""
        self._server = await asyncio.start_server(_held(self._serve), "127.0.0.1", self.port)

    async def close(self) -> None:
        """End for good."""
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.requests += 1
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            await self._request(reader, writer)
        with contextlib.suppress(Exception):
            writer.close()

    async def _request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        trouble = self.trouble
        if trouble == "refuse":
            self.troubled += 1
            writer.transport.abort()
            return
        head = await reader.readuntil(b"\r\n\r\n")
        method = head.split(b" ", 1)[0].decode()
        length = _length(head)
        if trouble in _ANSWERS and (method in _WRITES or trouble == "unavailable"):
            self.troubled += 1
            await _discard(reader, length)
            writer.write(_refusal(*_ANSWERS[trouble]))
            await writer.drain()
            return
        if trouble == "slow":
            self.troubled += 1
            await asyncio.sleep(random.uniform(0.5, 1.5))
        there, back = await asyncio.open_connection("127.0.0.1", self.target)
        try:
            first, rest = head.split(b"\r\n", 1)
            back.write(first + b"\r\nConnection: close\r\n" + _without_connection(rest))
            await self._body(reader, back, length)
            await self._answer(there, writer, broken=trouble == "reset")
        finally:
            back.close()

    async def _body(self, reader: asyncio.StreamReader, back: asyncio.StreamWriter, length: int) -> None:
        while length > 0:
            block = await reader.read(min(BLOCK, length))
            if not block:
                raise ConnectionResetError
            length -= len(block)
            back.write(block)
            await back.drain()

    async def _answer(self, there: asyncio.StreamReader, writer: asyncio.StreamWriter, *, broken: bool) -> None:
        if broken:  # the request was carried out; its answer gets lost half way
            self.troubled += 1
            writer.write((await there.read(BLOCK))[:60])
            with contextlib.suppress(OSError):
                await writer.drain()
            writer.transport.abort()
            return
        while block := await there.read(BLOCK):
            writer.write(block)
            await writer.drain()


def _length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    return 0


def _without_connection(head: bytes) -> bytes:
    return b"\r\n".join(line for line in head.split(b"\r\n") if not line.lower().startswith(b"connection:"))


async def _discard(reader: asyncio.StreamReader, length: int) -> None:
    while length > 0 and (block := await reader.read(min(BLOCK, length))):
        length -= len(block)


def _refusal(status: int, code: str, message: str) -> bytes:
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()
    return (
        f"HTTP/1.1 {status} {code}\r\nContent-Type: application/xml\r\nContent-Length: {len(body)}\r\n"
        "Connection: close\r\n\r\n"
    ).encode() + body


def _held(serve: Serve) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], None]:
    """A callback that keeps its tasks: asyncio alone would let a connection be collected while it waits."""
    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    return accept


async def _first(*pumps: Awaitable[None]) -> None:
    tasks = [asyncio.ensure_future(pump) for pump in pumps]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
