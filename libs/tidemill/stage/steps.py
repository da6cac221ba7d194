"""The outcomes of a job's steps: kept as results are, under a fingerprint of what each was made from.

A later job that begins with the same steps on the same inputs starts behind them, and so does the next try of a job
that was killed.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from pathlib import Path

from tidemill.artifacts import ArtifactStore
from tidemill.contracts import ResourceUsage
from tidemill.errors import ArtifactMissing, CorruptArtifact, TransientError
from tidemill.records.schema import ResultRecord
from tidemill.stage.job_command import JobCommand
from tidemill.stage.results import Results

log = logging.getLogger(__name__)

STEP = "step"
"""The one artifact of a step's outcome."""


class Steps:
    """Finds and keeps the outcomes of steps."""

    def __init__(self, results: Results, store: ArtifactStore) -> None:
        self._results = results
        self._store = store

    async def fetch(self, command: JobCommand, into: Path) -> tuple[int, Path] | None:
        """The last step of the job whose outcome can be read, fetched into the directory ``into``.

        Raises:
            TransientError: the store is out of reach.
        """
        for number in reversed(range(len(command.steps))):
            record = await self._results.find(command.project, command.steps[number])
            if record is None:
                continue
            try:
                await self._store.fetch(record.artifacts[STEP], into)
            except (ArtifactMissing, CorruptArtifact) as error:
                log.error("run %s: the outcome of step %d is passed over: %s", command.run_id, number, error)
                await self._store.quarantine(record.artifacts[STEP])
                continue
            log.info("run %s: %s starts behind its step %d", command.run_id, command.stage, number + 1)
            return number, into
        return None

    async def keep(self, command: JobCommand, number: int, directory: Path) -> None:
        """Keep the outcome of step ``number``. An outage costs the next job this step, so it is only logged."""
        fingerprint = command.steps[number]
        try:
            artifact = await self._store.put(directory, kind="checkpoint")
            record = ResultRecord(
                fingerprint=fingerprint, stage=command.stage, result={}, artifacts={STEP: artifact},
                usage=ResourceUsage(), committed_at=datetime.now(UTC), run_id=command.run_id,
            )  # fmt: skip
            await self._results.commit(command.project, record)
        except TransientError as error:
            log.warning("run %s: the outcome of a step was not kept, the work goes on: %s", command.run_id, error)
