"""Room in the stream ``EVENTS``: what every durable consumer has taken is dropped before the stream is full.

A full stream refuses events until the old ones are of age, and the platform stands still. Nothing is lost by dropping
what was taken: the records can announce it again, and do when a run falls silent.
"""

from __future__ import annotations

import logging

from nats.js.api import ConsumerInfo

from tidemill.bus import Bus
from tidemill.bus.connection import UNREACHABLE
from tidemill.bus.subjects import EVENTS
from tidemill.errors import TransientError

log = logging.getLogger(__name__)

FULL_ENOUGH = 0.8
"""Share of its limit of bytes from which the stream is trimmed."""


class Trimming:
    """Makes room in ``EVENTS``; says once who keeps it from doing so."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._blocked_by: str | None = None

    async def trim(self) -> int:
        """Drop what all durable consumers have taken, when the stream is nearly full.

        A consumer that takes no messages holds all that are meant for it.

        Returns:
            The number of messages that were dropped.

        Raises:
            TransientError: the server cannot be reached.
        """
        try:
            return await self._trim()
        except UNREACHABLE as error:
            raise TransientError(f"stream {EVENTS} cannot be looked at: {error!r}") from error

    async def _trim(self) -> int:
        stream = await self._bus.jetstream.stream_info(EVENTS)
        limit, last = stream.config.max_bytes or 0, stream.state.last_seq
        if limit <= 0 or stream.state.bytes < FULL_ENOUGH * limit:
            self._blocked_by = None
            return 0
        # Asked for behind the stream: a consumer that has nothing to take has taken everything up to its end then.
        durables = [one for one in await _consumers(self._bus) if one.config.durable_name]
        slowest = min(durables, key=lambda one: _taken(one, last), default=None)
        taken = _taken(slowest, last) if slowest is not None else 0
        if taken < stream.state.first_seq:
            self._say_who(slowest)
            return 0
        await self._bus.jetstream.purge_stream(EVENTS, seq=taken + 1)
        dropped = taken + 1 - stream.state.first_seq
        log.warning("stream %s was nearly full: %d messages that everybody has taken are dropped", EVENTS, dropped)
        return dropped

    def _say_who(self, slowest: ConsumerInfo | None) -> None:
        name = slowest.name if slowest is not None else "nobody"
        if self._blocked_by == name:
            return
        self._blocked_by = name
        log.error(
            "stream %s is nearly full, and its oldest messages wait for %s: start its service, or remove the consumer "
            "when nobody needs it; until then publishing may be refused",
            EVENTS, f"consumer {name}" if slowest is not None else "the first service",
        )  # fmt: skip


async def _consumers(bus: Bus) -> list[ConsumerInfo]:
    found: list[ConsumerInfo] = []
    while page := await bus.jetstream.consumers_info(EVENTS, offset=len(found)):
        found += page
    return found


def _taken(consumer: ConsumerInfo, last: int) -> int:
    """The sequence up to which a consumer needs nothing; its floor stands still while no message is its own."""
    if not consumer.num_pending and not consumer.num_ack_pending:
        return last
    return consumer.ack_floor.stream_seq if consumer.ack_floor else 0
