"""Models and datasets deleted on purpose: out of lists and out of service, on record, their numbers never reused."""

from __future__ import annotations

from typing import Any

import pytest

from services.registry.rebuild import rebuild
from tests.registry.conftest import Bench, eventually
from tidemill.contracts import (
    CancelRun,
    DeleteDataset,
    DeleteModel,
    PromoteVersion,
    RetryRun,
    RunFinished,
)
from tidemill.contracts.queries import ListDatasets, ListDeadLetters, ListModels, ListRuns, ShowModel, ShowRun
from tidemill.errors import NotFound


async def test_a_deleted_model_is_gone_and_its_numbers_are_not_given_again(bench: Bench) -> None:
    first = await bench.finished("评论", model="x")
    await bench.finished("评论", model="y", macro_f1=0.95)
    assert await bench.deployments.get("default", "评论") is not None
    await bench.bus.command(DeleteModel(name="评论"))
    await eventually(lambda: _no_model(bench, "评论"))
    assert "评论" not in [one["name"] for one in await bench.bus.ask(ListModels())]
    await eventually(lambda: _not_deployed(bench, "评论"))
    run = await bench.bus.ask(ShowRun(run_id=first.run_id))
    assert (run["state"], run["version"], run["version_deleted"]) == ("finished", 1, True)
    rows = {row["run_id"]: row for row in await bench.bus.ask(ListRuns())}
    assert rows[first.run_id]["version_deleted"]
    again = await bench.finished("评论", model="x")
    assert (again.version, again.promoted) == (3, True)
    model = await bench.bus.ask(ShowModel(name="评论"))
    assert ([one["version"] for one in model["versions"]], model["aliases"]) == ([3], {"champion": 3})
    assert not (await bench.bus.ask(ShowRun(run_id=again.run_id)))["version_deleted"]


async def test_one_version_goes_with_its_aliases_and_the_champion_does_not(bench: Bench) -> None:
    await bench.finished("one", macro_f1=0.95)
    await bench.finished("one", macro_f1=0.9)
    await bench.bus.command(PromoteVersion(name="one", version=2, alias="challenger"))
    await eventually(lambda: _aliases(bench, "one", {"challenger": 2, "champion": 1}))
    await bench.bus.command(DeleteModel(name="one", version=1))
    letter = await eventually(lambda: _letter(bench, "is its champion"))
    assert "promote another version first" in letter["error"]
    await bench.bus.command(DeleteModel(name="one", version=2))
    await eventually(lambda: _aliases(bench, "one", {"champion": 1}))
    await bench.bus.command(PromoteVersion(name="one", version=2))
    await eventually(lambda: _letter(bench, "'one' has no version 2"))
    assert (await bench.finished("one", macro_f1=0.8)).version == 3


async def test_a_run_that_goes_on_registers_its_version_after_the_deletion(bench: Bench) -> None:
    await bench.finished("busy")
    run_id = await bench.publish("busy")
    await bench.work(run_id, "busy", until="train")
    await bench.bus.command(DeleteModel(name="busy"))
    await eventually(lambda: _no_model(bench, "busy"))
    await bench.work(run_id, "busy")
    finished = await bench.log.wait_for(RunFinished, run_id)
    assert (finished.version, finished.promoted) == (2, True)


async def test_a_command_that_is_delivered_twice_deletes_once(bench: Bench) -> None:
    from services.registry.deletion import Deletion
    from services.registry.projection import Projection
    from services.registry.serving import Serving

    await bench.finished("twice")
    database = bench.databases.open()
    projection = Projection(bench.records, database)
    deletion = Deletion(bench.records, projection, Serving(bench.bus, bench.records))
    await deletion.model(DeleteModel(name="twice"), "delivery")
    await bench.finished("twice", model="later")
    await deletion.model(DeleteModel(name="twice"), "delivery")
    model = await bench.bus.ask(ShowModel(name="twice"))
    assert [one["version"] for one in model["versions"]] == [2]
    with pytest.raises(NotFound, match="models list"):
        await deletion.model(DeleteModel(name="unheard-of"), "other")
    await database.close()


