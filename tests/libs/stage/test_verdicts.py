"""Which errors end a run, and which ones only cost time."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.libs.stage.conftest import Surroundings
from tidemill.bus.connection import TooLarge
from tidemill.contracts import AlertRaised, DatasetIngested, RunFailed
from tidemill.records.schema import EpochRecord
from tidemill.stage import attempts
from tidemill.stage.runs import Runs
from tidemill.stage.worker import held_delay
from tidemill.testing.stage_process import stage_process


async def test_what_went_wrong_in_an_earlier_epoch_does_not_fail_a_run_that_was_retried(around: Surroundings) -> None:
    run_id = await around.publish("test:ok")
    runs = Runs(around.bus, around.records)
    assert (await runs.status("default", run_id)).epoch == 1
    epoch = EpochRecord(epoch=2, started_at=datetime.now(UTC))
    assert await around.records.create_epoch("default", run_id, epoch)
    await runs.states.change("default", run_id, lambda status: status.model_copy(update={"epoch": 2}))
    await runs.fail("default", run_id, epoch=1, stage="ingest", error="too dear", kind="budget")
    assert (await runs.status("default", run_id)).state == "running"
    assert await around.records.outcomes("default", run_id) == []
    await runs.fail("default", run_id, epoch=2, stage="ingest", error="too dear", kind="budget")
    assert (await runs.status("default", run_id)).state == "failed"


async def test_finished_work_is_committed_when_the_store_is_back(around: Surroundings) -> None:
    async with around.stage():
        run_id = await around.publish("test:slow?steps=12")
        await around.worked_until(run_id, 8)
        artifacts = Path(around.platform.store_url) / "artifacts"
        away = artifacts.rename(artifacts.with_name("away"))
        artifacts.write_text("not a folder")
        await asyncio.sleep(3)
        assert not around.log.of(DatasetIngested, run_id)
        artifacts.unlink()
        away.rename(artifacts)
        ingested = await around.log.wait_for(DatasetIngested, run_id)
    assert ingested.usage.attempts == 1, "the work was not done again"
    assert await around.records.run_attempts("default", run_id) == []


async def test_a_job_that_takes_worker_after_worker_with_it_ends_its_run(
    around: Surroundings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "MOST_WORKERS_LOST", 1)
    run_id = await around.publish("test:slow?steps=90")
    async with stage_process(around.platform, around.folder) as worker:
        await around.worked_until(run_id, 2)
        worker.kill()
    async with around.stage():
        failed = await around.log.wait_for(RunFailed, run_id)
    assert failed.kind == "exhausted"
    assert "1 workers have gone without a word" in failed.error


async def test_a_message_that_no_stream_takes_is_not_tried_again(around: Surroundings) -> None:
    alert = AlertRaised(run_id="run-loud", severity="info", message="响" * (3 << 20), raised_at=datetime.now(UTC))
    with pytest.raises(TooLarge, match=r"bytes on tidemill\.alert\.raised\.v1 is larger than stream EVENTS takes"):
        await around.bus.announce(alert, fingerprint="loud")


def test_a_lease_that_stays_held_is_looked_at_less_and_less() -> None:
    delays = [held_delay(times) for times in range(1, 40)]
    assert delays == sorted(delays)
    assert delays[0] == delays[7] < delays[8]
    assert delays[-1] == 10
