"""The database made again from the bucket alone. ``tidemill registry rebuild`` and the tests call it."""

from __future__ import annotations

import asyncio
import sys

from services.registry.database import Database
from services.registry.database_address import DatabaseAddress
from services.registry.facts import read_facts
from services.registry.projection import apply_decisions, apply_run
from services.registry.repositories import clear
from services.registry.settings import RegistrySettings
from tidemill.artifacts import open_store
from tidemill.audit import put_on_record_everywhere
from tidemill.contracts import Frozen
from tidemill.ending import end_with
from tidemill.errors import TidemillError
from tidemill.records import RecordStore
from tidemill.settings import PlatformSettings


class RebuildSummary(Frozen):
    """What was found in the bucket and is in the database now."""

    database: str
    """The database's URL without its password."""
    projects: int = 0
    runs: int = 0
    stages: int = 0
    decisions: int = 0


async def rebuild(platform: PlatformSettings, address: DatabaseAddress | None = None) -> RebuildSummary:
    """Make the registry's database again from the records in the store; without an address, the one in the settings.

    Puts it on record in every project's audit log.

    It happens in one transaction: a registry that runs meanwhile sees the old tables or the new ones.

    Raises:
        CorruptArtifact: a record or the chain of decisions is damaged; names it. The database stays as it was.
        TransientError: store or database are out of reach.
    """
    store = open_store(platform.store_url, cache=platform.data_dir / "cache")
    database = Database(address or RegistrySettings(platform=platform).database)
    try:
        await database.prepare()
        records = store.records()
        summary = await rebuild_into(records, database)
        await put_on_record_everywhere(
            records, actor="local", action="rebuild-registry", subject="registry",
            reason=f"{summary.database} made again from {summary.runs} runs and {summary.decisions} decisions",
        )  # fmt: skip
    finally:
        await database.close()
    return summary


async def rebuild_into(records: RecordStore, database: Database) -> RebuildSummary:
    """Empty ``database`` and fill it from ``records``."""
    projects = await records.projects()
    chains = {project: await records.decisions(project) for project in projects}
    runs = stages = 0
    async with database.writing() as session:
        await clear(session)
        for project in projects:
            for run_id in await records.run_ids(project):
                facts = await read_facts(records, project, run_id)
                if facts is None:
                    continue
                await apply_run(session, facts)
                runs, stages = runs + 1, stages + len(facts.stages)
            await apply_decisions(session, project, chains[project])
    return RebuildSummary(
        database=database.name,
        projects=len(projects),
        runs=runs,
        stages=stages,
        decisions=sum(len(chain) for chain in chains.values()),
    )


def main() -> int:
    """``python -m services.registry.rebuild``: one line of JSON on stdout, or a sentence on stderr and 1."""
    try:
        summary = asyncio.run(rebuild(PlatformSettings()))
    except TidemillError as error:
        print(error, file=sys.stderr)
        return 1
    print(summary.model_dump_json())
    return 0


if __name__ == "__main__":
    end_with(main)
