"""How a running NATS server and a running gateway are, as their supervisor asks: what is wrong, would a restart help.

A nats-server 2.15 whose disk is full keeps what it acknowledged, leaves further publishes without an answer, and does
so for ever: the stream that failed to write stays broken after there is space again, until the server restarts. So
it is restarted, but not before there is space: on a full disk the next write would break it again.
"""

from __future__ import annotations

import asyncio
import json
import os
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

from tidemill.errors import TidemillError
from tidemill.platform.nats_client import connected_once
from tidemill.platform.supervisor import Ailment

if TYPE_CHECKING:
    from tidemill.bus.login import Login

Health = Callable[[], Awaitable[Ailment | None]]

HEALTHZ = "$SYS.REQ.SERVER.PING.HEALTHZ"
PATIENCE = 5.0
"""Seconds to wait for an answer."""
ROOM_BYTES = 32 << 20
"""Free space with which a restarted server can be expected to go on."""
ROOM_FILES = 100


def nats_health(url: str, system: Login, folder: Path, *, room: int = ROOM_BYTES) -> Health:
    """Asks the server, as ``system``, whether JetStream is enabled and can write to every stream in ``folder``."""

    async def health() -> Ailment | None:
        try:
            async with asyncio.timeout(PATIENCE):
                wrong = await ask_health(url, system)
        except (OSError, TimeoutError, TidemillError) as error:
            return Ailment(f"no answer to a question about its health ({type(error).__name__})")
        if wrong is None:
            return None
        if not has_room(folder, room):
            return Ailment(
                f"{wrong}; its disk is full: free space for {folder}, it is restarted then",
                restart_helps=False,
            )
        return Ailment(wrong)

    return health


async def ask_health(url: str, system: Login) -> str | None:
    """What the server itself finds wrong, None when nothing.

    Raises:
        OSError: it cannot be asked.
    """
    from nats.errors import Error

    try:
        async with connected_once(url, system) as client:
            answer = json.loads((await client.request(HEALTHZ, b"", timeout=PATIENCE)).data)
    except (Error, ValueError) as error:
        raise ConnectionError(f"{url} does not say how it is: {error!r}") from error
    data = answer.get("data", {})
    if data.get("status") == "ok":
        return None
    return str(data.get("error") or data.get("status") or "it does not say how it is")


def has_room(folder: Path, room: int = ROOM_BYTES) -> bool:
    """Whether the file system of ``folder`` has ``room`` bytes, and files, to give; True when it does not say."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return True
    files = found.f_files == 0 or found.f_favail >= ROOM_FILES
    return files and found.f_bavail * found.f_frsize >= room


def gateway_health(host: str, port: int, *, over_tls: bool = False) -> Health:
    """Whether the gateway answers at all: one that is busy or not ready says so, and is left alone."""

    async def health() -> Ailment | None:
        if await http_status(host, port, "/readyz", timeout=2 * PATIENCE, over_tls=over_tls) is None:
            return Ailment(f"no answer on port {port}")
        return None

    return health


async def http_status(host: str, port: int, path: str, timeout: float = 2.0, *, over_tls: bool = False) -> int | None:
    """Status of a GET; None when nobody answers. A whole HTTP client would take longer to import than to wait for.

    ``over_tls`` trusts any certificate: a supervisor asks its own child whether it answers, and tells it nothing.
    """
    try:
        async with asyncio.timeout(timeout):
            reader, writer = await asyncio.open_connection(host, port, ssl=_any_certificate() if over_tls else None)
            try:
                writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
                await writer.drain()
                line = await reader.readline()
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return None
    parts = line.split()
    return int(parts[1]) if len(parts) > 1 and parts[1].isdigit() else None


def _any_certificate() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
