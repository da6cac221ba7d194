"""What a stage needs and cannot read is made again by the stage that made it, or the run fails and says so."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest_asyncio
from faststream import FastStream

from tidemill.artifacts import open_store
from tidemill.artifacts.manifest import manifest_key
from tidemill.artifacts.object_store import ObjectArtifactStore
from tidemill.bus import Bus
from tidemill.contracts import ArtifactRef, DatasetIngested, DatasetPrepared, DatasetPublished, RunFailed
from tidemill.platform.nats_server import NatsServer
from tidemill.records import RecordStore
from tidemill.settings import PlatformSettings, StageSettings
from tidemill.stage.application import create_stage_app
from tidemill.testing.artifact_store import damage, shards_of
from tidemill.testing.events import EventLog, event_log
from tidemill.testing.nats import settings_for
from tidemill.testing.stages import copy_stage, echo_stage

numbers = itertools.count(1)


@dataclass
class Bench:
    """Ingest runs; preprocess is started by the test, when the dataset is damaged."""

    platform: PlatformSettings
    bus: Bus
    log: EventLog
    store: ObjectArtifactStore

    @property
    def records(self) -> RecordStore:
        return self.store.records()

    async def publish(self, uri: str) -> DatasetPublished:
        event = DatasetPublished(run_id=f"run-{next(numbers)}", name="丢失", uri=uri)
        await self.bus.announce(event, fingerprint="published")
        return event

    async def flip(self, ref: ArtifactRef) -> None:
        await damage(self.store, (await shards_of(self.store, ref))[0].sha256)


@pytest_asyncio.fixture(loop_scope="module")
async def bench(nats_server: NatsServer, tmp_path: Path) -> AsyncIterator[Bench]:
    platform = settings_for(nats_server, tmp_path, ack_wait=timedelta(seconds=2))
    bus = Bus.from_settings(platform, "test")
    await bus.connect()
    for stream in ("EVENTS", "JOBS"):
        await bus.jetstream.purge_stream(stream)
    ingest = create_stage_app(echo_stage(), StageSettings(platform=platform))
    await ingest.start()
    async with event_log(bus) as log:
        yield Bench(platform, bus, log, open_store(platform.store_url, cache=tmp_path / "test-cache"))
    await ingest.stop()
    await bus.broker.stop()


@pytest_asyncio.fixture(loop_scope="module")
async def preprocess(bench: Bench) -> AsyncIterator[FastStream]:
    """Not started yet, with an empty cache: what it will read comes from the store."""
    platform = bench.platform.model_copy(update={"data_dir": bench.platform.data_dir / "other-machine"})
    app = create_stage_app(copy_stage(), StageSettings(platform=platform))
    yield app
    await app.stop()


async def test_a_damaged_dataset_is_made_again_and_the_run_goes_on(bench: Bench, preprocess: FastStream) -> None:
    event = await bench.publish("test:ok")
    ingested = await bench.log.wait_for(DatasetIngested, event.run_id)
    await bench.flip(ingested.dataset)
    await preprocess.start()
    prepared = await bench.log.wait_for(DatasetPrepared, event.run_id)
    assert prepared.ingested == ingested.dataset
    assert await bench.store.exists(ingested.dataset)
    assert await bench.store.quarantine(ingested.dataset) == []
    assert not bench.log.of(RunFailed, event.run_id)


async def test_a_dataset_that_was_deleted_is_made_again(bench: Bench, preprocess: FastStream) -> None:
    event = await bench.publish("test:ok?jobs=2")
    ingested = await bench.log.wait_for(DatasetIngested, event.run_id)
    await bench.store.objects.delete([manifest_key(ingested.dataset)])
    await preprocess.start()
    await bench.log.wait_for(DatasetPrepared, event.run_id)


async def test_what_cannot_be_made_with_the_same_bytes_fails_the_run_and_harms_no_later_one(
    bench: Bench, preprocess: FastStream
) -> None:
    event = await bench.publish("test:random")
    ingested = await bench.log.wait_for(DatasetIngested, event.run_id)
    await bench.flip(ingested.dataset)
    await preprocess.start()
    failed = await bench.log.wait_for(RunFailed, event.run_id)
    assert "publish the dataset again" in failed.error
    assert failed.stage == "ingest"
    later = await bench.publish("test:random")
    again = await bench.log.wait_for(DatasetIngested, later.run_id)
    assert again.dataset != ingested.dataset
    assert await bench.store.exists(again.dataset)
    await bench.log.wait_for(DatasetPrepared, later.run_id)


async def test_a_result_whose_artifact_is_lost_is_superseded(bench: Bench) -> None:
    first = await bench.log.wait_for(DatasetIngested, (await bench.publish("test:random?jobs=2")).run_id)
    await bench.store.delete(first.dataset)
    second = await bench.log.wait_for(DatasetIngested, (await bench.publish("test:random?jobs=2")).run_id)
    third = await bench.log.wait_for(DatasetIngested, (await bench.publish("test:random?jobs=2")).run_id)
    assert second.dataset != first.dataset
    assert third.dataset == second.dataset
    assert third.usage.attempts == 1, "its snapshot, and no job"


async def test_a_full_disk_in_a_job_is_waited_for(bench: Bench, tmp_path: Path) -> None:
    marker = tmp_path / "room"
    event = await bench.publish(f"test:full#{marker}")
    folder = f"records/default/attempts/{event.run_id}"
    async with asyncio.timeout(20):
        while len([key async for key in bench.store.objects.keys(folder)]) < 3:
            await asyncio.sleep(0.1)
    marker.touch()
    await bench.log.wait_for(DatasetIngested, event.run_id)
    assert not bench.log.of(RunFailed, event.run_id)


async def test_a_snapshot_is_a_job_that_a_redelivery_does_not_repeat(bench: Bench) -> None:
    event = await bench.publish("test:ok?jobs=3")
    ingested = await bench.log.wait_for(DatasetIngested, event.run_id)
    results = [key async for key in bench.store.objects.keys("records/default/results")]
    await bench.bus.announce(event, fingerprint="published", announcement=2)
    await bench.log.wait_for(DatasetIngested, (await bench.publish("test:ok?jobs=4")).run_id)
    after = [key async for key in bench.store.objects.keys("records/default/results")]
    assert len(after) - len(results) == 2, "the snapshot of the later run, and the one job that no run had before"
    assert ingested.usage.attempts == 1 + 3, "the snapshot and the jobs"
