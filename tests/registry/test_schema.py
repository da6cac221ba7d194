"""The schema: made, brought up to date in place, shared by versions and replicas, and never mistaken for another's."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import MetaData, inspect, text
from sqlmodel import SQLModel

from services.registry.database import Database
from services.registry.migrations import HEAD, upgrade
from services.registry.repositories import Runs
from services.registry.tables import METADATA, RunEntry
from tests.registry.conftest import Bench, eventually, registry
from tests.registry.databases import Databases
from tidemill.contracts.queries import ShowRun
from tidemill.errors import PermanentError, TransientError


async def test_the_migrations_make_the_tables_that_the_code_reads(databases: Databases) -> None:
    database = databases.open()
    assert await database.prepare()
    assert not await database.prepare()
    await database.close()
    assert upgrade.scripts().get_current_head() == HEAD
    engine = databases.engine()
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, SQLModel.metadata) == []
    engine.dispose()


async def test_a_migration_that_is_cut_short_leaves_nothing(
    databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = upgrade.upgrade

    def cut_short(connection: Any) -> None:
        whole(connection)
        raise OSError("the power failed")

    monkeypatch.setattr(upgrade, "upgrade", cut_short)
    database = databases.open()
    with pytest.raises(TransientError, match="the power failed"):
        await database.prepare()
    monkeypatch.undo()
    assert await database.prepare()
    await database.close()


async def test_registries_that_prepare_the_same_empty_database_at_once_all_come_up(databases: Databases) -> None:
    replicas = [databases.open() for _ in range(8)]
    fresh = await asyncio.gather(*(database.prepare() for database in replicas))
    assert fresh.count(True) == 1
    for database in replicas:
        await database.close()


async def test_a_writer_that_reads_first_waits_for_the_other_one(databases: Databases) -> None:
    one, other = (databases.open() for _ in range(2))
    await one.prepare()
    await other.prepare()

    async def count_up(database: Database) -> None:
        for _ in range(20):
            async with database.writing() as session:
                number = (await session.execute(text("SELECT max(sequence) FROM chains"))).scalar() or 0
                await session.execute(
                    text("INSERT INTO chains VALUES (:project, :number, '')"),
                    {"project": f"p{number + 1}", "number": number + 1},
                )

    await asyncio.gather(count_up(one), count_up(other))
    async with one.reading() as session:
        assert (await session.execute(text("SELECT count(*) FROM chains"))).scalar() == 40
    await one.close()
    await other.close()


async def test_an_older_version_goes_on_beside_a_newer_one_that_only_added(databases: Databases) -> None:
    database = databases.open()
    await database.prepare()
    databases.execute("ALTER TABLE runs ADD COLUMN mood TEXT")
    databases.execute("UPDATE alembic_version SET version_num = :newer", {"newer": f"{int(HEAD) + 1:04d}"})
    assert not await database.prepare()
    assert not await database.made_again()
    async with database.reading() as session:
        assert await Runs(session).running() == []
    await database.close()


async def test_an_older_version_refuses_tables_that_it_cannot_work_with(databases: Databases) -> None:
    database = databases.open()
    await database.prepare()
    databases.execute("UPDATE alembic_version SET version_num = '1001'")
    with pytest.raises(PermanentError, match=f"1001.*{HEAD}.*upgrade"):
        await database.prepare()
    await database.close()


async def test_an_old_database_with_runs_in_flight_is_upgraded_in_place(quiet_bench: Bench) -> None:
    bench = quiet_bench
    async with registry(bench):
        before = await bench.finished("upgraded")
        run_id = await bench.publish("upgraded")
        await bench.work(run_id, "upgraded", until="train", model="next", macro_f1=0.95)

        async def trained() -> bool:
            return bool((await bench.bus.ask(ShowRun(run_id=run_id)))["stages"][2]["state"] == "finished")

        await eventually(trained, 60)
    as_first_version(bench.databases)
    kept = bench.databases.execute("SELECT run_id, name FROM runs")
    async with registry(bench, reconcile_every=timedelta(seconds=0.2), reconcile_after=timedelta(seconds=1)):
        assert bench.databases.execute("SELECT version_num FROM alembic_version") == [(HEAD,)]
        assert set(kept) <= set(bench.databases.execute("SELECT run_id, name FROM runs"))
        await bench.work(run_id, "upgraded", model="next", macro_f1=0.95)

        async def finished() -> bool:
            return bool((await bench.bus.ask(ShowRun(run_id=run_id)))["state"] == "finished")

        await eventually(finished, 60)
        assert (await bench.bus.ask(ShowRun(run_id=before.run_id)))["version"] == 1


async def test_tables_of_another_program_are_left_alone(databases: Databases) -> None:
    databases.execute("CREATE TABLE runs (id INTEGER)")
    databases.execute("INSERT INTO runs VALUES (1)")
    database = databases.open()
    for look in (database.prepare, database.made_again):
        with pytest.raises(PermanentError, match=r"another program.*: runs; name a database"):
            await look()
    await database.close()
    assert databases.execute("SELECT * FROM runs") == [(1,)]


async def test_tables_that_lost_their_rows_and_their_revision_are_made_again(databases: Databases) -> None:
    database = databases.open()
    await database.prepare()
    for table in (*METADATA.tables, "alembic_version"):
        databases.execute(f"DELETE FROM {table}")
    assert await database.made_again()
    assert await database.revision() == HEAD
    await database.close()


async def test_texts_and_times_come_back_as_they_went_in(databases: Databases) -> None:
    database = databases.open()
    await database.prepare()
    at = datetime(2026, 3, 29, 2, 30, 0, 123456, tzinfo=UTC)
    values: dict[str, Any] = {"评论": ["👍", "\0", None, 1.5, 2**53]}
    async with database.writing() as session:
        await Runs(session).put(
            RunEntry(
                project="default", run_id="run-1", name="评论", state="failed", epoch=1,
                created_at=at.astimezone(timezone(timedelta(hours=8))), error="bytes \0 that 'nobody' meant; --",
                budget=values,
            ),
            [],
        )  # fmt: skip
    async with database.reading() as session:
        (run,) = await Runs(session).newest("default", limit=1)
    assert (run.created_at, run.created_at.utcoffset()) == (at, timedelta(0))
    assert run.error == "bytes ␀ that 'nobody' meant; --"
    assert run.budget == values
    await database.close()


def as_first_version(databases: Databases) -> None:
    """Put the rows of the database into tables as the first version made them."""
    source, target = databases.engine(), databases.engine("first")
    with target.begin() as connection:
        upgrade.upgrade(connection, to="0001")
    tables = MetaData()
    tables.reflect(target)
    with source.connect() as reading, target.begin() as writing:
        there = inspect(reading).get_table_names()
        for table in tables.sorted_tables:
            if table.name == "alembic_version" or table.name not in there:
                continue
            rows = [dict(row._mapping) for row in reading.execute(table.select())]
            if rows:
                writing.execute(table.insert(), rows)
    source.dispose()
    target.dispose()
    databases.swap("registry", "first")
