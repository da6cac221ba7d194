"""SQLite's file is lost or damaged while the registry runs, and it goes on."""

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
from sqlalchemy import text

from services.registry.database import Database
from services.registry.database_address import DatabaseAddress
from tests.registry.conftest import Bench, eventually, registry
from tidemill.contracts.queries import ListModels, ListRuns, ShowRun
from tidemill.errors import TidemillError, TransientError


def opened(path: Path) -> Database:
    return Database(DatabaseAddress.parse(f"sqlite:///{path}"))


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


@pytest.mark.parametrize("kind", ["sqlite"], indirect=True)
@pytest.mark.parametrize("harm", [deleted, deleted_alone, emptied, cut, scribbled_on, without_tables])
async def test_a_database_that_is_lost_in_mid_run_is_made_again(
    quiet_bench: Bench, harm: Callable[[Path], None]
) -> None:
    bench = quiet_bench
    name = f"lost-{harm.__name__}"
    path = bench.folder / "registry.db"
    quick = {"reconcile_every": timedelta(seconds=0.2), "reconcile_after": timedelta(seconds=1)}
    async with registry(bench, **quick), registry(bench, **quick):
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


async def test_a_whole_file_that_cannot_be_opened_for_a_while_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "whole.db"
    database = opened(path)
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
        database = opened(path)
        path.write_bytes(damage)
        assert await database.prepare()
        await database.close()
    kept = [path.with_name(f"registry.db.damaged{number}").read_bytes()[:5] for number in ("", ".2", ".3")]
    assert kept == [b"first", b"secon", b"third"]


def _states(path: Path, name: str) -> dict[str, str]:
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            return dict(connection.execute("SELECT run_id, state FROM runs WHERE name = ?", (name,)).fetchall())
    except sqlite3.Error:  # it is being made again
        return {}
