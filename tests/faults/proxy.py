"""An S3 server that is in trouble: a proxy that answers in its place."""

from __future__ import annotations

import asyncio
import contextlib
import random
from dataclasses import dataclass, field
from typing import Literal

from tidemill.platform.nats_server import free_port
from tidemill.testing.proxy import BLOCK, accepting

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
        self._server = await asyncio.start_server(accepting(self._serve), "127.0.0.1", self.port)

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
