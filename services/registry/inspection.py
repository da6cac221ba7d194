"""The database compared with the records, without changing either. ``tidemill doctor`` asks for it."""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime, timedelta

from sqlmodel import col, select

from services.registry.database import Database
from services.registry.database_address import DatabaseAddress
from services.registry.migrations import HEAD
from services.registry.repositories import Deletions, Runs
from services.registry.settings import RegistrySettings
from services.registry.tables import VersionEntry
from tidemill.contracts import Frozen
from tidemill.ending import end_with
from tidemill.errors import CorruptArtifact, TidemillError
from tidemill.records import RecordStore, open_records
from tidemill.records.schema import VersionRegistered
from tidemill.settings import PlatformSettings

ON_ITS_WAY = timedelta(minutes=2)
"""A run younger than this may not have come to the database yet."""


class Inspection(Frozen):
    """What was found. ``revision`` is None when there is no database, or nothing in it."""

    database: str
    """Its URL without its password."""
    revision: str | None = None
    head: str = HEAD
    known_revision: bool = True
    runs: int = 0
    """In the database, of all projects."""
    versions: int = 0
    recorded_runs: int = 0
    missing_runs: int = 0
    """On record and not in the database."""
    surplus_runs: int = 0
    """In the database and not on record."""
    missing_versions: int = 0


async def inspect(platform: PlatformSettings, address: DatabaseAddress | None = None) -> Inspection:
    """Compare; without an address the database is the one of the settings.

    Raises:
        TransientError: database or store are out of reach.
    """
    address = address or RegistrySettings(platform=platform).database
    records = open_records(platform.store_url)
    name = address.name
    projects = {project: await records.run_ids(project) for project in await records.projects()}
    recorded = sum(len(ids) for ids in projects.values())
    if address.file is not None and not await asyncio.to_thread(address.file.is_file):
        return Inspection(database=name, recorded_runs=recorded)
    database = Database(address)
    try:
        revision = await database.revision()
        if revision != HEAD:
            known = revision is None or revision < HEAD
            return Inspection(database=name, revision=revision, known_revision=known, recorded_runs=recorded)
        return await _compare(records, database, projects)
    finally:
        await database.close()


async def _compare(records: RecordStore, database: Database, projects: dict[str, list[str]]) -> Inspection:
    runs = missing = surplus = versions = missing_versions = 0
    async with database.reading() as session:
        held = await Runs(session).projects()
    for project in sorted(held | projects.keys()):
        recorded = projects.get(project, [])
        async with database.reading() as session:
            known = await Runs(session).ids(project)
            rows = (await session.scalars(select(VersionEntry).where(col(VersionEntry.project) == project))).all()
            deleted = await Deletions(session).versions(project)
        registered = {(version.name, version.version) for version in rows}
        runs, versions = runs + len(known), versions + len(registered)
        surplus += len(known - set(recorded))
        for run_id in sorted(set(recorded) - known):
            missing += await _is_old(records, project, run_id)
        missing_versions += len(await _decided(records, project) - registered - deleted)
    return Inspection(
        database=database.name, revision=HEAD, runs=runs, versions=versions,
        recorded_runs=sum(len(ids) for ids in projects.values()),
        missing_runs=missing, surplus_runs=surplus, missing_versions=missing_versions,
    )  # fmt: skip


async def _is_old(records: RecordStore, project: str, run_id: str) -> bool:
    try:
        run = await records.run(project, run_id)
    except CorruptArtifact:
        return False  # it cannot be in the database; another check names the record
    return run is not None and datetime.now(UTC) - run.created_at > ON_ITS_WAY


async def _decided(records: RecordStore, project: str) -> set[tuple[str, int]]:
    try:
        chain = await records.decisions(project)
    except CorruptArtifact:
        return set()  # another check names the decision
    horizon = datetime.now(UTC) - ON_ITS_WAY
    return {
        (link.decision.name, link.decision.version)
        for link in chain
        if isinstance(link.decision, VersionRegistered) and link.at < horizon
    }


def main() -> int:
    """``python -m services.registry.inspection``: one line of JSON on stdout, or a sentence on stderr and 1."""
    try:
        found = asyncio.run(inspect(PlatformSettings()))
    except TidemillError as error:
        print(error, file=sys.stderr)
        return 1
    print(found.model_dump_json())
    return 0


if __name__ == "__main__":
    end_with(main)
