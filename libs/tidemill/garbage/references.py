"""What is referred to: the roots of a collection, read from the records of all projects."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Set
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from tidemill.artifacts.objects import Objects, StoredObject
from tidemill.artifacts.parallel import in_parallel
from tidemill.garbage.deletions import deletions, living_versions
from tidemill.garbage.policy import Policy
from tidemill.garbage.recorded_runs import DATASET_KINDS, RecordedRun, read_runs, references_in
from tidemill.progress import Progress
from tidemill.records import RecordStore, keys
from tidemill.records.documents import from_json
from tidemill.records.schema import CheckpointRecord, ResultRecord

Leased = Callable[[str], Awaitable[bool]]
"""Whether somebody works on a fingerprint now."""


@dataclass
class References:
    """Digests that something refers to."""

    digests: set[str] = field(default_factory=set)
    sources_since: datetime | None = None
    """Since when there is a run that goes on and whose source, copied from a URI, is on no record yet."""

    def __contains__(self, digest: str) -> bool:
        return digest in self.digests

    def may_be_a_source(self, kind: str, modified: datetime) -> bool:
        """Whether an artifact may be the source of such a run."""
        return kind == "source" and self.sources_since is not None and modified >= self.sources_since


async def find_references(
    objects: Objects, records: RecordStore, policy: Policy, *, now: datetime, leased: Leased | None, progress: Progress
) -> References:
    """Everything that is referred to at this moment.

    Raises:
        CorruptArtifact: a record cannot be read, so nobody knows what it refers to; names it.
        TransientError: the store, or the bus that ``leased`` asks, is out of reach.
    """
    found = References()
    for project in await records.projects():
        await _Project(objects, records, policy, project, now, leased).add_to(found, progress)
    return found


class _Project:
    def __init__(
        self,
        objects: Objects,
        records: RecordStore,
        policy: Policy,
        project: str,
        now: datetime,
        leased: Leased | None,
    ) -> None:
        self._objects = objects
        self._records = records
        self._policy = policy
        self._project = project
        self._now = now
        self._leased = leased

    async def add_to(self, found: References, progress: Progress) -> None:
        runs = await read_runs(self._objects, self._project, progress)
        chain = await self._records.decisions(self._project)
        deleted = deletions(chain)
        forget = self._policy.forget_older_than
        forget_before = self._now - forget if forget is not None else None
        counting = {run.run_id: run.counting(deleted, forget_before) for run in runs}
        for references in counting.values():
            found.digests.update(digest for digest, _ in references or ())
        for version in living_versions(chain, deleted):
            gone = DATASET_KINDS if version.run_id in deleted.runs else frozenset()
            document = version.event.model_dump(mode="json")
            found.digests.update(digest for digest, kind in references_in(document) if kind not in gone)
        results = [one async for one in self._objects.entries(f"{keys.project_folder(self._project)}/results")]
        found.digests |= await self._results(results, runs, counting, deleted.runs)
        found.digests |= await self._checkpoints(results)
        waiting = [run.created_at for run in runs if run.outcome is None and not run.ingested]
        if waiting:
            found.sources_since = min([*waiting, *([found.sources_since] if found.sources_since else [])])

    async def _results(
        self, results: list[StoredObject], runs: list[RecordedRun], counting: Mapping[str, object], deleted: Set[str]
    ) -> set[str]:
        """Artifacts of jobs whose run has not finished, which will take them, and of young ones, which are a cache."""
        unfinished = {run.run_id: run for run in runs if run.outcome is None or run.outcome.state != "finished"}
        going_on = {id_ for id_ in unfinished if counting[id_] is not None}
        kept_since = self._now - self._policy.result_age
        # An hour for clocks that differ.
        since = min([kept_since, *(unfinished[id_].created_at - timedelta(hours=1) for id_ in going_on)])
        wanted = [one for one in results if one.modified >= since]

        async def read(one: StoredObject) -> set[str]:
            record = from_json(await self._objects.read(one.key), ResultRecord, one.key)
            run_id = record.run_id
            cached = one.modified >= kept_since and counting.get(run_id) is not None and run_id not in deleted
            if not cached and run_id not in going_on:
                return set()
            return {ref.digest for ref in record.artifacts.values()}

        return {digest for found in await in_parallel(read, wanted, limit=16) for digest in found}

    async def _checkpoints(self, results: list[StoredObject]) -> set[str]:
        """The last checkpoint of every job that was not committed since: what its next worker resumes from."""
        committed: dict[str, datetime] = {}
        for one in results:
            fingerprint = one.key.rpartition("/")[2].partition(".")[0]
            committed[fingerprint] = max(one.modified, committed.get(fingerprint, one.modified))
        last: dict[str, StoredObject] = {}
        async for one in self._objects.entries(f"{keys.project_folder(self._project)}/checkpoints"):
            fingerprint = one.key.split("/")[-2]
            before = last.get(fingerprint)
            if before is None or keys.checkpoint_order(one.key) > keys.checkpoint_order(before.key):
                last[fingerprint] = one
        kept = set()
        for fingerprint, one in last.items():
            if fingerprint in committed and committed[fingerprint] >= one.modified:
                continue
            young = self._now - one.modified < self._policy.checkpoint_age
            if young or (self._leased is not None and await self._leased(fingerprint)):
                record = from_json(await self._objects.read(one.key), CheckpointRecord, one.key)
                kept.add(record.artifact.digest)
        return kept
