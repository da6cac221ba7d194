"""The network between one replica and NATS: cut, or swallowing everything."""

from __future__ import annotations

import asyncio
import random

from tests.faults.arena import Arena, Hit
from tests.faults.platform import ACK_WAIT, SERVICES


async def cut(arena: Arena, chance: random.Random) -> Hit:
    """Connections reset and refused for a while; measured from their return."""
    replica = chance.choice(arena.platform.replicas(chance.choice(SERVICES)))
    proxy = arena.platform.proxies[replica]
    async with arena.claimed(replica):
        await arena.moment(chance)
        await proxy.cut()
        try:
            await asyncio.sleep(chance.choice([0.2, 1.0, ACK_WAIT * 1.5]))
        finally:
            before = proxy.connections
            await proxy.heal()
        return Hit(replica, await arena.until(lambda: proxy.connections > before))


async def black_hole(arena: Arena, chance: random.Random) -> Hit:
    """Nothing passes for longer than ``ack_wait``, and neither side is told; measured from its end."""
    replica = chance.choice(arena.platform.replicas(chance.choice(SERVICES)))
    proxy = arena.platform.proxies[replica]
    async with arena.claimed(replica):
        await arena.moment(chance)
        proxy.hold()
        try:
            await asyncio.sleep(ACK_WAIT * chance.uniform(1.2, 2.5))
        finally:
            await proxy.heal()
        return Hit(replica, await arena.until_a_step())
