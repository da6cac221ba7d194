"""What follows an error: another try, or the end of the run. The same for planning and for jobs.

Permanent errors fail the run at once. Transient ones go back with a growing delay, as long as it takes. Crashes and
anything unforeseen count, on durable attempt records, towards ``max_attempts`` within the run's epoch.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from tidemill.bus.cloudevents import event_headers
from tidemill.bus.consumers import Retry, growing_delay
from tidemill.bus.delivery import Delivery
from tidemill.contracts import EVENTS, DatasetPublished, StageEvent, StageName
from tidemill.errors import (
    ArtifactMissing,
    Cancelled,
    CorruptArtifact,
    HandedBack,
    PermanentError,
    TransientError,
)
from tidemill.jobs.outcome import usage_of
from tidemill.records import RecordStore
from tidemill.records.schema import AttemptRecord
from tidemill.stage.attempts import attempt_kind, recorded
from tidemill.stage.job_command import JobCommand
from tidemill.stage.limits import LimitReached
from tidemill.stage.remaking import LostForGood, Remaker
from tidemill.stage.runs import Runs

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
        message = str(error) or type(error).__name__
        attempts = await self._on_record(project, run_id, fingerprint, epoch, error)
        if isinstance(error, LimitReached):  # nothing is wrong with the event: it is not kept, a retry announces it
            await self._runs.fail(
                project, run_id, stage=self._stage, error=message, kind=error.kind, cost=error.cost
            )  # fmt: skip
        elif kind == "permanent":
            await self._runs.fail(
                project, run_id, stage=self._stage, error=message, kind="permanent", delivery=delivery,
                passed=isinstance(error, LostForGood),
            )  # fmt: skip
        elif kind == "transient":
            delay = growing_delay(len(attempts))
            log.warning("run %s: %s: %s; again in %.1f s", run_id, self._stage, message, delay)
            raise Retry(delay)
        else:
            await self._counted(project, run_id, error, attempts, delivery)

    async def _on_record(
        self, project: str, run_id: str, fingerprint: str, epoch: int, error: Exception
    ) -> list[AttemptRecord]:
        """Put the try on record; all of this epoch, with it."""
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

    async def _counted(
        self, project: str, run_id: str, error: Exception, attempts: Sequence[AttemptRecord], delivery: Delivery
    ) -> None:
        """Another try while there are tries left, after what was lost is made again; else the run's end."""
        message = str(error) or type(error).__name__
        counted = sum(1 for one in attempts if one.kind in ("crash", "unforeseen"))
        if counted >= self._max_attempts:
            error_text = f"{message} (after {counted} tries)"
            await self._runs.fail(
                project, run_id, stage=self._stage, error=error_text, kind="exhausted", delivery=delivery
            )
            return
        if isinstance(error, CorruptArtifact | ArtifactMissing) and error.artifact is not None:
            made_again = await self._remaker.remake(project, run_id, error.artifact)
            if made_again == "asked":  # its announcement will bring this work here again
                return
            if made_again == "impossible":
                message = f"{message}; no stage of this run can make it again: publish the dataset again"
                await self._runs.fail(
                    project, run_id, stage=self._stage, error=message, kind="permanent", delivery=delivery
                )
                return
        log.warning(
            "run %s: %s: %s; try %d of %d", run_id, self._stage, message, counted, self._max_attempts,
            exc_info=error if attempt_kind(error) == "unforeseen" else None,
        )  # fmt: skip
        raise Retry(growing_delay(counted))

    def _event_delivery(self, command: JobCommand) -> Delivery:
        """The stage's event as a message again: what is kept when a job fails is what starts the stage anew."""
        event = EVENTS[self._consumes].model_validate(command.event)
        headers: Mapping[str, Any] = event_headers(event, source=self._stage, fingerprint=command.fingerprint)
        return Delivery(subject=event.subject, body=event.model_dump_json().encode(), headers=dict(headers))
