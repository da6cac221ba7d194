"""Messages that are in the streams and nowhere else: written to a file for a backup, published again after a restore.

They are feedback, datasets that were published without a record and notifications of buckets that ingest has not taken
yet, and commands that the registry has not carried out. Everything else in the streams is announced again from the
records.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import nats.js.errors
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import RawStreamMsg
from pydantic import ConfigDict

from tidemill.bus.cloudevents import MalformedEvent, derived_run_id, parse_event
from tidemill.bus.connection import UNREACHABLE
from tidemill.bus.subjects import (
    BUCKET_NOTIFIED,
    EVENTS,
    FEEDBACK,
    JOBS,
    NOTIFICATIONS_DURABLE,
    events_durable,
    job_filter,
)
from tidemill.contracts import DatasetPublished, Frozen
from tidemill.errors import TransientError
from tidemill.records import RecordStore


class KeptMessage(Frozen):
    """One message as it was published. Its body is base64 in JSON."""

    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_bytes="base64", val_json_bytes="base64")

    stream: str
    subject: str
    headers: dict[str, str]
    body: bytes


async def keep_messages(client: Client, records: RecordStore, to: Path) -> dict[str, int]:
    """Write what only the streams hold to ``to``, a line for each message; their numbers by stream.

    Raises:
        TransientError: streams or store cannot be reached.
    """
    counted: Counter[str] = Counter()
    try:
        with to.open("wb") as file:
            async for message in _only_here(client.jetstream(timeout=5), records):
                file.write(message.model_dump_json().encode() + b"\n")
                counted[message.stream] += 1
    except UNREACHABLE as error:
        raise TransientError(f"the streams cannot be read: {error!r}") from error
    return dict(counted)


async def publish_kept(client: Client, path: Path) -> int:
    """Publish the messages of a file and remove it; how many there were.

    Messages that a stream does not take stay in the file for the next time. Publishing again is harmless: the streams
    keep a message of one id once.
    """
    js, published, left = client.jetstream(timeout=5), 0, []
    with path.open("rb") as file:
        for line in file:
            message = KeptMessage.model_validate_json(line)
            try:
                await js.publish(message.subject, message.body, stream=message.stream, headers=message.headers)
                published += 1
            except UNREACHABLE:
                left.append(line)
    _leave(path, left)
    return published


def _leave(path: Path, lines: list[bytes]) -> None:
    if not lines:
        path.unlink()
        return
    rest = path.with_name(f"{path.name}.rest")
    rest.write_bytes(b"".join(lines))
    rest.replace(path)


async def _only_here(js: JetStreamContext, records: RecordStore) -> AsyncIterator[KeptMessage]:
    async for message in _messages(js, FEEDBACK, ">"):
        yield _kept(FEEDBACK, message)
    async for message in _messages(
        js, EVENTS, DatasetPublished.subject, after=await _taken(js, events_durable("ingest"))
    ):
        if not await _on_record(message, records):
            yield _kept(EVENTS, message)
    async for message in _messages(js, EVENTS, BUCKET_NOTIFIED, after=await _taken(js, NOTIFICATIONS_DURABLE)):
        yield _kept(EVENTS, message)
    async for message in _messages(js, JOBS, job_filter("register", "cpu")):
        yield _kept(JOBS, message)


async def _messages(js: JetStreamContext, stream: str, subject: str, after: int = 0) -> AsyncIterator[RawStreamMsg]:
    while True:
        try:
            message = await js.get_msg(stream, after + 1, next=True, subject=subject)
        except nats.js.errors.NotFoundError:
            return
        yield message
        after = message.seq or after + 1


async def _taken(js: JetStreamContext, durable: str) -> int:
    """The last message that ingest has acknowledged on one of its consumers: all up to it are on record."""
    try:
        floor = (await js.consumer_info(EVENTS, durable)).ack_floor
    except nats.js.errors.NotFoundError:
        return 0
    return floor.stream_seq if floor is not None else 0


async def _on_record(message: RawStreamMsg, records: RecordStore) -> bool:
    stored_at = message.time or datetime.fromtimestamp(0, UTC)
    # The client rounds the time of a delivery, which ingest names a bare publish by, and cuts the one it reads here.
    for moment in (stored_at, stored_at + timedelta(microseconds=1)):
        run_id = derived_run_id(EVENTS, message.seq or 0, moment)
        try:
            event = parse_event(DatasetPublished.subject, bytes(message.data or b""), message.headers, run_id=run_id)
        except MalformedEvent:
            return False  # ingest has not said so yet
        if await records.run(event.project, event.run_id) is not None:
            return True
    return False


def _kept(stream: str, message: RawStreamMsg) -> KeptMessage:
    headers = dict(message.headers or {})
    identity = headers.get("Nats-Msg-Id") or derived_run_id(
        stream, message.seq or 0, message.time or datetime.fromtimestamp(0, UTC)
    )
    own = {name: value for name, value in headers.items() if not name.lower().startswith("nats-")}
    return KeptMessage(
        stream=stream,
        subject=message.subject or "",
        headers=own | {"Nats-Msg-Id": identity},
        body=bytes(message.data or b""),
    )
