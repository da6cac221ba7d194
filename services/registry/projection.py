"""Records to rows. Whatever is applied twice, or in another order, ends in the same rows.

Live and rebuilt databases are equal because there is one way in: a run's rows are made from the records of that run,
a project's models from its chain of decisions. An event only says where to look.
"""

from __future__ import annotations

import logging
from bisect import bisect_right
from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncSession

from services.registry.database import Database
from services.registry.facts import RunFacts, read_facts, stage_event
from services.registry.repositories import Chains, Datasets, Deletions, Lineage, Models, Runs
from services.registry.tables import (
    AliasEntry,
    DatasetEntry,
    DeletedDataset,
    DeletedVersion,
    LineageEdge,
    RunEntry,
    StageEntry,
    VersionEntry,
)
from tidemill.contracts import (
    STAGES,
    ArtifactRef,
    DatasetIngested,
    DatasetPrepared,
    ModelCompressed,
    ModelTrained,
    ResourceUsage,
    StageEvent,
)
from tidemill.errors import CorruptArtifact, TransientError
from tidemill.records import RecordStore
from tidemill.records.schema import (
    AliasMoved,
    DatasetDeleted,
    DecisionRecord,
    ModelDeleted,
    StageRecord,
    VersionRegistered,
    VersionRevoked,
    VersionSigned,
)

log = logging.getLogger(__name__)


class Projection:
    """Keeps the database in step with the records."""

    def __init__(self, records: RecordStore, database: Database) -> None:
        self._records = records
        self._database = database
        self._compared: tuple[str, str] = ("", "")
        """The running run that ``catch_up`` compared last: the next one goes on behind it."""

    async def run(self, project: str, run_id: str) -> RunFacts | None:
        """Bring a run's rows up to its records, which are returned; None when there is no such run."""
        facts = await read_facts(self._records, project, run_id)
        if facts is not None:
            async with self._database.writing() as session:
                await apply_run(session, facts)
        return facts

    async def refresh(self, run: RunEntry) -> bool:
        """Bring the rows of a run that went on up to its records, where these say more; False when they do not.

        An answer that is asked for because of an event must not be older than the event, which may not have come
        in here yet.
        """
        facts = await read_facts(self._records, run.project, run.run_id)
        if facts is None:
            return False
        entry = _run_entry(facts)
        if (_rank(entry), entry.unfinished) == (_rank(run), run.unfinished) or _rank(entry) < _rank(run):
            return False
        if facts.state == "finished":
            await self.decisions(run.project)
        async with self._database.writing() as session:
            await apply_run(session, facts)
        return True

    async def decisions(self, project: str) -> None:
        """Bring a project's models, versions and aliases up to its chain of decisions."""
        chain = await self._records.decisions(project)
        async with self._database.writing() as session:
            await apply_decisions(session, project, chain)

    async def runs_of(self, project: str, name: str) -> list[str]:
        """The ids of the runs of a dataset."""
        async with self._database.reading() as session:
            return [run.run_id for run in await Runs(session).named(project, name)]

    async def catch_up(self, *, everything: bool, at_most: int | None = None) -> int:
        """Bring in what was recorded while nobody listened; ``everything`` also looks at the runs that ended.

        Of the runs that are known to go on ``at_most`` are compared with their records, by turns: the next call
        takes the next ones.

        Returns:
            The number of runs that were looked at.

        Raises:
            TransientError: store or database are out of reach.
        """
        seen = 0
        turn = await self._turn(at_most)
        for project in await self._records.projects():
            try:
                await self.decisions(project)
            except TransientError:
                raise
            except CorruptArtifact as error:
                log.error("project %s: %s", project, error)
            except Exception:
                log.exception("project %s: unforeseen error", project)
            async with self._database.reading() as session:
                known = set() if everything else await Runs(session).ids(project)
            for run_id in await self._records.run_ids(project):
                if run_id not in known or (project, run_id) in turn:
                    await self._caught_up(project, run_id)
                    seen += 1
        return seen

    async def _turn(self, at_most: int | None) -> set[tuple[str, str]]:
        """The running runs whose turn it is, all of them where there is no limit."""
        async with self._database.reading() as session:
            running = sorted((run.project, run.run_id) for run in await Runs(session).running())
        if at_most is None or len(running) <= at_most:
            return set(running)
        start = bisect_right(running, self._compared)
        turn = (running[start:] + running[:start])[:at_most]
        self._compared = turn[-1]
        return set(turn)

    async def _caught_up(self, project: str, run_id: str) -> None:
        """Bring a run in; whatever is wrong with its records must not hide the other runs."""
        try:
            await self.run(project, run_id)
        except TransientError:
            raise
        except CorruptArtifact as error:
            log.error("run %s: %s", run_id, error)
        except Exception:
            log.exception("run %s: unforeseen error", run_id)


