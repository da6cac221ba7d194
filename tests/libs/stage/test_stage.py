"""The stage machinery, event in, event out: a real server, a real store, real child processes."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from urllib.parse import unquote

import pytest
import pytest_asyncio
from faststream import FastStream

from tidemill.artifacts import open_store
from tidemill.bus import Bus, RunStates
from tidemill.contracts import ArtifactRef, DatasetIngested, DatasetPublished, RunFailed, RunProgressed
from tidemill.platform.nats_server import NatsServer
from tidemill.records import RecordStore, open_records
from tidemill.settings import PlatformSettings, StageSettings
from tidemill.stage.application import create_stage_app
from tidemill.stage.runs import Runs
from tidemill.testing.events import EventLog, event_log
from tidemill.testing.nats import running_nats, settings_for
from tidemill.testing.stages import NOWHERE, echo_stage

numbers = itertools.count(1)
LOST = ArtifactRef(digest="sha256:" + "1" * 64, kind="checkpoint", size_bytes=1)
"""A checkpoint that is on record and not in the store."""


@dataclass
class Bench:
    """A running stage and what is around it."""

    platform: PlatformSettings
    bus: Bus
    log: EventLog
    records: RecordStore
    states: RunStates

    async def publish(self, uri: str, **changes: object) -> str:
        run_id = f"run-{next(numbers)}"
        values = {"run_id": run_id, "name": "回声", "uri": uri} | changes
        await self.bus.announce(DatasetPublished.model_validate(values), fingerprint="published")
        return run_id

    async def publish_source(self, project: str) -> str:
        """A dataset that needs no snapshot, and whose one job is worked in this run."""
        run_id = f"run-{next(numbers)}"
        event = DatasetPublished(project=project, run_id=run_id, name="n", source=NOWHERE, use_cache=False)
        await self.bus.announce(event, fingerprint="published")
        return run_id


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bench(nats_server: NatsServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bench]:
    platform = settings_for(nats_server, tmp_path_factory.mktemp("stage"), ack_wait=timedelta(seconds=2))
    bus = Bus.from_settings(platform, "test")
    await bus.connect()
    async with running(platform), event_log(bus) as log:
        yield Bench(platform, bus, log, open_records(platform.store_url), RunStates(bus))
    await bus.broker.stop()


class running:  # noqa: N801
    """The stage's application, started and stopped."""

    def __init__(self, platform: PlatformSettings) -> None:
        self.app: FastStream = create_stage_app(echo_stage(), StageSettings(platform=platform, max_attempts=2))

    async def __aenter__(self) -> None:
        await self.app.start()

    async def __aexit__(self, *exc: object) -> None:
        await self.app.stop()


def step_of(event: RunProgressed) -> int:
    word, _, number = event.message.partition(" ")
    return int(number) if word == "step" else -1


async def test_an_event_becomes_the_stages_own_event(bench: Bench) -> None:
    run_id = await bench.publish("test:ok?jobs=3")
    ingested = await bench.log.wait_for(DatasetIngested, run_id)
    assert ingested.rows == 3
    assert ingested.usage.attempts == 1 + 3, "the snapshot and the jobs"
    assert ingested.usage.wall_seconds > 0
    record = await bench.records.stage("default", run_id, "ingest")
    assert record is not None
    assert record.jobs == 3
    assert not record.cached
    assert (await bench.records.run("default", run_id)) is not None
    assert bench.log.of(RunProgressed, run_id)


async def test_the_same_dataset_in_a_second_run_is_not_worked_again(bench: Bench) -> None:
    first = await bench.log.wait_for(DatasetIngested, await bench.publish("test:ok?jobs=2"))
    again_id = await bench.publish("test:ok?jobs=2")
    again = await bench.log.wait_for(DatasetIngested, again_id)
    assert again.dataset == first.dataset
    assert again.usage.attempts == 1, "its snapshot, and no job"
    record = await bench.records.stage("default", again_id, "ingest")
    assert record is not None
    assert record.cached


