"""The database is lost while the registry runs, and it goes on; versions of the registry work side by side."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import MetaData, create_engine, inspect, text

from services.registry.database import Database
from services.registry.migrations import HEAD
from services.registry.migrations.upgrade import upgrade
from services.registry.repositories import Runs
from tests.registry.conftest import Bench, eventually, registry
from tidemill.contracts.queries import ListModels, ListRuns, ShowRun
from tidemill.errors import PermanentError, TidemillError, TransientError


def deleted(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)


def deleted_alone(path: Path) -> None:
    path.unlink()


def emptied(path: Path) -> None:
    os.truncate(path, 0)


def cut(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    os.truncate(path, path.stat().st_size // 2)


def scribbled_on(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    path.write_bytes(b"no database at all" * 1000)


def without_tables(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TABLE runs")
        connection.commit()


@pytest.mark.parametrize("harm", [deleted, deleted_alone, emptied, cut, scribbled_on, without_tables])
async def test_a_database_that_is_lost_in_mid_run_is_made_again(
    quiet_bench: Bench, harm: Callable[[Path], None]
) -> None:
    bench = quiet_bench
    name = f"lost-{harm.__name__}"
    path = bench.folder / "registry.db"
    quick = {"reconcile_every": timedelta(seconds=0.2), "reconcile_after": timedelta(seconds=1)}
    async with registry(bench.platform, **quick), registry(bench.platform, **quick):
        before = await bench.finished(name)
        run_id = await bench.publish(name)
        await bench.work(run_id, name, until="train", model="another", macro_f1=0.95)
        await asyncio.to_thread(harm, path)

        async def told(question: Any) -> Any:
            try:
                return await bench.bus.ask(question, timeout=2)
            except TidemillError:
                return None

        async def back() -> bool:
            runs = await told(ListRuns(limit=1000)) or []
            models = await told(ListModels()) or []
            states = {run["run_id"]: run["state"] for run in runs}
            return (
                states.get(before.run_id) == "finished"
                and states.get(run_id) == "running"
                and name in [model["name"] for model in models]
            )

        await eventually(back, 60)
        await bench.work(run_id, name, model="another", macro_f1=0.95)

        async def finished() -> Any:
            view = await told(ShowRun(run_id=run_id))
            return view if view and view["state"] == "finished" else None

        assert (await eventually(finished, 60))["version"] == 2

        async def on_disk() -> bool:
            return await asyncio.to_thread(_states, path, name) == {before.run_id: "finished", run_id: "finished"}

        await eventually(on_disk, 60)


async def test_registries_that_prepare_the_same_empty_database_at_once_all_come_up(tmp_path: Path) -> None:
    databases = [Database(f"sqlite+aiosqlite:///{tmp_path / 'shared.db'}") for _ in range(8)]
    fresh = await asyncio.gather(*(database.prepare() for database in databases))
    assert fresh.count(True) == 1
    for database in databases:
        await database.close()


async def test_a_writer_that_reads_first_waits_for_the_other_one(tmp_path: Path) -> None:
    one, other = (Database(f"sqlite+aiosqlite:///{tmp_path / 'two.db'}") for _ in range(2))
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


async def test_an_older_version_goes_on_beside_a_newer_one_that_only_added(tmp_path: Path) -> None:
    path = tmp_path / "newer.db"
    database = Database(f"sqlite+aiosqlite:///{path}")
    await database.prepare()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("ALTER TABLE runs ADD COLUMN mood TEXT")
        connection.execute("UPDATE alembic_version SET version_num = ?", (f"{int(HEAD) + 1:04d}",))
        connection.commit()
    assert not await database.prepare()
    assert not await database.made_again()
    async with database.reading() as session:
        assert await Runs(session).running() == []
    await database.close()


async def test_an_older_version_refuses_tables_that_it_cannot_work_with(tmp_path: Path) -> None:
    path = tmp_path / "incompatible.db"
    database = Database(f"sqlite+aiosqlite:///{path}")
    await database.prepare()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '1001'")
        connection.commit()
    with pytest.raises(PermanentError, match=f"1001.*{HEAD}.*upgrade"):
        await database.prepare()
    await database.close()


async def test_an_old_database_with_runs_in_flight_is_upgraded_in_place(quiet_bench: Bench) -> None:
    bench = quiet_bench
    path = bench.folder / "registry.db"
    async with registry(bench.platform):
        before = await bench.finished("upgraded")
        run_id = await bench.publish("upgraded")
        await bench.work(run_id, "upgraded", until="train", model="next", macro_f1=0.95)

        async def trained() -> bool:
            return bool((await bench.bus.ask(ShowRun(run_id=run_id)))["stages"][2]["state"] == "finished")

        await eventually(trained, 60)
    _as_first_version(path)
    kept = _runs(path)
    async with registry(bench.platform, reconcile_every=timedelta(seconds=0.2), reconcile_after=timedelta(seconds=1)):
        assert _revision(path) == HEAD
        assert kept.items() <= _runs(path).items()
        await bench.work(run_id, "upgraded", model="next", macro_f1=0.95)

        async def finished() -> bool:
            return bool((await bench.bus.ask(ShowRun(run_id=run_id)))["state"] == "finished")

        await eventually(finished, 60)
        assert (await bench.bus.ask(ShowRun(run_id=before.run_id)))["version"] == 1


async def test_a_whole_file_that_cannot_be_opened_for_a_while_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "whole.db"
    database = Database(f"sqlite+aiosqlite:///{path}")
    await database.prepare()
    async with database.writing() as session:
        await session.execute(text("INSERT INTO chains VALUES ('kept', 1, '')"))
    await database.close()
    in_the_way = Path(f"{path}-wal")
    in_the_way.mkdir()  # SQLite: "unable to open database file"
    with pytest.raises(TransientError, match="unable to open"):
        async with database.reading() as session:
            await session.execute(text("SELECT * FROM chains"))
    assert database.doubted.is_set()
    for look in (database.made_again, database.prepare):
        with pytest.raises(TransientError, match="unable to open"):
            await look()
    in_the_way.rmdir()
    assert not await database.made_again()
    async with database.reading() as session:
        assert (await session.execute(text("SELECT project FROM chains"))).scalar() == "kept"
    assert list(tmp_path.glob("*damaged*")) == []
    await database.close()


async def test_every_damaged_file_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "registry.db"
    for damage in (b"first" * 1000, b"second" * 1000, b"third" * 1000):
        database = Database(f"sqlite+aiosqlite:///{path}")
        path.write_bytes(damage)
        assert await database.prepare()
        await database.close()
    kept = [path.with_name(f"registry.db.damaged{number}").read_bytes()[:5] for number in ("", ".2", ".3")]
    assert kept == [b"first", b"secon", b"third"]


def _as_first_version(path: Path) -> None:
    """Put the rows of the database into tables as the first version made them."""
    old = path.with_name("first.db")
    source, target = (create_engine(f"sqlite:///{name}") for name in (path, old))
    with target.begin() as connection:
        upgrade(connection, to="0001")
    tables = MetaData()
    tables.reflect(target)
    with source.connect() as reading, target.begin() as writing:
        there = inspect(reading).get_table_names()
        for table in tables.sorted_tables:
            if table.name == "alembic_version" or table.name not in there:
                continue
            columns = ", ".join(column.name for column in table.columns)
            rows = [dict(row._mapping) for row in reading.execute(text(f"SELECT {columns} FROM {table.name}"))]
            if rows:
                marks = ", ".join(f":{column.name}" for column in table.columns)
                writing.execute(text(f"INSERT INTO {table.name} ({columns}) VALUES ({marks})"), rows)
    source.dispose()
    target.dispose()
    deleted(path)
    old.replace(path)


def _states(path: Path, name: str) -> dict[str, str]:
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            return dict(connection.execute("SELECT run_id, state FROM runs WHERE name = ?", (name,)).fetchall())
    except sqlite3.Error:  # it is being made again
        return {}


def _revision(path: Path) -> str:
    with closing(sqlite3.connect(path)) as connection:
        return str(connection.execute("SELECT version_num FROM alembic_version").fetchone()[0])


def _runs(path: Path) -> dict[str, str]:
    with closing(sqlite3.connect(path)) as connection:
        return dict(connection.execute("SELECT run_id, name FROM runs").fetchall())
