"""Two versions side by side, and the way from one to the other under long jobs."""

from __future__ import annotations

import asyncio
import random
import signal
import time

from tests.faults.arena import Arena, Hit, NotNow
from tests.faults.platform import STAGE_OF


async def other_version(arena: Arena, chance: random.Random) -> Hit:
    """A replica comes back as the other version: another stage revision, events with one more field."""
    replica = chance.choice(arena.platform.replicas(chance.choice(list(STAGE_OF))))
    async with arena.claimed(replica):
        version = 3 - arena.platform.versions[replica]
        arena.platform.give_version(replica, version)
        pid = arena.platform.signal(replica, signal.SIGTERM)
        if pid is None:
            raise NotNow(f"{replica} is not running")
        return Hit(f"{replica} to version {version}", await arena.until_ready(replica, pid))


async def rolling_update(arena: Arena, chance: random.Random) -> Hit:
    """One replica after the other is told to stop, again and again, while a job takes longer than that."""
    service = chance.choice(["trainer", "trainer", "compressor", "preprocess"])
    replicas = arena.platform.replicas(service)
    async with arena.claimed(*replicas):
        began = time.monotonic()
        longest = 0.0
        for _ in range(3):
            for replica in replicas:
                pid = arena.platform.signal(replica, signal.SIGTERM)
                longest = max(longest, await arena.until_ready(replica, pid))
                await asyncio.sleep(chance.uniform(0.3, 1.0))
        return Hit(f"{service}, six times in {time.monotonic() - began:.0f} s", longest)