async def test_no_cache_works_again(bench: Bench) -> None:
    await bench.log.wait_for(DatasetIngested, await bench.publish("test:ok"))
    again = await bench.log.wait_for(DatasetIngested, await bench.publish("test:ok", use_cache=False))
    assert again.usage.attempts == 2, "its snapshot and its job"


async def test_many_datasets_at_once_end_in_order_and_no_project_waits_for_another(bench: Bench) -> None:
    many, few = [
        [await bench.publish_source(project=project) for _ in range(count)]
        for project, count in (("许多", 9), ("few", 3))
    ]
    async with asyncio.timeout(60):
        while len(ended := [e.run_id for e in bench.log.of(DatasetIngested) if e.run_id in {*many, *few}]) < 12:
            await asyncio.sleep(0.05)
    assert [run_id for run_id in ended if run_id in many] == many
    assert [run_id for run_id in ended if run_id in few] == few
    assert ended.index(few[-1]) < 10, f"they take turns: {ended}"


async def test_a_permanent_error_fails_the_run_at_once_with_its_words(bench: Bench) -> None:
    run_id = await bench.publish("test:permanent")
    failed = await bench.log.wait_for(RunFailed, run_id)
    assert failed.kind == "permanent"
    assert failed.error == "row 3, column 标签: nothing there; fill it in"
    letter = await bench.bus.jetstream.get_last_msg("DEAD", "tidemill.dead.ingest")
    assert letter.headers is not None
    assert letter.headers["Tidemill-Run-Id"] == run_id
    assert "标签" in unquote(letter.headers["Tidemill-Error"])
    assert letter.headers["Tidemill-Subject"] == DatasetPublished.subject
    outcomes = await bench.records.outcomes("default", run_id)
    assert [outcome.state for outcome in outcomes] == ["failed"]


@pytest.mark.parametrize(("uri", "word"), [("test:crash", "SIGKILL"), ("test:unforeseen", "one over nothing")])
async def test_crashes_and_unforeseen_errors_are_tried_again_and_then_fail(bench: Bench, uri: str, word: str) -> None:
    run_id = await bench.publish(uri)
    failed = await bench.log.wait_for(RunFailed, run_id)
    assert failed.kind == "exhausted"
    assert word in failed.error
    assert "after 2 tries" in failed.error


async def test_one_crash_does_not_fail_a_run(bench: Bench, tmp_path: Path) -> None:
    run_id = await bench.publish(f"test:flaky#{tmp_path / 'marker'}")
    await bench.log.wait_for(DatasetIngested, run_id)
    assert not bench.log.of(RunFailed, run_id)


async def test_a_recipe_that_is_none_fails_the_run_with_the_nearest_key(bench: Bench) -> None:
    run_id = await bench.publish("test:ok", recipe={"trainin": {"epochs": 1}})
    failed = await bench.log.wait_for(RunFailed, run_id)
    assert "did you mean 'training'" in failed.error


async def test_a_cancelled_run_stops_its_child_and_announces_nothing(bench: Bench) -> None:
    run_id = await bench.publish("test:slow")
    await bench.log.wait_for(RunProgressed, run_id, where=lambda event: event.message.startswith("step"))
    await bench.states.change("default", run_id, lambda status: status.model_copy(update={"state": "cancelled"}))
    seen = len(bench.log.of(RunProgressed, run_id))
    other = await bench.publish("test:ok?jobs=5")
    await bench.log.wait_for(DatasetIngested, other)
    assert not bench.log.of(DatasetIngested, run_id)
    assert len(bench.log.of(RunProgressed, run_id)) <= seen + 3


async def test_an_event_for_a_run_that_has_ended_is_dropped(bench: Bench) -> None:
    run_id = await bench.publish("test:permanent")
    await bench.log.wait_for(RunFailed, run_id)
    event = DatasetPublished(run_id=run_id, name="n", uri="test:ok")
    await bench.bus.announce(event, fingerprint="again", announcement=2)
    other = await bench.publish("test:ok?jobs=4")
    await bench.log.wait_for(DatasetIngested, other)
    assert not bench.log.of(DatasetIngested, run_id)


