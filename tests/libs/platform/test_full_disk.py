"""A NATS server whose disk is full: publishers are told, nothing acknowledged is lost, and it comes back by itself."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr

from tidemill.bus import Bus, connection
from tidemill.bus.login import Login
from tidemill.errors import TransientError
from tidemill.platform import health
from tidemill.platform.data_dir import DataDir
from tidemill.platform.health import ask_health, gateway_health, has_room
from tidemill.platform.nats_server import NatsServerConfig, free_port
from tidemill.platform.programs import nats_program
from tidemill.platform.supervisor import Child, Supervisor
from tidemill.settings import PlatformSettings
from tidemill.testing.disk import fill, small_disk

SUBJECT = "tidemill.dataset.published.v1"


@asynccontextmanager
async def supervised(data: DataDir, port: int) -> AsyncIterator[tuple[Child, Bus, list[str]]]:
    """A supervised server and a bus that is connected to it."""
    said: list[str] = []
    program = replace(nats_program(data, port), health_every=0.1)
    supervisor = Supervisor(
        [program], logs=data.logs, folder=data.root, platform_id=f"test-{os.getpid()}-{port}", noticed=said.append
    )
    bus = Bus.from_settings(
        PlatformSettings.model_validate(
            {"nats_url": f"nats://127.0.0.1:{port}", "nats_nkey_file": data.nkey_file("operator")}
        ),
        "operator",
    )
    try:
        await supervisor.start()
        await bus.connect()
        yield supervisor.children[0], bus, said
    finally:
        await bus.broker.stop()
        await supervisor.stop()


@pytest.fixture
def data(tmp_path: Path) -> DataDir:
    data = DataDir(tmp_path)
    data.create()
    return data


async def eventually(condition: Callable[[], Awaitable[bool] | bool], seconds: float = 20.0) -> None:
    async with asyncio.timeout(seconds):
        while not (found := condition()) or (not isinstance(found, bool) and not await found):
            await asyncio.sleep(0.05)


async def test_it_comes_back_by_itself_once_there_is_space_with_all_that_was_acknowledged(
    data: DataDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "PUBLISH_TIMEOUT", 0.5)
    port = free_port()
    with small_disk(data.jetstream, megabytes=48) as disk:
        async with supervised(data, port) as (server, bus, said):
            kept: list[str] = []

            async def publish() -> bool:
                identity = f"letter-{len(kept)}-{os.urandom(4).hex()}"
                try:
                    await bus.publish_durably("EVENTS", SUBJECT, os.urandom(50_000), {"Nats-Msg-Id": identity})
                except TransientError:
                    return False
                kept.append(identity)
                return True

            assert await publish()
            filler = fill(disk)
            with pytest.raises(TransientError, match=r"EVENTS did not take.*its disk is full.*tidemill doctor"):
                await bus.publish_durably("EVENTS", SUBJECT, os.urandom(200_000), {})
            await eventually(lambda: "its disk is full: free space for" in (server.record().ailment or ""))
            running = server.identity
            assert not await publish()
            assert server.identity == running  # no restart while it would not help

            filler.unlink()
            await eventually(publish)
            assert server.identity != running
            assert any("nats is restarted: JetStream stream" in line for line in said)
            state = (await bus.jetstream.stream_info("EVENTS")).state
            found = {await _identity(bus, sequence) for sequence in range(1, state.last_seq + 1)}
            assert found >= set(kept)
            await eventually(lambda: server.record().ailment is None)


async def _identity(bus: Bus, sequence: int) -> str:
    message = await bus.jetstream.get_msg("EVENTS", sequence)
    return str((message.headers or {}).get("Nats-Msg-Id"))


async def test_a_restart_on_a_full_disk_loses_nothing_and_starts(data: DataDir) -> None:
    port = free_port()
    with small_disk(data.jetstream, megabytes=48) as disk:
        async with supervised(data, port) as (_, bus, _):
            await bus.publish_durably("EVENTS", SUBJECT, b"{}", {})
            filler = fill(disk)
        async with supervised(data, port) as (_, bus, _):
            assert (await bus.jetstream.stream_info("EVENTS")).state.messages == 1
        filler.unlink()
        async with supervised(data, port) as (_, bus, _):
            await bus.publish_durably("EVENTS", SUBJECT, b"{}", {})
            assert (await bus.jetstream.stream_info("EVENTS")).state.messages == 2


async def test_a_server_that_does_not_answer_says_nothing_about_its_health(tmp_path: Path) -> None:
    config = NatsServerConfig(port=free_port(), user="u", password="p", data_dir=tmp_path)
    with pytest.raises(OSError, match="nothing answers"):
        await ask_health(config.url, Login(source="system", user="u", password=SecretStr("p")))


def test_room_is_space_and_files(tmp_path: Path) -> None:
    with small_disk(tmp_path / "few", megabytes=8, files=50) as few:
        assert not has_room(few, 1 << 20)
    with small_disk(tmp_path / "small", megabytes=8) as small:
        assert has_room(small, 1 << 20)
        assert not has_room(small, 16 << 20)


async def test_a_gateway_that_answers_anything_is_well_and_a_silent_one_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "PATIENCE", 0.1)

    async def busy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    for behaviour, well in ((busy, True), (silent, False)):
        async with await asyncio.start_server(behaviour, "127.0.0.1", 0) as server:
            ailment = await gateway_health("127.0.0.1", server.sockets[0].getsockname()[1])()
            server.close()
        assert (ailment is None) is well
