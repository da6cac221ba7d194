"""Which version of its dataset a run makes, and which version came before it. Decided once, on record.

Versions are numbered by create-only records, so that two runs never make the same one. A run that appends waits until
the run of the version before has taken its rows in, or has ended without: appended rows are never lost to a race.
"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime

from tidemill.artifacts import ArtifactStore
from tidemill.contracts import ArtifactRef, DatasetIngested, DatasetPublished, Recipe
from tidemill.errors import PermanentError, TransientError
from tidemill.records import RecordStore
from tidemill.records.schema import ClaimedVersion, DatasetVersionRecord
from tidemill.stage.announced import announced


async def claim_version(
    event: DatasetPublished, recipe: Recipe, records: RecordStore, store: ArtifactStore
) -> DatasetPublished:
    """``event`` with ``version`` and ``previous`` filled in; the same whenever it is asked of the same run.

    The source of the version before, read as it was and with no other provenance, makes no new version, unless it is
    appended; that of an older version makes one that is compared with what the older one was compared with. A version
    before whose dataset is not there any more counts as none.

    Raises:
        TransientError: the run appends, and the run of the version before is still at it.
        PermanentError: the run appends to a version whose dataset was deleted since.
    """
    assert event.source is not None, "the stage machinery takes the snapshot before it claims a version"
    claimed = await records.claimed_version(event.project, event.run_id)
    version = await _version_of(event, claimed, records)
    if version is None:
        version = await _claim(event, recipe, event.source, records, store)
    if claimed is None:
        own = ClaimedVersion(name=version.name, version=version.version)
        await records.claim_version(event.project, event.run_id, own)
    previous = version.previous
    if previous is not None and not await store.adopt(previous):
        if version.append:
            raise PermanentError(
                f"version {version.version} of dataset {version.name} adds rows to a version that was deleted since; "
                "publish all rows as a dataset without append"
            )
        previous = None
    return event.model_copy(update={"version": version.version, "previous": previous, "append": version.append})


async def _version_of(
    event: DatasetPublished, claimed: ClaimedVersion | None, records: RecordStore
) -> DatasetVersionRecord | None:
    """The version that the run has claimed already, also by a planner that was killed right behind."""
    if claimed is not None:
        return await records.dataset_version(event.project, claimed.name, claimed.version)
    run = await records.run(event.project, event.run_id)
    for number in reversed(await records.dataset_version_numbers(event.project, event.name)):
        version = await records.dataset_version(event.project, event.name, number)
        if version is not None and version.run_id == event.run_id:
            return version
        if version is None or run is None or version.at < run.created_at:
            return None
    return None


async def _claim(
    event: DatasetPublished, recipe: Recipe, source: ArtifactRef, records: RecordStore, store: ArtifactStore
) -> DatasetVersionRecord:
    while True:
        numbers = await records.dataset_version_numbers(event.project, event.name)
        last = await records.dataset_version(event.project, event.name, numbers[-1]) if numbers else None
        previous = await _before(event, numbers, records, store)
        version = DatasetVersionRecord(
            name=event.name,
            version=(numbers[-1] if numbers else 0) + 1,
            run_id=event.run_id,
            source=source,
            append=event.append and previous is not None,
            previous=previous,
            reading=_reading(recipe),
            uri=event.uri,
            licence=recipe.data.licence or event.licence,
            owner=recipe.data.owner or event.owner,
            erasure=event.erasure,
            at=datetime.now(UTC),
        )
        if last is not None and not event.append and await _makes_the_same(version, last, event.project, records):
            return last
        older = await _same_source(version, event.project, records)
        if older is not None:
            version = version.model_copy(update={"previous": older.previous})
        if await records.create_dataset_version(event.project, version):
            return version


async def _makes_the_same(
    version: DatasetVersionRecord, last: DatasetVersionRecord, project: str, records: RecordStore
) -> bool:
    """Whether ``last`` is what ``version`` would be; one whose run has not taken it in, and may fail, is none yet."""
    if last.append or last.source.digest != version.source.digest:
        return False
    if last.reading != version.reading:
        return False
    if version.licence not in (None, last.licence) or version.owner not in (None, last.owner):
        return False  # somebody says something new about it; who says nothing says nothing else
    return await records.stage(project, last.run_id, "ingest") is not None


async def _same_source(
    version: DatasetVersionRecord, project: str, records: RecordStore
) -> DatasetVersionRecord | None:
    """An earlier version of the same source: what it was compared with stands, so that nothing is worked again."""
    if version.append:
        return None
    versions = await records.dataset_versions(project, version.name)
    wanted = (version.source.digest, version.reading)
    return next((one for one in versions if not one.append and (one.source.digest, one.reading) == wanted), None)


def _reading(recipe: Recipe) -> str:
    words = json.dumps({"task": recipe.task, **recipe.data.reading}, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(words.encode()).hexdigest()


async def _before(
    event: DatasetPublished, numbers: list[int], records: RecordStore, store: ArtifactStore
) -> ArtifactRef | None:
    """The ingested dataset of the last version that has one."""
    for number in reversed(numbers):
        version = await records.dataset_version(event.project, event.name, number)
        if version is None:
            continue
        stage = await records.stage(event.project, version.run_id, "ingest")
        if stage is not None:
            ingested = announced(stage)
            assert isinstance(ingested, DatasetIngested), "ingest announces what it ingested"
            if await store.adopt(ingested.dataset) and not await store.erased(ingested.dataset):
                return ingested.dataset
        elif event.append and not await _ended(event.project, version.run_id, records):
            raise TransientError(
                f"the rows are appended when run {version.run_id} has taken in version {number} of {event.name}"
            )
    return None


async def _ended(project: str, run_id: str, records: RecordStore) -> bool:
    outcomes = await records.outcomes(project, run_id)
    epochs = await records.epochs(project, run_id)
    return bool(outcomes) and outcomes[-1].epoch >= max([1, *[one.epoch for one in epochs]])