async def apply_run(session: AsyncSession, facts: RunFacts) -> None:
    """Make a run's rows what ``facts`` say, with the datasets and the lineage that its stages made.

    Facts that were read before those in the rows are left out: readers overtake each other.
    """
    entry = _run_entry(facts)
    known = await Runs(session).get(facts.project, facts.run_id, lock=True)
    if known is not None and _rank(known) > _rank(entry):
        return
    await Runs(session).put(entry, [_stage_entry(facts, record) for record in facts.stages])
    for record in facts.stages:
        event = stage_event(record)
        if event is None:
            continue
        dataset = _dataset_entry(event, record)
        if dataset is not None:
            await Datasets(session).put(dataset)
        for edge in _edges(event):
            await Lineage(session).add(edge)


async def apply_decisions(session: AsyncSession, project: str, chain: Sequence[DecisionRecord]) -> None:
    """Apply the decisions that are not in the tables yet, in their order."""
    applied, digest = await Chains(session).applied(project)
    if 0 < applied <= len(chain) and chain[applied - 1].digest != digest:
        log.error("project %s: the tables follow other decisions than the store's; they are made again", project)
        await Chains(session).forget(project)
        applied = 0
    for record in chain[applied:]:
        await _apply(session, project, record)
    if len(chain) > applied:
        await Chains(session).advance(project, chain[-1].sequence, chain[-1].digest)


async def _apply(session: AsyncSession, project: str, record: DecisionRecord) -> None:
    match record.decision:
        case VersionRegistered() as decision:
            await Models(session).add_version(_version_entry(project, record, decision), decision.event.task)
        case VersionSigned(name=name, version=number, signature=signature):
            await Models(session).sign(project, name, number, signature.key_id)
        case VersionRevoked() as decision:
            await _revoke(session, project, record, decision)
        case AliasMoved() as decision:
            await Models(session).point(_alias_entry(project, record, decision))
        case ModelDeleted(name=name, versions=numbers):
            await Deletions(session).delete_versions(
                [DeletedVersion(project=project, name=name, version=one, deleted_at=record.at) for one in numbers]
            )
        case DatasetDeleted(name=name, runs=runs):
            await Deletions(session).delete_datasets(
                DeletedDataset(project=project, run_id=one, name=name, deleted_at=record.at) for one in runs
            )


async def _revoke(session: AsyncSession, project: str, record: DecisionRecord, revoked: VersionRevoked) -> None:
    models = Models(session)
    await models.revoke(project, revoked.name, revoked.version, record.at, revoked.reason)
    for alias, version in revoked.aliases.items():
        if version is None:
            await models.unpoint(project, revoked.name, alias)
            continue
        await models.point(
            AliasEntry(
                project=project, name=revoked.name, alias=alias, version=version, moved_at=record.at,
                reason=f"version {revoked.version} was revoked: {revoked.reason}",
            )
        )  # fmt: skip


def _rank(run: RunEntry) -> tuple[int, bool, int]:
    """How far a run is; a run only ever goes forward."""
    stages: tuple[str, ...] = STAGES
    return run.epoch, run.state != "running", stages.index(run.stage) if run.stage in stages else 0


