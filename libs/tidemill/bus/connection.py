"""A service's connection to the bus: a FastStream broker and what is announced, asked and commanded through it."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import nats.errors
import nats.js.errors
from faststream.nats import NatsBroker
from faststream.security import SASLPlaintext
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.kv import KeyValue
from opentelemetry.propagate import inject

from tidemill.bus import subjects
from tidemill.bus.cloudevents import event_headers
from tidemill.contracts import Event, RunProgressed
from tidemill.contracts.queries import Answer, Question
from tidemill.errors import InvalidInput, NotFound, PermanentError, TransientError

if TYPE_CHECKING:
    from tidemill.contracts import Command
    from tidemill.settings import PlatformSettings

PUBLISH_TIMEOUT = 5.0
"""Seconds to wait for the stream's acknowledgement; with ``sync_interval: always`` it includes a disk sync."""

log = logging.getLogger(__name__)

UNREACHABLE = (nats.errors.Error, nats.js.errors.Error, asyncio.TimeoutError)
"""What nats-py raises when the server does not do or answer what it was asked."""

_LOST = (*UNREACHABLE, OSError)

_UNANSWERED_PINGS = 2
"""A connection is given up with the ping after these: at the fourth interval after its last answer at the latest."""


_TOO_LARGE = 10054
"""JetStream's error code for a message beyond ``max_msg_size``."""


class TooLarge(PermanentError):
    """A message is larger than its stream takes."""


