"""Records and messages that hold a value: the records are overwritten without it, the messages removed."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from typing import Any

import nats.js.errors
from nats.js import JetStreamContext
from nats.js.api import RawStreamMsg

from tidemill.artifacts.objects import Objects
from tidemill.bus.connection import UNREACHABLE
from tidemill.bus.streams import bucket_of
from tidemill.bus.subjects import SAYING
from tidemill.erasure.documents import holds_value, without_value
from tidemill.erasure.subject import Matcher
from tidemill.erasure.texts import found_in
from tidemill.errors import NotFound, TransientError
from tidemill.records.documents import canonical

log = logging.getLogger(__name__)


async def cleaned_records(objects: Objects, held: Sequence[str], matcher: Matcher) -> dict[str, str]:
    """The records of the keys ``held`` as they are without the value; nothing is written."""
    cleaned = {}
    for key in held:
        try:
            document = json.loads(await objects.read(key))
        except NotFound:
            continue
        new = without_value(document, matcher)
        if new != document:
            cleaned[key] = canonical(new).decode()
    return cleaned


async def overwrite(objects: Objects, records: dict[str, str]) -> None:
    """Put records in the place of those with the value."""
    for key, text in records.items():
        await objects.write(key, iter([text.encode()]))


def still_held(records: dict[str, str], matcher: Matcher) -> list[str]:
    """Keys of cleaned records in which a name holds the value, which could not be changed."""
    return [key for key, text in records.items() if holds_value(json.loads(text), matcher)]


async def remove_messages(js: JetStreamContext, project: str, matcher: Matcher) -> dict[str, int]:
    """Remove the project's messages that hold the value from all streams; how many there were, by stream.

    The server writes over the bytes of a message that a stream is told to remove. An entry of a run is made again from
    its records by whoever asks for it next.

    Raises:
        TransientError: the server cannot be reached.
    """
    removed: Counter[str] = Counter()
    for stream in SAYING:
        try:
            async for message in messages_of(js, stream):
                if _holds(message, project, matcher):
                    await _remove(js, stream, message)
                    removed[stream] += 1
        except UNREACHABLE as error:
            raise TransientError(f"stream {stream} cannot be searched: {error!r}") from error
    return dict(removed)


async def _remove(js: JetStreamContext, stream: str, message: RawStreamMsg) -> None:
    assert message.seq is not None
    if bucket_of(stream) is None:
        await js.delete_msg(stream, message.seq)
    else:  # buckets deny the removal of single messages
        await js.purge_stream(stream, seq=message.seq + 1, subject=message.subject)


async def messages_of(js: JetStreamContext, stream: str) -> AsyncIterator[RawStreamMsg]:
    """All messages of a stream, the oldest first. Raises what nats-py raises."""
    after = 0
    while True:
        try:
            message = await js.get_msg(stream, after + 1, next=True, subject=">")
        except nats.js.errors.NotFoundError:
            return
        yield message
        after = message.seq or after + 1


def _holds(message: RawStreamMsg, project: str, matcher: Matcher) -> bool:
    body = bytes(message.data or b"").decode("utf-8", "replace")
    headers = " ".join(f"{name}: {value}" for name, value in (message.headers or {}).items())
    if not (found_in(body, matcher) or found_in(headers, matcher) or found_in(message.subject or "", matcher)):
        return False
    try:
        document: Any = json.loads(body)
    except ValueError:
        return True
    return not isinstance(document, dict) or document.get("project", project) == project
