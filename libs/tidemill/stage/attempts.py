"""Tries of a job, from their start to their place on record: what was used adds up, however a try ended.

A try that ends here is put on record here. One whose worker was killed is put on record from the ledger, by the next
owner of the job's lease, with a span in its run's trace.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from uuid import uuid4

from tidemill.bus import LeaseLost
from tidemill.contracts import Prices, ResourceUsage
from tidemill.errors import (
    ArtifactMissing,
    Cancelled,
    CorruptArtifact,
    HandedBack,
    PermanentError,
    TidemillError,
    TransientError,
    out_of_space,
)
from tidemill.jobs import JobCrashed
from tidemill.jobs.outcome import usage_of
from tidemill.records import RecordStore
from tidemill.records.schema import AttemptKind, AttemptRecord, ResultRecord
from tidemill.stage.job_command import JobCommand
from tidemill.stage.ledger import Ledger, LedgerEntry, Page
from tidemill.stage.limits import LimitReached
from tidemill.stage.metering import meter
from tidemill.telemetry import (
    SpanRecord,
    current_parent_id,
    current_traceparent,
    export,
    service_name,
    span_id_of,
    trace_id_of,
)

log = logging.getLogger(__name__)


SILENT = "went without a word"
MOST_WORKERS_LOST = 10
"""Workers that may go while they have a job before its run fails: not few, since whole machines are taken away too."""


class WorkersLost(PermanentError):
    """Worker after worker has gone while it had this job."""


class AttemptInHand:
    """A try in hand."""

    def __init__(self, entry: LedgerEntry, page: Page | None, so_far: Callable[[], ResourceUsage]) -> None:
        self.entry = entry
        self.superseded = False
        """Its result was not taken: another worker had committed one."""
        self._page = page
        self._so_far = so_far
        self._whole: ResourceUsage | None = None

    @property
    def attempt_id(self) -> str:
        """The id that it has on record."""
        return self.entry.attempt_id

    @property
    def usage(self) -> ResourceUsage:
        """What it used so far."""
        return self._whole or self._so_far()

    def worked(self, usage: ResourceUsage) -> None:
        """The child has ended: this is all that it used."""
        self._whole = usage

    def now(self) -> LedgerEntry:
        """The ledger's entry as it would be written now."""
        return self.entry.model_copy(update={"last_seen": datetime.now(UTC), "usage": self.usage})


class Attempts:
    """The tries of one worker."""

    def __init__(self, ledger: Ledger, records: RecordStore, prices: Prices, instance: str) -> None:
        self._ledger = ledger
        self._records = records
        self._prices = prices
        self._instance = instance

    @asynccontextmanager
    async def begun(
        self, command: JobCommand, epoch: int, so_far: Callable[[], ResourceUsage]
    ) -> AsyncIterator[AttemptInHand]:
        """A try, under the job's lease: in the ledger while the block runs, on record when it ended badly.

        Raises:
            TransientError: the try of a worker that is gone cannot be put on record now.
            WorkersLost: too many workers have gone while they had this job.
        """
        if await self._adopt(command):
            await self._survivable(command, epoch)
        now = datetime.now(UTC)
        entry = LedgerEntry(
            attempt_id=uuid4().hex, project=command.project, run_id=command.run_id, stage=command.stage, epoch=epoch,
            fingerprint=command.fingerprint, instance=self._instance, title=command.title, started_at=now,
            last_seen=now, traceparent=current_traceparent(), parent_id=current_parent_id(),
        )  # fmt: skip
        attempt = AttemptInHand(entry, await self._opened(entry), so_far)
        try:
            yield attempt
        except Exception as error:
            await self._failed(attempt, error)
            raise
        await self._ended(attempt, command)

    async def keep_up(self, attempt: AttemptInHand) -> None:
        """Tell the ledger what the try used so far. An outage costs exactness alone, so it is only logged."""
        if attempt._page is None:
            attempt._page = await self._opened(attempt.now())
            return
        try:
            await self._ledger.keep_up(attempt._page, attempt.now())
        except TransientError as error:
            log.warning("%s; the job goes on", error)

    async def settle(self, result: ResultRecord, project: str) -> None:
        """A result is there: the entry of the try that made it may have been left behind by a kill."""
        try:
            entry = await self._ledger.read(project, result.fingerprint)
            if entry is not None and entry.attempt_id == result.attempt_id:
                await put_on_record(entry, self._records, self._prices)
                await self._ledger.close(entry)
        except TransientError as error:
            log.warning("%s; the next try of the job looks again", error)

    async def _adopt(self, command: JobCommand) -> bool:
        """Put the try of a worker that is gone on record. Only the owner of the job's lease may say that it is."""
        try:
            entry = await self._ledger.read(command.project, command.fingerprint)
        except TransientError as error:
            log.warning("%s; a try that was lost before may not be on record", error)
            return False
        return entry is not None and await put_on_record(entry, self._records, self._prices)

    async def _survivable(self, command: JobCommand, epoch: int) -> None:
        """Refuse a job that took worker after worker with it, as one whose memory ends a whole container does."""
        tries = await self._records.attempts(command.project, command.run_id, command.fingerprint)
        gone = [one for one in tries if one.epoch == epoch and one.kind == "lost" and one.error.endswith(SILENT)]
        if len(gone) >= MOST_WORKERS_LOST:
            raise WorkersLost(
                f"{len(gone)} workers have gone without a word while they had this job, the last one "
                f"{gone[-1].instance}; see their logs, then `tidemill runs retry`"
            )

    async def _opened(self, entry: LedgerEntry) -> Page | None:
        try:
            return await self._ledger.open(entry)
        except TransientError as error:
            log.warning("%s; should this worker be killed, what it used is not known", error)
            return None

    async def _ended(self, attempt: AttemptInHand, command: JobCommand) -> None:
        if attempt.superseded:
            record = _record(attempt, "lost", "its result was on record already")
        else:
            record = _record(attempt, "finished", "")
        # Of a job alone its result is its record: the stage is joined right behind it.
        await self._close(attempt, record, kept=attempt.superseded or not command.alone)

    async def _failed(self, attempt: AttemptInHand, error: Exception) -> None:
        kind = attempt_kind(error)
        usage = usage_of(error)
        if not usage.attempts:
            usage = attempt.usage
        record = _record(attempt, kind, str(error) or type(error).__name__, usage)
        if not usage.attempts and kind in ("handed-back", "cancelled", "lost"):
            await self._close(attempt, record, kept=False)  # it never began
            return
        vars(error)["_attempt"] = record
        await self._close(attempt, record)

    async def _close(self, attempt: AttemptInHand, record: AttemptRecord, *, kept: bool = True) -> None:
        try:
            if kept:
                await self._records.add_attempt(attempt.entry.project, record)
                meter(record, attempt.entry.project, self._prices)
            await self._ledger.close(attempt.entry, attempt._page)
            if not kept:
                meter(record, attempt.entry.project, self._prices)
        except TidemillError as broken:  # the entry stays: the next owner puts the try on record, and meters it
            log.warning("the try of %s is not on record yet: %s", attempt.entry.fingerprint, broken)


