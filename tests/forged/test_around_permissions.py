"""Ways around permissions that a NATS server leaves open, and why nothing comes of them."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import nats.errors
import pytest
from nats.js import JetStreamContext
from nats.js.api import ConsumerConfig

from tests.registry.conftest import registry_at
from tidemill.bus import MalformedEvent, parse_event
from tidemill.bus.permissions import EVERYTHING
from tidemill.bus.subjects import EVENTS
from tidemill.contracts import EVENTS as EVENT_KINDS
from tidemill.contracts.queries import ListRuns
from tidemill.platform.nats_client import connected_once
from tidemill.settings import PlatformSettings
from tidemill.testing.nats import guarded_nats, user_of


async def test_an_answer_is_no_way_around_permissions(tmp_path: Path) -> None:
    async with guarded_nats(tmp_path, also={"test": EVERYTHING}) as server:
        platform = PlatformSettings(
            nats_url=server.config.url, nats_nkey_file=tmp_path / "registry.nk", store_url=str(tmp_path / "store"),
            data_dir=tmp_path,
        )  # fmt: skip
        everything = user_of(tmp_path, "test")
        gateway = user_of(tmp_path, "inference")
        async with (
            registry_at(platform),
            connected_once(server.config.url, everything) as ear,
            connected_once(server.config.url, gateway) as client,
        ):
            heard = await ear.subscribe("tidemill.*.*.v1")
            await ear.flush()
            question = ListRuns().model_dump_json().encode()
            await client.publish(ListRuns.subject, question, reply="tidemill.run.finished.v1")
            assert b'"value"' in (await client.request(ListRuns.subject, question, timeout=5)).data, (
                "others are answered"
            )
            with pytest.raises(nats.errors.TimeoutError):
                await heard.next_msg(timeout=0.3)


async def test_jetstream_carries_nothing_chosen_to_where_one_may_not_publish(tmp_path: Path) -> None:
    """JetStream answers, and delivers, wherever it is asked to: what it says there is no event."""
    evil = json.dumps({"name": "n", "uri": "file:///etc/passwd", "run_id": "run-evil"}).encode()
    target = "tidemill.dataset.published.v1"
    async with (
        guarded_nats(tmp_path, also={"test": EVERYTHING}) as server,
        connected_once(server.config.url, user_of(tmp_path, "ingest")) as ingest,
        connected_once(server.config.url, user_of(tmp_path, "test")) as test,
    ):
        js, api = ingest.jetstream(), "$JS.API"
        bucket = await js.key_value("runs")
        await bucket.put("default.evil", evil)
        await js.publish("tidemill.job.ingest.cpu.default.run-evil", evil)
        lane = "ingest-jobs-cpu-default"
        await js.add_consumer(
            "JOBS", ConsumerConfig(name=lane, durable_name=lane, filter_subject="tidemill.job.ingest.cpu.default.*")
        )
        pushing = {"stream_name": "KV_runs", "config": {"deliver_subject": target, "ack_policy": "none"}}
        await ingest.request(f"{api}.CONSUMER.CREATE.KV_runs", json.dumps(pushing).encode(), timeout=5)
        last = json.dumps({"last_by_subj": "$KV.runs.default.evil"}).encode()
        await ingest.publish(f"{api}.STREAM.MSG.GET.KV_runs", last, reply=target)
        await ingest.publish(f"{api}.CONSUMER.MSG.NEXT.JOBS.{lane}", b'{"batch":1}', reply=target)
        await ingest.publish(f"{api}.STREAM.INFO.JOBS", b"", reply=target)
        await ingest.publish("$KV.runs.default.evil", evil, reply=target)
        await ingest.flush()
        messages = await _stored(test.jetstream(), at_least=3)
    assert messages, "it does answer there"
    taken = [body for subject, body in messages if subject in EVENT_KINDS and _is_event(subject, body)]
    assert taken == []


def _is_event(subject: str, body: bytes) -> bool:
    try:
        parse_event(subject, body, None, run_id="run-x")
    except MalformedEvent:
        return False
    return True


async def _stored(js: JetStreamContext, *, at_least: int) -> list[tuple[str, bytes]]:
    async with asyncio.timeout(10):
        while (await js.stream_info(EVENTS)).state.messages < at_least:
            await asyncio.sleep(0.05)
    last = (await js.stream_info(EVENTS)).state.last_seq
    found = [await js.get_msg(EVENTS, sequence) for sequence in range(1, last + 1)]
    return [(one.subject or "", bytes(one.data or b"")) for one in found]