async def test_an_event_for_a_stage_that_has_run_is_announced_again_and_kept_once(bench: Bench) -> None:
    run_id = await bench.publish("test:ok?jobs=6")
    await bench.log.wait_for(DatasetIngested, run_id)
    before = await bench.bus.jetstream.stream_info("EVENTS")
    event = DatasetPublished(run_id=run_id, name="回声", uri="test:ok?jobs=6")
    await bench.bus.announce(event, fingerprint="published", announcement=2)
    other = await bench.publish("test:ok?jobs=7")
    await bench.log.wait_for(DatasetIngested, other)
    after = await bench.bus.jetstream.stream_info("EVENTS")
    assert after.state.last_seq - before.state.last_seq == 3


async def test_bare_json_from_any_client_starts_a_run(bench: Bench) -> None:
    await bench.bus.client.publish(DatasetPublished.subject, b'{"name": "bare", "uri": "test:ok"}')
    async with asyncio.timeout(20):
        while not (found := [event for event in bench.log.of(DatasetIngested) if event.name == "bare"]):
            await asyncio.sleep(0.05)
    record = await bench.records.run("default", found[0].run_id)
    assert record is not None
    assert record.event.uri == "test:ok"
    assert record.actor == "nats"
    entries = [one.entry for one in await bench.records.audit.newest("default", limit=1000)]
    (entry,) = [one for one in entries if one.subject == f"run:{record.event.run_id}"]
    assert (entry.actor, entry.action, entry.outcome) == ("nats", "publish-dataset", "done")


async def test_malformed_json_is_kept_and_harms_nobody(bench: Bench) -> None:
    await bench.bus.client.publish(DatasetPublished.subject, b"{not json")
    await bench.log.wait_for(DatasetIngested, await bench.publish("test:ok"))
    letter = await bench.bus.jetstream.get_last_msg("DEAD", "tidemill.dead.ingest")
    assert letter.data == b"{not json"


async def test_a_lost_state_bucket_is_made_again_from_the_records(bench: Bench) -> None:
    run_id = await bench.publish("test:permanent")
    await bench.log.wait_for(RunFailed, run_id)
    await bench.bus.jetstream.purge_stream("KV_runs")
    status = await Runs(bench.bus, bench.records).status("default", run_id)
    assert status.state == "failed"


async def test_a_worker_that_leaves_hands_its_job_back_with_a_checkpoint(tmp_path: Path) -> None:
    async with running_nats(tmp_path / "nats", ack_wait=timedelta(seconds=2)) as server:
        platform = settings_for(server, tmp_path, ack_wait=timedelta(seconds=2))
        bus = Bus.from_settings(platform, "test")
        await bus.connect()
        async with event_log(bus) as log:
            run_id = "run-leave"
            async with running(platform):
                event = DatasetPublished(run_id=run_id, name="n", uri="test:slow?jobs=1", use_cache=False)
                await bus.announce(event, fingerprint="published")
                await log.wait_for(RunProgressed, run_id, where=lambda event: step_of(event) >= 5)
            assert not log.of(DatasetIngested, run_id)
            store = open_store(platform.store_url, cache=tmp_path / "test-cache")
            fingerprint = (await store.objects.folders("records/default/checkpoints"))[0]
            (checkpoint,) = [record async for record in store.records().checkpoints("default", fingerprint)]
            later = checkpoint.model_copy(update={"number": 99, "artifact": LOST})
            assert await store.records().add_checkpoint("default", later)
            async with running(platform):
                await log.wait_for(DatasetIngested, run_id)
            steps = [step_of(event) for event in log.of(RunProgressed, run_id) if event.message.startswith("step")]
            assert steps == sorted(steps), "the second worker resumed where the first one was"
        await bus.broker.stop()
