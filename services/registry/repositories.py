"""Tables that read like collections. They flush; the edge commits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy import delete, func
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import SQLModel, col, select

from services.registry.tables import (
    AliasEntry,
    ChainEntry,
    DatasetEntry,
    DeletedDataset,
    DeletedVersion,
    LineageEdge,
    ModelEntry,
    RunEntry,
    StageEntry,
    VersionEntry,
)

TABLES: tuple[type[SQLModel], ...] = (
    RunEntry, StageEntry, DatasetEntry, LineageEdge, ModelEntry, VersionEntry, AliasEntry,
    DeletedVersion, DeletedDataset, ChainEntry,
)  # fmt: skip


class Runs:
    """Runs and the stages they have behind them."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def put(self, run: RunEntry, stages: Iterable[StageEntry]) -> None:
        """Make these the run's rows."""
        await self._session.merge(run)
        for stage in stages:
            await self._session.merge(stage)
        await self._session.flush()

    async def get(self, project: str, run_id: str, *, lock: bool = False) -> RunEntry | None:
        """A run; ``lock`` keeps other writers from its row until the transaction ends."""
        return await self._session.get(RunEntry, (project, run_id), with_for_update=lock)

    async def stages(self, project: str, run_id: str) -> Sequence[StageEntry]:
        """The stages that a run has behind it, in the order in which they ended."""
        query = (
            select(StageEntry)
            .where(col(StageEntry.project) == project, col(StageEntry.run_id) == run_id)
            .order_by(col(StageEntry.finished_at))
        )
        return (await self._session.scalars(query)).all()

    async def newest(self, project: str, *, limit: int, state: str | None = None) -> Sequence[RunEntry]:
        """The latest runs, newest first."""
        query = select(RunEntry).where(col(RunEntry.project) == project)
        if state is not None:
            query = query.where(col(RunEntry.state) == state)
        query = query.order_by(col(RunEntry.created_at).desc(), col(RunEntry.run_id)).limit(limit)
        return (await self._session.scalars(query)).all()

    async def running(self) -> Sequence[RunEntry]:
        """The runs of all projects that go on."""
        query = select(RunEntry).where(col(RunEntry.state) == "running").order_by(col(RunEntry.created_at))
        return (await self._session.scalars(query)).all()

    async def named(self, project: str, name: str) -> Sequence[RunEntry]:
        """The runs of a dataset."""
        query = select(RunEntry).where(col(RunEntry.project) == project, col(RunEntry.name) == name)
        return (await self._session.scalars(query)).all()

    async def names(self, project: str, *, limit: int) -> Sequence[str]:
        """The names of the datasets whose runs are the newest, these first."""
        query = (
            select(RunEntry.name)
            .where(col(RunEntry.project) == project)
            .group_by(col(RunEntry.name))
            .order_by(func.max(col(RunEntry.created_at)).desc(), col(RunEntry.name))
            .limit(limit)
        )
        return (await self._session.scalars(query)).all()

    async def of_names(self, project: str, names: Sequence[str]) -> Sequence[RunEntry]:
        """The runs of these datasets, oldest first."""
        query = select(RunEntry).where(col(RunEntry.project) == project, col(RunEntry.name).in_(names))
        return (await self._session.scalars(query.order_by(col(RunEntry.created_at)))).all()

    async def prepared(self, project: str, names: Sequence[str]) -> Sequence[StageEntry]:
        """The stages that took in or prepared one of these datasets, oldest first."""
        runs = select(RunEntry.run_id).where(col(RunEntry.project) == project, col(RunEntry.name).in_(names))
        query = select(StageEntry).where(
            col(StageEntry.project) == project,
            col(StageEntry.stage).in_(("ingest", "preprocess")),
            col(StageEntry.run_id).in_(runs),
        )
        return (await self._session.scalars(query.order_by(col(StageEntry.finished_at)))).all()

    async def projects(self) -> set[str]:
        """The projects that have runs."""
        return set((await self._session.scalars(select(RunEntry.project).distinct())).all())

    async def ids(self, project: str) -> set[str]:
        """The ids of all runs of a project."""
        return set((await self._session.scalars(select(RunEntry.run_id).where(col(RunEntry.project) == project))).all())


class Datasets:
    """Versions of datasets."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def put(self, dataset: DatasetEntry) -> None:
        """Add the version. Of several runs that made it, the first one counts, whatever order they are seen in."""
        there = await self._session.get(DatasetEntry, (dataset.project, dataset.name, dataset.digest))
        if there is None or (dataset.created_at, dataset.run_id) < (there.created_at, there.run_id):
            await self._session.merge(dataset)
            await self._session.flush()


class Lineage:
    """What came out of what."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def add(self, edge: LineageEdge) -> None:
        """Add an edge; one that is there stays."""
        await self._session.merge(edge)
        await self._session.flush()

    async def parents(self, project: str, child: str, relation: str) -> Sequence[LineageEdge]:
        """Where ``child`` came from by ``relation``."""
        query = (
            select(LineageEdge)
            .where(
                col(LineageEdge.project) == project,
                col(LineageEdge.child) == child,
                col(LineageEdge.relation) == relation,
            )
            .order_by(col(LineageEdge.parent))
        )
        return (await self._session.scalars(query)).all()