async def put_on_record(entry: LedgerEntry, records: RecordStore, prices: Prices) -> bool:
    """Record a try whose worker is gone, with a span in its run's trace; what it used is metered at ``prices``.

    False when it is not lost: it is on record already, or its result is and only its end was not noted.

    Raises:
        TransientError: it cannot be recorded now.
    """
    result = await _committed(entry, records)
    done = result is not None
    silent = "" if done else f"its worker {entry.instance} {SILENT}"
    record = AttemptRecord(
        attempt_id=entry.attempt_id, run_id=entry.run_id, epoch=entry.epoch, stage=entry.stage,
        fingerprint=entry.fingerprint, kind="finished" if done else "lost", error=silent, at=datetime.now(UTC),
        started_at=entry.started_at, ended_at=entry.last_seen, instance=entry.instance,
        usage=result.usage if result is not None else entry.usage,
    )  # fmt: skip
    if not await records.add_attempt(entry.project, record):
        return False
    meter(record, entry.project, prices)
    if done:
        return False
    log.warning("run %s: a try of %s is lost: %s", entry.run_id, entry.stage, silent)
    if (span := _lost_span(entry, silent)) is not None:
        await asyncio.to_thread(export, [span])
    return True


async def _committed(entry: LedgerEntry, records: RecordStore) -> ResultRecord | None:
    """The result that the try committed, in whichever generation."""
    generation = 1
    while (result := await records.result(entry.project, entry.fingerprint, generation=generation)) is not None:
        if result.attempt_id == entry.attempt_id:
            return result
        generation += 1
    return None


def recorded(error: BaseException) -> AttemptRecord | None:
    """The record of the try that ended with ``error``; None when no try had begun."""
    record = vars(error).get("_attempt")
    return record if isinstance(record, AttemptRecord) else None


def attempt_kind(error: Exception) -> AttemptKind:
    """What an error means for another try. A lost artifact can be made again, and then it is worth one."""
    kinds: tuple[tuple[type[Exception], AttemptKind], ...] = (
        (JobCrashed, "crash"),
        (CorruptArtifact, "unforeseen"),
        (ArtifactMissing, "unforeseen"),
        (HandedBack, "handed-back"),
        (Cancelled, "cancelled"),
        (LeaseLost, "lost"),
        (PermanentError, "permanent"),
        (TransientError, "transient"),
    )
    if isinstance(error, LimitReached):
        return error.kind
    known = next((kind for of, kind in kinds if isinstance(error, of)), None)
    return known or ("transient" if out_of_space(error) else "unforeseen")


def _record(attempt: AttemptInHand, kind: AttemptKind, error: str, usage: ResourceUsage | None = None) -> AttemptRecord:
    entry, now = attempt.entry, datetime.now(UTC)
    return AttemptRecord(
        attempt_id=entry.attempt_id, run_id=entry.run_id, epoch=entry.epoch, stage=entry.stage,
        fingerprint=entry.fingerprint, kind=kind, error=error[:4000], at=now, started_at=entry.started_at,
        ended_at=now, instance=entry.instance, usage=usage or attempt.usage,
    )  # fmt: skip


def _lost_span(entry: LedgerEntry, message: str) -> SpanRecord | None:
    """The try's own span, which its worker could not finish: with its id, so that it is there once."""
    trace_id, span_id = trace_id_of(entry.traceparent), span_id_of(entry.traceparent)
    if trace_id is None or span_id is None:
        return None
    return SpanRecord(
        trace_id=trace_id, span_id=span_id, parent_id=entry.parent_id,
        name=f"{entry.stage} {entry.title}".strip(), service=service_name() or entry.stage, instance=entry.instance,
        start_ns=int(entry.started_at.timestamp() * 1e9), end_ns=int(entry.last_seen.timestamp() * 1e9),
        attributes={"run_id": entry.run_id, "fingerprint": entry.fingerprint, "lost": True},
        status="error", status_message=message,
    )  # fmt: skip
