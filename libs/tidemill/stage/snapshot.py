"""Snapshots: what a URI names is copied into the store before planning, so that it has a digest."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable
from pathlib import Path

from tidemill.artifacts import ArtifactStore
from tidemill.bus import Bus
from tidemill.contracts import ArtifactRef, DatasetPublished, RunProgressed
from tidemill.jobs import JobRunner, Progress
from tidemill.jobs.report import ProgressReport
from tidemill.stage.runs import Runs

SnapshotFunction = Callable[[DatasetPublished, Path, ProgressReport], None]


class Snapshotter:
    """Runs ingest's ``snapshot`` in a child process of its own runner, and stores what it leaves."""

    def __init__(
        self, function: SnapshotFunction, runner: JobRunner, store: ArtifactStore, bus: Bus, runs: Runs, scratch: Path
    ) -> None:
        self._function = function
        self._runner = runner
        self._store = store
        self._bus = bus
        self._runs = runs
        self._scratch = scratch
        self._one_at_a_time = asyncio.Lock()

    async def snapshot(self, event: DatasetPublished) -> ArtifactRef:
        """The artifact that ``event.uri`` names at this moment.

        Raises:
            InvalidInput: there is no such dataset, or it may not be read.
            TransientError: its source cannot be reached now.
            Cancelled: the run was ended meanwhile.
            HandedBack: the service is leaving.
        """

        async def progressed(progress: Progress) -> None:
            await self._bus.report(
                RunProgressed(project=event.project, run_id=event.run_id, stage="ingest", message=progress.message)
            )

        self._scratch.mkdir(parents=True, exist_ok=True)
        async with self._one_at_a_time:
            with tempfile.TemporaryDirectory(dir=self._scratch, prefix="snapshot-") as folder:
                into = Path(folder)
                watch = asyncio.create_task(self._stop_when_ended(event))
                try:
                    await self._runner.run_call(self._function, event, into, on_progress=progressed)
                finally:
                    watch.cancel()
                return await self._store.put(into, kind="source")

    async def _stop_when_ended(self, event: DatasetPublished) -> None:
        await self._runs.ended(event.project, event.run_id)
        await self._runner.cancel()
