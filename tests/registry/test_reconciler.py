"""Runs go on although streams, KV entries or announcements are lost."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio

from tests.registry.conftest import TRACE, Bench, eventually, registry
from tidemill.bus import RunStatus
from tidemill.bus.subjects import JOBS, RUNS_BUCKET, job_subject, key
from tidemill.contracts import DatasetIngested, DatasetPublished, RunFinished, RunProgressed
from tidemill.contracts.queries import ShowRun
from tidemill.records.schema import StageRecord
from tidemill.telemetry.context import trace_id_of


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bench(quiet_bench: Bench) -> AsyncIterator[Bench]:
    """A registry without patience, beside a second one that waits for the lease."""
    impatient = {"reconcile_every": timedelta(seconds=0.1), "reconcile_after": timedelta(seconds=0.5)}
    async with registry(quiet_bench, **impatient), registry(quiet_bench, **impatient):
        yield quiet_bench


async def test_a_lost_stream_costs_time_and_not_the_run(bench: Bench) -> None:
    run_id = await bench.publish("lost")
    await bench.work(run_id, "lost", until="ingest")
    await bench.log.wait_for(DatasetIngested, run_id)
    await bench.bus.jetstream.purge_stream("EVENTS")
    await _told(bench, DatasetIngested, run_id, times=2)
    await bench.work(run_id, "lost", until="compress", announce=False)
    finished = await bench.log.wait_for(RunFinished, run_id)
    assert finished.version == 1


async def test_a_run_on_record_that_never_reached_the_stream_is_published(bench: Bench) -> None:
    run_id = await bench.publish("unheard", announce=False)
    await bench.log.wait_for(DatasetPublished, run_id)
    assert (await bench.bus.ask(ShowRun(run_id=run_id)))["state"] == "running"


async def test_what_is_announced_again_stays_in_the_runs_trace(bench: Bench) -> None:
    run_id = await bench.publish("traced", announce=False)
    await bench.log.wait_for(DatasetPublished, run_id)
    message = await bench.bus.jetstream.get_last_msg("EVENTS", DatasetPublished.subject)
    assert trace_id_of((message.headers or {}).get("traceparent")) == trace_id_of(TRACE)


async def test_a_lost_entry_of_a_running_run_is_made_again(bench: Bench) -> None:
    run_id = await bench.publish("forgotten")
    await bench.work(run_id, "forgotten", until="preprocess")
    bucket = await bench.bus.bucket(RUNS_BUCKET)
    await bucket.delete(key("default", run_id))
    status = await eventually(lambda: bench.states.get("default", run_id))
    assert status == RunStatus(reached=["ingest", "preprocess"])


async def test_an_entry_that_ended_without_an_outcome_gets_one(bench: Bench) -> None:
    run_id = await bench.publish("halfway")
    await bench.work(run_id, "halfway", until="ingest")

    def cancelled(status: RunStatus) -> RunStatus:
        return status.model_copy(update={"state": "cancelled", "error": "停"})

    await bench.states.change("default", run_id, cancelled)
    finished = await bench.log.wait_for(RunFinished, run_id)
    assert (finished.state, finished.reason) == ("cancelled", "停")
    view = await bench.bus.ask(ShowRun(run_id=run_id))
    assert [stage["state"] for stage in view["stages"][:3]] == ["finished", "cancelled", "waiting"]


async def test_a_run_that_makes_progress_is_left_alone_and_a_silent_one_is_helped(bench: Bench) -> None:
    busy = await bench.publish("busy")
    silent = await bench.publish("silent")
    for run_id in (busy, silent):
        await bench.work(run_id, "busy", until="ingest")

    async def helped_twice() -> bool:
        await bench.bus.report(RunProgressed(run_id=busy, stage="preprocess", fraction=0.5))
        return len(bench.log.of(DatasetIngested, silent)) >= 3

    await eventually(helped_twice)
    assert len(bench.log.of(DatasetIngested, busy)) < len(bench.log.of(DatasetIngested, silent))


async def test_a_run_whose_job_stands_in_a_queue_waits_its_turn(bench: Bench) -> None:
    queued = await bench.publish("queued")
    silent = await bench.publish("silent-too")
    for run_id in (queued, silent):
        await bench.work(run_id, "queued", until="ingest")
    subject = job_subject("preprocess", "cpu", "default", queued)
    await bench.bus.publish_durably(JOBS, subject, b"{}", {"Nats-Msg-Id": f"job-of-{queued}"})
    before = len(bench.log.of(DatasetIngested, queued))
    await _told(bench, DatasetIngested, silent, times=4)
    assert len(bench.log.of(DatasetIngested, queued)) == before
    await bench.bus.jetstream.purge_stream(JOBS, subject=subject)  # the job is lost
    await _told(bench, DatasetIngested, queued, times=before + 1)


@pytest.mark.parametrize(
    ("subject", "event"),
    [("tidemill.dataset.ingested.v9", {"run_id": "of a newer version"}), (DatasetIngested.subject, {"rows": "many"})],
)
async def test_an_event_on_record_that_cannot_be_read_stops_its_own_run_alone(
    bench: Bench, subject: str, event: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    unreadable = await bench.publish("unreadable", announce=False)
    now = datetime.now(UTC)
    record = StageRecord(
        stage="ingest", subject=subject, event=event, fingerprint="f" * 64, started_at=now, finished_at=now,
        cached=False, jobs=1,
    )  # fmt: skip
    await bench.records.create_stage("default", unreadable, record)
    await eventually(lambda: _logged(caplog, f"run {unreadable}: the record of stage ingest"))
    silent = await bench.publish("silent-beside", announce=False)
    await bench.log.wait_for(DatasetPublished, silent)


async def _logged(caplog: pytest.LogCaptureFixture, words: str) -> bool:
    return words in caplog.text


async def _told(bench: Bench, kind: Any, run_id: str, *, times: int) -> None:
    await bench.log.wait_for(kind, run_id, where=lambda _: len(bench.log.of(kind, run_id)) >= times)
