"""What waits for the stages, as the gateway's metrics tell it. Asked at most once in a while, however many ask."""

from __future__ import annotations

import asyncio
import logging
import time

from tidemill.bus import Bus
from tidemill.bus.waiting import WaitingWork, waiting_work
from tidemill.errors import TransientError

log = logging.getLogger(__name__)

VALID_SECONDS = 2.0
PATIENCE_SECONDS = 2.0


class Workload:
    """Counts, and remembers the counts for a moment."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._asking = asyncio.Lock()
        self._found: WaitingWork | None = None
        self._found_at = float("-inf")

    async def latest(self) -> WaitingWork | None:
        """What waits now, or did two seconds ago; None when the bus cannot be asked, which is not the same as nothing."""
        async with self._asking:
            if time.monotonic() - self._found_at > VALID_SECONDS:
                self._found = await self._count()
                self._found_at = time.monotonic()
            return self._found

    async def _count(self) -> WaitingWork | None:
        if not self._bus.connected:
            return None
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                return await waiting_work(self._bus.jetstream)
        except (TransientError, TimeoutError) as error:
            log.warning("metrics leave out what waits: %s", error or "no answer in time")
            return None
