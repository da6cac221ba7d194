"""A service that is started before its streams are there waits for them: in a cluster nobody keeps an order."""

from __future__ import annotations

import asyncio
from pathlib import Path

import nats

from tidemill.bus.streams import StreamLimits, provision
from tidemill.platform.nats_server import NatsServer, NatsServerConfig, free_port
from tidemill.testing.nats import settings_for
from tidemill.testing.stage_process import stage_process


async def test_a_worker_waits_for_its_streams_and_then_is_ready(tmp_path: Path) -> None:
    config = NatsServerConfig(port=free_port(), user="tidemill", password="secret", data_dir=tmp_path / "jetstream")
    server = NatsServer(config, tmp_path)
    await server.start()
    platform = settings_for(server, tmp_path)

    async def until_ready() -> int | None:
        async with stage_process(platform, tmp_path) as process:
            return process.returncode

    try:
        client = await nats.connect(config.url, user=config.user, password=config.password)
        starting = asyncio.create_task(until_ready())
        asked = await client.subscribe("$JS.API.CONSUMER.>")
        await asked.next_msg(timeout=30)  # it asks for a consumer of a stream that is not there
        assert not starting.done()
        await provision(client, StreamLimits())
        assert await starting is None
        await client.close()
    finally:
        await server.stop()
