"""What services find when they start: the bucket, the streams and the database's schema. Safe to repeat."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from tidemill.artifacts import open_store
from tidemill.artifacts.buckets import NotOffered, prepare_bucket
from tidemill.bus import Bus
from tidemill.bus.connection import UNREACHABLE
from tidemill.bus.permissions import PROVISION
from tidemill.bus.streams import provision, stream_limits
from tidemill.errors import PermanentError, TransientError
from tidemill.settings import PlatformSettings, StreamSettings

CONNECT_SECONDS = 5.0

T = TypeVar("T")
Said = Callable[[str], None]


@dataclass(frozen=True)
class Provisioned:
    """Where everything is, without credentials."""

    store: str
    notifies: bool
    """Whether the store tells of new objects in its inbox."""
    nats: str
    replicas: int
    database: str


async def provision_platform(
    platform: PlatformSettings, streams: StreamSettings, *, notify: str | None, patience: float, said: Said
) -> Provisioned:
    """Prepare store, streams and database, each waited for up to ``patience`` seconds. ``said`` hears of each.

    ``notify`` is the target that the bucket is to tell of new objects (see ``prepare_bucket``). A store that does not
    know it is told of and used without: datasets are published then.

    Raises:
        PermanentError: one of them refuses, or cannot be used.
        TransientError: one of them could not be reached in time.
    """
    deadline = time.monotonic() + patience

    async def prepare_store() -> bool:
        await prepare_bucket(platform.store_url)
        await open_store(platform.store_url, cache=platform.data_dir / "cache").check()
        return notify is not None and await _notifies(platform.store_url, notify, said)

    notifies = await _persist(prepare_store, deadline, said)
    said(f"the store {platform.store_url} is ready{', and tells of new objects in its inbox' if notifies else ''}")
    await _persist(lambda: _prepare_streams(platform, streams), deadline, said)
    said(f"the streams at {platform.nats_url} are ready ({streams.replicas} replicas)")
    database = await _persist(_prepare_database, deadline, said)
    said(f"the database {database} is ready")
    return Provisioned(platform.store_url, notifies, platform.nats_url, streams.replicas, database)


async def _notifies(store_url: str, notify: str, said: Said) -> bool:
    try:
        await prepare_bucket(store_url, notify=notify)
    except NotOffered as error:
        said(f"{error}; what is put into its inbox starts no run until then")
        return False
    return True


async def _prepare_streams(platform: PlatformSettings, streams: StreamSettings) -> None:
    # A service's connection tries for ever, and nats-py logs each failure; here the caller tries again and says so.
    logging.getLogger("nats.aio.client").setLevel(logging.CRITICAL)
    bus = Bus.from_settings(platform, PROVISION)
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            await bus.connect()
    except TimeoutError:
        raise TransientError(f"no NATS server answers at {platform.nats_url}") from None
    try:
        await provision(bus.client, stream_limits(streams, platform.silence))
    except (*UNREACHABLE, OSError) as error:
        raise TransientError(f"the streams at {platform.nats_url} cannot be provisioned: {error!r}") from error
    finally:
        await bus.broker.stop()


async def _prepare_database() -> str:
    """In a process of its own, since the database is the registry's and this knows no service."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", "services.registry.migrate",
        env=os.environ, stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    if process.returncode == 0:
        return str(json.loads(out.splitlines()[-1])["database"])
    lines = err.decode(errors="replace").strip().splitlines() or ["it said nothing"]
    if process.returncode == os.EX_TEMPFAIL:
        raise TransientError(lines[-1])
    raise PermanentError(f"the registry's database cannot be prepared: {lines[-1]}")


async def _persist(attempt: Callable[[], Awaitable[T]], deadline: float, said: Said) -> T:
    """What ``attempt`` returns, tried until ``deadline`` while it is only out of reach."""
    delay = 0.2
    while True:
        try:
            return await attempt()
        except TransientError as error:
            if time.monotonic() + delay > deadline:
                raise
            said(f"{error}; trying again")
            await asyncio.sleep(delay)
            delay = min(delay * 2, 5.0)
