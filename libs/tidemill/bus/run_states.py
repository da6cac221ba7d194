"""The desired state of every run, in the KV bucket ``runs``: what all workers of a run watch.

Cancel, failure and the commit of a stage race on one compare-and-set of this entry. It is a projection: when an
entry is missing it is made again from the run's records (``tidemill.stage.runs``).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from nats.js.errors import KeyDeletedError, KeyNotFoundError, KeyWrongLastSequenceError
from pydantic import Field

from tidemill.bus.connection import UNREACHABLE, Bus
from tidemill.bus.subjects import RUNS_BUCKET, key
from tidemill.bus.watching import watching
from tidemill.contracts import Frozen, RunState, StageName
from tidemill.errors import TransientError


class NoEntry(TransientError):
    """The bucket does not know the run; its records do."""


class RunStatus(Frozen):
    """What a run ought to be. ``epoch`` counts its retries from 1; ``reached`` are the stages committed."""

    state: RunState = "running"
    epoch: int = Field(default=1, ge=1)
    reached: list[StageName] = Field(default_factory=list)
    error: str | None = None


class RunStates:
    """Read, change and watch the states of runs."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def get(self, project: str, run_id: str) -> RunStatus | None:
        """The run's entry, or None when there is none."""
        found = await self._entry(project, run_id)
        return found[0] if found else None

    async def create(self, project: str, run_id: str, status: RunStatus) -> RunStatus:
        """Make the entry; the one that exists wins and is returned."""
        bucket = await self._bus.bucket(RUNS_BUCKET)
        try:
            await bucket.create(key(project, run_id), status.model_dump_json().encode())
        except KeyWrongLastSequenceError:
            return await self.get(project, run_id) or status
        except UNREACHABLE as error:
            raise TransientError(f"state of run {run_id} cannot be written: {error!r}") from error
        return status

    async def change(
        self, project: str, run_id: str, transition: Callable[[RunStatus], RunStatus | None]
    ) -> tuple[RunStatus, bool]:
        """Compare-and-set: apply ``transition`` to the current status until the write is not raced.

        ``transition`` returns None to leave the entry alone. Returns the status afterwards and whether it was written.

        Raises:
            NoEntry: the run has none.
            TransientError: the bucket cannot be reached.
        """
        bucket = await self._bus.bucket(RUNS_BUCKET)
        while True:
            found = await self._entry(project, run_id)
            if found is None:
                raise NoEntry(f"run {run_id} has no entry in the KV bucket {RUNS_BUCKET!r}")
            status, revision = found
            changed = transition(status)
            if changed is None:
                return status, False
            try:
                await bucket.update(key(project, run_id), changed.model_dump_json().encode(), last=revision)
            except KeyWrongLastSequenceError:
                continue
            except UNREACHABLE as error:
                raise TransientError(f"state of run {run_id} cannot be written: {error!r}") from error
            return changed, True

    @asynccontextmanager
    async def watching(self, project: str, run_id: str) -> AsyncIterator[AsyncIterator[RunStatus]]:
        """Every status of the run, the current one first.

        Raises:
            TransientError: the bucket cannot be watched, or has to be watched anew; while iterating too.
        """
        async with watching(self._bus, RUNS_BUCKET, key(project, run_id)) as entries:

            async def statuses() -> AsyncIterator[RunStatus]:
                async for entry in entries:
                    if entry is not None and entry.value:
                        yield RunStatus.model_validate_json(entry.value)

            yield statuses()

    async def _entry(self, project: str, run_id: str) -> tuple[RunStatus, int] | None:
        bucket = await self._bus.bucket(RUNS_BUCKET)
        try:
            entry = await bucket.get(key(project, run_id))
        except (KeyNotFoundError, KeyDeletedError):
            return None
        except UNREACHABLE as error:
            raise TransientError(f"state of run {run_id} cannot be read: {error!r}") from error
        if not entry.value or entry.revision is None:
            return None
        return RunStatus.model_validate_json(entry.value), entry.revision
