"""The stream of events fills up, and the elected registry makes room."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import timedelta

import pytest
from nats.js.api import AckPolicy, ConsumerConfig
from nats.js.errors import APIError

from services.registry.trimming import FULL_ENOUGH, Trimming
from tests.registry.conftest import Bench, eventually, registry
from tidemill.bus.subjects import EVENTS
from tidemill.contracts import DatasetIngested, ModelTrained
from tidemill.errors import TransientError

SMALL = 256 << 10


async def test_what_everybody_has_taken_makes_room_and_what_somebody_waits_for_stays(
    quiet_bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench, stream = quiet_bench, quiet_bench.bus.jetstream
    trimming = Trimming(bench.bus)
    await _shrink(bench)
    # One whose messages never come, and one that has taken half of its own.
    await stream.add_consumer(EVENTS, _durable("idle", ModelTrained.subject))
    await stream.add_consumer(EVENTS, _durable("slow", DatasetIngested.subject))
    sent = await _fill(bench)
    assert sent > 10
    assert await trimming.trim() == 0
    assert await trimming.trim() == 0
    assert caplog.text.count("its oldest messages wait for consumer slow") == 1
    slow = await stream.pull_subscribe_bind("slow", EVENTS)
    for message in await slow.fetch(sent // 2, timeout=5):
        await message.ack_sync()
    assert await trimming.trim() == sent // 2
    left = (await stream.stream_info(EVENTS)).state
    assert left.messages == sent - sent // 2
    assert await _fill(bench) > 0
    rest = (await stream.stream_info(EVENTS)).state.messages
    for message in await slow.fetch(rest, timeout=5):
        await message.ack_sync()
    assert await trimming.trim() == rest
    assert await trimming.trim() == 0  # there is room


async def test_a_full_stream_holds_a_run_up_only_until_the_registry_has_looked(quiet_bench: Bench) -> None:
    bench, stream = quiet_bench, quiet_bench.bus.jetstream
    for name in ("idle", "slow"):
        await stream.delete_consumer(EVENTS, name)
    await _shrink(bench)
    await _fill(bench)
    with pytest.raises(TransientError):
        await bench.publish("squeezed-in")
    async with registry(bench, reconcile_every=timedelta(seconds=0.2), reconcile_after=timedelta(seconds=0.5)):

        async def room() -> bool:
            info = await stream.stream_info(EVENTS)
            return info.state.bytes < FULL_ENOUGH * SMALL

        await eventually(room)
        finished = await bench.finished("squeezed-in-too")
        assert finished.state == "finished"


def _durable(name: str, subject: str) -> ConsumerConfig:
    return ConsumerConfig(durable_name=name, filter_subject=subject, ack_policy=AckPolicy.EXPLICIT)


async def _shrink(bench: Bench) -> None:
    config = (await bench.bus.jetstream.stream_info(EVENTS)).config
    config.max_bytes = SMALL
    await bench.bus.jetstream.update_stream(config)


async def _fill(bench: Bench) -> int:
    """Publish until the stream refuses; how many it took."""
    sent = 0
    for size in (4096, 1):
        body = json.dumps({"filler": "x" * size}).encode()
        with suppress(APIError):
            while True:
                await bench.bus.jetstream.publish(DatasetIngested.subject, body)
                sent += 1
    return sent
