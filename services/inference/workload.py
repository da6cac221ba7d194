"""What waits for the stages, told to whoever scales their workers. Asked at most once in a while, however many ask."""

from __future__ import annotations

import asyncio
import logging
import time

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from tidemill.bus import Bus
from tidemill.bus.waiting import WaitingWork, waiting_work
from tidemill.errors import TidemillError

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

    async def render(self) -> bytes:
        """Prometheus' text of what waits now, or did two seconds ago.

        Empty when the bus cannot be asked, which is not the same as nothing: nobody is to scale by an old figure.
        """
        async with self._asking:
            if time.monotonic() - self._found_at > VALID_SECONDS:
                self._found = await self._count()
                self._found_at = time.monotonic()
            return _text(self._found) if self._found is not None else b""

    async def _count(self) -> WaitingWork | None:
        if not self._bus.connected:
            return None
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                return await waiting_work(self._bus.jetstream)
        except (TidemillError, TimeoutError) as error:
            log.warning("metrics leave out what waits: %s", error or "no answer in time")
            return None


def _text(work: WaitingWork) -> bytes:
    registry = CollectorRegistry()
    events = Gauge("tidemill_waiting_events", "Events that a stage has not planned yet.", ["stage"], registry=registry)
    jobs = Gauge(
        "tidemill_waiting_jobs", "Jobs of all projects that are queued or in hand.", ["stage", "resource_class"],
        registry=registry,
    )  # fmt: skip
    for stage, count in work.events.items():
        events.labels(stage).set(count)
    for (stage, resource_class), count in work.jobs.items():
        jobs.labels(stage, resource_class).set(count)
    return generate_latest(registry)
