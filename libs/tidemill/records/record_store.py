"""The records of all projects: typed, create-only, in the same object storage as the artifacts.

Of several who write the same record one wins and the others learn so; nothing is ever changed. Knows nothing of how
stages, runs or the registry use them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from tidemill.artifacts.objects import Objects, open_objects
from tidemill.artifacts.parallel import in_parallel
from tidemill.contracts import STAGES, StageName
from tidemill.contracts.erasures import ErasureReport
from tidemill.errors import CorruptArtifact
from tidemill.records import keys
from tidemill.records.audit import Audit
from tidemill.records.decisions import Decide, DecisionChain
from tidemill.records.documents import Documents
from tidemill.records.letters import Letters
from tidemill.records.schema import (
    AttemptRecord,
    CheckpointRecord,
    ClaimedVersion,
    DatasetVersionRecord,
    DecisionRecord,
    EpochRecord,
    OutcomeRecord,
    ResultRecord,
    RunRecord,
    StageRecord,
)

_PAGE = 64


class RecordStore:
    """Typed records over ``Objects``.

    Everything raises ``TransientError`` when the storage cannot be reached and ``CorruptArtifact``, naming the key,
    when a record cannot be read. Fields that this version does not know are ignored.
    """

    def __init__(self, objects: Objects) -> None:
        self._documents = Documents(objects)
        self._objects = objects
        self._chains: dict[str, DecisionChain] = {}
        self.letters = Letters(objects)
        self.audit = Audit(objects)

    async def projects(self) -> list[str]:
        """Names of all projects that have records, sorted."""
        return await self._objects.folders("records")

    async def create_run(self, record: RunRecord) -> bool:
        """Record that a run exists, under its event's project and run id; False when it did already."""
        key = f"{keys.run_folder(record.event.project, record.event.run_id)}/run.json"
        return await self._documents.create(key, record)

    async def run(self, project: str, run_id: str) -> RunRecord | None:
        """A run, None when there is none of that id."""
        return await self._documents.read(f"{keys.run_folder(project, run_id)}/run.json", RunRecord)

    async def run_ids(self, project: str) -> list[str]:
        """The ids of all runs of a project, sorted; one listing, no reads."""
        return await self._objects.folders(keys.runs_folder(project))

    async def runs(self, project: str) -> AsyncIterator[RunRecord]:
        """All runs of a project, sorted by id."""
        ids = await self.run_ids(project)
        for start in range(0, len(ids), _PAGE):
            page = ids[start : start + _PAGE]
            for record in await in_parallel(lambda run_id: self.run(project, run_id), page, limit=16):
                if record is not None:
                    yield record

    async def create_stage(self, project: str, run_id: str, record: StageRecord) -> bool:
        """Record that a stage of a run is done; False when that was recorded already."""
        return await self._documents.create(keys.stage_key(project, run_id, record.stage), record)

    async def stage(self, project: str, run_id: str, stage: StageName) -> StageRecord | None:
        """A stage of a run, None while it is not done."""
        return await self._documents.read(keys.stage_key(project, run_id, stage), StageRecord)

    async def stages(self, project: str, run_id: str) -> list[StageRecord]:
        """The stages of a run that are done, in the order of the flow."""
        folder = f"{keys.run_folder(project, run_id)}/stages"
        found = await self._documents.read_all(folder, StageRecord)
        return sorted(found, key=lambda record: STAGES.index(record.stage))

    async def create_dataset_version(self, project: str, record: DatasetVersionRecord) -> bool:
        """Claim a version of a dataset; False when somebody else has that number."""
        return await self._documents.create(keys.dataset_version_key(project, record.name, record.version), record)

    async def dataset_version(self, project: str, name: str, version: int) -> DatasetVersionRecord | None:
        """A version of a dataset, None when there is none of that number."""
        return await self._documents.read(keys.dataset_version_key(project, name, version), DatasetVersionRecord)

    async def dataset_version_numbers(self, project: str, name: str) -> list[int]:
        """The numbers of a dataset's versions, ascending; one listing, no reads."""
        folder = keys.dataset_versions_folder(project, name)
        return [keys.number_of(key) for key in await self._documents.keys(folder)]

    async def dataset_versions(self, project: str, name: str) -> list[DatasetVersionRecord]:
        """All versions of a dataset, the first one first."""
        return await self._documents.read_all(keys.dataset_versions_folder(project, name), DatasetVersionRecord)

    async def claim_version(self, project: str, run_id: str, record: ClaimedVersion) -> ClaimedVersion:
        """Record which version of its dataset a run makes; the version that was recorded first."""
        key = keys.claimed_version_key(project, run_id)
        if await self._documents.create(key, record):
            return record
        return await self._documents.read(key, ClaimedVersion) or record

    async def claimed_version(self, project: str, run_id: str) -> ClaimedVersion | None:
        """Which version of its dataset a run makes, None while that is not decided."""
        return await self._documents.read(keys.claimed_version_key(project, run_id), ClaimedVersion)

    async def create_outcome(self, project: str, run_id: str, record: OutcomeRecord) -> bool:
        """Record how an epoch of a run ended; False when that was recorded already."""
        return await self._documents.create(keys.outcome_key(project, run_id, record.epoch), record)

    async def outcomes(self, project: str, run_id: str) -> list[OutcomeRecord]:
        """How the epochs of a run ended, in their order; the last one counts."""
        return await self._documents.read_all(f"{keys.run_folder(project, run_id)}/outcomes", OutcomeRecord)

    async def create_epoch(self, project: str, run_id: str, record: EpochRecord) -> bool:
        """Record that a retry started an epoch of a run; False when that was recorded already."""
        return await self._documents.create(keys.epoch_key(project, run_id, record.epoch), record)

    async def epochs(self, project: str, run_id: str) -> list[EpochRecord]:
        """The retries of a run, in their order; none for a run in its first epoch."""
        return await self._documents.read_all(f"{keys.run_folder(project, run_id)}/epochs", EpochRecord)

    async def add_attempt(self, project: str, record: AttemptRecord) -> bool:
        """Record how a try of a job ended; False when that was recorded already, whatever it said."""
        key = keys.attempt_key(project, record.run_id, record.fingerprint, record.attempt_id)
        return await self._documents.create(key, record)

    async def attempts(self, project: str, run_id: str, fingerprint: str) -> list[AttemptRecord]:
        """A run's tries of a job, of all epochs, in the order in which they ended."""
        found = await self._documents.read_all(keys.attempts_folder(project, run_id, fingerprint), AttemptRecord)
        return sorted(found, key=lambda record: record.at)

    async def run_attempts(self, project: str, run_id: str) -> list[AttemptRecord]:
        """A run's tries of all its jobs, of all epochs, in the order in which they ended."""
        found = await self._documents.read_below(keys.run_attempts_folder(project, run_id), AttemptRecord)
        return sorted(found, key=lambda record: record.at)

    async def create_result(self, project: str, record: ResultRecord, *, generation: int = 1) -> ResultRecord:
        """Commit a job's result, or adopt the one that is there.

        A generation is written once. The next one counts only where the artifacts of those before are lost.

        Returns:
            The result that counts: ``record`` itself (``is record``) when this call, or an earlier try of it whose
            answer was lost, committed it; another object when somebody else was first.
        """
        key = keys.result_key(project, record.fingerprint, generation)
        if await self._documents.create(key, record):
            return record
        winner = await self._documents.read(key, ResultRecord)
        if winner is None:
            raise CorruptArtifact(f"record {key} was there and is gone; nothing may delete records")
        return record if winner == record else winner

    async def result(self, project: str, fingerprint: str, *, generation: int = 1) -> ResultRecord | None:
        """The committed result of a job in one generation, None while there is none."""
        return await self._documents.read(keys.result_key(project, fingerprint, generation), ResultRecord)

    async def add_checkpoint(self, project: str, record: CheckpointRecord) -> bool:
        """Record a checkpoint, written under the fencing token of its worker's lease.

        False, and nothing is recorded, when a worker with a later token has recorded one, or when this number is
        taken: the caller has lost its job and should stop.
        """
        order = (record.token, record.number)
        taken = await self._documents.keys(keys.checkpoints_folder(project, record.fingerprint))
        if any(keys.checkpoint_order(key)[0] > record.token for key in taken):
            return False
        return await self._documents.create(keys.checkpoint_key(project, record.fingerprint, *order), record)

    async def checkpoints(self, project: str, fingerprint: str) -> AsyncIterator[CheckpointRecord]:
        """A job's checkpoints, the one to go on from first: the highest token and, of these, the highest number."""
        taken = await self._documents.keys(keys.checkpoints_folder(project, fingerprint))
        for key in sorted(taken, key=keys.checkpoint_order, reverse=True):
            record = await self._documents.read(key, CheckpointRecord)
            if record is not None:
                yield record

    async def latest_checkpoint(self, project: str, fingerprint: str) -> CheckpointRecord | None:
        """The first of ``checkpoints``; None when there is none."""
        async for record in self.checkpoints(project, fingerprint):
            return record
        return None

    async def append_decision(self, project: str, decide: Decide) -> DecisionRecord | None:
        """Add what ``decide`` says to a project's chain of decisions; None when it says nothing.

        ``decide`` sees all decisions so far and must not change anything: when somebody else's decision comes in
        between it is asked again, so that what it decides is true of the chain it is added to.

        Raises:
            CorruptArtifact: the chain is broken; names the sequence.
        """
        return await self._chain(project).append(decide)

    async def decisions(self, project: str) -> list[DecisionRecord]:
        """A project's decisions in their order, the hash chain verified.

        Raises:
            CorruptArtifact: the chain is broken; names the sequence.
        """
        return await self._chain(project).read()

    async def create_erasure(self, report: ErasureReport) -> bool:
        """Record what an erasure did; False when that was recorded already."""
        return await self._documents.create(keys.erasure_key(report.project, report.id), report)

    async def erasure(self, project: str, erasure: str) -> ErasureReport | None:
        """What an erasure did, None while it is not done."""
        return await self._documents.read(keys.erasure_key(project, erasure), ErasureReport)

    async def erasures(self, project: str) -> list[ErasureReport]:
        """What the erasures of a project did, in the order in which they ended."""
        found = await self._documents.read_all(keys.erasures_folder(project), ErasureReport)
        return sorted(found, key=lambda one: one.finished_at)

    def _chain(self, project: str) -> DecisionChain:
        return self._chains.setdefault(project, DecisionChain(self._objects, project))


def open_records(url: str) -> RecordStore:
    """The records in the storage at ``url``: a local folder, ``file://`` or ``s3://bucket/prefix``.

    Raises:
        InvalidInput: the URL is of another form.
        PermanentError: the folder cannot be made.
    """
    return RecordStore(open_objects(url))
