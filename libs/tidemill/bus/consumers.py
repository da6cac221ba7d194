"""Durable pull consumers: delivery, heartbeat, acknowledgement.

A pull consumer keeps jobs with the replica that is free. While a handler runs, ``in_progress`` goes out every third
of ``ack_wait``, so that a slow handler keeps its message and a dead one loses it. What a handler raises decides:

    returns              acknowledged
    ``Retry(delay)``     handed back, delivered again after ``delay`` seconds; deliveries are unlimited
    ``TransientError``   handed back with a growing delay, as a full disk is
    ``PermanentError``   kept in the dead letters, acknowledged
    anything else        handed back up to ``UNFORESEEN_LIMIT`` times, then the dead letters
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta

import nats.errors
import nats.js.errors
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig
from opentelemetry.context import attach, detach
from opentelemetry.propagate import extract

from tidemill.bus.connection import UNREACHABLE, Bus
from tidemill.bus.dead_letters import bury
from tidemill.bus.delivery import Delivery
from tidemill.bus.pulling import Puller
from tidemill.bus.subjects import project_of
from tidemill.errors import PermanentError, TransientError, out_of_space
from tidemill.records import RecordStore
from tidemill.telemetry import measures

log = logging.getLogger(__name__)

UNFORESEEN_LIMIT = 5
LONGEST_DELAY = 60.0


class Retry(Exception):
    """Deliver this message again after ``delay`` seconds; not an error and not counted."""

    def __init__(self, delay: float) -> None:
        super().__init__(f"again in {delay} s")
        self.delay = delay


Handler = Callable[[Delivery], Awaitable[None]]


class Tries:
    """How often each message, by its sequence, has failed here: one for each consumer, kept between deliveries.

    The server's own count of deliveries would not do: handing back and waiting for a lease use it up too.
    """

    def __init__(self) -> None:
        self.transient: Counter[int] = Counter()
        self.unforeseen: Counter[int] = Counter()

    def forget(self, sequence: int) -> None:
        """The message is dealt with."""
        self.transient.pop(sequence, None)
        self.unforeseen.pop(sequence, None)


async def subscribe(
    bus: Bus,
    *,
    records: RecordStore,
    stream: str,
    durable: str,
    filter_subjects: Sequence[str],
    handler: Handler,
    ack_wait: timedelta,
    stage: str,
) -> Puller:
    """Upsert the durable consumer and consume from it, one message at a time, until the puller is stopped.

    ``stage`` names the consumer in its dead letters, which are kept in ``records``.

    Raises:
        TransientError: the stream is not provisioned or the server cannot be reached.
    """
    config = ConsumerConfig(
        name=durable,
        durable_name=durable,
        filter_subjects=list(filter_subjects),
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=ack_wait.total_seconds(),
        max_deliver=-1,
        max_ack_pending=1000,
    )
    tries = Tries()

    async def consume(message: Msg) -> None:
        await handle(bus, records, message, handler, ack_wait, stage, tries)

    puller = Puller(bus, durable, consume)
    try:
        await puller.open(stream, config)
        await puller.start()
    except UNREACHABLE as error:
        raise TransientError(
            f"consumer {durable} of stream {stream} cannot be made: {error!r}; is the stream provisioned?"
        ) from error
    return puller


async def handle(
    bus: Bus, records: RecordStore, message: Msg, handler: Handler, ack_wait: timedelta, stage: str, tries: Tries
) -> None:
    """Give one delivery to ``handler`` under a heartbeat, and acknowledge it as the module says."""
    metadata = message.metadata
    delivery = Delivery(
        subject=message.subject,
        body=bytes(message.data),
        headers=dict(message.headers or {}),
        stream=metadata.stream,
        sequence=metadata.sequence.stream,
        stored_at=metadata.timestamp,
        deliveries=metadata.num_delivered or 1,
    )
    measures.MESSAGES.record(
        1,
        {
            measures.SYSTEM: "nats", measures.STREAM: delivery.stream, measures.STAGE: stage,
            measures.REDELIVERED: delivery.deliveries > 1,
        },
    )  # fmt: skip
    token = attach(extract(delivery.headers))
    try:
        with heartbeat(message, ack_wait):
            await _dispatch(bus, records, message, delivery, handler, stage, tries)
    except asyncio.CancelledError:
        # Cancellation sends no nack by itself: without this, the message would sit out its ack_wait.
        with contextlib.suppress(Exception):
            await asyncio.shield(message.nak(delay=0.1))
        raise
    except (*UNREACHABLE, TransientError) as error:
        log.warning("%s: acknowledging %s failed (%r); it will be delivered again", stage, delivery.subject, error)
    finally:
        detach(token)


async def _dispatch(
    bus: Bus, records: RecordStore, message: Msg, delivery: Delivery, handler: Handler, stage: str, tries: Tries
) -> None:
    sequence = delivery.sequence
    try:
        await handler(delivery)
    except Retry as retry:
        await message.nak(delay=retry.delay)
        return
    except PermanentError as error:
        log.error("%s: %s on %s; kept in the dead letters", stage, error, delivery.subject)
        await bury(
            bus, records, stage=stage, delivery=delivery, error=str(error), kind="permanent",
            project=project_of(delivery.subject),
        )  # fmt: skip
    except Exception as error:
        if isinstance(error, TransientError) or out_of_space(error):
            tries.transient[sequence] += 1
            delay = growing_delay(tries.transient[sequence])
            log.warning("%s: %s; again in %.1f s", stage, error, delay)
            await message.nak(delay=delay)
            return
        log.exception("%s: unforeseen error on %s", stage, delivery.subject)
        tries.unforeseen[sequence] += 1
        if tries.unforeseen[sequence] < UNFORESEEN_LIMIT:
            await message.nak(delay=growing_delay(tries.unforeseen[sequence]))
            return
        why = f"{type(error).__name__}: {error}"
        await bury(
            bus, records, stage=stage, delivery=delivery, error=why, kind="unforeseen",
            project=project_of(delivery.subject),
        )  # fmt: skip
    tries.forget(sequence)
    await message.ack()


def growing_delay(tries: int) -> float:
    """Seconds before try ``tries + 1``: half a second, doubling up to a minute."""
    return float(min(LONGEST_DELAY, 0.5 * 2 ** min(tries - 1, 10)))


@contextmanager
def heartbeat(message: Msg, ack_wait: timedelta) -> Iterator[None]:
    """Tell the server every third of ``ack_wait`` that the message is still in hand.

    On a timer: most handlers are done before the first beat, and need no task for it.
    """
    loop = asyncio.get_running_loop()
    beats: set[asyncio.Task[None]] = set()
    timer: asyncio.TimerHandle

    async def tell() -> None:
        with contextlib.suppress(nats.errors.Error, nats.js.errors.Error, OSError):
            await message.in_progress()

    def beat() -> None:
        nonlocal timer
        task = loop.create_task(tell())
        beats.add(task)
        task.add_done_callback(beats.discard)
        timer = loop.call_later(ack_wait.total_seconds() / 3, beat)

    timer = loop.call_later(ack_wait.total_seconds() / 3, beat)
    try:
        yield
    finally:
        timer.cancel()
