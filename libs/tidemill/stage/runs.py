"""A run as its stages see it: whether it goes on, and how it fails.

The outcome record, written once per epoch, is the truth about how an epoch ended; the KV entry is the signal that
every worker watches, made again from the records when it is missing.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime

from tidemill.audit import put_on_record
from tidemill.bus import Bus, RunStates, RunStatus
from tidemill.bus.dead_letters import bury
from tidemill.bus.delivery import Delivery
from tidemill.bus.run_states import NoEntry
from tidemill.contracts import ArtifactRef, Cost, DatasetPublished, FailureKind, RunFailed, StageName
from tidemill.records import RecordStore
from tidemill.records.schema import OutcomeRecord, RunRecord
from tidemill.telemetry import current_traceparent

log = logging.getLogger(__name__)

BUS = "nats"
"""The actor of what a plain NATS client published."""


class Runs:
    """Read, advance and fail runs."""

    def __init__(self, bus: Bus, records: RecordStore) -> None:
        self._bus = bus
        self._records = records
        self.states = RunStates(bus)

    async def begin(self, event: DatasetPublished) -> RunRecord:
        """The run's record; a run that a plain NATS client started is put on record."""
        known = await self._records.run(event.project, event.run_id)
        if known is None:
            now = datetime.now(UTC)
            record = RunRecord(event=event, created_at=now, traceparent=current_traceparent(), actor=BUS)
            await put_on_record(
                self._records, event.project, actor=BUS, action="publish-dataset", subject=f"run:{event.run_id}",
                reason=f"dataset {event.name}", command=f"publish-{event.run_id}", commanded_at=now,
            )  # fmt: skip
            if await self._records.create_run(record):
                return record
            known = await self._records.run(event.project, event.run_id) or record
        return known

    async def status(self, project: str, run_id: str) -> RunStatus:
        """What the run ought to be; made from its records when the KV bucket does not know it."""
        status = await self.states.get(project, run_id)
        if status is not None:
            return status
        return await self.states.create(project, run_id, await self._recorded(project, run_id))

    async def ended(self, project: str, run_id: str) -> None:
        """Return when the run is not running any more; waits through outages of the bus."""
        while True:
            try:
                async with self.states.watching(project, run_id) as statuses:
                    async for status in statuses:
                        if status.state != "running":
                            return
            except Exception as error:  # the bus is away: the work goes on, and its commit asks again
                log.warning("watching run %s: %r", run_id, error)
            await asyncio.sleep(1)

    async def reach(self, project: str, run_id: str, stage: StageName) -> bool:
        """Commit ``stage`` of the run against cancel and failure; False when the run is not running any more."""

        def reached(status: RunStatus) -> RunStatus | None:
            if status.state != "running" or stage in status.reached:
                return None
            return status.model_copy(update={"reached": [*status.reached, stage]})

        try:
            status, _ = await self.states.change(project, run_id, reached)
        except NoEntry:
            await self.status(project, run_id)
            status, _ = await self.states.change(project, run_id, reached)
        return status.state == "running"

    async def fail(
        self,
        project: str,
        run_id: str,
        *,
        epoch: int,
        stage: StageName,
        error: str,
        kind: FailureKind,
        delivery: Delivery | None = None,
        cost: Cost | None = None,
        passed: bool = False,
        evidence: ArtifactRef | None = None,
    ) -> None:
        """End ``epoch`` of the run as failed and keep ``delivery``, the stage's event, in the dead letters.

        What was found wrong in an earlier epoch says nothing about a run that was retried. A run that a limit ends has
        no ``delivery`` to keep, and ``cost``, what it had cost by then. A stage that the run has passed does not fail
        it, unless ``passed`` says that what it had made is lost. ``evidence`` is kept for whoever asks why.

        Safe to repeat: everything is written once, the KV entry last, so a crash in between is completed by the
        redelivery. A run that ended otherwise in the meantime stays as it is.

        Raises:
            TransientError: something could not be written; the job has to be delivered again.
        """
        if not await self._can_fail(project, run_id, epoch, stage, error, passed=passed):
            return
        if delivery is not None:
            await bury(
                self._bus, self._records, stage=stage, delivery=delivery, error=error, kind=kind,
                run_id=run_id, project=project, epoch=epoch,
            )  # fmt: skip
        outcome = OutcomeRecord(
            epoch=epoch, state="failed", ended_at=datetime.now(UTC), stage=stage, error=error, reason=kind, cost=cost,
            evidence=evidence,
        )  # fmt: skip
        # Again: keeping the letter took its time, and a model that is being registered by now is not taken back.
        if not await self._can_fail(project, run_id, epoch, stage, error, passed=passed):
            return
        await self._records.create_outcome(project, run_id, outcome)
        winner = await self._outcome(project, run_id, epoch) or outcome
        if winner.state == "failed":
            failed = RunFailed(project=project, run_id=run_id, stage=stage, error=error, kind=kind)
            await self._bus.announce(failed, fingerprint=f"epoch-{epoch}")

        def end(status: RunStatus) -> RunStatus | None:
            if status.state != "running" or status.epoch != epoch:
                return None
            return status.model_copy(update={"state": winner.state, "error": winner.error})

        await self.states.change(project, run_id, end)
        log.error("run %s failed in %s: %s", run_id, stage, error)

    async def _can_fail(
        self, project: str, run_id: str, epoch: int, stage: StageName, error: str, *, passed: bool
    ) -> bool:
        now = await self.status(project, run_id)
        if now.epoch != epoch:
            log.warning("run %s is in its epoch %d: what went wrong in %d does not fail it", run_id, now.epoch, epoch)
            return False
        # A redelivery of what was passed long ago. Registration claims its stage first, and may fail after that.
        if stage != "register" and ("register" in now.reached or (stage in now.reached and not passed)):
            log.warning("run %s has passed %s: %s does not fail it", run_id, stage, error)
            return False
        return True

    async def _recorded(self, project: str, run_id: str) -> RunStatus:
        epoch = max([1, *[record.epoch for record in await self._records.epochs(project, run_id)]])
        reached = [record.stage for record in await self._records.stages(project, run_id)]
        outcome = await self._outcome(project, run_id, epoch)
        if outcome is None:
            return RunStatus(epoch=epoch, reached=reached)
        return RunStatus(state=outcome.state, epoch=epoch, reached=reached, error=outcome.error)

    async def _outcome(self, project: str, run_id: str, epoch: int) -> OutcomeRecord | None:
        for outcome in await self._records.outcomes(project, run_id):
            if outcome.epoch == epoch:
                return outcome
        return None
