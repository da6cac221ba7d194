"""Delivery on a real server: what a handler raises decides what becomes of a message."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from urllib.parse import unquote

import pytest
import pytest_asyncio

from tidemill.bus import Bus
from tidemill.bus.consumers import Handler, Retry, subscribe
from tidemill.bus.delivery import Delivery
from tidemill.bus.streams import StreamLimits, provision
from tidemill.contracts import DatasetPublished, DriftDetected
from tidemill.errors import PermanentError, TransientError
from tidemill.platform.nats_server import NatsServer
from tidemill.records import open_records
from tidemill.testing.nats import settings_for

ACK_WAIT = timedelta(seconds=1)
numbers = itertools.count(1)
Consume = Callable[[Handler], Awaitable[Bus]]


@pytest_asyncio.fixture(loop_scope="module")
async def consume(nats_server: NatsServer, tmp_path: Path) -> AsyncIterator[Consume]:
    """Start a consumer of drift events with its own durable; all are stopped afterwards."""
    started: list[Bus] = []

    async def start(handler: Handler) -> Bus:
        bus = Bus.from_settings(settings_for(nats_server, tmp_path), "test")
        await bus.connect()
        await bus.jetstream.purge_stream("EVENTS")
        await subscribe(
            bus, records=open_records(str(tmp_path / "store")), stream="EVENTS",
            durable=f"test-{next(numbers)}", filter_subjects=[DriftDetected.subject],
            handler=handler, ack_wait=ACK_WAIT, stage="test",
        )  # fmt: skip
        await bus.broker.start()
        started.append(bus)
        return bus

    yield start
    for bus in started:
        await bus.broker.stop()


def drift(run_id: str) -> DriftDetected:
    return DriftDetected(run_id=run_id, name="m", version=1, statistic="psi", value=1, threshold=0.2)


async def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


async def test_a_slow_handler_keeps_its_message(consume: Consume) -> None:
    deliveries: list[int] = []
    done = asyncio.Event()

    async def slow(delivery: Delivery) -> None:
        deliveries.append(delivery.deliveries)
        await asyncio.sleep(ACK_WAIT.total_seconds() * 2.2)
        done.set()

    bus = await consume(slow)
    await bus.announce(drift("slow"), fingerprint="slow")
    await asyncio.wait_for(done.wait(), 10)
    await asyncio.sleep(ACK_WAIT.total_seconds() * 0.5)
    assert deliveries == [1]


async def test_handing_back_is_unlimited_and_errors_wait(consume: Consume) -> None:
    seen: list[int] = []

    async def reluctant(delivery: Delivery) -> None:
        seen.append(delivery.deliveries)
        if delivery.deliveries < 8:
            raise Retry(0.01)
        if delivery.deliveries == 8:
            raise TransientError("the store is away")

    bus = await consume(reluctant)
    await bus.announce(drift("back"), fingerprint="back")
    await until(lambda: len(seen) >= 8)
    assert seen[:8] == list(range(1, 9))
    dead = await bus.jetstream.stream_info("DEAD")
    assert dead.state.messages == 0


async def test_a_permanent_error_goes_to_the_dead_letters_and_the_next_message_is_handled(consume: Consume) -> None:
    seen: list[str] = []

    async def picky(delivery: Delivery) -> None:
        if b"bad" in delivery.body:
            raise PermanentError("row 3: 标签 missing")
        seen.append(delivery.subject)

    bus = await consume(picky)
    await bus.announce(drift("bad"), fingerprint="bad")
    await bus.announce(drift("good"), fingerprint="good")
    await until(lambda: bool(seen))
    letter = await bus.jetstream.get_last_msg("DEAD", "tidemill.dead.test")
    assert letter.headers is not None
    assert unquote(letter.headers["Tidemill-Error"]) == "row 3: 标签 missing"
    assert letter.headers["Tidemill-Subject"] == DriftDetected.subject
    assert b'"bad"' in (letter.data or b"")


async def test_what_cannot_be_put_on_record_is_delivered_again(consume: Consume, tmp_path: Path) -> None:
    tries: list[int] = []

    async def refuse(delivery: Delivery) -> None:
        tries.append(delivery.deliveries)
        raise PermanentError("never")

    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "records").write_text("in the way")
    bus = await consume(refuse)
    before = (await bus.jetstream.stream_info("DEAD")).state.messages
    await bus.announce(drift("unrecorded"), fingerprint="unrecorded")
    await until(lambda: len(tries) >= 2)
    letters = open_records(str(tmp_path / "store")).letters
    assert (await bus.jetstream.stream_info("DEAD")).state.messages == before
    (tmp_path / "store" / "records").unlink()
    async with asyncio.timeout(10):
        while not (kept := await letters.newest("default", limit=9)):
            await asyncio.sleep(0.05)
    assert [(letter.error, letter.kind, letter.stage) for letter in kept] == [("never", "permanent", "test")]
    assert b"unrecorded" in kept[0].body
    handled = len(tries)
    await asyncio.sleep(1.5 * ACK_WAIT.total_seconds())
    assert len(tries) == handled


async def test_the_same_fact_is_kept_once_and_announced_again_when_asked(consume: Consume) -> None:
    seen: list[str] = []

    async def note(delivery: Delivery) -> None:
        seen.append(delivery.headers["ce-id"])

    bus = await consume(note)
    for announcement in (1, 1, 2):
        await bus.announce(drift("once"), fingerprint="once", announcement=announcement)
    await until(lambda: len(seen) == 2)
    assert len(set(seen)) == 2


async def test_a_full_stream_tells_the_publisher(nats_server: NatsServer, tmp_path: Path) -> None:
    bus = Bus.from_settings(settings_for(nats_server, tmp_path), "test")
    await bus.connect()
    try:
        info = await bus.jetstream.stream_info("EVENTS")
        await provision(bus.client, StreamLimits(events_bytes=max(info.state.bytes, 1) + 10))
        with pytest.raises(TransientError, match="EVENTS"):
            await bus.announce(DatasetPublished(run_id="r", name="n", uri="/x" * 400), fingerprint="full")
    finally:
        await provision(bus.client)
        await bus.broker.stop()
