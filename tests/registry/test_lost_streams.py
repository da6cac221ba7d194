"""Streams and buckets are deleted while a registry and a stage run: they come back, and everything goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
import pytest_asyncio
from nats.js.errors import NotFoundError

from tests.registry.conftest import Bench, eventually, registry
from tidemill.bus import connection, watching
from tidemill.bus.streams import StreamLimits, provision, provision_missing, stream_limits, stream_names
from tidemill.contracts import CancelRun, DatasetIngested, RunFailed, RunFinished, RunProgressed
from tidemill.contracts.queries import ListDeadLetters
from tidemill.settings import StageSettings, StreamSettings
from tidemill.stage.application import create_stage_app
from tidemill.testing.stages import echo_stage


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bench(quiet_bench: Bench) -> AsyncIterator[Bench]:
    """A registry without patience and the echo stage, both looking after their consumers and watches often."""
    impatient = {"reconcile_every": timedelta(seconds=0.2), "reconcile_after": timedelta(seconds=2)}
    limits = stream_limits(StreamSettings(), quiet_bench.platform.silence)
    await provision(quiet_bench.bus.client, limits)  # as `tidemill up` does with this ``ack_wait``
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(watching, "PULSE", 0.3)
        stage = create_stage_app(echo_stage(), StageSettings(platform=quiet_bench.platform, max_attempts=2))
        async with registry(quiet_bench, **impatient):
            await stage.start()
            yield quiet_bench
            await stage.stop()


LOGS = ["DEAD", "FEEDBACK", "ADVISORIES", "OBSERVATIONS"]
BUCKETS = ["KV_runs", "KV_leases", "KV_attempts", "KV_deployments", "KV_access"]


async def lose(bench: Bench, *streams: str) -> None:
    """Delete them, and return when they are there again, as they were."""
    js = bench.bus.jetstream
    before = {stream: await js.stream_info(stream) for stream in streams}
    for stream in streams:
        await js.delete_stream(stream)

    async def made_again() -> bool:
        try:
            now = {stream: await js.stream_info(stream) for stream in streams}
        except NotFoundError:
            return False
        return all(now[stream].created != before[stream].created for stream in streams)

    await eventually(made_again)
    for stream in streams:
        assert (await js.stream_info(stream)).config == before[stream].config


@pytest.mark.parametrize(
    "streams",
    [["EVENTS"], ["JOBS"], LOGS, BUCKETS, ["EVENTS", "JOBS", *LOGS, *BUCKETS]],
    ids=["EVENTS", "JOBS", "logs", "buckets", "everything"],
)
async def test_lost_streams_are_made_again_and_runs_go_on(
    bench: Bench, streams: list[str], request: pytest.FixtureRequest
) -> None:
    unlike_others = request.node.callspec.id
    before = await bench.publish("before", uri=f"test:slow#{unlike_others}")
    await bench.log.wait_for(RunProgressed, before)
    await lose(bench, *streams)
    after = await bench.publish("after", uri=f"test:ok#{unlike_others}")
    await bench.log.wait_for(DatasetIngested, before)
    await bench.log.wait_for(DatasetIngested, after)


async def test_a_dead_letter_is_kept_in_the_stream_made_anew(bench: Bench) -> None:
    await lose(bench, "DEAD")
    run_id = await bench.publish("broken", uri="test:permanent")
    await bench.log.wait_for(RunFailed, run_id)

    async def listed() -> bool:
        return any(letter["run_id"] == run_id for letter in await bench.bus.ask(ListDeadLetters(limit=50)))

    await eventually(listed)


async def test_deployments_come_back_from_the_chain_and_watches_see_it(bench: Bench) -> None:
    # The stage that runs here does not hear of it, else it would do the first part of the work itself.
    run_id = await bench.publish("served", announce=False)
    await bench.work(run_id, "served")
    finished = await bench.log.wait_for(RunFinished, run_id)
    await eventually(lambda: bench.deployments.get("default", "served"))
    seen: list[str] = []

    async def follow() -> None:
        while True:
            try:
                async with bench.deployments.watching() as changes:
                    async for change in changes:
                        seen.append("caught up" if change.caught_up else change.name)
            except connection.TransientError:
                await asyncio.sleep(0.05)

    following = asyncio.create_task(follow())
    try:

        async def caught_up() -> bool:
            return "caught up" in seen

        await eventually(caught_up)
        seen.clear()
        await lose(bench, "KV_deployments")

        async def served() -> bool:
            return "served" in seen

        await eventually(served)
    finally:
        following.cancel()
    deployment = await bench.deployments.get("default", "served")
    assert deployment is not None
    assert deployment.versions[0].version == finished.version


async def test_a_worker_hears_of_a_cancel_although_the_bucket_was_made_anew(bench: Bench) -> None:
    run_id = await bench.publish("stopped", uri="test:slow#cancelled")
    await bench.log.wait_for(RunProgressed, run_id)
    await lose(bench, "KV_runs")
    await bench.bus.command(CancelRun(run_id=run_id, reason="停"))
    finished = await bench.log.wait_for(RunFinished, run_id)
    assert finished.state == "cancelled"
    assert bench.log.of(DatasetIngested, run_id) == []


async def test_what_exists_keeps_its_limits(bench: Bench) -> None:
    names = set(await stream_names(bench.bus.client))
    assert await provision_missing(bench.bus.client, StreamLimits(events_bytes=5 << 20)) == []
    assert (await bench.bus.jetstream.stream_info("EVENTS")).config.max_bytes == 1 << 30
    assert set(await stream_names(bench.bus.client)) == names
