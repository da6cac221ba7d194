"""Results as a stage sees them: the one that counts is the first generation whose artifacts are all there.

A result is written once. When an artifact that it names is lost (collected, or damaged and taken out of the way) the
job is worked again: the same bytes make the old result whole, other bytes are committed as its next generation.
"""

from __future__ import annotations

from collections.abc import Sequence

from tidemill.artifacts import ArtifactStore
from tidemill.artifacts.parallel import in_parallel
from tidemill.contracts import ArtifactRef
from tidemill.records import RecordStore
from tidemill.records.schema import ResultRecord


class Results:
    """Finds and commits the results of jobs."""

    def __init__(self, records: RecordStore, store: ArtifactStore) -> None:
        self._records = records
        self._store = store

    async def find(self, project: str, fingerprint: str) -> ResultRecord | None:
        """The job's result, None while there is none whose artifacts are there."""
        generation = 1
        while (record := await self._records.result(project, fingerprint, generation=generation)) is not None:
            if await self._adopted(record):
                return record
            generation += 1
        return None

    async def found(
        self, project: str, fingerprints: Sequence[str], known: ResultRecord | None = None
    ) -> dict[str, ResultRecord]:
        """The results that there are, by fingerprint; ``known`` is one that was found or committed a moment ago."""
        unknown = [one for one in dict.fromkeys(fingerprints) if known is None or one != known.fingerprint]
        found = dict(zip(unknown, await in_parallel(lambda one: self.find(project, one), unknown), strict=True))
        if known is not None:
            found[known.fingerprint] = known
        return {fingerprint: record for fingerprint, record in found.items() if record is not None}

    async def commit(self, project: str, record: ResultRecord) -> ResultRecord:
        """Commit a result whose artifacts are in the store, or adopt the one that somebody else committed first."""
        generation = 1
        while True:
            winner = await self._records.create_result(project, record, generation=generation)
            if winner is record or await self._adopted(winner):
                return winner
            generation += 1

    async def _adopted(self, record: ResultRecord) -> bool:
        return all([await self._store.adopt(ref) for ref in record.artifacts.values()])

    async def all_exist(self, artifacts: Sequence[ArtifactRef]) -> bool:
        """Whether the store has every one of ``artifacts``."""
        return all([await self._store.exists(ref) for ref in artifacts])