def _run_entry(facts: RunFacts) -> RunEntry:
    outcome = facts.outcome
    failed = outcome is not None and outcome.state == "failed"
    allowed = facts.allowance
    return RunEntry(
        project=facts.project,
        run_id=facts.run_id,
        name=facts.record.event.name,
        state=facts.state,
        stage=(outcome.stage if outcome else None) or facts.next_stage,
        epoch=facts.epoch,
        created_at=facts.record.created_at,
        ended_at=outcome.ended_at if outcome else None,
        error=outcome.error if outcome else None,
        error_stage=outcome.stage if outcome and failed else None,
        version=outcome.version if outcome else None,
        promoted=outcome.promoted if outcome else False,
        reason=outcome.reason if outcome else "",
        traceparent=facts.record.traceparent,
        uri=facts.record.event.uri,
        unfinished={
            stage: usage.model_dump(mode="json") for stage, usage in facts.used.items() if stage not in facts.reached
        },
        budget=allowed.budget.model_dump(mode="json"),
        deadline=allowed.deadline,
    )


def _stage_entry(facts: RunFacts, record: StageRecord) -> StageEntry:
    usage = facts.used.get(record.stage, ResourceUsage())
    return StageEntry(
        project=facts.project,
        run_id=facts.run_id,
        stage=record.stage,
        subject=record.subject,
        fingerprint=record.fingerprint,
        started_at=record.started_at,
        finished_at=record.finished_at,
        cached=record.cached,
        jobs=record.jobs,
        event=record.event,
        **usage.model_dump(),
    )


def _dataset_entry(event: StageEvent, record: StageRecord) -> DatasetEntry | None:
    if not isinstance(event, DatasetIngested | DatasetPrepared):
        return None
    return DatasetEntry(
        project=event.project,
        name=event.name,
        digest=event.dataset.digest,
        form="ingested" if isinstance(event, DatasetIngested) else "prepared",
        task=event.task,
        size_bytes=event.dataset.size_bytes,
        rows=event.rows if isinstance(event, DatasetIngested) else sum(event.parts.values()),
        parts=event.parts,
        labels=event.labels if isinstance(event, DatasetPrepared) else [],
        run_id=event.run_id,
        created_at=record.finished_at,
    )


def _edges(event: StageEvent) -> list[LineageEdge]:
    def edge(child: ArtifactRef, relation: str, parent: ArtifactRef) -> LineageEdge:
        return LineageEdge(
            project=event.project, child=child.digest, relation=relation,
            parent=parent.digest, parent_kind=parent.kind, parent_size_bytes=parent.size_bytes,
        )  # fmt: skip

    match event:
        case DatasetIngested():
            made, origin = event.dataset, edge(event.dataset, "ingested-from", event.source)
        case DatasetPrepared():
            made, origin = event.dataset, edge(event.dataset, "prepared-from", event.ingested)
        case ModelTrained():
            made, origin = event.model, edge(event.model, "trained-on", event.dataset)
        case ModelCompressed():
            made, origin = event.model, edge(event.model, "compressed-from", event.trained)
        case _:
            return []
    return [origin, edge(made, "configured-by", event.recipe)]


def _version_entry(project: str, record: DecisionRecord, decision: VersionRegistered) -> VersionEntry:
    return VersionEntry(
        project=project,
        name=decision.name,
        version=decision.version,
        digest=decision.event.model.digest,
        run_id=decision.run_id,
        registered_at=record.at,
        event=decision.event.model_dump(mode="json"),
        signed_by=decision.signature.key_id if decision.signature else None,
    )


def _alias_entry(project: str, record: DecisionRecord, decision: AliasMoved) -> AliasEntry:
    return AliasEntry(
        project=project,
        name=decision.name,
        alias=decision.alias,
        version=decision.version,
        reason=decision.reason,
        run_id=decision.run_id,
        moved_at=record.at,
    )
