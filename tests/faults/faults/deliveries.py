"""Events that arrive twice, late and out of order."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import Sequence

from tests.faults.arena import Arena, Hit, NotNow
from tests.faults.watching import Seen
from tidemill.bus.subjects import EVENTS


async def again(arena: Arena, chance: random.Random) -> Hit:
    """Events of any run once more, the last stage's first."""
    seen = arena.watch.some_events(chance, chance.randint(2, 8))
    if not seen:
        raise NotNow("nothing has passed yet")
    await _publish(arena, seen)
    return Hit(f"{len(seen)} events")


async def late(arena: Arena, chance: random.Random) -> Hit:
    """Events of a while ago, when their runs have gone on or ended."""
    seen = arena.watch.some_events(chance, 4)
    if not seen:
        raise NotNow("nothing has passed yet")
    await asyncio.sleep(chance.uniform(2.0, 6.0))
    chance.shuffle(seen)
    await _publish(arena, seen)
    return Hit(f"{len(seen)} events")


async def _publish(arena: Arena, messages: Sequence[Seen]) -> None:
    for message in messages:
        if b'"run_id"' not in message.body:
            continue  # a bare publish has no identity: sent again it is another run, as it should be
        headers = {**message.headers, "Nats-Msg-Id": uuid.uuid4().hex, "Tidemill-Faults": "again"}
        try:
            await arena.platform.bus.jetstream.publish(message.subject, message.body, stream=EVENTS, headers=headers)
        except Exception as away:
            raise NotNow("the bus is away") from away
