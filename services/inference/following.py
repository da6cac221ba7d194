"""Follows a KV bucket for ever: the bucket while NATS is there, what was last known of it on disk while it is not."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from tidemill.bus import Bus
from tidemill.errors import TransientError

log = logging.getLogger(__name__)

Change = TypeVar("Change")
Kept = TypeVar("Kept", bound=BaseModel)

FIRST_ANSWER_SECONDS = 0.5
"""How long a starting gateway waits for NATS before it uses what was last known."""
_RETRY_SECONDS = 0.5
_TICK_SECONDS = 1.0
_RENEW_SECONDS = 60.0
"""A watch is made anew after this much silence: an ephemeral consumer can be lost with the server that held it."""


async def connect_for_good(bus: Bus, connected: asyncio.Event) -> None:
    """Connect as soon as there is a server, and set ``connected``; the client reconnects by itself from then on."""
    while not connected.is_set():
        try:
            await bus.connect()
        except TransientError as error:
            log.debug("NATS cannot be reached: %s", error)
            await asyncio.sleep(_RETRY_SECONDS)
        else:
            connected.set()


class Following(ABC, Generic[Change]):
    """One bucket. What a change means is the subclass's."""

    what: str
    """What the bucket holds, for the log."""

    def __init__(self, bus: Bus, connected: asyncio.Event) -> None:
        self._bus = bus
        self._connected = connected
        self.known = asyncio.Event()
        """Set once there is something to go by, from the bus or from the disk."""

    @abstractmethod
    def watching(self) -> AbstractAsyncContextManager[AsyncIterator[Change]]:
        """A watch of the bucket."""

    @abstractmethod
    async def take(self, change: Change) -> None:
        """Take a change in; sets ``known`` when what was there at the start is complete."""

    @abstractmethod
    def use_last_known(self) -> None:
        """NATS does not answer: go by what is on this machine's disk."""

    async def run(self) -> None:
        """Follow until cancelled."""
        following = asyncio.create_task(self._follow_for_ever())
        try:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self.known.wait(), FIRST_ANSWER_SECONDS)
            if not self.known.is_set():
                self.use_last_known()
                self.known.set()
            await following
        finally:
            following.cancel()

    async def _follow_for_ever(self) -> None:
        await self._connected.wait()
        while True:
            try:
                await self._follow()
            except TransientError as error:
                log.debug("%s cannot be watched: %s", self.what, error)
                await asyncio.sleep(_RETRY_SECONDS)
            except Exception:
                log.exception("the watch of the %s broke off; it starts again", self.what)
                await asyncio.sleep(_RETRY_SECONDS)

    async def _follow(self) -> None:
        """Watch until the connection was lost in between, or nothing came for long."""
        reconnects = self._bus.client.stats["reconnects"]
        loop = asyncio.get_running_loop()
        async with self.watching() as changes:
            coming = asyncio.ensure_future(anext(changes))
            renew_at = loop.time() + _RENEW_SECONDS
            try:
                while self._bus.client.stats["reconnects"] == reconnects and loop.time() < renew_at:
                    await asyncio.wait({coming}, timeout=_TICK_SECONDS)
                    if coming.done():
                        await self.take(coming.result())
                        coming = asyncio.ensure_future(anext(changes))
                        renew_at = loop.time() + _RENEW_SECONDS
            finally:
                coming.cancel()
                with contextlib.suppress(asyncio.CancelledError, Exception):
                    await coming


def read_kept(file: Path, kind: type[Kept]) -> list[Kept] | None:
    """What ``write_kept`` wrote; None where nothing was written or it cannot be read, which the log says."""
    try:
        return TypeAdapter(list[kind]).validate_json(file.read_bytes())  # type: ignore[valid-type]
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        log.error("%s cannot be read: %s; it is written again when NATS is back", file, error)
        return None


def write_kept(file: Path, values: Sequence[BaseModel]) -> None:
    """Replace ``file`` in one step; only its owner can read it."""
    documents: list[Any] = [one.model_dump(mode="json") for one in values]
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f".{file.name}.part")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as opened:
        json.dump(documents, opened, ensure_ascii=False, indent=1)
    part.replace(file)
