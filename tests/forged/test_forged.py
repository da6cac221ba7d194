"""Messages that somebody made up, on a real server with two real stages and a registry: what each of them gets."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta

import pytest
import pytest_asyncio

from tidemill.artifacts import open_store
from tidemill.bus import Bus
from tidemill.bus.cloudevents import event_headers
from tidemill.bus.subjects import EVENTS, FEEDBACK
from tidemill.contracts import (
    ArtifactLost,
    DatasetIngested,
    DatasetPrepared,
    DatasetPublished,
    Event,
    FeedbackReceived,
    RunFailed,
)
from tidemill.platform.nats_server import NatsServer
from tidemill.records import RecordStore
from tidemill.records.schema import DeadLetterRecord
from tidemill.settings import StageSettings
from tidemill.stage.application import create_stage_app
from tidemill.testing.events import EventLog, event_log
from tidemill.testing.nats import settings_for
from tidemill.testing.stages import NOWHERE, copy_stage, echo_stage

numbers = itertools.count(1)


@dataclass
class Place:
    """Ingest and preprocess run; the test says what it likes on the bus."""

    bus: Bus
    log: EventLog
    records: RecordStore

    async def publish(self, uri: str = "test:ok") -> DatasetPublished:
        event = DatasetPublished(
            run_id=f"run-{next(numbers)}", name="伪造", uri=f"{uri}#{next(numbers)}", source=NOWHERE
        )
        await self.bus.announce(event, fingerprint="published")
        return event

    async def finished(self) -> tuple[DatasetPublished, DatasetIngested]:
        event = await self.publish()
        await self.log.wait_for(DatasetPrepared, event.run_id)
        return event, await self.log.wait_for(DatasetIngested, event.run_id)

    async def forge(self, event: Event, **headers: str) -> None:
        """As ``announce``, with headers of one's own, and always under a new id."""
        made = event_headers(event, source="mallory", fingerprint=f"forged-{next(numbers)}") | headers
        await self.bus.publish_durably(EVENTS, event.subject, event.model_dump_json().encode(), made)

    async def letter(self, words: str) -> DeadLetterRecord:
        """The dead letter whose error holds ``words``, when it is there."""
        async with asyncio.timeout(20):
            while True:
                for project in await self.records.projects():
                    for letter in await self.records.letters.newest(project, limit=50):
                        if words in letter.error:
                            return letter
                await asyncio.sleep(0.05)

    async def quiet(self) -> None:
        """Return when all that was published before has been taken."""
        async with asyncio.timeout(20):
            for durable in ("ingest-events", "preprocess-events"):
                while True:
                    info = await self.bus.jetstream.consumer_info(EVENTS, durable)
                    if not info.num_pending and not info.num_ack_pending:
                        break
                    await asyncio.sleep(0.05)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(nats_server: NatsServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    folder = tmp_path_factory.mktemp("forged")
    platform = settings_for(nats_server, folder, ack_wait=timedelta(seconds=2))
    bus = Bus.from_settings(platform, "test")
    await bus.connect()
    stages = [create_stage_app(stage, StageSettings(platform=platform)) for stage in (echo_stage(), copy_stage())]
    for stage in stages:
        await stage.start()
    async with event_log(bus) as log:
        yield Place(bus, log, open_store(platform.store_url, cache=folder / "cache").records())
    for stage in stages:
        await stage.stop()
    await bus.broker.stop()


async def test_a_type_that_is_not_the_subject_is_refused(place: Place) -> None:
    event = DatasetPublished(run_id="run-typed", name="n", uri="test:ok")
    await place.forge(event, **{"ce-type": "tidemill.model.trained.v1"})
    letter = await place.letter("ce-type says 'tidemill.model.trained.v1'")
    assert letter.subject == DatasetPublished.subject
    assert await place.records.run("default", "run-typed") is None


async def test_a_stage_cannot_be_begun_for_a_run_that_is_not_there(place: Place) -> None:
    _, ingested = await place.finished()
    await place.forge(ingested.model_copy(update={"run_id": "run-nobodys"}))
    await place.letter("ingest of run 'run-nobodys' in project 'default' is not on record as done")
    assert not place.log.of(DatasetPrepared, "run-nobodys")


async def test_a_run_of_another_project_is_not_found_there(place: Place) -> None:
    event, ingested = await place.finished()
    await place.forge(ingested.model_copy(update={"project": "other"}))
    await place.letter(f"ingest of run '{event.run_id}' in project 'other' is not on record as done")
    assert [one.project for one in place.log.of(DatasetPrepared, event.run_id)] == ["default"]


async def test_what_is_on_record_is_taken_not_what_the_event_says(place: Place) -> None:
    event, ingested = await place.finished()
    mine = ingested.model_copy(update={"dataset": NOWHERE.model_copy(update={"kind": "dataset"})})
    await place.forge(mine)
    await place.quiet()
    (prepared,) = {one.ingested.digest for one in place.log.of(DatasetPrepared, event.run_id)}
    assert prepared == ingested.dataset.digest


async def test_a_second_publish_under_a_runs_id_changes_nothing(place: Place) -> None:
    event, _ = await place.finished()
    await place.forge(event.model_copy(update={"uri": "test:permanent", "name": "mine", "promote": True}))
    await place.quiet()
    record = await place.records.run("default", event.run_id)
    assert record is not None
    assert record.event == event
    assert not place.log.of(RunFailed, event.run_id)


async def test_a_replayed_event_does_nothing_again(place: Place) -> None:
    event, ingested = await place.finished()
    before = await place.records.run_attempts("default", event.run_id)
    for replayed in (event, ingested):
        await place.forge(replayed)
    await place.quiet()
    assert await place.records.run_attempts("default", event.run_id) == before
    assert len({one.model_dump_json() for one in place.log.of(DatasetPrepared, event.run_id)}) == 1


async def test_a_failure_that_nobody_recorded_ends_no_run(place: Place) -> None:
    event = await place.publish("test:slow")
    await place.forge(RunFailed(run_id=event.run_id, stage="ingest", error="made up", kind="permanent"))
    await place.log.wait_for(DatasetPrepared, event.run_id)
    assert await place.records.outcomes("default", event.run_id) == []


async def test_a_loss_that_is_none_makes_nothing_again(place: Place) -> None:
    event, ingested = await place.finished()
    before = await place.records.run_attempts("default", event.run_id)
    await place.forge(ArtifactLost(run_id=event.run_id, stage="ingest", artifact=ingested.dataset))
    await place.forge(ArtifactLost(run_id="run-nobodys", stage="ingest", artifact=ingested.dataset))
    await place.quiet()
    assert await place.records.run_attempts("default", event.run_id) == before
    assert await place.records.run("default", "run-nobodys") is None


async def test_replayed_feedback_is_kept_once(place: Place) -> None:
    feedback = FeedbackReceived(run_id="run-1", name="n", version=1, prediction_id="p", label="a")
    for _ in range(3):
        await place.bus.announce(feedback, fingerprint="p")
    state = (await place.bus.jetstream.stream_info(FEEDBACK)).state
    assert state.messages == 1
