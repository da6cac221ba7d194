"""Whether the registry, the store and the stages can be reached. Asked at most once a second, however many ask."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

import nats.errors
import nats.js.errors
from nats.js.api import ConsumerConfig

from services.inference.routes.views import ConsumerStatus, RegistryStatus, StoreStatus
from tidemill.bus import Bus
from tidemill.bus.subjects import EVENTS, JOBS, project_of
from tidemill.contracts.queries import ListModels
from tidemill.errors import TidemillError
from tidemill.records import RecordStore

VALID_SECONDS = 1.0
PATIENCE_SECONDS = 2.0


@dataclass(frozen=True)
class Reachability:
    """What was found."""

    registry: RegistryStatus
    store: StoreStatus
    lanes: list[tuple[str | None, ConsumerStatus]]
    """Each consumer with the project whose jobs it takes; None for one that is of all projects."""

    def consumers(self, project: str | None) -> list[ConsumerStatus]:
        """Those of all projects and those of ``project``; all there are for None."""
        return [one for of, one in self.lanes if project is None or of in (None, project)]


class Probes:
    """Asks around, and remembers the answers for a moment."""

    def __init__(self, bus: Bus, records: RecordStore, *, project: str) -> None:
        self._bus = bus
        self._records = records
        self._project = project
        self._asking = asyncio.Lock()
        self._found: Reachability | None = None
        self._found_at = 0.0

    async def latest(self) -> Reachability:
        """How things are, or were less than a second ago."""
        async with self._asking:
            if self._found is None or time.monotonic() - self._found_at > VALID_SECONDS:
                found = await asyncio.gather(self._registry(), self._store(), self._consumers())
                self._found = Reachability(*found)
                self._found_at = time.monotonic()
            return self._found

    async def _registry(self) -> RegistryStatus:
        started = time.perf_counter()
        try:
            await self._bus.ask(ListModels(project=self._project), timeout=PATIENCE_SECONDS)
        except TidemillError as error:
            return RegistryStatus(reachable=False, error=str(error))
        return RegistryStatus(reachable=True, ms=round((time.perf_counter() - started) * 1000, 1))

    async def _store(self) -> StoreStatus:
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await self._records.projects()
        except (TidemillError, TimeoutError) as error:
            return StoreStatus(reachable=False, error=str(error) or "no answer in time")
        return StoreStatus(reachable=True)

    async def _consumers(self) -> list[tuple[str | None, ConsumerStatus]]:
        if not self._bus.connected:
            return []
        found: list[tuple[str | None, ConsumerStatus]] = []
        for stream in (EVENTS, JOBS):
            try:
                infos = await self._bus.jetstream.consumers_info(stream)
            except (nats.errors.Error, nats.js.errors.Error, asyncio.TimeoutError):
                continue
            found += [
                (
                    _project(info.config),
                    ConsumerStatus(
                        stream=stream,
                        consumer=info.name,
                        waiting=info.num_waiting or 0,
                        in_progress=info.num_ack_pending or 0,
                        pending=info.num_pending or 0,
                    ),
                )
                for info in infos
                if info.config is not None and info.config.durable_name
            ]
        return sorted(found, key=lambda one: (one[1].stream, one[1].consumer))


def _project(config: ConsumerConfig) -> str | None:
    """The project whose jobs a consumer takes: its filter is the lane of one."""
    subject = config.filter_subject or ""
    return project_of(subject) if subject.startswith("tidemill.job.") and subject.endswith(".*") else None
