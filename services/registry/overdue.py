"""Ends runs whose wall time is over while they wait in a queue, and puts tries on record that nobody will come back to.

A worker that has a job in hand keeps to the limits itself, since it can ask for a checkpoint first.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta

from services.registry.facts import RunFacts
from services.registry.projection import Projection
from tidemill.bus import Leases
from tidemill.contracts import Prices, cost_of
from tidemill.errors import TidemillError, TransientError
from tidemill.records import RecordStore
from tidemill.stage.attempts import put_on_record
from tidemill.stage.ledger import Ledger, LedgerEntry
from tidemill.stage.limits import wall_time_over
from tidemill.stage.runs import Runs

log = logging.getLogger(__name__)

WORKER_PATIENCE = timedelta(minutes=2)
"""Time past the limit that a worker has to stop a job with a checkpoint."""
_LEDGER_KEPT = timedelta(seconds=5)
"""How long the tries in hand are taken as they were read last: a sweep over many runs reads them once."""
_SILENT_BEATS = 3
"""Terms of ``ack_wait`` without a sign of life after which a try has no worker any more."""


class Overdue:
    """Keeps the limits of runs that no worker has in hand."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        leases: Leases,
        records: RecordStore,
        runs: Runs,
        projection: Projection,
        prices: Prices,
        ack_wait: timedelta,
    ) -> None:
        self._ledger = ledger
        self._leases = leases
        self._records = records
        self._runs = runs
        self._projection = projection
        self._prices = prices
        self._silence = _SILENT_BEATS * ack_wait
        self._entries: list[LedgerEntry] = []
        self._read_at: datetime | None = None

    async def end(self, project: str, run_id: str) -> RunFacts | None:
        """End a run whose wall time is over, unless a worker does so; the facts afterwards when it was ended.

        Raises:
            TransientError: something is out of reach; the next look does it.
        """
        now = datetime.now(UTC)
        facts = await self._projection.run(project, run_id)
        if facts is None or facts.outcome is not None or facts.next_stage == "register":
            return None  # what is left to do takes no time that is worth a model
        deadline = facts.allowance.deadline
        if deadline is None or (
            now < deadline + WORKER_PATIENCE and await self._in_hand(project, run_id, now, deadline)
        ):
            return None
        cost = cost_of(facts.used.values(), self._prices)
        reached = wall_time_over(run_id, facts.allowance, now, cost)
        if reached is None:
            return None
        await self._runs.fail(
            project,
            run_id,
            epoch=facts.epoch,
            stage=facts.next_stage,
            error=str(reached),
            kind=reached.kind,
            cost=reached.cost,
        )
        return await self._projection.run(project, run_id)

    async def put_lost_tries_on_record(self) -> int:
        """Record the tries whose workers are gone and whose jobs nobody works on; their number."""
        now = datetime.now(UTC)
        lost = 0
        try:
            entries = await self._ledger.all()
        except TransientError as error:  # the account must not keep runs from being helped
            log.warning("tries that are lost may not be on record: %s", error)
            return 0
        for entry in entries:
            if entry.fresh(now, self._silence) or await self._leases.holder(entry.fingerprint) is not None:
                continue
            try:
                lost += await put_on_record(entry, self._records, self._prices)
                await self._ledger.close(entry)
                await self._projection.run(entry.project, entry.run_id)
            except TidemillError as error:
                log.warning("a lost try of run %s is not on record yet: %s", entry.run_id, error)
        return lost

    async def _in_hand(self, project: str, run_id: str, now: datetime, deadline: datetime) -> bool:
        # A try that is not among those read after the deadline began after it, and its worker ends the run at once.
        if self._read_at is None or self._read_at < deadline or now - self._read_at >= _LEDGER_KEPT:
            self._entries, self._read_at = await self._ledger.all(), now
        return any(
            entry.project == project and entry.run_id == run_id and entry.fresh(now, self._silence)
            for entry in self._entries
        )  # fmt: skip
