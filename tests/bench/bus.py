"""One hop over the bus, from publish to acknowledged: Tidemill's consumer, FastStream alone, and bare nats-py.

All three on the same server (file storage, every write synced) in the same run, in turns; the median of each and its
ratio to bare nats-py are printed. `make bench-bus`.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

from faststream.nats import JStream, NatsBroker, PullSub
from faststream.nats.annotations import NatsMessage
from nats.js.api import ConsumerConfig

from tidemill.bus import Bus
from tidemill.bus.consumers import subscribe
from tidemill.bus.delivery import Delivery
from tidemill.contracts import AlertRaised, DriftDetected, ModelPromoted
from tidemill.records import RecordStore, open_records
from tidemill.testing.nats import running_nats, settings_for

ROUNDS = 30
HOPS = 20
"""Hops in one turn of one contender."""


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with running_nats(Path(folder)) as server:
            settings = settings_for(server, Path(folder))
            bus = Bus.from_settings(settings, "bench")
            await bus.connect()
            hops = {
                "bare nats-py": await bare(bus),
                "FastStream alone": await faststream(bus),
                "Tidemill": await tidemill(bus, open_records(settings.store_url)),
            }
            await bus.broker.start()
            times: dict[str, list[float]] = {name: [] for name in hops}
            for turn in range(ROUNDS):
                for name, hop in hops.items():
                    begun = time.perf_counter()
                    for number in range(HOPS):
                        await hop(turn * HOPS + number)
                    times[name].append((time.perf_counter() - begun) / HOPS * 1000)
            base = statistics.median(times["bare nats-py"])
            print(f"{'one hop, fsync on every write':32} {'p50 ms':>8} {'× bare':>8}")
            for name, values in times.items():
                middle = statistics.median(values)
                print(f"{name:32} {middle:8.2f} {middle / base:8.2f}")
            await bus.broker.stop()


async def bare(bus: Bus) -> Callable[[int], Awaitable[None]]:
    js = bus.jetstream
    subscription = await js.pull_subscribe(AlertRaised.subject, durable="bench-bare", stream="EVENTS")

    async def hop(number: int) -> None:
        await js.publish(AlertRaised.subject, b'{"n": %d}' % number, stream="EVENTS")
        (message,) = await subscription.fetch(1, timeout=5)
        await message.ack_sync()

    return hop


async def faststream(bus: Bus) -> Callable[[int], Awaitable[None]]:
    broker: NatsBroker = bus.broker
    arrived: asyncio.Queue[bool] = asyncio.Queue()

    @broker.subscriber(
        ModelPromoted.subject,
        durable="bench-faststream",
        stream=JStream("EVENTS", declare=False),
        pull_sub=PullSub(timeout=5.0),
        config=ConsumerConfig(),
    )
    async def handle(message: NatsMessage) -> None:
        await message.ack_sync()
        arrived.put_nowait(True)

    async def hop(number: int) -> None:
        await broker.publish(b'{"n": %d}' % number, ModelPromoted.subject, stream="EVENTS", timeout=5)
        await arrived.get()

    return hop


async def tidemill(bus: Bus, records: RecordStore) -> Callable[[int], Awaitable[None]]:
    arrived: asyncio.Queue[bool] = asyncio.Queue()

    async def handle(delivery: Delivery) -> None:
        arrived.put_nowait(True)

    await subscribe(
        bus, records=records, stream="EVENTS", durable="bench-tidemill", filter_subjects=[DriftDetected.subject],
        handler=handle, ack_wait=timedelta(seconds=30), stage="bench",
    )  # fmt: skip

    async def hop(number: int) -> None:
        event = DriftDetected(run_id="bench", name="m", version=1, statistic="psi", value=number, threshold=0.2)
        await bus.announce(event, fingerprint=str(number))
        await arrived.get()

    return hop


if __name__ == "__main__":
    asyncio.run(main())
