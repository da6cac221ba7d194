"""A platform's NATS server as it is reached for one question: tried once, closed afterwards, quiet when it fails.

nats-py tries an address sixty times, two seconds apart, and logs each failure with a traceback.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tidemill.platform.data_dir import DataDir
from tidemill.settings import PlatformSettings

if TYPE_CHECKING:
    from tidemill.bus.client import Client
    from tidemill.bus.login import Login


@dataclass(frozen=True)
class NatsAccount:
    """A NATS server's address and who asks it; ``system`` may ask the server how it is."""

    url: str
    login: Login
    system: Login | None = None


def account_of(data: DataDir) -> NatsAccount | None:
    """How the NATS server is reached that runs in this folder, else the one that ``TIDEMILL_NATS_…`` name."""
    from tidemill.bus.accounts import SYSTEM  # brings nats-py along, which takes a third of a second
    from tidemill.bus.login import Login
    from tidemill.bus.permissions import OPERATOR

    record = data.record()
    if record is not None and record.running:
        return NatsAccount(record.nats_url, login_of(data, OPERATOR), login_of(data, SYSTEM))
    if "TIDEMILL_NATS_URL" not in os.environ:
        return None
    settings = PlatformSettings()
    return NatsAccount(settings.nats_url, Login.of(settings, OPERATOR))


def login_of(data: DataDir, user: str) -> Login:
    """A user of the platform of this machine."""
    from tidemill.bus.login import Login

    return Login(source=user, nkey_file=data.nkey_file(user))


class Refused(ConnectionError):
    """The server answers and does not accept the credentials, or cannot prove who it is."""


@asynccontextmanager
async def connected_once(url: str, login: Login, *, timeout: float = 2.0) -> AsyncIterator[Client]:
    """A connected client for the block.

    Raises:
        Refused: the credentials are not accepted, or the server's certificate is not.
        ConnectionError: nothing answers at ``url`` within ``timeout`` seconds; says why.
        PermanentError: the login's files cannot be used.
    """
    import nats.errors

    from tidemill.bus.client import Client, TlsMismatch
    from tidemill.bus.connection import addresses

    login.check()
    failures: list[Exception] = []

    async def failed(error: Exception) -> None:
        failures.append(error)

    client = Client(f"tidemill-{login.source}", certified=login.certificate is not None)
    try:
        async with asyncio.timeout(2 * timeout):
            await client.connect(
                addresses(url), error_cb=failed, name=f"tidemill-{login.source}",
                allow_reconnect=False, max_reconnect_attempts=1, reconnect_time_wait=0, connect_timeout=timeout,
                **login.options(),
            )  # fmt: skip
    except TlsMismatch as error:
        raise Refused(str(error)) from error
    except (nats.errors.Error, OSError, TimeoutError) as error:
        why = failures[-1] if failures else error
        if "authorization" in f"{why!r} {error!r}".lower():
            raise Refused(f"the server at {url} does not accept the credentials") from error
        raise ConnectionError(f"nothing answers at {url} ({why!r})") from error
    try:
        yield client
    finally:
        await client.close()
