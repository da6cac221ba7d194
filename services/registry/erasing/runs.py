"""The runs that used a person's data: cancelled if they go on, waited for, and their datasets deleted on record."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Collection
from datetime import UTC, datetime, timedelta

from services.registry import chain as decided
from services.registry.chain import Chain
from services.registry.commands import Commands
from services.registry.facts import read_facts
from services.registry.projection import Projection
from tidemill.bus import Bus
from tidemill.contracts import CancelRun
from tidemill.errors import NotFound
from tidemill.records import RecordStore
from tidemill.records.schema import DatasetDeleted
from tidemill.stage.ledger import Ledger

PATIENCE = 60.0
"""Seconds for a run that was cancelled to end: longer than a worker takes to notice."""


class AffectedRuns:
    """Ends and closes runs on behalf of one erasure."""

    def __init__(
        self, bus: Bus, records: RecordStore, commands: Commands, projection: Projection, *, silence: timedelta
    ) -> None:
        self._records = records
        self._commands = commands
        self._projection = projection
        self._ledger = Ledger(bus)
        self._silence = silence

    async def cancel(self, project: str, run_ids: Collection[str], erasure: str) -> tuple[set[str], set[str]]:
        """Cancel those that go on, and wait until their jobs are over.

        Returns:
            Those that were cancelled, and those that go on all the same, since their models are being registered.
        """
        cancelled = set()
        for run_id in sorted(run_ids):
            facts = await read_facts(self._records, project, run_id)
            if facts is not None and facts.outcome is None:
                reason = f"its dataset holds personal data that is being erased (erasure {erasure}); publish it without"
                command = CancelRun(project=project, run_id=run_id, reason=reason)
                await self._commands.cancel(command, f"erasure-{erasure}")
                cancelled.add(run_id)
        deadline = time.monotonic() + PATIENCE
        going_on = set(cancelled)
        while going_on and time.monotonic() < deadline:
            going_on = {one for one in cancelled if not await self._over(project, one)}
            await asyncio.sleep(0.1 if going_on else 0)
        return cancelled, going_on

    async def close(self, project: str, run_ids: Collection[str], erasure: str) -> set[str]:
        """Decide that the datasets of runs are no more, so that nobody retries them; those that were closed now."""
        by_name: dict[str, list[str]] = defaultdict(list)
        for run_id in sorted(run_ids):
            facts = await read_facts(self._records, project, run_id)
            if facts is not None and facts.outcome is not None:
                by_name[facts.record.event.name].append(run_id)
        closed: set[str] = set()
        for name, ended in by_name.items():

            def decide(chain: Chain, name: str = name, ended: list[str] = ended) -> DatasetDeleted | None:
                gone = decided.deleted_runs(chain)
                left = tuple(run_id for run_id in ended if run_id not in gone)
                if not left:
                    return None
                return DatasetDeleted(
                    name=name, runs=left, command=f"erasure-{erasure}", reason="erased at a person's request"
                )

            record = await self._records.append_decision(project, decide)
            if record is not None and isinstance(record.decision, DatasetDeleted):
                closed.update(record.decision.runs)
        if closed:
            await self._projection.decisions(project)
        return closed

    async def _over(self, project: str, run_id: str) -> bool:
        """Whether the run has ended and none of its jobs is in hand."""
        facts = await read_facts(self._records, project, run_id)
        if facts is None:
            raise NotFound(f"run {run_id!r} was on record and is gone")
        if facts.outcome is None:
            return False
        now = datetime.now(UTC)
        return not any(
            one.project == project and one.run_id == run_id and one.fresh(now, self._silence)
            for one in await self._ledger.all()
        )
