"""One hop over the bus, published, handled, acknowledged: Tidemill with everything on, FastStream alone, bare nats-py.

All on the same server (file storage, every write synced) in the same run, in turns. A row's time is the median over its
turns, its ratio the median of the ratios to bare nats-py within a turn, so that noise of the machine hits both alike.
`make bench-bus`.
"""

from __future__ import annotations

import argparse
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
from opentelemetry import trace

from tidemill import telemetry
from tidemill.bus import Bus, Leases
from tidemill.bus.cloudevents import parse_event
from tidemill.bus.consumers import subscribe
from tidemill.bus.delivery import Delivery
from tidemill.contracts import AlertRaised, DriftDetected, Event, ModelPromoted, RunFinished
from tidemill.records import RecordStore, open_records
from tidemill.stage.fingerprint import job_fingerprint
from tidemill.testing.nats import running_nats, settings_for

TURNS = 60
HOPS = 10
"""Hops in one turn of one contender."""
TARGET = 2.5

Hop = Callable[[int], Awaitable[None]]

BARE = "bare nats-py"
EVERYTHING = "Tidemill, everything on"
INCLUDES = {
    BARE: "publish, pull, acknowledge",
    "bare nats-py, ack awaited": "the same, and the server says that it has the acknowledgement",
    "FastStream alone": "publish, pull subscriber, acknowledge",
    "Tidemill event": "CloudEvents headers, deduplication id, trace context, a recorded span, typed body, heartbeat",
    EVERYTHING: "all that, a fingerprint, and a lease acquired and released (two more synced writes)",
}


async def main(turns: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with running_nats(Path(folder)) as server:
            settings = settings_for(server, Path(folder))
            telemetry.configure("bench", Path(folder))
            bus = Bus.from_settings(settings, "bench")
            await bus.connect()
            broker = NatsBroker(settings.nats_url, security=bus.broker.specification.security, logger=None)
            records = open_records(settings.store_url)
            hops = {
                BARE: await bare(bus, "bench-bare", acknowledged=False),
                "bare nats-py, ack awaited": await bare(bus, "bench-bare-sync", acknowledged=True),
                "FastStream alone": await faststream(broker),
                "Tidemill event": await tidemill(bus, records, drift, leased=False),
                EVERYTHING: await tidemill(bus, records, finished, leased=True),
            }
            await bus.broker.start()
            await broker.start()
            report(await measured(hops, turns))
            await broker.stop()
            await bus.broker.stop()
            telemetry.shutdown()


async def measured(hops: dict[str, Hop], turns: int) -> dict[str, list[float]]:
    """Milliseconds a hop, one figure for each turn; the first turn warms up and is not kept."""
    times: dict[str, list[float]] = {name: [] for name in hops}
    for turn in range(turns + 1):
        for name, hop in hops.items():
            begun = time.perf_counter()
            for number in range(HOPS):
                await hop(turn * HOPS + number)
            if turn:
                times[name].append((time.perf_counter() - begun) / HOPS * 1000)
    return times


def report(times: dict[str, list[float]]) -> None:
    print(f"{'one hop, fsync on every write':28} {'p50 ms':>7} {'× bare':>7}  what it includes")
    ratios: dict[str, float] = {}
    for name, values in times.items():
        ratios[name] = statistics.median(mine / base for mine, base in zip(values, times[BARE], strict=True))
        print(f"{name:28} {statistics.median(values):7.2f} {ratios[name]:7.2f}  {INCLUDES[name]}")
    met = "met" if ratios[EVERYTHING] <= TARGET else "NOT met"
    print(f"target: everything on at most {TARGET} × bare nats-py: {met} ({ratios[EVERYTHING]:.2f})")


async def bare(bus: Bus, durable: str, *, acknowledged: bool) -> Hop:
    js = bus.jetstream
    subject = AlertRaised.subject if acknowledged else "tidemill.dataset.bench.v1"
    subscription = await js.pull_subscribe(subject, durable=durable, stream="EVENTS")

    async def hop(number: int) -> None:
        await js.publish(subject, b'{"n": %d}' % number, stream="EVENTS")
        (message,) = await subscription.fetch(1, timeout=5)
        await (message.ack_sync() if acknowledged else message.ack())

    return hop


async def faststream(broker: NatsBroker) -> Hop:
    arrived: asyncio.Queue[bool] = asyncio.Queue()

    @broker.subscriber(
        ModelPromoted.subject,
        durable="bench-faststream",
        stream=JStream("EVENTS", declare=False),
        pull_sub=PullSub(timeout=5.0),
        config=ConsumerConfig(),
    )
    async def handle(message: NatsMessage) -> None:
        await message.ack()
        arrived.put_nowait(True)

    async def hop(number: int) -> None:
        await broker.publish(b'{"n": %d}' % number, ModelPromoted.subject, stream="EVENTS", timeout=5)
        await arrived.get()

    return hop


def drift(number: int) -> Event:
    return DriftDetected(run_id="bench", name="m", version=1, statistic="psi", value=number, threshold=0.2)


def finished(number: int) -> Event:
    return RunFinished(run_id="bench", state="finished", name="m", version=number)


async def tidemill(bus: Bus, records: RecordStore, make: Callable[[int], Event], *, leased: bool) -> Hop:
    arrived: asyncio.Queue[bool] = asyncio.Queue()
    leases = Leases(bus)
    sender = telemetry.tracer().start_span("sender")

    async def handle(delivery: Delivery) -> None:
        event = parse_event(delivery.subject, delivery.body, delivery.headers)
        with telemetry.run_scope(event.run_id), telemetry.span("hop", run_id=event.run_id):
            if leased:
                fingerprint = job_fingerprint("bench", 1, event, {})
                lease = await leases.acquire(fingerprint, "bench")
                assert lease is not None, "every hop has a fingerprint of its own"
                await leases.release(lease)
        arrived.put_nowait(True)

    await subscribe(
        bus, records=records, stream="EVENTS", durable=f"bench-{make.__name__}", filter_subjects=[make(1).subject],
        handler=handle, ack_wait=timedelta(seconds=30), stage="bench",
    )  # fmt: skip

    async def hop(number: int) -> None:
        with trace.use_span(sender):  # a service announces within the span of its plan or job
            await bus.announce(make(number), fingerprint=str(number))
        await arrived.get()

    return hop


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--turns", type=int, default=TURNS)
    asyncio.run(main(arguments.parse_args().turns))
