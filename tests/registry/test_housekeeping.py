"""What the registry does about deletions and garbage by itself: at its start, and once in a while."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.registry.database import Database
from services.registry.housekeeping import Housekeeping
from services.registry.settings import RegistrySettings
from tests.registry.conftest import Bench, eventually, registry
from tidemill.artifacts import ObjectArtifactStore
from tidemill.bus import Leases
from tidemill.contracts import DeleteModel
from tidemill.contracts.queries import ListModels
from tidemill.garbage import Policy
from tidemill.garbage.collection import last_report
from tidemill.records.schema import ModelDeleted


async def test_a_restarted_registry_takes_what_was_deleted_out_of_service(quiet_bench: Bench) -> None:
    bench = quiet_bench
    async with registry(bench.platform):
        await bench.finished("away")
        await eventually(lambda: bench.deployments.get("default", "away"))
    # Decided, and killed before anything else was done.
    await bench.records.append_decision("default", lambda _: ModelDeleted(name="away", versions=(1,)))
    async with registry(bench.platform):
        await eventually(lambda: _not_deployed(bench, "away"))
        await eventually(lambda: _unlisted(bench, "away"))


async def test_the_elected_registry_collects_when_it_is_due(quiet_bench: Bench) -> None:
    bench = quiet_bench
    async with registry(bench.platform):
        store = bench.store
        assert isinstance(store, ObjectArtifactStore)
        report = await eventually(lambda: last_report(store.objects))
        assert not report.dry_run
        database = Database(f"sqlite+aiosqlite:///{bench.folder / 'registry.db'}")
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


@pytest.mark.parametrize(("text", "never"), [("", True), ("0", True), ("PT0S", True), ("P1D", False)])
def test_collecting_can_be_turned_off(text: str, never: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEMILL_REGISTRY_COLLECT_EVERY", text)
    assert (not RegistrySettings().collect_every) == never


async def _not_deployed(bench: Bench, name: str) -> bool:
    return await bench.deployments.get("default", name) is None


async def _unlisted(bench: Bench, name: str) -> bool:
    models: list[dict[str, Any]] = await bench.bus.ask(ListModels())
    return name not in [one["name"] for one in models]
