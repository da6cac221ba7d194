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
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Generic

from pydantic import ValidationError

from tidemill.artifacts import ArtifactStore
from tidemill.bus import Bus, Lease, LeaseLost, Leases
from tidemill.bus.consumers import Retry
from tidemill.bus.delivery import Delivery
from tidemill.contracts import EVENTS, ArtifactRef, RunProgressed
from tidemill.errors import Cancelled, HandedBack, PermanentError, TransientError
from tidemill.jobs import JobOutcome, JobRunner, Progress
from tidemill.jobs.outcome import spans_of
from tidemill.jobs.report import Inputs
from tidemill.records import RecordStore
from tidemill.records.schema import CheckpointRecord, ResultRecord
from tidemill.stage.definition import E, R, S, Stage
from tidemill.stage.failure import LEAVING_DELAY, FailurePolicy
from tidemill.stage.job_command import JobCommand
from tidemill.stage.join import Joiner
from tidemill.stage.runs import Runs
from tidemill.telemetry import current_traceparent, export, run_scope, span

log = logging.getLogger(__name__)

BUSY_DELAY = 1.0
LEASE_HELD_DELAY = 1.0


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
        failures: FailurePolicy,
        runner: JobRunner,
        workplace: Workplace,
    ) -> None:
        self._stage = stage
        self._bus = bus
        self._store = store
        self._records = records
        self._runs = runs
        self._joiner = joiner
        self._failures = failures
        self._runner = runner
        self._workplace = workplace
        self._leases = Leases(bus)
        self._leaving = False
        self._idle = asyncio.Event()
        self._idle.set()

    async def leave(self) -> None:
        """Hand the job in hand back with a checkpoint, and take no other. Returns when nothing is in hand."""
        self._leaving = True
        self._runner.request_stop(self._workplace.shutdown_grace.total_seconds())
        deadline = self._workplace.shutdown_grace.total_seconds() + 5
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._idle.wait(), deadline)

    async def on_job(self, delivery: Delivery) -> None:
        """Handle one delivery of a job of this stage."""
        if self._leaving:
            raise Retry(LEAVING_DELAY)
        if not self._idle.is_set():  # of two resource classes, one brought a job while the other's is worked on
            raise Retry(BUSY_DELAY)
        self._idle.clear()
        try:
            command = _parse(delivery)
            with run_scope(command.run_id):
                await self._do(command)
        finally:
            self._idle.set()

    async def _do(self, command: JobCommand) -> None:
        status = await self._runs.status(command.project, command.run_id)
        if status.state != "running":
            log.info("run %s is %s: its job of %s is dropped", command.run_id, status.state, self._stage.name)
            return
        try:
            if not await self._joiner.results(command.project, [command.fingerprint]):
                title = f" {command.title}" if command.title else ""
                with span(f"{self._stage.name}{title}", run_id=command.run_id, fingerprint=command.fingerprint):
                    await self._leased(command)
            await self._join_if_last(command)
        except (Cancelled, HandedBack) as stopped:
            await self._failures.stopped(command.project, command.run_id, stopped)
        except (Retry, LeaseLost):
            raise
        except Exception as error:
            export(spans_of(error))
            await self._failures.job_failed(command, error, status.epoch)

    async def _leased(self, command: JobCommand) -> None:
        lease = await self._leases.acquire(command.fingerprint, self._workplace.owner)
        if lease is None:
            raise Retry(LEASE_HELD_DELAY)
        try:
            last = await self._records.latest_checkpoint(command.project, command.fingerprint)
            if last is not None and last.token >= lease.token:  # the KV bucket was lost and counts from 1 again
                lease.token = last.token + 1
            async with self._watched(command, lease):
                await self._work(command, lease, last)
        finally:
            await self._leases.release(lease)

    async def _work(self, command: JobCommand, lease: Lease, last: CheckpointRecord | None) -> None:
        self._workplace.scratch.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(dir=self._workplace.scratch, prefix=f"{self._stage.name}-"))
        try:
            inputs = await self._fetch(command, folder, last)
            output = folder / "output"
            output.mkdir()
            outcome = await self._run_child(command, lease, inputs, output)
            await self._commit(command, lease, outcome, output)
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    async def _fetch(self, command: JobCommand, folder: Path, last: CheckpointRecord | None) -> Inputs:
        paths = {name: await self._store.fetch(ref, folder / "inputs" / name) for name, ref in command.inputs.items()}
        checkpoint = None
        if last is not None and await self._store.adopt(last.artifact):
            checkpoint = await self._store.fetch(last.artifact, folder / "checkpoint")
            log.info("run %s: %s resumes from checkpoint %d", command.run_id, self._stage.name, last.number)
        return Inputs(paths=paths, checkpoint=checkpoint)

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

        spec = self._stage.spec.model_validate(command.spec)
        outcome: JobOutcome[R] = await self._runner.run(
            self._stage.work, spec, inputs, output,
            on_progress=progressed, on_checkpoint=checkpointed, traceparent=current_traceparent(),
        )  # fmt: skip
        export(outcome.spans)
        return outcome

    async def _commit(self, command: JobCommand, lease: Lease, outcome: JobOutcome[R], output: Path) -> None:
        artifacts: dict[str, ArtifactRef] = {}
        for name, kind in self._stage.outputs.items():
            if (output / name).is_dir():
                artifacts[name] = await self._store.put(output / name, kind=kind)
        await self._leases.renew(lease)  # fencing: an owner that was paused and lost its lease does not commit
        record = ResultRecord(
            fingerprint=command.fingerprint,
            stage=self._stage.name,
            result=outcome.value.model_dump(mode="json"),
            artifacts=artifacts,
            usage=outcome.usage,
            committed_at=datetime.now(UTC),
            run_id=command.run_id,
        )
        winner = await self._records.create_result(command.project, record)
        if winner != record:
            log.info("run %s: another worker committed %s first; its result is taken", command.run_id, command.stage)
        for name, ref in winner.artifacts.items():
            if not await self._store.adopt(ref):
                raise PermanentError(
                    f"the result of {self._stage.name} names the artifact {ref.digest} ({name}), which the store does "
                    "not have any more; restore it, or publish with --no-cache to work everything again"
                )

    async def _join_if_last(self, command: JobCommand) -> None:
        results = await self._joiner.results(command.project, command.fingerprints)
        if len(results) < len(set(command.fingerprints)):
            return
        event = EVENTS[self._stage.consumes.subject].model_validate(command.event)
        assert isinstance(event, self._stage.consumes)
        await self._joiner.join(event, command.fingerprints, results, command.started_at)

    @asynccontextmanager
    async def _watched(self, command: JobCommand, lease: Lease) -> AsyncIterator[None]:
        """Renew the lease, and stop the child when the run is ended or the lease is lost."""
        lost: list[LeaseLost] = []
        over = False

        async def stop() -> None:
            while not over:  # again: the child may not have been started yet
                await self._runner.cancel()
                await asyncio.sleep(0.1)

        async def renew() -> None:
            while not over:
                await asyncio.sleep(self._workplace.ack_wait.total_seconds() / 3)
                try:
                    await self._leases.renew(lease)
                except LeaseLost as error:
                    lost.append(error)
                    await stop()
                except TransientError as error:
                    log.warning("%s; the job goes on", error)

        async def watch() -> None:
            await self._runs.ended(command.project, command.run_id)
            await stop()

        tasks = [asyncio.create_task(renew()), asyncio.create_task(watch())]
        try:
            yield
        except Cancelled:
            if lost:
                raise lost[0] from None
            raise
        finally:
            over = True
            while not all(task.done() for task in tasks):
                for task in tasks:
                    task.cancel()  # again: Python 3.11's wait_for, inside nats-py, can swallow a cancellation
                await asyncio.wait(tasks, timeout=1)


def _parse(delivery: Delivery) -> JobCommand:
    try:
        return JobCommand.model_validate_json(delivery.body)
    except ValidationError as invalid:
        raise PermanentError(f"{delivery.subject}: not a job: {invalid.errors()[0]['msg']}") from None
