"""Runs domain functions in child processes, one at a time, started from a forkserver with the heavy imports done.

Knows no stage, no bus and no store: progress and checkpoints go to the callables that it is given.
"""

from __future__ import annotations

import asyncio
import logging
import pickle
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from tidemill import telemetry
from tidemill.contracts import ResourceUsage
from tidemill.errors import HandedBack
from tidemill.jobs import forkserver
from tidemill.jobs.attempt import Attempt, OnCheckpoint, OnProgress, OnStep
from tidemill.jobs.messages import ChildSettings
from tidemill.jobs.outcome import JobOutcome
from tidemill.jobs.report import Inputs, ProgressReport

S = TypeVar("S")
R = TypeVar("R")


class JobRunner:
    """One job at a time. All methods belong to one event loop, which they never block.

    Runners of one process share a forkserver, which ends with the last of them. ``preload`` names modules that it
    loads before the first fork; one that cannot be loaded is reported in the log of each job.
    """

    def __init__(self, preload: Sequence[str] = (), sample_interval: float = 0.5) -> None:
        self._preload = tuple(preload)
        self._interval = sample_interval
        self._attempt: Attempt | None = None
        self._leaving = False
        self._idle = asyncio.Event()
        self._idle.set()
        forkserver.join(self, self._preload)

    @property
    def busy(self) -> bool:
        """Whether a job runs."""
        return not self._idle.is_set()

    @property
    def pid(self) -> int | None:
        """Process id of the running job's child, for people and tests."""
        return self._attempt.pid if self._attempt is not None else None

    @property
    def usage_so_far(self) -> ResourceUsage:
        """What the running job used until the last sample; nothing while none runs."""
        return self._attempt.usage_so_far if self._attempt is not None else ResourceUsage()

    async def warm(self) -> None:
        """Start the forkserver, so that its imports are under way before the first job. May be left out."""
        await asyncio.to_thread(forkserver.start)

    async def run(
        self,
        function: Callable[[S, Inputs, Path, ProgressReport], R],
        spec: S,
        inputs: Inputs,
        output: Path,
        *,
        on_progress: OnProgress | None = None,
        on_checkpoint: OnCheckpoint | None = None,
        on_step: OnStep | None = None,
        traceparent: str | None = None,
    ) -> JobOutcome[R]:
        """Call ``function(spec, inputs, output, report)`` in a child and return what it returned.

        ``function`` is a module-level callable or a ``functools.partial`` of one. ``on_progress`` gets a ``Progress``
        at most ten times a second (every one that has metrics, and always the last); ``on_checkpoint`` gets the
        directory, and the function waits in ``report.checkpoint`` until it returns; ``on_step`` gets the number of a
        step and a directory, in the same way from ``report.step``. All may be coroutine functions.
        ``traceparent`` is the parent of the child's spans (default: the current span).

        ``usage_of(error)`` says what a job that raised used, ``spans_of(error)`` which spans it left.

        Raises:
            TidemillError: of the type and with the message that the function raised.
            JobFailed: the function raised anything else.
            JobCrashed: the child ended without an answer, or memory ran out.
            Cancelled: ``cancel`` was called.
            HandedBack: ``request_stop`` was called and the function gave up, or was killed after the grace time.
            RuntimeError: a job is running already.
        """
        return await self.run_call(
            function,
            spec,
            inputs,
            output,
            on_progress=on_progress,
            on_checkpoint=on_checkpoint,
            on_step=on_step,
            traceparent=traceparent,
        )

    async def run_call(
        self,
        function: Callable[..., R],
        *arguments: Any,
        on_progress: OnProgress | None = None,
        on_checkpoint: OnCheckpoint | None = None,
        on_step: OnStep | None = None,
        traceparent: str | None = None,
    ) -> JobOutcome[R]:
        """Call ``function(*arguments, report)`` in a child; otherwise as ``run``."""
        if self.busy:
            raise RuntimeError("this runner has a job already; it runs one at a time")
        if self._leaving:
            raise HandedBack("this worker is leaving; the job was not started")
        call = pickle.dumps((function, arguments))
        settings = ChildSettings(
            preload=self._preload,
            traceparent=traceparent or telemetry.current_traceparent(),
            service=telemetry.service_name(),
            instance=telemetry.instance_name(),
            log_level=logging.getLogger().getEffectiveLevel(),
        )
        self._idle.clear()
        try:
            self._attempt = Attempt(settings, self._interval, on_progress, on_checkpoint, on_step)
            return await self._attempt.run(call)
        finally:
            self._attempt = None
            self._idle.set()

    def request_stop(self, grace: float = 20.0) -> None:
        """Ask the running job to save a checkpoint and hand itself back; after ``grace`` seconds it is killed.

        Returns at once; ``run`` raises ``HandedBack``, or returns when the function finishes in time. It is final: a
        job that is started later is handed back without starting.
        """
        self._leaving = True
        if self._attempt is not None:
            self._attempt.stop(grace)

    def stop_job(self, grace: float) -> None:
        """As ``request_stop``, for the running job alone: the runner takes others afterwards."""
        if self._attempt is not None:
            self._attempt.stop(grace)

    async def cancel(self) -> None:
        """Kill the running job and everything it started; ``run`` raises ``Cancelled``. Returns when all is gone."""
        if self._attempt is not None:
            self._attempt.cancel()
            await self._idle.wait()

    async def close(self) -> None:
        """Kill a running job, and end the forkserver when no other runner of this process uses it. Final."""
        self._leaving = True
        await self.cancel()
        await asyncio.to_thread(forkserver.leave, self)