class Models:
    """Models, their versions and aliases."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def add_version(self, version: VersionEntry, task: str) -> None:
        """Add a version, and its model when it is the first."""
        if await self._session.get(ModelEntry, (version.project, version.name)) is None:
            self._session.add(
                ModelEntry(
                    project=version.project, name=version.name, task=task, created_at=version.registered_at
                )
            )  # fmt: skip
        await self._session.merge(version)
        await self._session.flush()

    async def point(self, alias: AliasEntry) -> None:
        """Let an alias point to a version."""
        await self._session.merge(alias)
        await self._session.flush()

    async def unpoint(self, project: str, name: str, alias: str) -> None:
        """Let an alias point to nothing."""
        await self._session.execute(
            delete(AliasEntry).where(
                col(AliasEntry.project) == project, col(AliasEntry.name) == name, col(AliasEntry.alias) == alias
            )
        )
        await self._session.flush()

    async def sign(self, project: str, name: str, number: int, key_id: str) -> None:
        """Note who has signed a version; nothing happens when it was deleted."""
        version = await self.version(project, name, number)
        if version is not None:
            version.signed_by = key_id
            await self._session.flush()

    async def revoke(self, project: str, name: str, number: int, at: datetime, reason: str) -> None:
        """Note that a version must not serve; nothing happens when it was deleted."""
        version = await self.version(project, name, number)
        if version is not None:
            version.revoked_at, version.revoked_because = at, reason
            await self._session.flush()

    async def get(self, project: str, name: str) -> ModelEntry | None:
        """A model."""
        return await self._session.get(ModelEntry, (project, name))

    async def newest(self, project: str, *, limit: int) -> Sequence[tuple[ModelEntry, int, int]]:
        """The models with the newest versions, these first: each with how many it has, and the number of the last."""
        counted = (
            select(
                col(VersionEntry.name).label("name"),
                func.count().label("count"),
                func.max(col(VersionEntry.version)).label("last"),
                func.max(col(VersionEntry.registered_at)).label("at"),
            )
            .where(col(VersionEntry.project) == project)
            .group_by(col(VersionEntry.name))
            .subquery()
        )
        query = (
            select(ModelEntry, counted.c.count, counted.c.last)
            .join(counted, col(ModelEntry.name) == counted.c.name)
            .where(col(ModelEntry.project) == project)
            .order_by(counted.c.at.desc(), col(ModelEntry.name))
            .limit(limit)
        )
        return [(model, count, last) for model, count, last in await self._session.execute(query)]

    async def version(self, project: str, name: str, number: int) -> VersionEntry | None:
        """One version of a model."""
        return await self._session.get(VersionEntry, (project, name, number))

    async def versions(self, project: str, name: str) -> Sequence[VersionEntry]:
        """A model's versions, newest first."""
        query = (
            select(VersionEntry)
            .where(col(VersionEntry.project) == project, col(VersionEntry.name) == name)
            .order_by(col(VersionEntry.version).desc())
        )
        return (await self._session.scalars(query)).all()

    async def aliases(self, project: str, name: str) -> Sequence[AliasEntry]:
        """Where a model's aliases point."""
        query = (
            select(AliasEntry)
            .where(col(AliasEntry.project) == project, col(AliasEntry.name) == name)
            .order_by(col(AliasEntry.alias))
        )
        return (await self._session.scalars(query)).all()


class Deletions:
    """What was deleted on purpose."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def delete_versions(self, versions: Sequence[DeletedVersion]) -> None:
        """Take versions, the aliases that point to them, and a model without versions out of the tables."""
        for one in versions:
            await self._session.merge(one)
            for table in (AliasEntry, VersionEntry):
                await self._session.execute(
                    delete(table).where(
                        col(table.project) == one.project, col(table.name) == one.name,
                        col(table.version) == one.version,
                    )
                )  # fmt: skip
        for project, name in {(one.project, one.name) for one in versions}:
            if not await Models(self._session).versions(project, name):
                await self._session.execute(
                    delete(ModelEntry).where(col(ModelEntry.project) == project, col(ModelEntry.name) == name)
                )
        await self._session.flush()

    async def delete_datasets(self, datasets: Iterable[DeletedDataset]) -> None:
        """Note whose datasets are gone."""
        for one in datasets:
            await self._session.merge(one)
        await self._session.flush()

    async def versions(self, project: str) -> set[tuple[str, int]]:
        """Names and numbers of the deleted versions."""
        query = select(DeletedVersion).where(col(DeletedVersion.project) == project)
        return {(one.name, one.version) for one in await self._session.scalars(query)}

    async def runs(self, project: str) -> set[str]:
        """The runs whose datasets were deleted."""
        query = select(DeletedDataset.run_id).where(col(DeletedDataset.project) == project)
        return set((await self._session.scalars(query)).all())

    async def latest(self) -> datetime | None:
        """When something was deleted last, in any project."""
        times = [
            await self._session.scalar(select(func.max(column)))
            for column in (col(DeletedVersion.deleted_at), col(DeletedDataset.deleted_at))
        ]
        return max((time for time in times if time is not None), default=None)


class Chains:
    """How far each project's decisions are in the tables."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def applied(self, project: str) -> tuple[int, str]:
        """Sequence and digest of the last decision in the tables, 0 for none."""
        entry = await self._session.get(ChainEntry, project, with_for_update=True)
        return (entry.sequence, entry.digest) if entry else (0, "")

    async def forget(self, project: str) -> None:
        """Take everything that a project's decisions made out of the tables."""
        for table in (VersionEntry, AliasEntry, ModelEntry, DeletedVersion, DeletedDataset, ChainEntry):
            await self._session.execute(delete(table).where(col(table.project) == project))
        self._session.expire_all()

    async def advance(self, project: str, sequence: int, digest: str) -> None:
        """Everything up to ``sequence`` is in the tables."""
        await self._session.merge(ChainEntry(project=project, sequence=sequence, digest=digest))
        await self._session.flush()


async def clear(session: AsyncSession) -> None:
    """Empty all tables."""
    for table in TABLES:
        await session.execute(delete(table))