class Bus:
    """The bus as one service sees it. ``source`` is its name in ``ce-source``."""

    def __init__(self, broker: NatsBroker, source: str) -> None:
        self.broker = broker
        self.source = source
        self._client: Client | None = None
        self._buckets: dict[str, KeyValue] = {}

    @classmethod
    def from_settings(cls, settings: PlatformSettings, source: str) -> Bus:
        """A bus that is not connected yet; it reconnects for ever, since a worker outlives an outage."""
        password = settings.nats_password
        broker = NatsBroker(
            settings.nats_url,
            security=SASLPlaintext(settings.nats_user, password.get_secret_value())
            if settings.nats_user and password
            else None,
            name=f"tidemill-{source}",
            connect_timeout=5,
            reconnect_time_wait=1,
            max_reconnect_attempts=-1,
            ping_interval=_ping_interval(settings.ack_wait.total_seconds()),
            max_outstanding_pings=_UNANSWERED_PINGS,
            logger=None,
            graceful_timeout=15.0,
        )
        return cls(broker, source)

    async def connect(self) -> None:
        """Connect.

        Raises:
            TransientError: no server at the address, or it refuses the credentials.
        """
        try:
            self._client = await self.broker.connect()
        except _LOST as error:
            raise TransientError(f"no NATS server answers: {error!r}; see `tidemill status`") from error

    @property
    def client(self) -> Client:
        """The connected nats-py client."""
        if self._client is None:
            raise TransientError("the bus is not connected yet")
        return self._client

    @property
    def jetstream(self) -> JetStreamContext:
        """JetStream over the same connection."""
        return self.client.jetstream(timeout=PUBLISH_TIMEOUT)

    @property
    def connected(self) -> bool:
        """Whether the server can be reached at this moment."""
        return self._client is not None and bool(self._client.is_connected)

    async def bucket(self, name: str) -> KeyValue:
        """A provisioned KV bucket.

        Raises:
            TransientError: it cannot be reached or was not provisioned.
        """
        if name not in self._buckets:
            try:
                self._buckets[name] = await self.jetstream.key_value(name)
            except _LOST as error:
                raise TransientError(f"KV bucket {name!r} cannot be opened: {error!r}") from error
        return self._buckets[name]

    async def announce(self, event: Event, *, fingerprint: str, announcement: int = 1) -> None:
        """Publish a fact durably. The same fact of the same run is kept once, however often it is announced.

        Raises:
            TransientError: the stream did not acknowledge.
        """
        headers = event_headers(event, source=self.source, fingerprint=fingerprint, announcement=announcement)
        stream = subjects.FEEDBACK if event.subject.startswith("tidemill.feedback.") else subjects.EVENTS
        await self.publish_durably(stream, event.subject, event.model_dump_json().encode(), headers)

    async def publish_durably(self, stream: str, subject: str, body: bytes, headers: dict[str, str]) -> None:
        """Publish to a stream and wait for its acknowledgement; the current trace context travels along.

        Raises:
            TransientError: the stream did not acknowledge within ``PUBLISH_TIMEOUT`` or is full.
            TooLarge: no try of this message will be taken.
        """
        headers = dict(headers)
        inject(headers)
        try:
            await self.jetstream.publish(subject, body, stream=stream, headers=headers, timeout=PUBLISH_TIMEOUT)
        except _LOST as error:
            if _is_too_large(error):
                raise TooLarge(
                    f"a message of {len(body):,} bytes on {subject} is larger than stream {stream} takes; "
                    "what it carries grows with the number of labels: use fewer"
                ) from error
            raise TransientError(f"stream {stream} did not take a message on {subject}: {_why(error)}") from error

    async def report(self, event: RunProgressed) -> None:
        """Publish live progress; lost when nobody listens or the server is away."""
        if self.connected:
            await self.client.publish(event.subject, event.model_dump_json().encode())

    async def command(self, command: Command) -> None:
        """Hand a command to the registry durably.

        Raises:
            TransientError: the stream did not acknowledge.
        """
        body = command.model_dump_json().encode()
        identity = hashlib.sha256(body + str(time.time_ns()).encode()).hexdigest()[:32]
        headers = {"Nats-Msg-Id": identity, "content-type": "application/json"}
        await self.publish_durably(subjects.JOBS, subjects.command_subject(command.project), body, headers)

    async def ask(self, question: Question, *, timeout: float = 5.0) -> Any:
        """The registry's answer to ``question`` as parsed JSON.

        Raises:
            NotFound, InvalidInput: what the registry said.
            TransientError: no registry answered within ``timeout`` seconds.
        """
        try:
            reply = await self.client.request(question.subject, question.model_dump_json().encode(), timeout=timeout)
        except _LOST as error:
            raise TransientError(
                f"the registry did not answer {question.subject} ({type(error).__name__}); "
                "see `tidemill status` whether it runs"
            ) from error
        answer = Answer.model_validate_json(reply.data)
        if answer.problem is None:
            return answer.value
        kinds: dict[str, Callable[[str], Exception]] = {"not-found": NotFound, "invalid": InvalidInput}
        raise kinds.get(answer.problem.kind, TransientError)(answer.problem.detail)

    @asynccontextmanager
    async def listening(self, subject: str) -> AsyncIterator[AsyncIterator[tuple[str, dict[str, Any]]]]:
        """Core subscription: ``(subject, JSON object)`` of every message from now on; unreadable ones are skipped."""
        subscription = await self.client.subscribe(subject)

        async def messages() -> AsyncIterator[tuple[str, dict[str, Any]]]:
            async for message in subscription.messages:
                try:
                    document = json.loads(message.data)
                except ValueError:
                    continue
                if isinstance(document, dict):
                    yield message.subject, document

        try:
            yield messages()
        finally:
            if self.connected:
                await subscription.unsubscribe()


def _ping_interval(ack_wait: float) -> int:
    """Seconds between two pings, so that a network that swallows everything is noticed within ``ack_wait``."""
    return min(10, max(1, int(ack_wait / (_UNANSWERED_PINGS + 2))))


def _is_too_large(error: Exception) -> bool:
    if isinstance(error, nats.js.errors.APIError):
        return bool(error.err_code == _TOO_LARGE)
    return isinstance(error, nats.errors.MaxPayloadError)


def _why(error: Exception) -> str:
    """Why a stream did not take a message, in words."""
    if isinstance(error, asyncio.TimeoutError):
        return (
            f"no acknowledgement within {PUBLISH_TIMEOUT:.0f} s, so the server is out of reach or its disk is full; "
            "`tidemill doctor` says which"
        )
    if isinstance(error, nats.js.errors.APIError) and error.description:
        return f"{error.description}; `tidemill doctor` says what to do"
    return f"{error!r}; see `tidemill doctor`"
