"""What is left on the bus: queues, leases, dead letters, the events that told of ends."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from typing import Any
from urllib.parse import unquote

from nats.js.errors import NoKeysError, NotFoundError

from tests.faults.arena import Arena
from tests.faults.audit.facts import RunOnRecord
from tests.faults.audit.violation import Violation
from tests.faults.watching import ENDS

CONSUMERS = ("ingest-events", "preprocess-events", "train-events", "compress-events", "registry-events")


async def unrest(arena: Arena) -> list[Violation]:
    """Jobs, events and leases that are still waited for."""
    found = []
    jetstream = arena.platform.bus.jetstream
    try:
        jobs = (await jetstream.stream_info("JOBS")).state.messages
        if jobs:
            found.append(Violation("backlog", "", f"{jobs} messages are left in the stream JOBS"))
        for durable in CONSUMERS:
            info = await jetstream.consumer_info("EVENTS", durable)
            if left := (info.num_pending or 0) + (info.num_ack_pending or 0):
                found.append(Violation("backlog", "", f"consumer {durable} has {left} events left"))
        found += [Violation("lease", "", f"a lease is held: {key}") for key in await _leases(arena)]
    except Exception as error:
        found.append(Violation("backlog", "", f"the bus cannot be asked: {error!r}"))
    return found


async def _leases(arena: Arena) -> list[str]:
    bucket = await arena.platform.bus.jetstream.key_value("leases")
    try:
        return [key for key in await bucket.keys() if key != "reconciler"]
    except NoKeysError:
        return []


async def end_events(arena: Arena) -> dict[str, set[str]]:
    """Which ends the EVENTS stream tells of, by run."""
    found: dict[str, set[str]] = {}
    async for message in messages(arena, "EVENTS"):
        if message.subject in ENDS:
            document = json.loads(message.data)
            found.setdefault(document["run_id"], set()).add(document.get("state", "failed"))
    return found


async def dead_letters(arena: Arena, facts: Sequence[RunOnRecord]) -> list[Violation]:
    """Every failure is in the dead letters with its error, and nothing else is."""
    kept: dict[str, list[str]] = {}
    found: list[Violation] = []
    async for message in messages(arena, "DEAD"):
        headers = message.headers or {}
        error = unquote(headers.get("Tidemill-Error", ""))
        run_id = headers.get("Tidemill-Run-Id")
        if run_id is None:
            found.append(Violation("dead-letter", "", f"{message.subject}: a letter of no run: {error}"))
        elif not error:
            found.append(Violation("dead-letter", run_id, "a letter without an error"))
        else:
            kept.setdefault(run_id, []).append(error)
    for one in facts:
        for outcome in one.outcomes:
            if outcome.state == "failed" and outcome.error not in kept.get(one.run_id, []):
                found.append(
                    Violation("dead-letter", one.run_id, f"failed with {outcome.error!r}; kept: {kept.get(one.run_id)}")
                )
        if one.run_id in kept and not any(outcome.state in ("failed", "cancelled") for outcome in one.outcomes):
            found.append(Violation("dead-letter", one.run_id, f"never failed, but: {kept[one.run_id]}"))
    return found


async def messages(arena: Arena, stream: str) -> AsyncIterator[Any]:
    """All messages of a stream."""
    jetstream = arena.platform.bus.jetstream
    state = (await jetstream.stream_info(stream)).state
    for sequence in range(max(1, state.first_seq), state.last_seq + 1):
        try:
            yield await jetstream.get_msg(stream, sequence)
        except NotFoundError:
            continue
