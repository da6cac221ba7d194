"""What follows an error: another try, or the end of the run. The same for planning and for jobs.

Permanent errors fail the run at once. Transient ones go back with a growing delay, as long as it takes. Crashes and
anything unforeseen count, on durable attempt records, towards ``max_attempts`` within the run's epoch.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

from tidemill.bus.cloudevents import event_headers
from tidemill.bus.connection import TooLarge
from tidemill.bus.consumers import Retry, growing_delay
from tidemill.bus.delivery import Delivery
from tidemill.contracts import EVENTS, DatasetPublished, StageEvent, StageName
from tidemill.errors import (
    ArtifactMissing,
    Cancelled,
    CorruptArtifact,
    HandedBack,
    InvalidInput,
    PermanentError,
    TransientError,
)
from tidemill.jobs.outcome import usage_of
from tidemill.records import RecordStore
from tidemill.records.schema import AttemptRecord
from tidemill.stage.attempts import WorkersLost, attempt_kind, recorded
from tidemill.stage.job_command import JobCommand
from tidemill.stage.limits import LimitReached
from tidemill.stage.remaking import LostForGood, Remaker, Remaking
from tidemill.stage.runs import Runs
from tidemill.telemetry import measures

log = logging.getLogger(__name__)

LEAVING_DELAY = 0.2
"""Seconds before what a leaving service hands back is delivered again."""


class FailurePolicy:
    """Decides what an error means for its run."""

    def __init__(
        self,
        stage: StageName,
        consumes: str,
        runs: Runs,
        records: RecordStore,
        max_attempts: int,
        remaker: Remaker,
    ) -> None:
        self._stage: StageName = stage
        self._remaker = remaker
        self._consumes = consumes
        self._runs = runs
        self._records = records
        self._max_attempts = max_attempts

    async def planning_failed(
        self, event: DatasetPublished | StageEvent, delivery: Delivery, error: Exception, epoch: int
    ) -> None:
        """Handle an error while planning ``event``; raises what the consumer has to do, or fails the run."""
        await self._failed(event.project, event.run_id, f"plan-{self._stage}", epoch, error, delivery)

    async def job_failed(self, command: JobCommand, error: Exception, epoch: int) -> None:
        """Handle an error of a job; raises what the consumer has to do, or fails the run."""
        delivery = self._event_delivery(command)
        await self._failed(command.project, command.run_id, command.fingerprint, epoch, error, delivery)

    async def stopped(self, project: str, run_id: str, reason: Cancelled | HandedBack) -> None:
        """Handle work that was stopped: another takes it while the run goes on; a run that ended needs it no more.

        Raises:
            Retry: the run is running, so it was this service that had to go.
        """
        status = await self._runs.status(project, run_id)
        if status.state == "running":
            log.info("run %s: %s handed back: %s", run_id, self._stage, reason)
            raise Retry(LEAVING_DELAY) from None
        log.info("run %s was ended: its work of %s stops", run_id, self._stage)

    async def _failed(
        self, project: str, run_id: str, fingerprint: str, epoch: int, error: Exception, delivery: Delivery
    ) -> None:
        kind = attempt_kind(error)
        measures.FAILURES.record(1, {measures.STAGE: self._stage, measures.KIND: kind})
        if kind == "transient" and recorded(error) is None:  # no try was made: the consumer's own delays are enough
            raise TransientError(str(error) or type(error).__name__) from error
        attempts = await self._on_record(project, run_id, fingerprint, epoch, error)
        message = str(error) or type(error).__name__
        # What a stage of the past finds wrong does not fail the run, unless the run waits for it to work again.
        passed = isinstance(error, LostForGood | TooLarge) or await self._remaker.has_lost(project, run_id, self._stage)
        fail = partial(self._runs.fail, project, run_id, epoch=epoch, stage=self._stage, passed=passed)
        if isinstance(error, LimitReached):  # nothing is wrong with the event: it is not kept, a retry announces it
            await fail(error=message, kind=error.kind, cost=error.cost)
        elif isinstance(error, WorkersLost):
            await fail(error=message, kind="exhausted", delivery=delivery)
        elif kind == "permanent":
            evidence = error.evidence if isinstance(error, InvalidInput) else None
            await fail(error=message, kind="permanent", delivery=delivery, evidence=evidence)
        elif kind == "transient":
            delay = growing_delay(len(attempts))
            log.warning("run %s: %s: %s; again in %.1f s", run_id, self._stage, message, delay)
            raise Retry(delay)
        else:
            counted = sum(1 for one in attempts if one.kind in ("crash", "unforeseen"))
            if counted >= self._max_attempts:
                await fail(error=f"{message} (after {counted} tries)", kind="exhausted", delivery=delivery)
                return
            made_again = await self._made_again(project, run_id, error)
            if made_again == "impossible":
                message = f"{message}; no stage of this run can make it again: publish the dataset again"
                await fail(error=message, kind="permanent", delivery=delivery)
            elif made_again == "intact":
                log.warning(
                    "run %s: %s: %s; try %d of %d", run_id, self._stage, message, counted, self._max_attempts,
                    exc_info=error if kind == "unforeseen" else None,
                )  # fmt: skip
                raise Retry(growing_delay(counted))

    async def _on_record(
        self, project: str, run_id: str, fingerprint: str, epoch: int, error: Exception
    ) -> list[AttemptRecord]:
        """Put what failed on record; the tries of the same work in this epoch that came to nothing."""
        message = str(error) or type(error).__name__
        attempt = recorded(error) or AttemptRecord(
            run_id=run_id,
            epoch=epoch,
            stage=self._stage,
            fingerprint=fingerprint,
            kind=attempt_kind(error),
            error=message[:4000],
            at=datetime.now(UTC),
            usage=usage_of(error),
        )
        try:
            await self._records.add_attempt(project, attempt)
            earlier = await self._records.attempts(project, run_id, fingerprint)
        except PermanentError as broken:  # a store that refuses us must not cost the job
            raise TransientError(f"the attempt cannot be recorded: {broken}; it failed with: {message}") from error
        return [one for one in earlier if one.epoch == epoch]

    async def _made_again(self, project: str, run_id: str, error: Exception) -> Remaking:
        """Have what could not be read made again. ``asked``: the event of its maker will bring this work here again."""
        lost = error.artifact if isinstance(error, CorruptArtifact | ArtifactMissing) else None
        return "intact" if lost is None else await self._remaker.remake(project, run_id, lost, at_work=self._stage)

    def _event_delivery(self, command: JobCommand) -> Delivery:
        """The stage's event as a message again: what is kept when a job fails is what starts the stage anew."""
        event = EVENTS[self._consumes].model_validate(command.event)
        headers: Mapping[str, Any] = event_headers(event, source=self._stage, fingerprint=command.fingerprint)
        return Delivery(subject=event.subject, body=event.model_dump_json().encode(), headers=dict(headers))
