"""A network that swallows everything without a reset: the service notices, comes back and goes on consuming."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import pytest

from tidemill.bus import Bus
from tidemill.bus.consumers import subscribe
from tidemill.bus.delivery import Delivery
from tidemill.errors import TransientError
from tidemill.platform.nats_server import NatsServer
from tidemill.records import open_records
from tidemill.testing.nats import settings_for
from tidemill.testing.proxy import proxied

ACK_WAIT = timedelta(seconds=2)
SUBJECT = "tidemill.dataset.published.v1"


async def eventually(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(8 * ACK_WAIT.total_seconds()):
        while not await condition():
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("outage", [False, True], ids=["a connection is lost", "the network is lost"])
async def test_a_swallowed_connection_is_replaced(nats_server: NatsServer, tmp_path: Path, outage: bool) -> None:
    straight = Bus.from_settings(settings_for(nats_server, tmp_path), "straight")
    await straight.connect()
    got: list[bytes] = []

    async def handler(delivery: Delivery) -> None:
        got.append(delivery.body)

    async with proxied(nats_server.config.port) as proxy:
        settings = settings_for(nats_server, tmp_path, nats_url=f"nats://127.0.0.1:{proxy.port}", ack_wait=ACK_WAIT)
        bus = Bus.from_settings(settings, "test")
        await bus.connect()
        await subscribe(
            bus, records=open_records(str(tmp_path / "store")), stream="EVENTS", durable=f"hole-{outage}",
            filter_subjects=[SUBJECT], handler=handler, ack_wait=ACK_WAIT, stage="test",
        )  # fmt: skip
        await bus.broker.start()
        await straight.publish_durably("EVENTS", SUBJECT, b"before", {})
        await eventually(lambda: _has(got, b"before"))

        proxy.swallow(new=outage)
        await straight.publish_durably("EVENTS", SUBJECT, b"meanwhile", {})
        if outage:
            await eventually(lambda: _is_away(bus))
            await proxy.heal()
        await eventually(lambda: _publishes(bus))
        await eventually(lambda: _has(got, b"meanwhile"))
        assert bus.client.stats["reconnects"] >= 1
        await bus.broker.stop()
    await straight.broker.stop()


async def _has(got: list[bytes], body: bytes) -> bool:
    return body in got


async def _is_away(bus: Bus) -> bool:
    return not bus.connected


async def _publishes(bus: Bus) -> bool:
    if not bus.client.stats["reconnects"]:
        return False
    try:
        await bus.publish_durably("EVENTS", SUBJECT, b"after", {})
    except TransientError:
        return False
    return True
