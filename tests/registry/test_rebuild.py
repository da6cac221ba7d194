"""The database is a projection: lost, stale or fresh, it is made again from the bucket, and equal."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from services.registry.database import Database
from services.registry.facts import read_facts
from services.registry.migrations import HEAD
from services.registry.migrations.upgrade import scripts
from services.registry.projection import Projection, apply_run
from services.registry.rebuild import rebuild
from tests.registry.conftest import Bench, eventually, registry
from tidemill.contracts import CancelRun, PromoteVersion, RunFinished
from tidemill.contracts.queries import ListModels, ListRuns, ShowModel, ShowRun
from tidemill.errors import CorruptArtifact, TransientError


async def test_rebuilt_and_live_databases_are_equal(quiet_bench: Bench) -> None:
    bench = quiet_bench
    async with registry(bench.platform):
        await bench.finished("重建", model="one", macro_f1=0.9)
        await bench.finished("重建", model="two", macro_f1=0.95)
        await bench.finished("重建", model="one", macro_f1=0.9)
        await bench.finished("other")
        await bench.bus.command(PromoteVersion(name="重建", version=1))
        cancelled = await bench.publish("cancelled")
        await bench.work(cancelled, "cancelled", until="train")
        await bench.bus.command(CancelRun(run_id=cancelled))
        await bench.log.wait_for(RunFinished, cancelled)
        await eventually(lambda: _pointing(bench, "重建", 1))
    live = _tables(bench.folder / "registry.db")
    url = f"sqlite+aiosqlite:///{bench.folder / 'again.db'}"
    summary = await rebuild(bench.platform, url)
    assert _tables(bench.folder / "again.db") == live
    assert (summary.runs, summary.projects, summary.decisions) == (5, 1, 7)
    assert await rebuild(bench.platform, url) == summary
    assert _tables(bench.folder / "again.db") == live


async def test_a_restarted_registry_knows_everything_and_catches_up(quiet_bench: Bench) -> None:
    bench = quiet_bench
    run_id = await bench.publish("缺席")
    await bench.work(run_id, "缺席")
    async with registry(bench.platform):
        finished = await bench.log.wait_for(RunFinished, run_id)
        runs = await bench.bus.ask(ListRuns())
        model = await bench.bus.ask(ShowModel(name="缺席"))
    async with registry(bench.platform):
        assert [one | {"seconds": 0} for one in await bench.bus.ask(ListRuns())] == [
            one | {"seconds": 0} for one in runs
        ]
        assert await bench.bus.ask(ShowModel(name="缺席")) == model
    assert finished.version == 1


async def test_a_registry_whose_database_and_deployments_are_lost_makes_them_again(quiet_bench: Bench) -> None:
    bench = quiet_bench
    async with registry(bench.platform):
        finished = await bench.finished("verloren")
    for file in bench.folder.glob("registry.db*"):
        file.unlink()
    await bench.deployments.remove("default", "verloren")
    async with registry(bench.platform):
        deployment = await eventually(lambda: bench.deployments.get("default", "verloren"))
        assert deployment.versions[0].run_id == finished.run_id

        async def model() -> Any:
            return [one for one in await bench.bus.ask(ListModels()) if one["name"] == "verloren"]

        assert (await eventually(model))[0]["champion"] == 1
        assert (await bench.bus.ask(ShowRun(run_id=finished.run_id)))["state"] == "finished"


async def test_facts_that_were_read_earlier_do_not_undo_later_ones(quiet_bench: Bench) -> None:
    bench = quiet_bench
    run_id = await bench.publish("overtaken", announce=False)
    await bench.work(run_id, "overtaken", until="ingest", announce=False)
    early = await read_facts(bench.records, "default", run_id)
    await bench.work(run_id, "overtaken", until="train", announce=False)
    path = bench.folder / "overtaken.db"
    database = Database(f"sqlite+aiosqlite:///{path}")
    await database.prepare()
    await Projection(bench.records, database).run("default", run_id)
    before = _tables(path)
    assert early is not None
    async with database.writing() as session:
        await apply_run(session, early)
    assert _tables(path) == before
    await database.close()


async def test_applying_the_same_records_again_changes_nothing(quiet_bench: Bench) -> None:
    bench = quiet_bench
    run_id = await bench.publish("idempotent", announce=False)
    await bench.work(run_id, "idempotent", announce=False)
    path = bench.folder / "projection.db"
    database = Database(f"sqlite+aiosqlite:///{path}")
    assert await database.prepare()
    projection = Projection(bench.records, database)
    await projection.run("default", run_id)
    await projection.decisions("default")
    before = _tables(path)
    await projection.run("default", run_id)
    await projection.decisions("default")
    assert _tables(path) == before
    await database.close()


async def test_a_broken_chain_of_decisions_is_named_and_leaves_the_database_alone(
    quiet_bench: Bench, tmp_path: Path
) -> None:
    bench = quiet_bench
    async with registry(bench.platform):
        await bench.finished("chained")
    url = f"sqlite+aiosqlite:///{tmp_path / 'kept.db'}"
    await rebuild(bench.platform, url)
    kept = _tables(tmp_path / "kept.db")
    link = sorted((bench.folder / "store").glob("records/default/decisions/*.json"))[0]
    text = link.read_text()
    link.chmod(0o644)
    link.write_text(text.replace('"version":1', '"version":8'))
    try:
        with pytest.raises(CorruptArtifact, match="decision 1"):
            await rebuild(bench.platform, url)
    finally:
        link.write_text(text)
    assert _tables(tmp_path / "kept.db") == kept


async def test_the_command_that_tidemill_registry_rebuild_calls(quiet_bench: Bench) -> None:
    platform = quiet_bench.platform
    environment = os.environ | {"TIDEMILL_STORE_URL": platform.store_url, "TIDEMILL_DATA_DIR": str(platform.data_dir)}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.registry.rebuild", env=environment, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await process.communicate()
    assert process.returncode == 0
    assert json.loads(said)["projects"] >= 0
    assert "registry" in json.loads(said)["database"]


async def test_the_migrations_make_the_tables_that_the_code_reads(tmp_path: Path) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext
    from sqlalchemy import create_engine
    from sqlmodel import SQLModel

    database = Database(f"sqlite+aiosqlite:///{tmp_path / 'new.db'}")
    assert await database.prepare()
    assert not await database.prepare()
    await database.close()
    assert scripts().get_current_head() == HEAD
    engine = create_engine(f"sqlite:///{tmp_path / 'new.db'}")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, SQLModel.metadata) == []
    engine.dispose()


async def test_a_migration_that_is_cut_short_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from services.registry.migrations import upgrade

    whole = upgrade.upgrade

    def cut_short(connection: Any) -> None:
        whole(connection)
        raise OSError("the power failed")

    monkeypatch.setattr(upgrade, "upgrade", cut_short)
    database = Database(f"sqlite+aiosqlite:///{tmp_path / 'cut.db'}")
    with pytest.raises(TransientError, match="the power failed"):
        await database.prepare()
    monkeypatch.undo()
    assert await database.prepare()
    await database.close()


def _tables(path: Path) -> dict[str, list[Any]]:
    with closing(sqlite3.connect(path)) as connection:
        names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: sorted(connection.execute(f"SELECT * FROM {name}").fetchall(), key=repr) for name in names}


async def _pointing(bench: Bench, name: str, version: int) -> bool:
    aliases: dict[str, int] = (await bench.bus.ask(ShowModel(name=name)))["aliases"]
    return aliases == {"champion": version}
