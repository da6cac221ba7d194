"""A bus, a store and the echo stage for each module that asks for them."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
import pytest_asyncio

from tidemill.bus import Bus
from tidemill.contracts import DatasetPublished, RunProgressed
from tidemill.platform.nats_server import NatsServer
from tidemill.records import RecordStore, open_records
from tidemill.settings import PlatformSettings, StageSettings
from tidemill.stage.application import create_stage_app
from tidemill.stage.ledger import Ledger
from tidemill.testing.events import EventLog, event_log
from tidemill.testing.nats import settings_for
from tidemill.testing.stages import NOWHERE, echo_stage

numbers = itertools.count(1)


@dataclass
class Surroundings:
    """What is around a stage that tests start, kill and stop themselves."""

    platform: PlatformSettings
    bus: Bus
    log: EventLog
    records: RecordStore
    folder: Path

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.bus)

    async def publish(self, uri: str, economics: dict[str, object] | None = None) -> str:
        """Publish; no two runs of this have a job in common."""
        run_id = f"run-{next(numbers)}"
        recipe = {"economics": economics} if economics else None
        event = DatasetPublished(
            run_id=run_id, name="回声", uri=f"{uri}#{self.folder / run_id}", source=NOWHERE, recipe=recipe
        )
        await self.bus.announce(event, fingerprint="published")
        return run_id

    def steps(self, run_id: str) -> list[int]:
        """The steps that a slow job of the run reported; not every one is."""
        said = [event.message.split() for event in self.log.of(RunProgressed, run_id)]
        return [int(words[1]) for words in said if words[0] == "step"]

    async def worked_until(self, run_id: str, step: int) -> None:
        """Return when a slow job of the run is at ``step``, or behind it."""
        await self.log.wait_for(RunProgressed, run_id, where=lambda _: max(self.steps(run_id), default=-1) >= step)

    @asynccontextmanager
    async def stage(self, **settings: object) -> AsyncIterator[None]:
        """The stage in this process, until it leaves as on SIGTERM."""
        values = {"platform": self.platform, "max_attempts": 2} | settings
        app = create_stage_app(echo_stage(), StageSettings.model_validate(values))
        await app.start()
        try:
            yield
        finally:
            await app.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def around(nats_server: NatsServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Surroundings]:
    folder = tmp_path_factory.mktemp("stage")
    platform = settings_for(nats_server, folder, ack_wait=timedelta(seconds=2))
    bus = Bus.from_settings(platform, "test")
    await bus.connect()
    async with event_log(bus) as log:
        yield Surroundings(platform, bus, log, open_records(platform.store_url), folder)
    await bus.broker.stop()
