"""PostgreSQL is lost, emptied, restarted, cut off or silent while the registry runs, and it goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from psycopg import sql
from sqlalchemy import text

from services.registry import postgresql
from services.registry.database import Database
from services.registry.database_address import DatabaseAddress
from services.registry.tables import METADATA
from tests.registry.conftest import Bench, eventually, registry
from tests.registry.databases import Databases
from tidemill.contracts.queries import ListModels, ListRuns, ShowRun
from tidemill.errors import TidemillError, TransientError
from tidemill.testing.postgresql import PostgresServer, running_postgres
from tidemill.testing.proxy import proxied

pytestmark = pytest.mark.parametrize("kind", ["postgresql"], indirect=True)

QUICK = {"reconcile_every": timedelta(seconds=0.2), "reconcile_after": timedelta(seconds=1)}


def dropped(databases: Databases) -> None:
    _server(databases).execute(f'DROP DATABASE "{_name(databases)}" WITH (FORCE)')


def made_anew_and_empty(databases: Databases) -> None:
    dropped(databases)
    _server(databases).create(_name(databases))


def without_schema(databases: Databases) -> None:
    databases.execute("DROP SCHEMA public CASCADE")
    databases.execute("CREATE SCHEMA public")


def without_a_table(databases: Databases) -> None:
    databases.execute("DROP TABLE runs")


def emptied(databases: Databases) -> None:
    databases.execute(f"TRUNCATE {', '.join([*METADATA.tables, 'alembic_version'])}")


def half_emptied(databases: Databases) -> None:
    databases.execute("TRUNCATE versions, stages, models")


@pytest.mark.parametrize("harm", [dropped, made_anew_and_empty, without_schema, without_a_table, emptied, half_emptied])
async def test_a_database_that_is_lost_in_mid_run_is_made_again(
    quiet_bench: Bench, harm: Callable[[Databases], None]
) -> None:
    bench, name = quiet_bench, f"lost-{harm.__name__}"
    async with registry(bench, **QUICK), registry(bench, **QUICK):
        before = await bench.finished(name)
        run_id = await bench.publish(name)
        await bench.work(run_id, name, until="train", model="another", macro_f1=0.95)
        await asyncio.to_thread(harm, bench.databases)

        async def told(question: Any) -> Any:
            try:
                return await bench.bus.ask(question, timeout=2)
            except TidemillError:
                return None

        async def back() -> bool:
            states = {run["run_id"]: run["state"] for run in await told(ListRuns(limit=1000)) or []}
            models = await told(ListModels()) or []
            view = await told(ShowRun(run_id=before.run_id))
            return (
                states.get(before.run_id) == "finished"
                and states.get(run_id) == "running"
                and name in [model["name"] for model in models]
                and view is not None
                and all(stage["state"] == "finished" for stage in view["stages"])
            )

        await eventually(back, 60)
        await bench.work(run_id, name, model="another", macro_f1=0.95)

        async def finished() -> Any:
            view = await told(ShowRun(run_id=run_id))
            return view if view and view["state"] == "finished" else None

        assert (await eventually(finished, 60))["version"] == 2


async def test_the_server_is_restarted_and_crashes(quiet_bench: Bench) -> None:
    bench = quiet_bench
    with running_postgres() as server:
        databases = Databases("postgresql", bench.folder, server)
        async with registry(bench, database_url=databases.url(), **QUICK):
            for mode in ("fast", "immediate"):
                await bench.finished(f"before-{mode}")
                await asyncio.to_thread(server.stop, mode)
                run_id = await bench.publish(f"during-{mode}")
                await bench.work(run_id, f"during-{mode}")
                with pytest.raises(TransientError):
                    await bench.bus.ask(ListRuns(), timeout=2)
                await asyncio.to_thread(server.start)

                async def finished(run_id: str = run_id) -> bool:
                    try:
                        return bool((await bench.bus.ask(ShowRun(run_id=run_id), timeout=2))["state"] == "finished")
                    except TidemillError:
                        return False

                await eventually(finished, 60)


async def test_connections_that_are_cut_are_replaced_without_an_error(databases: Databases) -> None:
    database = databases.open()
    await database.prepare()
    for _ in range(3):
        await asyncio.to_thread(
            _server(databases).execute,
            sql.SQL("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = {}").format(
                _name(databases)
            ),
        )  # fmt: skip
        async with database.writing() as session:
            await session.execute(text("DELETE FROM chains"))
        async with database.reading() as session:
            assert (await session.execute(text("SELECT count(*) FROM chains"))).scalar() == 0
    await database.close()


async def test_a_connection_that_is_swallowed_is_given_up(
    databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql, "ANSWER_SECONDS", 0.5)
    address = databases.address()
    async with proxied(_server(databases).port) as proxy:
        database = Database(DatabaseAddress(address.url.set(port=proxy.port)))
        await database.prepare()

        async def asked_in_vain() -> None:
            async with database.reading() as session:
                await session.execute(text("SELECT 1"))
                proxy.swallow(new=False)
                await session.execute(text("SELECT 1"))

        with pytest.raises(TransientError, match=r"cannot be read: the server did not answer"):
            await asked_in_vain()
        async with database.reading() as session:
            assert (await session.execute(text("SELECT 1"))).scalar() == 1
        await database.close()


async def test_a_writer_that_was_paused_does_not_keep_the_others_out(
    databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql, "IDLE_SECONDS", 1)
    paused, other = databases.open(), databases.open()
    await paused.prepare()

    async def written_with_a_pause() -> None:
        async with paused.writing() as session:
            await session.execute(text("INSERT INTO chains VALUES ('paused', 1, '')"))
            async with other.writing() as fresh:  # waits until the server has ended the other transaction
                await fresh.execute(text("INSERT INTO chains VALUES ('other', 1, '')"))

    with pytest.raises(TransientError, match="did not take a change"):
        await written_with_a_pause()
    async with other.reading() as session:
        assert (await session.execute(text("SELECT project FROM chains"))).all() == [("other",)]
    await paused.close()
    await other.close()


async def test_a_writer_that_waits_too_long_says_so(databases: Databases, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgresql, "TURN_SECONDS", 1)
    one, other = databases.open(), databases.open()
    await one.prepare()
    async with one.writing():
        with pytest.raises(TransientError, match=r"did not take a change: .*lock timeout"):
            async with other.writing():
                pass
    await one.close()
    await other.close()


async def test_more_questions_than_connections_wait_for_one_and_say_so(
    databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("POOL_SIZE", "POOL_OVERFLOW", "POOL_SECONDS"):
        monkeypatch.setattr(postgresql, name, {"POOL_OVERFLOW": 0}.get(name, 1))
    database = databases.open()
    await database.prepare()
    async with database.reading() as session:
        await session.execute(text("SELECT 1"))
        with pytest.raises(TransientError, match="cannot be read: QueuePool limit"):
            async with database.reading() as another:
                await another.execute(text("SELECT 1"))
    await database.close()


async def test_a_database_that_may_not_be_created_is_asked_for(databases: Databases) -> None:
    server = _server(databases)
    server.execute("CREATE ROLE without_rights LOGIN PASSWORD 'x'")
    database = Database(DatabaseAddress.parse(server.url("nowhere", user="without_rights", password="x")))
    with pytest.raises(TransientError, match=r"no database 'nowhere'.*permission denied.*createdb") as caught:
        await database.prepare()
    assert "\n" not in str(caught.value)
    await database.close()


def _server(databases: Databases) -> PostgresServer:
    assert databases.server is not None
    return databases.server


def _name(databases: Databases) -> str:
    name = databases.address().url.database
    assert name is not None
    return name
