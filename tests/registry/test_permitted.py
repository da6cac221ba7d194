"""The registry with its own user alone: what it does seldom is permitted too."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
import pytest_asyncio

from tests.registry.conftest import registry_at
from tidemill.bus import Bus
from tidemill.bus.client import Client
from tidemill.bus.dead_letters import bury
from tidemill.bus.delivery import Delivery
from tidemill.bus.permissions import EVERYTHING, OPERATOR
from tidemill.bus.streams import stream_names
from tidemill.contracts import DatasetPublished, ReplayDeadLetter
from tidemill.platform.nats_client import connected_once
from tidemill.records import RecordStore, open_records
from tidemill.settings import PlatformSettings
from tidemill.testing.nats import guarded_nats, user_of


@dataclass(frozen=True)
class Guarded:
    folder: Path
    url: str
    breaker: Client
    """One who may do everything: it breaks things."""

    def settings(self, user: str) -> PlatformSettings:
        return PlatformSettings(
            nats_url=self.url, nats_nkey_file=self.folder / f"{user}.nk", store_url=str(self.folder / "store"),
            data_dir=self.folder, ack_wait=timedelta(seconds=4),
        )  # fmt: skip

    @property
    def records(self) -> RecordStore:
        return open_records(str(self.folder / "store"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def guarded(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Guarded]:
    folder = tmp_path_factory.mktemp("guarded")
    async with (
        guarded_nats(folder, also={"test": EVERYTHING}) as server,
        connected_once(server.config.url, user_of(folder, "test"), timeout=5) as breaker,
    ):
        there = Guarded(folder, server.config.url, breaker)
        async with registry_at(there.settings("registry"), reconcile_every=timedelta(seconds=0.2)):
            yield there


async def eventually(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(30):
        while not await condition():
            await asyncio.sleep(0.05)


async def test_lost_streams_and_buckets_are_made_again(guarded: Guarded) -> None:
    js = guarded.breaker.jetstream()
    for lost in ("FEEDBACK", "KV_runs", "KV_leases"):
        await js.delete_stream(lost)

    async def there_again() -> bool:
        return {"FEEDBACK", "KV_runs", "KV_leases"} <= set(await stream_names(guarded.breaker))

    await eventually(there_again)


async def test_a_workers_dead_letter_is_replayed_at_an_operators_command(guarded: Guarded) -> None:
    worker = Bus.from_settings(guarded.settings("ingest"), "ingest")
    operator = Bus.from_settings(guarded.settings(OPERATOR), OPERATOR)
    await worker.connect()
    await operator.connect()
    heard = await guarded.breaker.subscribe(DatasetPublished.subject)
    await guarded.breaker.flush()
    message = Delivery(subject=DatasetPublished.subject, body=b'{"no": "dataset"}', stream="EVENTS", sequence=1)
    await bury(worker, guarded.records, stage="ingest", delivery=message, error="no dataset", kind="permanent")
    (letter,) = await guarded.records.letters.newest("default", limit=5)
    await operator.command(ReplayDeadLetter(letter=letter.id))
    again = await heard.next_msg(timeout=20)
    assert again.data == message.body
    await worker.broker.stop()
    await operator.broker.stop()
