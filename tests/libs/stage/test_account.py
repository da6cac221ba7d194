"""What a run used adds up, and its trace is whole, however its tries ended."""

from __future__ import annotations

import asyncio

import pytest

from tests.libs.stage.conftest import Surroundings
from tidemill.bus import RunStates
from tidemill.contracts import DatasetIngested, ResourceUsage, RunFailed
from tidemill.records.schema import AttemptRecord
from tidemill.telemetry import trace_id_of
from tidemill.telemetry.waterfall import read_trace
from tidemill.testing.stage_process import stage_process


async def test_a_killed_worker_leaves_its_try_to_the_next_one(around: Surroundings) -> None:
    run_id = await around.publish("test:slow")
    async with stage_process(around.platform, around.folder) as worker:
        await around.worked_until(run_id, 14)
        worker.kill()
    async with around.stage():
        ingested = await around.log.wait_for(DatasetIngested, run_id)
    (lost,) = await around.records.run_attempts("default", run_id)
    assert (lost.kind, lost.epoch, lost.stage) == ("lost", 1, "ingest")
    assert lost.instance.endswith(f"-{worker.pid}")
    assert lost.usage.attempts == 1
    assert lost.usage.wall_seconds > 0.5
    assert lost.started_at is not None
    assert lost.ended_at is not None
    assert 0.5 < (lost.ended_at - lost.started_at).total_seconds() < (lost.at - lost.started_at).total_seconds()
    await _adds_up(around, run_id, ingested, [lost])
    assert await around.ledger.all() == []

    run = await around.records.run("default", run_id)
    assert run is not None
    spans = [row.span for row in read_trace(around.folder, trace_id_of(run.traceparent) or "")]
    tries = [span for span in spans if span.name == "ingest part 1 of 1"]
    assert [bool(span.attributes.get("lost")) for span in tries] == [True, False]
    gone, done = tries
    assert (gone.status, gone.instance) == ("error", lost.instance)
    assert gone.start_ns < gone.end_ns <= done.start_ns
    assert gone.parent_id == done.parent_id


async def test_handing_back_many_times_costs_no_try_and_adds_up(around: Surroundings) -> None:
    run_id = await around.publish("test:slow")
    for step in (4, 8):
        async with around.stage(max_attempts=1):
            await around.worked_until(run_id, step)
    async with around.stage(max_attempts=1):
        ingested = await around.log.wait_for(DatasetIngested, run_id)
    attempts = await around.records.run_attempts("default", run_id)
    assert [attempt.kind for attempt in attempts] == ["handed-back"] * 2
    assert all(attempt.usage.wall_seconds > 0 for attempt in attempts)
    await _adds_up(around, run_id, ingested, attempts)
    assert not around.log.of(RunFailed, run_id)
    assert around.steps(run_id) == sorted(around.steps(run_id)), "every worker went on where the one before it was"
    assert await around.ledger.all() == []


async def test_a_crash_counts_and_is_paid_for(around: Surroundings) -> None:
    async with around.stage():
        run_id = await around.publish("test:flaky?jobs=2")
        ingested = await around.log.wait_for(DatasetIngested, run_id)
    attempts = await around.records.run_attempts("default", run_id)
    assert sorted(attempt.kind for attempt in attempts) == ["crash", "finished", "finished"]
    in_vain = [attempt for attempt in attempts if attempt.kind == "crash"]
    assert ingested.usage.attempts == 3
    await _adds_up(around, run_id, ingested, in_vain)


async def test_a_cancelled_try_is_on_record_and_nothing_stays_in_the_ledger(around: Surroundings) -> None:
    async with around.stage():
        run_id = await around.publish("test:slow")
        await around.worked_until(run_id, 3)
        (entry,) = await around.ledger.all()
        assert (entry.run_id, entry.title) == (run_id, "part 1 of 1")
        states = RunStates(around.bus)
        await states.change("default", run_id, lambda status: status.model_copy(update={"state": "cancelled"}))
        async with asyncio.timeout(20):
            while not (attempts := await around.records.run_attempts("default", run_id)):
                await asyncio.sleep(0.05)
    assert [attempt.kind for attempt in attempts] == ["cancelled"]
    assert attempts[0].usage.attempts == 1
    assert await around.ledger.all() == []


async def _adds_up(around: Surroundings, run_id: str, ingested: DatasetIngested, in_vain: list[AttemptRecord]) -> None:
    """The event's usage is that of its results and of all tries in vain together."""
    results = []
    for attempt in await around.records.run_attempts("default", run_id):
        result = await around.records.result("default", attempt.fingerprint)
        assert result is not None
        results.append((attempt.fingerprint, result.usage))
    made = list(dict(results).values())
    whole = ResourceUsage.total([*made, *(attempt.usage for attempt in in_vain)])
    assert ingested.usage.model_dump() == pytest.approx(whole.model_dump())
    assert ingested.usage.attempts == len(made) + len(in_vain)
