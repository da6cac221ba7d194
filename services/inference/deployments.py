"""Follows the desired state of serving: the KV bucket while NATS is there, the last known state on disk while not.

A deployment that is missing from a bucket made anew is not taken out of service; only its removal is.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from pathlib import Path

from pydantic import ValidationError

from services.inference.serving.models import ServedModels
from tidemill.bus import Bus, DeploymentChange, Deployments
from tidemill.contracts import Deployment
from tidemill.errors import TransientError

log = logging.getLogger(__name__)

FIRST_ANSWER_SECONDS = 0.5
"""How long a starting gateway waits for NATS before it serves the last known state."""
_RETRY_SECONDS = 0.5
_TICK_SECONDS = 1.0
_RENEW_SECONDS = 60.0
"""A watch is made anew after this much silence: an ephemeral consumer can be lost with the server that held it."""


class DeploymentWatch:
    """Hands every change of this project's deployments to ``models`` and remembers them in ``file``."""

    def __init__(self, bus: Bus, models: ServedModels, *, project: str, file: Path) -> None:
        self._bus = bus
        self._models = models
        self._project = project
        self._file = file
        self.connected = asyncio.Event()
        """Set once the bus was reached for the first time."""
        self.known = asyncio.Event()
        """Set once the desired state is known, from the bus or from the disk."""

    async def run(self) -> None:
        """Follow until cancelled."""
        following = asyncio.create_task(self._follow_for_ever())
        try:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self.known.wait(), FIRST_ANSWER_SECONDS)
            if not self.known.is_set():
                self._use_last_known()
            await following
        finally:
            following.cancel()

    async def _follow_for_ever(self) -> None:
        while True:
            try:
                if not self.connected.is_set():
                    await self._bus.connect()
                    self.connected.set()
                await self._follow()
            except TransientError as error:
                log.debug("deployments cannot be watched: %s", error)
                await asyncio.sleep(_RETRY_SECONDS)
            except Exception:
                log.exception("the watch of the deployments broke off; it starts again")
                await asyncio.sleep(_RETRY_SECONDS)

    async def _follow(self) -> None:
        """Watch until the connection was lost in between, or nothing came for long."""
        reconnects = self._bus.client.stats["reconnects"]
        loop = asyncio.get_running_loop()
        async with Deployments(self._bus).watching() as changes:
            coming = asyncio.ensure_future(anext(changes))
            renew_at = loop.time() + _RENEW_SECONDS
            try:
                while self._bus.client.stats["reconnects"] == reconnects and loop.time() < renew_at:
                    await asyncio.wait({coming}, timeout=_TICK_SECONDS)
                    if coming.done():
                        await self._take(coming.result())
                        coming = asyncio.ensure_future(anext(changes))
                        renew_at = loop.time() + _RENEW_SECONDS
            finally:
                coming.cancel()
                with contextlib.suppress(asyncio.CancelledError, Exception):
                    await coming

    async def _take(self, change: DeploymentChange) -> None:
        if change.caught_up:
            self.known.set()
        elif change.project != self._project:
            return
        elif change.deployment is None:
            self._models.remove(change.name)
        else:
            self._models.apply(change.deployment)
        if self.known.is_set():
            await asyncio.to_thread(_write, self._file, self._models.deployments())

    def _use_last_known(self) -> None:
        last = _read(self._file)
        for deployment in last:
            self._models.apply(deployment)
        log.warning("NATS does not answer; serving the last known deployments (%d)", len(last))
        self.known.set()


def _read(file: Path) -> list[Deployment]:
    try:
        return [Deployment.model_validate(one) for one in json.loads(file.read_bytes())]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError, ValidationError) as error:
        log.error("%s cannot be read: %s; it is written again when NATS is back", file, error)
        return []


def _write(file: Path, deployments: list[Deployment]) -> None:
    text = json.dumps([one.model_dump(mode="json") for one in deployments], ensure_ascii=False, indent=1)
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f".{file.name}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(file)
