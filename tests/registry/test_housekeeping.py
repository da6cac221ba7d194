"""What the registry does about deletions and garbage by itself: at its start, and once in a while."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from services.registry.housekeeping import Housekeeping, pause_after
from services.registry.settings import RegistrySettings
from tests.registry.conftest import Bench, eventually, parts, registry
from tidemill.artifacts import ObjectArtifactStore
from tidemill.artifacts.objects import Objects, open_objects
from tidemill.bus import Leases
from tidemill.contracts import DeleteModel
from tidemill.contracts.queries import ListModels
from tidemill.garbage import Policy
from tidemill.garbage.collection import last_report
from tidemill.records.schema import ModelDeleted


async def test_a_restarted_registry_takes_what_was_deleted_out_of_service(quiet_bench: Bench) -> None:
    bench = quiet_bench
    async with registry(bench):
        await bench.finished("away")
        await eventually(lambda: bench.deployments.get("default", "away"))
    # Decided, and killed before anything else was done.
    await bench.records.append_decision("default", lambda _: ModelDeleted(name="away", versions=(1,)))
    async with registry(bench):
        await eventually(lambda: _not_deployed(bench, "away"))
        await eventually(lambda: _unlisted(bench, "away"))


async def test_the_elected_registry_collects_when_it_is_due(quiet_bench: Bench) -> None:
    bench = quiet_bench
    async with registry(bench):
        store = bench.store
        assert isinstance(store, ObjectArtifactStore)
        report = await eventually(lambda: last_report(store.objects))
        assert not report.dry_run
        database = bench.databases.open()
        keeping = Housekeeping(
            store.objects, database, Leases(bench.bus), every=timedelta(days=1), policy=Policy()
        )  # fmt: skip

        async def settled() -> bool:
            return not await keeping.due(datetime.now(UTC))

        await eventually(settled)
        assert await keeping.due(datetime.now(UTC) + timedelta(days=1))
        await bench.finished("deleted-soon")
        await bench.bus.command(DeleteModel(name="deleted-soon"))
        await eventually(lambda: _unlisted(bench, "deleted-soon"))
        assert await keeping.due(datetime.now(UTC))
        await database.close()


async def test_a_collection_that_fails_does_not_read_the_store_again_at_once(
    quiet_bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    monkeypatch.setattr("services.registry.housekeeping.LOOK_SECONDS", 0.0)
    objects = open_objects(str(tmp_path / "store"))
    await objects.write("records/default/runs/run-torn/run.json", iter([b"torn"]))
    async with parts(quiet_bench) as others:
        keeping = Housekeeping(
            objects, others.database, Leases(quiet_bench.bus), every=timedelta(days=1), policy=Policy()
        )  # fmt: skip

        async def failed(times: int) -> bool:
            keeping.tick()
            return caplog.text.count("garbage collection failed") >= times

        await eventually(lambda: failed(1))
        assert "run-torn/run.json cannot be read" in caplog.text
        reads = _counted_reads(objects, monkeypatch)
        for _ in range(20):
            keeping.tick()
            await asyncio.sleep(0.01)
        assert reads == []
        monkeypatch.setattr("services.registry.housekeeping.FIRST_PAUSE", 0.0)
        await eventually(lambda: failed(2))
        await keeping.stop()
    assert caplog.text.count("again in 1:00:00") == 1


def test_the_pause_after_failed_collections_grows_from_an_hour_to_a_day() -> None:
    assert [pause_after(failures) / 3600 for failures in (1, 2, 3, 5, 6, 1000)] == [1, 2, 4, 16, 24, 24]


@pytest.mark.parametrize(("text", "never"), [("", True), ("0", True), ("PT0S", True), ("P1D", False)])
def test_collecting_can_be_turned_off(text: str, never: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEMILL_REGISTRY_COLLECT_EVERY", text)
    assert (not RegistrySettings().collect_every) == never


def _counted_reads(objects: Objects, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The keys that are read from now on."""
    reads: list[str] = []
    read = objects.read

    async def counted(key: str) -> bytes:
        reads.append(key)
        return await read(key)

    monkeypatch.setattr(objects, "read", counted)
    return reads


async def _not_deployed(bench: Bench, name: str) -> bool:
    return await bench.deployments.get("default", name) is None


async def _unlisted(bench: Bench, name: str) -> bool:
    models: list[dict[str, Any]] = await bench.bus.ask(ListModels())
    return name not in [one["name"] for one in models]
