"""NATS: the server, the platform's streams and buckets, the consumers."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import nats.js.errors

from tidemill.bus import subjects
from tidemill.bus.connection import UNREACHABLE
from tidemill.bus.login import Login
from tidemill.bus.streams import bucket_configs, bucket_of, bucket_stream, stream_configs, stream_limits
from tidemill.contracts import STAGES
from tidemill.doctor.findings import Finding, failed, ok, skipped, warning
from tidemill.doctor.site import Site
from tidemill.platform.health import ask_health
from tidemill.platform.nats_client import Refused, connected_once

if TYPE_CHECKING:
    from nats.js import JetStreamContext
    from nats.js.api import ConsumerInfo, StreamInfo

LONG_LAG = 1000
LONG_WAIT = 900.0
"""Seconds that the oldest message of a consumer may wait before it is worth a word."""
SECOND_LOOK = 1.5
"""Seconds after which a consumer that nobody asks is looked at again: between two requests nobody asks either."""
_LIMITED_BY = {subjects.FEEDBACK: "TIDEMILL_STREAM_EVENTS_BYTES"}
"""Settings of streams that have none of their own."""
_LOST_ADVICE = "a running registry makes it again within seconds; else `tidemill up` does"


async def look_at_server(site: Site) -> list[Finding]:
    """Reachable, JetStream enabled and able to write, writes synced."""
    account = site.nats_account()
    try:
        async with site.bus() as client:
            began = time.perf_counter()
            await client.flush(timeout=5)
            answered = (time.perf_counter() - began) * 1000
            account_info = await client.jetstream().account_info()
    except Refused as error:
        advice = (
            "set TIDEMILL_NATS_NKEY_FILE, or TIDEMILL_NATS_USER and TIDEMILL_NATS_PASSWORD; or restart the platform"
        )
        return [failed(str(error), advice)]
    except ConnectionError as error:
        return [failed(str(error), "see `tidemill status` and the log of NATS")]
    except UNREACHABLE as error:
        return [failed(f"JetStream does not answer at {account.url}: {error!r}", "see the server's log; restart it")]
    found = (
        await _servers_view(account.url, account.system)
        if account.system is not None
        else [skipped("the disk sync setting: no login of the server's system account")]
    )
    if any(finding.state == "failed" for finding in found):
        return found
    return [
        ok(f"{account.url} answers in {answered:.1f} ms; JetStream holds {account_info.storage / 1e6:.1f} MB"),
        *found,
    ]


async def _servers_view(url: str, system: Login) -> list[Finding]:
    try:
        wrong = await ask_health(url, system)
        if wrong is not None:
            return [failed(f"the server says: {wrong}", "make room on its disk; it is restarted by itself then")]
        async with connected_once(url, system) as client:
            answer = json.loads((await client.request("$SYS.REQ.SERVER.PING.JSZ", b"{}", timeout=5)).data)
    except (*UNREACHABLE, ConnectionError, ValueError) as error:
        return [failed(f"the server does not say how it is: {error!r}", "see the server's log; restart it")]
    if not answer.get("data", {}).get("config", {}).get("sync_always"):
        advice = "set `sync_interval: always` in its jetstream block: a power failure loses acknowledged messages"
        return [warning("the server acknowledges before it syncs", advice)]
    return []


async def look_at_streams(site: Site) -> list[Finding]:
    """Every stream and bucket there, with its limits, and how full it is."""
    limits = stream_limits(site.streams, site.silence)
    wanted: list[tuple[str, int, float]] = [
        (config.name or "", config.max_bytes or 0, config.max_age or 0.0) for config in stream_configs(limits)
    ]
    wanted += [(bucket_stream(one.bucket), 0, one.ttl or 0.0) for one in bucket_configs(limits)]
    found: list[Finding] = []
    async with site.bus() as client:
        for name, max_bytes, max_age in wanted:
            try:
                info = await client.jetstream().stream_info(name)
            except nats.js.errors.NotFoundError:
                found.append(failed(f"{_called(name)} is lost", _LOST_ADVICE))
            except UNREACHABLE as error:
                found.append(failed(f"{_called(name)} does not answer: {error!r}", "see the log of NATS"))
            else:
                found += _of_stream(info, max_bytes, max_age)
    return found or [ok(f"all {len(wanted)} streams and buckets are there, with their limits and with room")]


def _of_stream(info: StreamInfo, max_bytes: int, max_age: float) -> list[Finding]:
    name, config = info.config.name or "", info.config
    found: list[Finding] = []
    if (max_bytes and config.max_bytes != max_bytes) or abs((config.max_age or 0.0) - max_age) > 1:
        found.append(
            warning(
                f"{_called(name)} keeps {config.max_bytes} bytes for {config.max_age or 0:.0f} s, "
                f"the settings say {max_bytes or 'no limit'} and {max_age:.0f} s",
                "`tidemill up` brings it to the settings (TIDEMILL_STREAM_…, TIDEMILL_ACK_WAIT)",
            )
        )
    if config.max_bytes and config.max_bytes > 0 and str(config.discard) == "new":
        full = info.state.bytes / config.max_bytes
        setting = _LIMITED_BY.get(name, f"TIDEMILL_STREAM_{name}_BYTES")
        advice = f"raise {setting} and start `tidemill up` again; when full, publishers are refused"
        if full >= 0.98:
            found.append(failed(f"{_called(name)} is full ({full:.0%}): publishers are refused", advice))
        elif full >= 0.8:
            found.append(warning(f"{_called(name)} is {full:.0%} full", advice))
    return found


async def look_at_consumers(site: Site) -> list[Finding]:
    """Those that ought to be there are, somebody asks them for messages, and nothing waits for long."""
    expected = [(subjects.EVENTS, subjects.events_durable(stage)) for stage in STAGES]
    expected.append((subjects.EVENTS, subjects.NOTIFICATIONS_DURABLE))
    expected.append((subjects.JOBS, subjects.COMMANDS_DURABLE))
    found: list[Finding] = []
    waiting = 0
    async with site.bus() as client:
        js = client.jetstream()
        for stream, durable in expected:
            try:
                info = await js.consumer_info(stream, durable)
                if _unasked(info):
                    await asyncio.sleep(SECOND_LOOK)
                    info = await js.consumer_info(stream, durable)
            except nats.js.errors.NotFoundError:
                service = durable.partition("-")[0]
                found.append(
                    failed(f"consumer {durable} of {stream} is not there", f"see that {service}'s service runs")
                )
                continue
            waiting += info.num_pending or 0
            found += await _of_consumer(js, info)
    return found or [ok(f"all {len(expected)} consumers are asked for messages; {waiting} messages wait")]


async def _of_consumer(js: JetStreamContext, info: ConsumerInfo) -> list[Finding]:
    name, pending, unacked = info.name, info.num_pending or 0, info.num_ack_pending or 0
    if _unasked(info):
        return [
            failed(
                f"{pending} messages wait for {name}, and nobody takes them", "see that its service runs and its log"
            )
        ]
    if not pending and not unacked:
        return []
    oldest = await _age_of_next(js, info)
    if oldest is not None and oldest > LONG_WAIT:
        return [
            warning(f"the oldest message of {name} has waited for {oldest / 60:.0f} minutes", "see its service's log")
        ]
    if pending > LONG_LAG:
        return [
            warning(f"{name} is {pending} messages behind", "more replicas help: `tidemill up --replicas SERVICE=N`")
        ]
    return []


def _unasked(info: ConsumerInfo) -> bool:
    return bool(info.num_pending) and not info.num_waiting and not info.num_ack_pending


async def _age_of_next(js: JetStreamContext, info: ConsumerInfo) -> float | None:
    """Seconds since the message was stored that the consumer has not got behind it."""
    config = info.config
    filters = (config.filter_subjects or [config.filter_subject or ">"]) if config is not None else [">"]
    floor = info.ack_floor.stream_seq if info.ack_floor is not None else 0
    ages = [await age_of_first(js, info.stream_name, each, floor + 1) for each in filters]
    return max((age for age in ages if age is not None), default=None)


async def age_of_first(js: JetStreamContext, stream: str, subject: str, sequence: int = 1) -> float | None:
    """Seconds since the first message on ``subject`` from ``sequence`` on was stored; None when there is none."""
    try:
        message = await js.get_msg(stream, sequence, next=True, subject=subject)
    except nats.js.errors.NotFoundError:
        return None
    return (datetime.now(UTC) - message.time).total_seconds() if message.time is not None else None


def _called(stream: str) -> str:
    bucket = bucket_of(stream)
    return f"stream {stream}" if bucket is None else f"bucket {bucket}"
