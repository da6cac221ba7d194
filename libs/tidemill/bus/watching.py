"""A watch of a KV bucket that says when the bucket was lost, so that whoever watches can begin again.

nats-py's watch of a bucket that is deleted and made again falls silent: it asks the new one for what comes behind the
last sequence of the old one.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import TYPE_CHECKING

from nats.js.errors import NotFoundError
from nats.js.kv import KeyValue

from tidemill.bus.connection import UNREACHABLE, Bus
from tidemill.bus.streams import bucket_stream
from tidemill.errors import TransientError

if TYPE_CHECKING:
    Entries = AsyncIterator[KeyValue.Entry | None]

PULSE = 3.0
"""Seconds of silence after which the bucket is looked at."""


@asynccontextmanager
async def watching(bus: Bus, name: str, keys: str) -> AsyncIterator[Entries]:
    """Every entry of bucket ``name`` that matches ``keys`` as it is now, None, then every change.

    Raises:
        TransientError: it cannot be watched; while iterating: it was lost, or made anew, and has to be watched anew.
    """
    bucket = await bus.bucket(name)
    try:
        created = await _created(bus, name)
        watcher = await bucket.watch(keys)
    except UNREACHABLE as error:
        raise TransientError(f"KV bucket {name!r} cannot be watched: {error!r}") from error

    async def entries() -> Entries:
        while True:
            try:
                entry = await watcher.updates(timeout=PULSE)  # type: ignore[no-untyped-call]
            except asyncio.TimeoutError:
                await _still_there(bus, name, created)
                continue
            yield entry

    try:
        yield entries()
    finally:
        with contextlib.suppress(*UNREACHABLE):  # also while disconnected: the client would subscribe again
            await watcher.stop()  # type: ignore[no-untyped-call]


async def _still_there(bus: Bus, name: str, created: datetime | None) -> None:
    try:
        now = await _created(bus, name)
    except NotFoundError:
        raise TransientError(f"KV bucket {name!r} is lost; the registry makes it again") from None
    except UNREACHABLE:
        return  # an outage says nothing about the bucket
    if now != created:
        raise TransientError(f"KV bucket {name!r} was made anew")


async def _created(bus: Bus, name: str) -> datetime | None:
    return (await bus.jetstream.stream_info(bucket_stream(name))).created
