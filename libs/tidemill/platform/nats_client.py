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
from tidemill.platform.nats_server import NatsServerConfig
from tidemill.settings import PlatformSettings

if TYPE_CHECKING:
    from nats.aio.client import Client


@dataclass(frozen=True)
class NatsAccount:
    """A NATS server's address and who may connect; ``operator`` may ask the server how it is."""

    url: str
    user: str | None
    password: str | None
    operator: str | None = None


def account_of(data: DataDir) -> NatsAccount | None:
    """How the NATS server is reached that runs in this folder, else the one that ``TIDEMILL_NATS_…`` name."""
    record = data.record()
    if record is not None and record.running:
        account = data.credentials()
        config = NatsServerConfig(port=0, user=account.user, password=account.password, data_dir=data.jetstream)
        return NatsAccount(record.nats_url, account.user, account.password, config.system_user)
    if "TIDEMILL_NATS_URL" not in os.environ:
        return None
    settings = PlatformSettings()
    password = settings.nats_password.get_secret_value() if settings.nats_password else None
    return NatsAccount(settings.nats_url, settings.nats_user, password)


class Refused(ConnectionError):
    """The server answers and does not accept the credentials."""


@asynccontextmanager
async def connected_once(
    url: str, *, user: str | None, password: str | None, timeout: float = 2.0
) -> AsyncIterator[Client]:
    """A connected client for the block.

    Raises:
        Refused: the credentials are not accepted.
        ConnectionError: nothing answers at ``url`` within ``timeout`` seconds; says why.
    """
    import nats  # takes a third of a second
    import nats.errors

    failures: list[Exception] = []

    async def failed(error: Exception) -> None:
        failures.append(error)

    try:
        async with asyncio.timeout(2 * timeout):
            client = await nats.connect(
                url, user=user, password=password, error_cb=failed,
                allow_reconnect=False, max_reconnect_attempts=1, reconnect_time_wait=0, connect_timeout=timeout,
            )  # fmt: skip
    except (nats.errors.Error, OSError, TimeoutError) as error:
        why = failures[-1] if failures else error
        if "authorization" in f"{why!r} {error!r}".lower():
            raise Refused(f"the server at {url} does not accept the credentials") from error
        raise ConnectionError(f"nothing answers at {url} ({why!r})") from error
    try:
        yield client
    finally:
        await client.close()
