"""A stage that works in rounds: every job is done once, whoever is killed, and steps whose inputs stay are not done."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest_asyncio

from tidemill.artifacts import open_store
from tidemill.artifacts.object_store import ObjectArtifactStore
from tidemill.bus import Bus
from tidemill.contracts import DatasetIngested, DatasetPublished
from tidemill.platform.nats_server import NatsServer
from tidemill.settings import StageSettings
from tidemill.stage.application import create_stage_app
from tidemill.testing.artifact_store import damage, shards_of
from tidemill.testing.events import EventLog, event_log
from tidemill.testing.nats import settings_for
from tidemill.testing.rounds import sum_stage
from tidemill.testing.stages import NOWHERE

numbers = itertools.count(1)


@dataclass
class Sums:
    bus: Bus
    log: EventLog
    store: ObjectArtifactStore
    diary: Path

    async def publish(self, what: str) -> str:
        run_id = f"run-{next(numbers)}"
        event = DatasetPublished(run_id=run_id, name="和", uri=f"sum:{what}#{self.diary}", source=NOWHERE)
        await self.bus.announce(event, fingerprint="published")
        return run_id

    async def sum(self, what: str) -> int:
        return (await self.log.wait_for(DatasetIngested, await self.publish(what))).rows

    def worked(self) -> list[str]:
        """What was worked since this was asked last, sorted."""
        lines = self.diary.read_text().splitlines() if self.diary.exists() else []
        self.diary.unlink(missing_ok=True)
        return sorted(lines)


@pytest_asyncio.fixture(loop_scope="module")
async def sums(nats_server: NatsServer, tmp_path: Path) -> AsyncIterator[Sums]:
    platform = settings_for(nats_server, tmp_path, ack_wait=timedelta(seconds=2))
    bus = Bus.from_settings(platform, "test")
    await bus.connect()
    for stream in ("EVENTS", "JOBS"):
        await bus.jetstream.purge_stream(stream)
    settings = StageSettings.model_validate({"platform": platform, "max_attempts": 2})
    apps = [create_stage_app(sum_stage(), settings) for _ in range(2)]
    for app in apps:
        await app.start()
    try:
        async with event_log(bus) as log:
            yield Sums(
                bus, log, open_store(platform.store_url, cache=tmp_path / "cache-of-the-test"), tmp_path / "diary"
            )
    finally:
        for app in apps:
            await app.stop()
        await bus.broker.stop()


async def test_the_next_round_is_planned_from_the_results_of_the_one_before(sums: Sums) -> None:
    assert await sums.sum("1,2,3") == 14
    assert sums.worked() == ["bonus 1", "bonus 2", "bonus 3", "square 1", "square 2", "square 3", "sum"]


async def test_a_round_whose_jobs_have_results_is_passed(sums: Sums) -> None:
    assert await sums.sum("1,2,3") == 14
    sums.worked()
    assert await sums.sum("1,2,3") == 14
    assert sums.worked() == []
    assert await sums.sum("1,2,3,4") == 30
    assert sums.worked() == ["bonus 4", "square 4", "sum"]


async def test_changing_the_last_step_repeats_that_one_alone(sums: Sums) -> None:
    assert await sums.sum("2,3?bonus=1") == 15
    sums.worked()
    assert await sums.sum("2,3?bonus=2") == 17
    assert sums.worked() == ["bonus 2", "bonus 3", "sum"]


async def test_a_lost_result_of_an_earlier_round_is_made_again(sums: Sums) -> None:
    run_id = await sums.publish("5,9")
    ingested = await sums.log.wait_for(DatasetIngested, run_id)
    records = sums.store.records()
    tries = await records.run_attempts("default", run_id)
    results = [await records.result("default", one.fingerprint) for one in tries]
    squares = [one.artifacts["dataset"] for one in results if one is not None]
    squares.remove(ingested.dataset)
    assert len(squares) == 2
    sums.worked()
    for lost in squares:
        await damage(sums.store, (await shards_of(sums.store, lost))[0].sha256)
        await sums.store.quarantine(lost)
    assert await sums.sum("5,9,6") == 142
    # The worker's cache had what was kept of the steps, so that no square was worked again.
    assert sums.worked() == ["bonus 6", "square 6", "sum"]


async def test_runs_at_the_same_time_share_their_jobs(sums: Sums) -> None:
    runs = await asyncio.gather(*(sums.publish("7,8") for _ in range(3)))
    for run_id in runs:
        assert (await sums.log.wait_for(DatasetIngested, run_id)).rows == 113
    assert sums.worked() == ["bonus 7", "bonus 8", "square 7", "square 8", "sum"]
