"""Limits end a run cleanly, once, with a checkpoint and a sentence; and a retry gives it another allowance."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.libs.stage.conftest import Surroundings
from tidemill.bus import RunStates, RunStatus
from tidemill.contracts import Budget, DatasetIngested, DatasetPublished, RunFailed
from tidemill.records.schema import EpochRecord
from tidemill.settings import PriceSettings
from tidemill.testing.stages import NOWHERE

A_EURO_A_SECOND = PriceSettings(cpu_hour=0, gpu_hour=0, memory_gib_hour=0, wall_hour=3600)


@pytest.mark.parametrize(
    ("economics", "settings", "steps", "kind", "words"),
    [
        ({"max_stage_time": {"ingest": 0.8}}, {}, 20, "time-limit", "of 0.8s (economics.max_stage_time.ingest); give"),
        ({}, {"time_limit": timedelta(seconds=0.8)}, 20, "time-limit", "of 0.8s (the time limit in the settings of"),
        ({"max_cost": 0.8}, {"prices": A_EURO_A_SECOND}, 20, "budget", "of 0.80 EUR (economics.max_cost); raise"),
        ({"max_wall_time": "5s"}, {}, 70, "budget", "of 5s (economics.max_wall_time) and cost"),
    ],
)
async def test_a_limit_ends_the_run_and_a_retry_resumes(
    around: Surroundings, economics: dict[str, object], settings: dict[str, object], steps: int, kind: str, words: str
) -> None:
    dead = (await around.bus.jetstream.stream_info("DEAD")).state.messages
    async with around.stage(**settings):
        run_id = await around.publish(f"test:slow?steps={steps}", economics)
        failed = await around.log.wait_for(RunFailed, run_id)
        assert (failed.kind, failed.stage) == (kind, "ingest")
        assert words in failed.error
        assert f"tidemill runs retry {run_id}" in failed.error
        (attempt,) = await around.records.run_attempts("default", run_id)
        assert (attempt.kind, attempt.error) == (kind, failed.error)
        assert attempt.usage.wall_seconds > 0
        (outcome,) = await around.records.outcomes("default", run_id)
        assert (outcome.state, outcome.reason) == ("failed", kind)
        assert outcome.cost is not None
        assert (await around.bus.jetstream.stream_info("DEAD")).state.messages == dead, "the event is not at fault"

        budget = Budget(max_cost=100, max_wall_time=timedelta(hours=1), max_stage_time={"ingest": timedelta(hours=1)})
        await _next_epoch(around, run_id, budget)
        ingested = await around.log.wait_for(DatasetIngested, run_id)
    assert ingested.usage.attempts == 2
    assert around.steps(run_id) == sorted(around.steps(run_id)), "it went on from its checkpoint"


async def test_a_job_that_does_not_listen_is_killed_and_the_run_is_not_tried_again(around: Surroundings) -> None:
    async with around.stage(shutdown_grace=timedelta(seconds=0.3)):
        run_id = await around.publish("test:stubborn", {"max_stage_time": {"ingest": 0.5}})
        failed = await around.log.wait_for(RunFailed, run_id)
    assert failed.kind == "time-limit"
    (attempt,) = await around.records.run_attempts("default", run_id)
    assert 0.5 <= attempt.usage.wall_seconds < 10, "it was stopped before its ten seconds"


async def test_what_interrupted_tries_used_counts_towards_the_limits(around: Surroundings) -> None:
    run_id = await around.publish("test:slow?steps=60", {"max_cost": 4})
    async with around.stage(prices=A_EURO_A_SECOND):
        await around.worked_until(run_id, 20)
    async with around.stage(prices=A_EURO_A_SECOND):
        failed = await around.log.wait_for(RunFailed, run_id)
    assert "of 4.00 EUR" in failed.error
    attempts = await around.records.run_attempts("default", run_id)
    assert [attempt.kind for attempt in attempts] == ["handed-back", "budget"]
    cost = (await around.records.outcomes("default", run_id))[0].cost
    assert cost is not None
    first, second = (attempt.usage.wall_seconds for attempt in attempts)
    assert 4 <= cost.total <= first + second, "what the job used until it was told to stop"
    assert second < 4, "it did not use up the budget alone"


async def test_a_budget_that_is_used_up_starts_no_child(around: Surroundings) -> None:
    run_id = await around.publish("test:ok", {"max_wall_time": "0.001s"})
    async with around.stage():
        assert (await around.log.wait_for(RunFailed, run_id)).kind == "budget"
    (attempt,) = await around.records.run_attempts("default", run_id)
    assert attempt.usage.attempts == 0


async def test_another_budget_is_not_another_job(around: Surroundings) -> None:
    async with around.stage():
        first = await around.publish("test:ok")
        made = await around.log.wait_for(DatasetIngested, first)
        event = DatasetPublished(
            run_id=f"{first}-again",
            name="回声",
            uri=f"test:ok#{around.folder / first}",
            source=NOWHERE,
            recipe={"economics": {"max_cost": 9}},
        )
        await around.bus.announce(event, fingerprint="published")
        again = await around.log.wait_for(DatasetIngested, event.run_id)
    assert (again.dataset, again.usage.attempts) == (made.dataset, 0)


async def _next_epoch(around: Surroundings, run_id: str, budget: Budget) -> None:
    """What the registry does for a retry."""
    run = await around.records.run("default", run_id)
    assert run is not None
    record = EpochRecord(epoch=2, started_at=datetime.now(UTC), budget=budget)
    await around.records.create_epoch("default", run_id, record)
    await RunStates(around.bus).change("default", run_id, lambda _: RunStatus(epoch=2))
    await around.bus.announce(run.event, fingerprint="published", announcement=2)


async def test_jobs_side_by_side_share_one_budget(around: Surroundings) -> None:
    async with around.stage(prices=A_EURO_A_SECOND), around.stage(prices=A_EURO_A_SECOND):
        run_id = await around.publish("test:slow?jobs=2&steps=40", {"max_cost": 3})
        failed = await around.log.wait_for(RunFailed, run_id)
        assert "of 3.00 EUR" in failed.error
    attempts = await around.records.run_attempts("default", run_id)
    assert len(attempts) == 2
    used = [attempt.usage.wall_seconds for attempt in attempts]
    assert all(used), "both worked"
    assert 3 <= sum(used) < 6, "two budgets would be six seconds"