async def test_a_deleted_dataset_is_said_wherever_it_was_used(bench: Bench) -> None:
    finished = await bench.finished("数据")
    failed = await bench.publish("数据")
    await bench.work(failed, "数据", until="ingest")
    await bench.bus.command(CancelRun(run_id=failed))
    await bench.log.wait_for(RunFinished, failed)
    row = await _dataset(bench, "数据")
    assert (row["versions"], row["rows"], row["runs"], row["deleted"]) == (1, 100, 2, False)
    assert row["size_bytes"] > 0
    await bench.bus.command(DeleteDataset(name="数据"))

    async def deleted() -> Any:
        return (await _dataset(bench, "数据"))["deleted"]

    await eventually(deleted)
    row = await _dataset(bench, "数据")
    assert (row["versions"], row["rows"], row["size_bytes"], row["runs"]) == (0, None, 0, 2)
    (version,) = (await bench.bus.ask(ShowModel(name="数据")))["versions"]
    assert version["dataset_deleted"]
    assert (await bench.bus.ask(ShowRun(run_id=finished.run_id)))["dataset_deleted"]
    await bench.bus.command(RetryRun(run_id=failed))
    letter = await eventually(lambda: _letter(bench, "publish it again"))
    assert failed in letter["error"]
    again = await bench.finished("数据", model="again")
    row = await _dataset(bench, "数据")
    assert (row["versions"], row["deleted"]) == (1, False)
    versions = (await bench.bus.ask(ShowModel(name="数据")))["versions"]
    assert {one["version"]: one["dataset_deleted"] for one in versions} == {1: True, again.version: False}


async def test_a_dataset_in_use_is_not_deleted(bench: Bench) -> None:
    run_id = await bench.publish("in-use")
    await bench.work(run_id, "in-use", until="ingest")

    async def known() -> bool:
        return "in-use" in [row["name"] for row in await bench.bus.ask(ListDatasets())]

    await eventually(known)
    await bench.bus.command(DeleteDataset(name="in-use"))
    await eventually(lambda: _letter(bench, "is in use"))
    await bench.bus.command(DeleteDataset(name="nothing"))
    await eventually(lambda: _letter(bench, "there is no dataset 'nothing'"))
    assert not (await _dataset(bench, "in-use"))["deleted"]


async def test_a_rebuilt_database_knows_the_deletions_too(bench: Bench) -> None:
    await bench.finished("rebuilt", model="one")
    await bench.finished("rebuilt", model="two")
    await bench.bus.command(DeleteModel(name="rebuilt"))
    await eventually(lambda: _no_model(bench, "rebuilt"))
    await bench.finished("rebuilt", model="one")
    await bench.bus.command(DeleteDataset(name="rebuilt"))

    async def deleted() -> Any:
        return (await _dataset(bench, "rebuilt"))["deleted"]

    await eventually(deleted)
    await rebuild(bench.platform, bench.databases.address("again"))
    live, again = bench.databases.tables(), bench.databases.tables("again")
    assert len(live["deleted_versions"]) >= 2
    assert again == live


async def _no_model(bench: Bench, name: str) -> bool:
    try:
        await bench.bus.ask(ShowModel(name=name))
    except NotFound:
        return True
    return False


async def _not_deployed(bench: Bench, name: str) -> bool:
    return await bench.deployments.get("default", name) is None


async def _aliases(bench: Bench, name: str, aliases: dict[str, int]) -> bool:
    found: dict[str, int] = (await bench.bus.ask(ShowModel(name=name)))["aliases"]
    return found == aliases


async def _dataset(bench: Bench, name: str) -> dict[str, Any]:
    return next(row for row in await bench.bus.ask(ListDatasets()) if row["name"] == name)


async def _letter(bench: Bench, text: str) -> Any:
    return next((one for one in await bench.bus.ask(ListDeadLetters()) if text in one["error"]), None)
