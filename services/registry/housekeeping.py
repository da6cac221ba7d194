"""Garbage collection beside the reconciler: by the elected replica, once in a while, and soon after a deletion."""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import UTC, datetime, timedelta

from services.registry.database import Database
from services.registry.repositories import Deletions
from tidemill.artifacts.objects import Objects
from tidemill.audit import put_on_record_everywhere
from tidemill.bus import Leases
from tidemill.errors import TidemillError
from tidemill.garbage import Collector, Policy, Report
from tidemill.garbage.collection import last_report
from tidemill.records import RecordStore

log = logging.getLogger(__name__)

LOOK_SECONDS = 60.0
"""How often it is asked whether a collection is due."""
FIRST_PAUSE = 3600.0
"""Seconds until a failed collection is tried again, for it may have read the whole store. Doubles each time."""
LONGEST_PAUSE = 24 * 3600.0
_MARGIN = timedelta(minutes=1)


class Housekeeping:
    """Collects the garbage of the store when it is due. What was done last is in the store, so restarts do not count.

    ``every`` None: never.
    """

    def __init__(
        self, objects: Objects, database: Database, leases: Leases, *, every: timedelta | None, policy: Policy
    ) -> None:
        self._objects = objects
        self._database = database
        self._leases = leases
        self._every = every
        self._policy = policy
        self._task: asyncio.Task[None] | None = None
        self._looked_at: float | None = None
        self._failures = 0
        self._failed_at = 0.0

    def tick(self) -> None:
        """To be called every few seconds by the elected replica; returns at once."""
        now = time.monotonic()
        if not self._every or (self._task is not None and not self._task.done()):
            return
        if self._failures and now - self._failed_at < pause_after(self._failures):
            return
        if self._looked_at is None or now - self._looked_at >= LOOK_SECONDS:
            self._looked_at = now
            self._task = asyncio.create_task(self._collect_if_due())

    async def stop(self) -> None:
        """End a collection in hand; the next one completes it."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=5)

    async def due(self, now: datetime) -> bool:
        """Whether the last collection is long ago, left something whose grace is over, or lies before a deletion."""
        last = await last_report(self._objects)
        if last is None or (self._every is not None and now - last.at >= self._every):
            return True
        if _unfinished(last) and now - last.at >= self._policy.grace + _MARGIN:
            return True
        async with self._database.reading() as session:
            deleted_at = await Deletions(session).latest()
        return deleted_at is not None and deleted_at > last.at

    async def _collect_if_due(self) -> None:
        try:
            if await self.due(datetime.now(UTC)):
                await self._collect()
        except TidemillError as error:
            log.warning("garbage collection: whether it is due cannot be told: %s", error)
        except Exception:
            log.exception("garbage collection: unforeseen error")

    async def _collect(self) -> None:
        try:
            report = await Collector(self._objects, self._policy, leased=self._leased).collect()
            if report.deleted_something:
                await put_on_record_everywhere(
                    RecordStore(self._objects), actor="service:registry", action="collect-garbage", subject="store",
                    reason=report.sentence,
                )  # fmt: skip
        except Exception as error:
            self._failures, self._failed_at = self._failures + 1, time.monotonic()
            again = timedelta(seconds=pause_after(self._failures))
            foreseen = isinstance(error, TidemillError)
            log.error("garbage collection failed, again in %s: %s", again, error, exc_info=not foreseen)
            return
        self._failures = 0
        log.info(
            "garbage collection: %d artifacts and objects of %d bytes freed, %d condemned, %d waiting",
            report.total("freed").number, report.total("freed").bytes,
            report.total("condemned").number, report.total("waiting").number,
        )  # fmt: skip

    async def _leased(self, fingerprint: str) -> bool:
        return await self._leases.holder(fingerprint) is not None


def pause_after(failures: int) -> float:
    """Seconds to wait after so many failed collections in a row."""
    return min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(failures - 1, 10))


def _unfinished(report: Report) -> bool:
    """Whether artifacts were condemned or waited; what died on its way in waits for a day and has no hurry."""
    return any(line.condemned.number or line.waiting.number for line in report.lines if line.is_artifact)
