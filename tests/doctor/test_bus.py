"""NATS with something wrong with it, as the doctor sees it."""

from __future__ import annotations

import asyncio
import os
import socket
from dataclasses import replace
from pathlib import Path

import pytest
from nats.js.api import AckPolicy, ConsumerConfig
from pydantic import SecretStr

from tests.doctor.conftest import ACK_WAIT, Only
from tidemill.bus import Bus, Leases
from tidemill.bus.login import Login
from tidemill.bus.streams import StreamLimits, provision, stream_configs
from tidemill.doctor import bus as checks
from tidemill.doctor import runs
from tidemill.doctor.site import NotLooked, Site
from tidemill.platform.nats_client import NatsAccount
from tidemill.platform.nats_server import NatsServer, NatsServerConfig, free_port
from tidemill.testing.disk import fill, small_disk
from tidemill.testing.nats import account_for

WRONG = Login(source="test", user="u", password=SecretStr("p"))
DURABLES = [f"{stage}-events" for stage in ("ingest", "preprocess", "train", "compress", "registry")]


async def test_a_server_that_is_well(with_nats: Site, only: Only) -> None:
    found = only(await checks.look_at_server(with_nats))
    assert found.state == "ok"
    assert (only(await checks.look_at_streams(with_nats))).state == "ok"


async def test_a_wrong_password_and_nobody_there(with_nats: Site, only: Only) -> None:
    assert with_nats.nats is not None
    stranger = replace(with_nats, nats=replace(with_nats.nats, login=WRONG))
    found = only(await checks.look_at_server(stranger))
    assert (found.state, "does not accept the credentials" in found.message) == ("failed", True)
    assert "TIDEMILL_NATS_PASSWORD" in found.advice
    nobody = replace(with_nats, nats=NatsAccount(f"nats://127.0.0.1:{free_port()}", WRONG))
    found = only(await checks.look_at_server(nobody))
    assert (found.state, "nothing answers" in found.message) == ("failed", True)


async def test_an_operator_whom_the_server_does_not_know(with_nats: Site, only: Only) -> None:
    assert with_nats.nats is not None
    found = only(await checks.look_at_server(replace(with_nats, nats=replace(with_nats.nats, system=WRONG))))
    assert (found.state, "does not say how it is" in found.message) == ("failed", True)


async def test_without_a_server_it_says_why_it_did_not_look(site: Site) -> None:
    with pytest.raises(NotLooked, match="no platform runs here"):
        await checks.look_at_streams(site)


async def test_a_server_that_cannot_write_and_one_that_does_not_sync(tmp_path: Path, site: Site, only: Only) -> None:
    config = NatsServerConfig(port=free_port(), user="u", password="p", data_dir=tmp_path / "small")
    server = NatsServer(config, tmp_path)
    account = account_for(config)
    with small_disk(tmp_path / "small", megabytes=16) as disk:
        await server.start()
        try:
            there = replace(site, nats=account)
            async with there.bus() as client:
                await provision(client)
                fill(disk)
                with pytest.raises(asyncio.TimeoutError):
                    await client.jetstream().publish("tidemill.dataset.published.v1", b"x" * 200_000, timeout=0.5)
            found = only(await checks.look_at_server(there))
        finally:
            await server.stop()
    assert (found.state, "no space left on device" in found.message) == ("failed", True)
    assert "make room" in found.advice

    careless = _Careless(port=free_port(), user="u", password="p", data_dir=tmp_path / "careless")
    server = NatsServer(careless, tmp_path)
    await server.start()
    try:
        found = (await checks.look_at_server(replace(site, nats=account_for(careless))))[-1]
    finally:
        await server.stop()
    assert (found.state, found.message) == ("warning", "the server acknowledges before it syncs")
    assert "sync_interval: always" in found.advice


class _Careless(NatsServerConfig):
    def render(self) -> str:
        return super().render().replace("  sync_interval: always\n", "")


async def test_a_lost_stream_and_a_lost_bucket(with_nats: Site, bus: Bus) -> None:
    await bus.jetstream.delete_stream("FEEDBACK")
    await bus.jetstream.delete_stream("KV_runs")
    found = await checks.look_at_streams(with_nats)
    await provision(bus.client, StreamLimits(lease_ttl=ACK_WAIT))
    assert {one.message for one in found} == {"stream FEEDBACK is lost", "bucket runs is lost"}
    assert all(one.state == "failed" and "registry makes it again" in one.advice for one in found)


