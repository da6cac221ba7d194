"""A connection to NATS for one question: tried once, closed afterwards, quiet when it fails.

nats-py tries an address sixty times, two seconds apart, and logs each failure with a traceback.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nats.aio.client import Client


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
