"""What a run cost, and limits that end it: as people see it, in a job and in a queue."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio

from services.registry.rebuild import rebuild_into
from services.registry.repositories import Runs
from tests.registry.conftest import Bench, eventually, registry
from tests.registry.databases import Databases
from tidemill.contracts import Budget, DatasetIngested, ResourceUsage, RetryRun, RunFailed, RunProgressed
from tidemill.contracts.queries import ListDeadLetters, ShowModel, ShowRun
from tidemill.records.schema import AttemptRecord
from tidemill.settings import PriceSettings, StageSettings
from tidemill.stage.application import create_stage_app
from tidemill.stage.ledger import Ledger, LedgerEntry
from tidemill.testing.stages import NOWHERE, echo_stage

PRICES = PriceSettings(cpu_hour=0, gpu_hour=0, memory_gib_hour=0, wall_hour=3600)
"""A euro for each second of work."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bench(quiet_bench: Bench) -> AsyncIterator[Bench]:
    """A registry that looks often."""
    often = {"reconcile_every": timedelta(seconds=0.1), "reconcile_after": timedelta(seconds=0.5)}
    async with registry(quiet_bench, prices=PRICES, **often):
        yield quiet_bench


@asynccontextmanager
async def echo(bench: Bench) -> AsyncIterator[None]:
    """A worker of the first stage."""
    app = create_stage_app(echo_stage(), StageSettings(platform=bench.platform, prices=PRICES))
    await app.start()
    try:
        yield
    finally:
        await app.stop()


async def test_a_budget_stop_says_what_it_cost_and_a_larger_budget_resumes(bench: Bench) -> None:
    async with echo(bench):
        recipe = {"economics": {"max_cost": 0.8}}
        run_id = await bench.publish("贵", uri="test:slow#economics", source=NOWHERE, recipe=recipe)
        await bench.log.wait_for(RunFailed, run_id)
        view = await eventually(lambda: _view(bench, run_id, "failed"))
        assert "EUR of 0.80 EUR (economics.max_cost)" in view["error"]
        assert view["cost"]["total"] == pytest.approx(view["usage"]["wall_seconds"])
        assert view["cost"]["total"] >= 0.8
        assert view["budget"]["max_cost"] == 0.8
        stage = view["stages"][0]
        assert (stage["state"], stage["usage"]["attempts"]) == ("failed", 1)
        assert stage["cost"] == pytest.approx(view["cost"]["total"])
        assert run_id not in [letter["run_id"] for letter in await bench.bus.ask(ListDeadLetters())]

        await bench.bus.command(RetryRun(run_id=run_id, budget=Budget(max_cost=50)))
        ingested = await bench.log.wait_for(DatasetIngested, run_id)
    assert ingested.usage.attempts == 2
    steps = [event.message for event in bench.log.of(RunProgressed, run_id) if event.message.startswith("step")]
    assert [int(step.split()[1]) for step in steps] == sorted(int(step.split()[1]) for step in steps)
    view = await eventually(lambda: _ingested(bench, run_id))
    assert view["budget"]["max_cost"] == 50
    assert view["usage"]["attempts"] == 2
    assert view["cost"]["total"] == pytest.approx(ingested.usage.wall_seconds)


async def test_wall_time_is_over_in_the_queue_too(bench: Bench) -> None:
    run_id = await bench.publish("排队", recipe={"economics": {"max_wall_time": "1s"}}, announce=False)
    await bench.work(run_id, "排队", until="ingest")
    failed = await bench.log.wait_for(RunFailed, run_id)
    assert (failed.kind, failed.stage) == ("budget", "preprocess")
    assert "of 1s (economics.max_wall_time) and cost 0.00 EUR" in failed.error
    (outcome,) = await bench.records.outcomes("default", run_id)
    assert (outcome.reason, outcome.cost is not None) == ("budget", True)
    view = await eventually(lambda: _view(bench, run_id, "failed"))
    assert [stage["state"] for stage in view["stages"][:3]] == ["finished", "failed", "waiting"]


async def test_a_worker_that_has_the_run_in_hand_ends_it_itself(bench: Bench) -> None:
    ledger = Ledger(bench.bus)
    run_id = await bench.publish("在手", recipe={"economics": {"max_wall_time": "1s"}}, announce=False)
    await ledger.open(_entry(run_id, last_seen=datetime.now(UTC)))
    other = await bench.publish("排队二", recipe={"economics": {"max_wall_time": "1s"}}, announce=False)
    await bench.log.wait_for(RunFailed, other)
    assert not bench.log.of(RunFailed, run_id)


async def test_a_cancelled_runs_lost_try_is_put_on_record_by_the_registry(bench: Bench) -> None:
    ledger = Ledger(bench.bus)
    run_id = await bench.publish("丢", announce=False)
    used = ResourceUsage(wall_seconds=3, cpu_seconds=2, attempts=1)
    await ledger.open(_entry(run_id, last_seen=datetime.now(UTC) - timedelta(minutes=5), usage=used))

    async def recorded() -> list[AttemptRecord]:
        return await bench.records.run_attempts("default", run_id)

    (attempt,) = await eventually(recorded)
    assert (attempt.kind, attempt.usage) == ("lost", used)
    view = await eventually(lambda: _used(bench, run_id))
    assert view["cost"]["total"] == 3

    async def closed() -> bool:
        return await ledger.read("default", f"lost-{run_id}") is None

    await eventually(closed)


async def test_a_version_says_what_its_run_cost(bench: Bench) -> None:
    await bench.finished("价格")
    (version,) = (await bench.bus.ask(ShowModel(name="价格")))["versions"]
    assert version["cost"]["currency"] == "EUR"
    assert version["usage"]["cpu_seconds"] == 6.0


async def test_a_rebuilt_database_shows_the_same_account(bench: Bench, databases: Databases) -> None:
    database = databases.open()
    await database.prepare()
    await rebuild_into(bench.records, database)
    async with database.reading() as session:
        rows = {run.run_id: run for run in await Runs(session).newest("default", limit=100)}
    await database.close()
    for run_id, row in rows.items():
        view = await bench.bus.ask(ShowRun(run_id=run_id))
        unfinished = [stage["usage"] for stage in view["stages"] if stage["name"] in row.unfinished]
        assert unfinished == list(row.unfinished.values())


def _entry(run_id: str, **changes: Any) -> LedgerEntry:
    values: dict[str, Any] = {
        "attempt_id": f"try-{run_id}", "project": "default", "run_id": run_id, "stage": "ingest", "epoch": 1,
        "fingerprint": f"lost-{run_id}", "instance": "gone-1", "started_at": datetime.now(UTC) - timedelta(minutes=6),
    }  # fmt: skip
    return LedgerEntry.model_validate(values | changes)


async def _view(bench: Bench, run_id: str, state: str) -> Any:
    view = await bench.bus.ask(ShowRun(run_id=run_id))
    return view if view["state"] == state else None


async def _ingested(bench: Bench, run_id: str) -> Any:
    view = await bench.bus.ask(ShowRun(run_id=run_id))
    return view if view["stages"][0]["state"] == "finished" else None


async def _used(bench: Bench, run_id: str) -> Any:
    view = await bench.bus.ask(ShowRun(run_id=run_id))
    return view if view["usage"]["attempts"] else None
