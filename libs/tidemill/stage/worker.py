"""Working: one job from the stream to its commit.

A job is delivered at least once; its result is committed once. The lease keeps two workers from doing the same job at
the same time, its token fences what a worker that was paused may still write, and the create-only result decides.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Generic

from pydantic import ValidationError

from tidemill.artifacts import ArtifactStore
from tidemill.bus import Bus, Lease, LeaseLost, Leases
from tidemill.bus.consumers import Retry, growing_delay
from tidemill.bus.delivery import Delivery
from tidemill.contracts import EVENTS, ArtifactKind, RunProgressed
from tidemill.errors import (
    ArtifactMissing,
    Cancelled,
    CorruptArtifact,
    HandedBack,
    PermanentError,
    TransientError,
)
from tidemill.jobs import JobOutcome, JobRunner, Progress
from tidemill.jobs.outcome import spans_of
from tidemill.jobs.report import Inputs
from tidemill.records import RecordStore
from tidemill.records.schema import CheckpointRecord, ResultRecord
from tidemill.stage.attempts import AttemptInHand, Attempts
from tidemill.stage.definition import E, R, S, Stage
from tidemill.stage.failure import LEAVING_DELAY, FailurePolicy
from tidemill.stage.job_command import JobCommand
from tidemill.stage.join import Joiner
from tidemill.stage.limits import LimitPolicy, Limits
from tidemill.stage.planner import Planner
from tidemill.stage.runs import Runs
from tidemill.stage.snapshot import SOURCE
from tidemill.stage.steps import Steps
from tidemill.stage.watch import JobWatch
from tidemill.telemetry import current_traceparent, export, run_scope, span

log = logging.getLogger(__name__)

LEASE_HELD_DELAY = 0.25
"""Seconds before a job whose lease another holds is delivered again: what a takeover takes beyond the silence."""
LONGEST_HELD_DELAY = 10.0
QUICK_LOOKS = 8


@dataclass(frozen=True)
class Workplace:
    """Where a worker works and who it is."""

    owner: str
    scratch: Path
    ack_wait: timedelta
    shutdown_grace: timedelta


class Worker(Generic[E, S, R]):
    """Does the jobs of a stage, one at a time."""

    def __init__(
        self,
        stage: Stage[E, S, R],
        *,
        bus: Bus,
        store: ArtifactStore,
        records: RecordStore,
        runs: Runs,
        joiner: Joiner[E, S, R],
        planner: Planner[E, S, R],
        failures: FailurePolicy,
        runner: JobRunner,
        attempts: Attempts,
        limits: LimitPolicy,
        workplace: Workplace,
    ) -> None:
        self._stage = stage
        self._bus = bus
        self._store = store
        self._records = records
        self._runs = runs
        self._joiner = joiner
        self._planner = planner
        self._failures = failures
        self._runner = runner
        self._workplace = workplace
        self._leases = Leases(bus)
        self._attempts = attempts
        self._limits = limits
        self._steps = Steps(joiner.results, store)
        self._watch = JobWatch(
            runner=runner, runs=runs, leases=self._leases, attempts=attempts,
            ack_wait=workplace.ack_wait, grace=workplace.shutdown_grace,
        )  # fmt: skip
        self._leaving = asyncio.Event()
        self._held: Counter[int] = Counter()
        """By sequence, how often a job was brought while another worker had its lease."""
        self._idle = asyncio.Event()
        self._idle.set()

    async def leave(self) -> None:
        """Hand the job in hand back with a checkpoint, and take no other. Returns when nothing is in hand."""
        self._leaving.set()
        self._runner.request_stop(self._workplace.shutdown_grace.total_seconds())
        deadline = self._workplace.shutdown_grace.total_seconds() + 5
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._idle.wait(), deadline)

    async def on_job(self, delivery: Delivery) -> None:
        """Handle one delivery of a job of this stage."""
        if self._leaving.is_set():
            raise Retry(LEAVING_DELAY)
        self._idle.clear()
        try:
            command = parse_job(delivery)
            with run_scope(command.run_id):
                await self._do(command, delivery.sequence)
            self._held.pop(delivery.sequence, None)
        finally:
            self._idle.set()

    async def _do(self, command: JobCommand, sequence: int) -> None:
        status = await self._runs.status(command.project, command.run_id)
        if status.state != "running":
            log.info("run %s is %s: its job of %s is dropped", command.run_id, status.state, self._stage.name)
            return
        try:
            result = await self._joiner.results.find(command.project, command.fingerprint)
            worked = result is None
            if result is None:
                result = await self._leased(command, status.epoch, sequence)
            else:
                await self._attempts.settle(result, command.project)
            await self._go_on(command, status.epoch, result, worked=worked)
        except (Cancelled, HandedBack) as stopped:
            export(spans_of(stopped))
            await self._failures.stopped(command.project, command.run_id, stopped)
        except Retry:
            raise
        except LeaseLost as lost:
            export(spans_of(lost))
            raise
        except Exception as error:
            export(spans_of(error))
            await self._failures.job_failed(command, error, status.epoch)

    async def _leased(self, command: JobCommand, epoch: int, sequence: int) -> ResultRecord:
        lease = await self._leases.acquire(command.fingerprint, self._workplace.owner)
        if lease is None:
            self._held[sequence] += 1
            raise Retry(held_delay(self._held[sequence]))
        title = f" {command.title}" if command.title else ""
        try:
            committed, last, limits = await asyncio.gather(
                self._joiner.results.find(command.project, command.fingerprint),
                self._records.latest_checkpoint(command.project, command.fingerprint),
                self._limits.of(command, epoch),
            )
            if committed is not None:  # by the owner before, between our first look and the lease
                return committed
            if last is not None and last.token >= lease.token:  # the KV bucket was lost and counts from 1 again
                lease.token = last.token + 1
            with span(f"{self._stage.name}{title}", run_id=command.run_id, fingerprint=command.fingerprint):
                return await self._attempt(command, lease, epoch, limits)
        finally:
            await self._leases.release(lease)

    async def _attempt(self, command: JobCommand, lease: Lease, epoch: int, limits: Limits) -> ResultRecord:
        async with (
            self._attempts.begun(command, epoch, lambda: self._runner.usage_so_far) as attempt,
            self._watch.over(command, lease, attempt, limits),
        ):
            return await self._work(command, lease, attempt)

    async def _work(self, command: JobCommand, lease: Lease, attempt: AttemptInHand) -> ResultRecord:
        self._workplace.scratch.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(dir=self._workplace.scratch, prefix=f"{self._stage.name}-"))
        try:
            inputs = await self._fetch(command, folder)
            output = folder / "output"
            output.mkdir()
            outcome = await self._run_child(command, lease, inputs, output)
            attempt.worked(outcome.usage)
            return await self._persistently(lambda: self._commit(command, lease, outcome, output, attempt))
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    async def _fetch(self, command: JobCommand, folder: Path) -> Inputs:
        paths = {name: await self._store.fetch(ref, folder / "inputs" / name) for name, ref in command.inputs.items()}
        checkpoint = await self._fetch_checkpoint(command, folder / "checkpoint")
        return Inputs(paths=paths, checkpoint=checkpoint, step=await self._steps.fetch(command, folder / "step"))

    async def _fetch_checkpoint(self, command: JobCommand, into: Path) -> Path | None:
        """The latest checkpoint that can be read; a damaged one costs the time since the one before."""
        async for record in self._records.checkpoints(command.project, command.fingerprint):
            if not await self._store.adopt(record.artifact):
                continue
            try:
                await self._store.fetch(record.artifact, into)
            except (ArtifactMissing, CorruptArtifact) as error:
                log.error("run %s: checkpoint %d is passed over: %s", command.run_id, record.number, error)
                await self._store.quarantine(record.artifact)
                continue
            log.info("run %s: %s resumes from checkpoint %d", command.run_id, self._stage.name, record.number)
            return into
        return None

    async def _run_child(self, command: JobCommand, lease: Lease, inputs: Inputs, output: Path) -> JobOutcome[R]:
        number = 0

        async def progressed(progress: Progress) -> None:
            await self._bus.report(
                RunProgressed(
                    project=command.project, run_id=command.run_id, stage=self._stage.name, job=command.title,
                    fraction=progress.fraction, message=progress.message, metrics=dict(progress.metrics),
                )
            )  # fmt: skip

        async def checkpointed(directory: Path) -> None:
            nonlocal number
            number += 1
            try:
                await self._leases.renew(lease)
                artifact = await self._store.put(directory, kind="checkpoint")
            except LeaseLost:
                raise
            except TransientError as error:
                log.warning("run %s: a checkpoint was not stored, the work goes on: %s", command.run_id, error)
                return
            record = CheckpointRecord(
                fingerprint=command.fingerprint, token=lease.token, number=number, artifact=artifact,
                at=datetime.now(UTC),
            )  # fmt: skip
            if not await self._records.add_checkpoint(command.project, record):
                raise LeaseLost(f"a later owner of {command.fingerprint} has written a checkpoint")

        async def stepped(step: int, directory: Path) -> None:
            await self._leases.renew(lease)
            await self._steps.keep(command, step, directory)

        outcome: JobOutcome[R] = await self._runner.run_call(
            *self._call(command, inputs, output),
            on_progress=progressed, on_checkpoint=checkpointed, on_step=stepped, traceparent=current_traceparent(),
        )  # fmt: skip
        export(outcome.spans)
        return outcome

    def _call(self, command: JobCommand, inputs: Inputs, output: Path) -> tuple[Any, ...]:
        """The function of the stage that the child is to call, and its arguments."""
        if command.snapshot:
            (output / SOURCE).mkdir()
            return self._stage.snapshot, self._event(command), output / SOURCE
        return self._stage.work, self._stage.spec.model_validate(command.spec), inputs, output

    async def _persistently(self, commit: Callable[[], Awaitable[ResultRecord]]) -> ResultRecord:
        """What ``commit`` returns, tried again while bus or store are away: the work is done and lies here.

        Raises:
            LeaseLost: another worker has the job now.
            TransientError: it still fails, and this worker has to leave.
        """
        tries = 0
        while True:
            try:
                return await commit()
            except LeaseLost:
                raise
            except TransientError as error:
                tries += 1
                delay = growing_delay(tries)
                log.warning("%s: a result cannot be committed: %s; again in %.1f s", self._stage.name, error, delay)
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._leaving.wait(), delay)
                    raise

    async def _commit(
        self, command: JobCommand, lease: Lease, outcome: JobOutcome[R], output: Path, attempt: AttemptInHand
    ) -> ResultRecord:
        outputs: Mapping[str, ArtifactKind] = {SOURCE: "source"} if command.snapshot else self._stage.outputs
        made = await asyncio.to_thread(_made, outputs, output)
        refs = await asyncio.gather(*(self._store.put(output / name, kind=kind) for name, kind in made.items()))
        artifacts = dict(zip(made, refs, strict=True))
        await self._leases.renew(lease)  # fencing: an owner that was paused and lost its lease does not commit
        record = ResultRecord(
            fingerprint=command.fingerprint,
            stage=self._stage.name,
            result={} if command.snapshot else outcome.value.model_dump(mode="json"),
            artifacts=artifacts,
            usage=outcome.usage,
            committed_at=datetime.now(UTC),
            run_id=command.run_id,
            attempt_id=attempt.attempt_id,
        )
        winner = await self._joiner.results.commit(command.project, record)
        if winner is not record:
            attempt.superseded = True
            log.info("run %s: another worker committed %s first; its result is taken", command.run_id, command.stage)
        return winner

    async def _go_on(self, command: JobCommand, epoch: int, result: ResultRecord, *, worked: bool) -> None:
        """Go on with the stage if its round is done; plan it when its dataset has come into the store."""
        event = self._event(command)
        if command.snapshot:
            await self._planner.plan(event, command.fingerprint, epoch)
            return
        await self._planner.go_on(command, event, epoch, result, worked=worked)

    def _event(self, command: JobCommand) -> E:
        event = EVENTS[self._stage.consumes.subject].model_validate(command.event)
        assert isinstance(event, self._stage.consumes)
        return event


def held_delay(times: int) -> float:
    """Seconds before a job whose lease another worker holds is looked at again, the ``times``-th time.

    A dead worker's lease ends about when its job comes back: a few quick looks. Another run's copy of the same job may
    have to wait for hours, and must not keep this worker from others.
    """
    return min(LONGEST_HELD_DELAY, LEASE_HELD_DELAY * 2.0 ** max(0, times - QUICK_LOOKS))


def parse_job(delivery: Delivery) -> JobCommand:
    """The job in a message.

    Raises:
        PermanentError: there is none; says what is wrong.
    """
    try:
        return JobCommand.model_validate_json(delivery.body)
    except ValidationError as invalid:
        raise PermanentError(f"{delivery.subject}: not a job: {invalid.errors()[0]['msg']}") from None


def _made(outputs: Mapping[str, ArtifactKind], output: Path) -> dict[str, ArtifactKind]:
    """The directories that a job left, by name."""
    return {
        path.name: kind for pattern, kind in outputs.items() for path in sorted(output.glob(pattern)) if path.is_dir()
    }