async def test_a_stream_that_is_nearly_full_and_one_with_other_limits(with_nats: Site, bus: Bus) -> None:
    for _ in range(2):
        await bus.jetstream.publish("tidemill.dataset.published.v1", b"x" * 1000)
    state = (await bus.jetstream.stream_info("EVENTS")).state
    await provision(bus.client, StreamLimits(lease_ttl=ACK_WAIT, events_bytes=int(state.bytes * 1.1)))
    found = await checks.look_at_streams(with_nats)
    await provision(bus.client, StreamLimits(lease_ttl=ACK_WAIT, events_bytes=state.bytes))
    full = await checks.look_at_streams(with_nats)
    await provision(bus.client, StreamLimits(lease_ttl=ACK_WAIT))
    await bus.jetstream.purge_stream("EVENTS")
    events = [one for one in found if "EVENTS" in one.message]
    assert [one.state for one in events] == ["warning", "warning"]
    assert "the settings say" in events[0].message
    assert "stream EVENTS is 91% full" in events[1].message
    assert "TIDEMILL_STREAM_EVENTS_BYTES" in events[1].advice
    assert any(one.state == "failed" and "publishers are refused" in one.message for one in full)


async def test_a_full_stream_of_feedback_names_the_setting_that_bounds_it(
    with_nats: Site, bus: Bus, only: Only
) -> None:
    await bus.jetstream.publish("tidemill.feedback.received.v1", b"x" * 1000)
    used = (await bus.jetstream.stream_info("FEEDBACK")).state.bytes
    limits = StreamLimits(lease_ttl=ACK_WAIT)
    (config,) = [one for one in stream_configs(limits) if one.name == "FEEDBACK"]
    await bus.jetstream.update_stream(replace(config, max_bytes=used))
    found = (await checks.look_at_streams(with_nats))[-1]
    await provision(bus.client, limits)
    await bus.jetstream.purge_stream("FEEDBACK")
    assert (found.state, "FEEDBACK is full" in found.message) == ("failed", True)
    assert "raise TIDEMILL_STREAM_EVENTS_BYTES and" in found.advice


async def test_consumers_that_are_gone_and_one_that_nobody_asks(
    with_nats: Site, bus: Bus, monkeypatch: pytest.MonkeyPatch, only: Only
) -> None:
    monkeypatch.setattr(checks, "SECOND_LOOK", 0.05)
    found = await checks.look_at_consumers(with_nats)
    assert [one.state for one in found] == ["failed"] * 7
    assert any("consumer train-events of EVENTS is not there" in one.message for one in found)
    for durable in DURABLES:
        await _consumer(bus, "EVENTS", durable, "tidemill.dataset.published.v1")
    await _consumer(bus, "JOBS", "registry-commands", "tidemill.job.register.cpu.>")
    await _consumer(bus, "EVENTS", "ingest-notifications", "tidemill.bucket.notified")
    assert only(await checks.look_at_consumers(with_nats)).state == "ok"
    await bus.jetstream.publish("tidemill.dataset.published.v1", b"{}")
    found = await checks.look_at_consumers(with_nats)
    assert {one.state for one in found} == {"failed"}
    assert any("1 messages wait for train-events, and nobody takes them" in one.message for one in found)
    monkeypatch.setattr(checks, "LONG_WAIT", -1.0)
    taken = await bus.jetstream.pull_subscribe_bind("train-events", "EVENTS")
    await taken.fetch(1)
    found = await checks.look_at_consumers(with_nats)
    assert any(one.state == "warning" and "oldest message of train-events" in one.message for one in found)


async def _consumer(bus: Bus, stream: str, durable: str, subject: str) -> None:
    config = ConsumerConfig(durable_name=durable, filter_subject=subject, ack_policy=AckPolicy.EXPLICIT)
    await bus.jetstream.add_consumer(stream, config)


async def test_jobs_for_a_class_that_no_worker_takes(
    with_nats: Site, bus: Bus, monkeypatch: pytest.MonkeyPatch, only: Only
) -> None:
    assert only(await runs.look_at_jobs(with_nats)).state == "ok"
    await _consumer(bus, "JOBS", "train-jobs-gpu", "tidemill.job.train.gpu.>")
    await bus.jetstream.publish("tidemill.job.train.gpu.default.run-1", b"{}")
    assert only(await runs.look_at_jobs(with_nats)).state == "ok"  # it has only just come
    monkeypatch.setattr(runs, "UNTAKEN_SECONDS", -1.0)
    found = only(await runs.look_at_jobs(with_nats))
    assert found.state == "failed"
    assert "1 jobs of train for gpu" in found.message
    assert "TIDEMILL_TRAINER_RESOURCE_CLASSES" in found.advice
    worker = await bus.jetstream.pull_subscribe_bind("train-jobs-gpu", "JOBS")
    await worker.fetch(1)
    await bus.jetstream.publish("tidemill.job.train.gpu.another.run-2", b"{}")  # a busy worker takes that one next
    assert only(await runs.look_at_jobs(with_nats)).state == "ok"


async def test_leases_of_processes_that_are_gone(with_nats: Site, bus: Bus, only: Only) -> None:
    host = socket.gethostname()
    await Leases(bus).acquire("sha256:1", f"train@{host}-{os.getpid()}")
    assert "train@" in only(await runs.look_at_leases(with_nats)).message
    await Leases(bus).acquire("sha256:2", f"ingest@{host}-4194399")
    found = only(await runs.look_at_leases(with_nats))
    assert "of processes that are gone: ingest@" in found.message
    assert "train@" not in found.message
