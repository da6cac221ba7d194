"""Watching a job while it is worked on: its lease, its run and its limits decide whether the child may go on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from tidemill.bus import Lease, LeaseLost, Leases
from tidemill.errors import Cancelled, HandedBack, TidemillError, TransientError
from tidemill.jobs import JobRunner
from tidemill.jobs.outcome import spans_of, usage_of, with_account
from tidemill.stage.attempts import AttemptInHand, Attempts
from tidemill.stage.job_command import JobCommand
from tidemill.stage.limits import LimitReached, Limits
from tidemill.stage.runs import Runs

log = logging.getLogger(__name__)

WATCHED_AFTER = 0.25
"""Seconds that a job may take before its run is watched: a watch costs the server a consumer, and a job that is over
by then is told by its join that the run has ended."""
_SHORTEST_LOOK = 0.05


class JobWatch:
    """Renews the lease and the ledger, and stops the child when it may not go on."""

    def __init__(
        self,
        *,
        runner: JobRunner,
        runs: Runs,
        leases: Leases,
        attempts: Attempts,
        ack_wait: timedelta,
        grace: timedelta,
    ) -> None:
        self._runner = runner
        self._runs = runs
        self._leases = leases
        self._attempts = attempts
        self._beat = ack_wait.total_seconds() / 3
        self._grace = grace.total_seconds()

    @asynccontextmanager
    async def over(
        self, command: JobCommand, lease: Lease, attempt: AttemptInHand, limits: Limits
    ) -> AsyncIterator[None]:
        """Watch while the block runs.

        Raises:
            LeaseLost: another worker has the job now.
            LimitReached: the run has used up what it may take. The child was asked for a checkpoint first.
            Cancelled: the run was ended.
        """
        reasons: list[TidemillError] = []
        over = asyncio.Event()

        async def stop() -> None:
            while not over.is_set():  # again: the child may not have been started yet
                await self._runner.cancel()
                await asyncio.sleep(0.1)

        async def renew() -> None:
            while not over.is_set():
                await asyncio.sleep(self._beat)
                try:
                    await self._leases.renew(lease)
                except LeaseLost as error:
                    reasons.insert(0, error)
                    await stop()
                except TransientError as error:
                    log.warning("%s; the job goes on", error)
                await self._attempts.keep_up(attempt)

        async def follow_run() -> None:
            await asyncio.sleep(WATCHED_AFTER)
            await self._runs.ended(command.project, command.run_id)
            await stop()

        async def enforce() -> None:
            reached = await self._limit(attempt, limits, over)
            if reached is not None:
                log.warning("run %s: %s", command.run_id, reached)
                reasons.append(reached)
                self._runner.stop_job(self._grace)

        tasks = [asyncio.create_task(work) for work in (renew(), follow_run(), enforce())]
        try:
            yield
        except (Cancelled, HandedBack) as stopped:
            if not reasons:
                raise
            raise with_account(reasons[0], usage_of(stopped), spans_of(stopped)) from None
        finally:
            over.set()
            while not all(task.done() for task in tasks):
                for task in tasks:
                    task.cancel()  # again: Python 3.11's wait_for, inside nats-py, can swallow a cancellation
                await asyncio.wait(tasks, timeout=1)

    async def _limit(self, attempt: AttemptInHand, limits: Limits, over: asyncio.Event) -> LimitReached | None:
        """The limit that was reached, when it is; None when the job was over before."""
        while not over.is_set():
            await asyncio.sleep(max(_SHORTEST_LOOK, min(self._beat, limits.left(attempt.usage))))
            if not self._runner.busy:
                continue  # inputs are fetched or results stored: nothing to stop, and nothing lost by finishing
            try:
                await limits.look()
            except TidemillError as error:
                log.warning("what run limits are used up cannot be read: %s; the job goes on", error)
                continue
            if (reached := limits.reached(attempt.usage)) is not None:
                return reached
        return None
