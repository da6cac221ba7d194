"""Sees to it that runs go on: announces again what a run has reached when its next event is missing.

One replica does it, elected by a lease; two at once would cost time, not truth. The bucket decides what a run has
reached, so streams and KV buckets may be lost. Nothing here is durable: after a restart it waits once more.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable
from datetime import UTC, datetime, timedelta

from services.registry.access import Access
from services.registry.commands import Commands
from services.registry.database import Database
from services.registry.erasing.erasures import Erasures
from services.registry.facts import RunFacts, read_facts
from services.registry.housekeeping import Housekeeping
from services.registry.live import Live
from services.registry.overdue import Overdue
from services.registry.patience import Watch
from services.registry.projection import Projection
from services.registry.provisioning import Provisioning
from services.registry.queues import Queues
from services.registry.registration import Registrar
from services.registry.repositories import Runs as RunTable
from services.registry.tables import RunEntry
from tidemill.bus import Bus, Lease, LeaseLost, Leases, RunStatus, backlog
from tidemill.bus.backlog import Backlog
from tidemill.bus.consumers import Retry
from tidemill.errors import CorruptArtifact, TidemillError, TransientError
from tidemill.records import RecordStore
from tidemill.records.schema import OutcomeRecord
from tidemill.stage.runs import Runs

log = logging.getLogger(__name__)

LEASE = "reconciler"
COMPARED_IN_TURN = 100
"""Running runs that are compared with their records each time; a silent one is compared whenever it is helped."""


class Reconciler:
    """Looks at the running runs every few seconds."""

    def __init__(
        self,
        *,
        bus: Bus,
        provisioning: Provisioning,
        records: RecordStore,
        runs: Runs,
        projection: Projection,
        registrar: Registrar,
        commands: Commands,
        database: Database,
        live: Live,
        overdue: Overdue,
        housekeeping: Housekeeping,
        queues: Queues,
        access: Access,
        erasures: Erasures,
        owner: str,
        every: timedelta,
        after: timedelta,
    ) -> None:
        self._bus = bus
        self._leases = Leases(bus)
        self._provisioning = provisioning
        self._records = records
        self._runs = runs
        self._projection = projection
        self._registrar = registrar
        self._commands = commands
        self._database = database
        self._live = live
        self._overdue = overdue
        self._housekeeping = housekeeping
        self._queues = queues
        self._access = access
        self._erasures = erasures
        self._owner = owner
        self._every = every.total_seconds()
        self._after = after.total_seconds()
        self._lease: Lease | None = None
        self._watches: dict[tuple[str, str], Watch] = {}
        self._listed_at: float | None = None

    async def run(self) -> None:
        """Reconcile while this replica is the elected one, until cancelled."""
        erases = self._erasures.possible()
        if not erases:
            log.info("no Arrow here: what is to be erased waits for a registry from the image `eraser`")
        try:
            while True:
                try:
                    await self._stand()
                    if self._lease is not None:
                        async with self._leases.kept(self._lease, self._every):
                            await self._provisioning.keep()
                            await self.sweep()
                            self._housekeeping.tick()
                    else:
                        self._queues.forget()
                    if erases:  # by a replica that can, elected or not; each erasure has a lease of its own
                        self._erasures.tick()
                except TidemillError as error:
                    log.warning("reconciler: %s", error)
                except Exception:
                    log.exception("reconciler: unforeseen error")
                await asyncio.sleep(self._every)
        finally:
            await self._housekeeping.stop()
            await self._erasures.stop()
            if self._lease is not None:
                await self._leases.release(self._lease)

    async def sweep(self) -> None:
        """Look at every running run once."""
        now = time.monotonic()
        if self._listed_at is None or now - self._listed_at >= self._after:
            await self._projection.catch_up(everything=False, at_most=COMPARED_IN_TURN)
            await self._overdue.put_lost_tries_on_record()
            await self._access.restore()  # a write of the bucket that was lost must not let a revoked key in
            self._listed_at = now
        async with self._database.reading() as session:
            running = {(run.project, run.run_id): run for run in await RunTable(session).running()}
        for key in [key for key in self._watches if key not in running]:
            if await self._done(key[1], self._settle(*key)):
                del self._watches[key]
        await self._queues.look(running.values())
        waiting = await backlog.look(self._bus.jetstream)
        for run in running.values():
            await self._done(run.run_id, self._look(run, waiting, now))

    async def _done(self, run_id: str, step: Awaitable[None]) -> bool:
        """Take a step for one run. What goes wrong there must not stop the others; False when it is to come again."""
        try:
            await step
        except Retry:
            return False
        except CorruptArtifact as error:
            log.error("reconciler: run %s: %s", run_id, error)
        except TidemillError as error:
            log.warning("reconciler: run %s: %s", run_id, error)
            return False
        except Exception:
            log.exception("reconciler: run %s: unforeseen error", run_id)
        return True

    async def _stand(self) -> None:
        try:
            await self._hold()
        except TransientError:
            await self._provisioning.keep()  # the bucket of leases itself may be lost: without it nobody is elected
            raise

    async def _hold(self) -> None:
        if self._lease is not None:
            try:
                await self._leases.renew(self._lease)
            except LeaseLost:
                self._lease = None
        if self._lease is None:
            self._lease = await self._leases.acquire(LEASE, self._owner)
            if self._lease is not None:
                log.info("this replica reconciles from now on")

    async def _look(self, run: RunEntry, waiting: Backlog, now: float) -> None:
        due = run.deadline is not None and datetime.now(UTC) >= run.deadline
        if due and await self._overdue.end(run.project, run.run_id) is not None:
            return
        status = await self._runs.status(run.project, run.run_id)
        key = (run.project, run.run_id)
        seen = (run.epoch, run.stage, status)
        watch = self._watches.get(key)
        if watch is None or watch.seen != seen:
            watch = self._watches[key] = Watch(seen, now)
        heard = self._live.heard(run.project, run.run_id)
        if heard is not None:
            watch.heard(heard)
        if not watch.is_due(now, self._after) or _stands_in_a_queue(run, status, waiting):
            return
        facts = await self._projection.run(run.project, run.run_id)
        if facts is None:
            return
        agreed = status.state == "running" and status.epoch == facts.epoch and facts.outcome is None
        has_events = agreed and facts.next_stage in waiting.events
        if not watch.is_due(now, self._after, has_events=has_events):
            return
        watch.help_given(now)
        await self._help(facts, status)

    async def _help(self, facts: RunFacts, status: RunStatus) -> None:
        """Bring records, KV entry and stream of a run together, in this order of authority."""
        if facts.outcome is None and status.state != "running" and status.epoch == facts.epoch:
            await self._records.create_outcome(facts.project, facts.run_id, _outcome_of(facts, status))
            facts = await read_facts(self._records, facts.project, facts.run_id) or facts
        if facts.outcome is not None:
            await self._registrar.complete(facts.project, facts.run_id, facts.outcome)
            return
        await self._commands.go_on(facts)
        if facts.prepared is not None:
            await self._registrar.finish_prepared(facts, facts.prepared)
            return
        if facts.next_stage == "register":
            log.warning("run %s: its model waits for registration; registering it", facts.run_id)
            facts, event = await self._registrar.compressed(facts.project, facts.run_id)
            await self._registrar.register_or_fail(facts, event)
            return
        log.warning("run %s waits for %s in silence; announcing again", facts.run_id, facts.next_stage)
        # The time as announcement number: it grows, also over restarts and from replica to replica.
        await self._commands.announce_reached(facts, announcement=int(time.time()))

    async def _settle(self, project: str, run_id: str) -> None:
        """A run has ended: see to it that its KV entry says so."""
        facts = await read_facts(self._records, project, run_id)
        if facts is None or facts.outcome is None:
            return
        status = await self._runs.status(project, run_id)
        if status.epoch == facts.epoch and status.state != facts.outcome.state:
            await self._registrar.complete(project, run_id, facts.outcome)


def _stands_in_a_queue(run: RunEntry, status: RunStatus, waiting: Backlog) -> bool:
    """Whether the run has a job that is queued or in hand, so that nothing is to be done, however long it takes."""
    agreed = status.state == "running" and status.epoch == run.epoch
    return agreed and waiting.has_job(run.project, run.run_id)


def _outcome_of(facts: RunFacts, status: RunStatus) -> OutcomeRecord:
    """The outcome that a KV entry tells of and nobody wrote down."""
    cancelled = status.state == "cancelled"
    return OutcomeRecord(
        epoch=facts.epoch, state=status.state, ended_at=datetime.now(UTC), stage=facts.next_stage,
        error=None if cancelled else status.error or "the run ended without saying why",
        reason=(status.error or "cancelled") if cancelled else "exhausted",
    )  # fmt: skip
