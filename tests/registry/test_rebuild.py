"""The database is a projection: lost, stale or fresh, it is made again from the bucket, and equal."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from services.registry.facts import read_facts
from services.registry.projection import Projection, apply_run
from services.registry.rebuild import rebuild
from tests.registry.conftest import Bench, eventually, registry
from tests.registry.databases import Databases
from tidemill.contracts import CancelRun, PromoteVersion, RunFinished
from tidemill.contracts.queries import ListModels, ListRuns, ShowModel, ShowRun
from tidemill.errors import CorruptArtifact
from tidemill.records import open_records


async def test_rebuilt_and_live_databases_are_equal(quiet_bench: Bench) -> None:
    bench = quiet_bench
    async with registry(bench):
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
    live = bench.databases.tables()
    again = bench.databases.address("again")
    summary = await rebuild(bench.platform, again)
    assert bench.databases.tables("again") == live
    assert (summary.runs, summary.projects, summary.decisions) == (5, 1, 7)
    assert await rebuild(bench.platform, again) == summary
    assert bench.databases.tables("again") == live


async def test_a_restarted_registry_knows_everything_and_catches_up(quiet_bench: Bench) -> None:
    bench = quiet_bench
    run_id = await bench.publish("缺席")
    await bench.work(run_id, "缺席")
    async with registry(bench):
        finished = await bench.log.wait_for(RunFinished, run_id)
        runs = await bench.bus.ask(ListRuns())
        model = await bench.bus.ask(ShowModel(name="缺席"))
    async with registry(bench):
        assert [one | {"seconds": 0} for one in await bench.bus.ask(ListRuns())] == [
            one | {"seconds": 0} for one in runs
        ]
        assert await bench.bus.ask(ShowModel(name="缺席")) == model
    assert finished.version == 1


async def test_a_registry_whose_database_and_deployments_are_lost_makes_them_again(quiet_bench: Bench) -> None:
    bench = quiet_bench
    async with registry(bench):
        finished = await bench.finished("verloren")
    lose(bench.databases)
    await bench.deployments.remove("default", "verloren")
    async with registry(bench):
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
    database = bench.databases.open("overtaken")
    await database.prepare()
    await Projection(bench.records, database).run("default", run_id)
    before = bench.databases.tables("overtaken")
    assert early is not None
    async with database.writing() as session:
        await apply_run(session, early)
    assert bench.databases.tables("overtaken") == before
    await database.close()


async def test_applying_the_same_records_again_changes_nothing(quiet_bench: Bench) -> None:
    bench = quiet_bench
    run_id = await bench.publish("idempotent", announce=False)
    await bench.work(run_id, "idempotent", announce=False)
    database = bench.databases.open("projection")
    assert await database.prepare()
    projection = Projection(bench.records, database)
    await projection.run("default", run_id)
    await projection.decisions("default")
    before = bench.databases.tables("projection")
    await projection.run("default", run_id)
    await projection.decisions("default")
    assert bench.databases.tables("projection") == before
    await database.close()


async def test_a_broken_chain_of_decisions_is_named_and_leaves_the_database_alone(
    quiet_bench: Bench, databases: Databases
) -> None:
    bench = quiet_bench
    async with registry(bench):
        await bench.finished("chained")
    await rebuild(bench.platform, databases.address())
    kept = databases.tables()
    link = sorted((bench.folder / "store").glob("records/default/decisions/*.json"))[0]
    text = link.read_text()
    link.chmod(0o644)
    link.write_text(text.replace('"version":1', '"version":8'))
    try:
        with pytest.raises(CorruptArtifact, match="decision 1"):
            await rebuild(bench.platform, databases.address())
    finally:
        link.write_text(text)
    assert databases.tables() == kept


async def test_the_command_that_tidemill_registry_rebuild_calls(quiet_bench: Bench) -> None:
    platform, address = quiet_bench.platform, quiet_bench.databases.address()
    environment = os.environ | {
        "TIDEMILL_STORE_URL": platform.store_url, "TIDEMILL_DATA_DIR": str(platform.data_dir),
        "TIDEMILL_REGISTRY_DATABASE_URL": quiet_bench.databases.url(),
    }  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.registry.rebuild", env=environment, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await process.communicate()
    assert process.returncode == 0
    assert json.loads(said)["projects"] >= 0
    assert json.loads(said)["database"] == address.name


async def test_a_database_that_followed_other_decisions_follows_the_stores(
    quiet_bench: Bench, databases: Databases, tmp_path: Path
) -> None:
    bench = quiet_bench
    async with registry(bench):
        await bench.finished("first")
        await bench.finished("first", model="another", macro_f1=0.95)
    other = open_records(str(tmp_path / "store"))
    await rebuild(bench.platform, databases.address())
    for record in (await bench.records.decisions("default"))[:2]:
        await other.append_decision("default", lambda _, decision=record.decision: decision)  # at another time
    chain = await bench.records.decisions("default")
    database = databases.open()
    await Projection(other, database).decisions("default")
    assert databases.execute("SELECT sequence, digest FROM chains") == [(len(chain), chain[-1].digest)]  # it is shorter
    for record in chain[2:]:
        await other.append_decision("default", lambda _, decision=record.decision: decision)
    await Projection(other, database).decisions("default")
    await database.close()
    theirs = await other.decisions("default")
    assert databases.execute("SELECT sequence, digest FROM chains") == [(len(theirs), theirs[-1].digest)]
    times = databases.tables()["versions"]
    assert len(times) == len([one for one in theirs if one.decision.kind == "version-registered"])


def lose(databases: Databases) -> None:
    """The database, as if it had never been."""
    if databases.server is not None:
        name = databases.address().url.database
        databases.server.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
        return
    for file in databases.folder.glob("registry.db*"):
        file.unlink()


async def _pointing(bench: Bench, name: str, version: int) -> bool:
    aliases: dict[str, int] = (await bench.bus.ask(ShowModel(name=name)))["aliases"]
    return aliases == {"champion": version}
