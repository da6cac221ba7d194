"""The audit after the faults: every promise looked at, from outside, on what the platform left behind."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence

from tests.faults.arena import Arena
from tests.faults.audit import bus, leftovers, runs, store, traces
from tests.faults.audit.facts import gather
from tests.faults.audit.violation import Violation
from tests.faults.platform import HurtPlatform
from tests.faults.schedule import Injection

__all__ = ["Audit", "Violation"]

QUIET_SECONDS = 90.0
"""How long the platform may take to come to rest after its last run has ended."""


class Audit:
    """Looks at a scene when its runs have ended."""

    def __init__(self, arena: Arena, injections: Sequence[Injection]) -> None:
        self.violations: list[Violation] = []
        self.strays = 0
        self._arena = arena
        self._injections = injections

    async def running(self) -> None:
        """What can only be asked while the platform runs."""
        for injection in self._injections:
            if injection.problem:
                self.violations.append(Violation("recovery", "", f"{injection.kind}: {injection.problem}"))
        await self._at_rest()
        facts = await gather(self._arena)
        self.strays = len(facts) - sum(one.tracked is not None for one in facts)
        self.violations += runs.lost(self._arena, facts)
        self.violations += runs.expected(self._arena, facts)
        self.violations += await runs.agreed(self._arena, facts)
        self.violations += await store.results(self._arena, facts)
        self.violations += await store.versions(self._arena, facts)
        self.violations += await store.artifacts(self._arena)
        self.violations += await bus.dead_letters(self._arena, facts)
        self.violations += await traces.traced(self._arena, facts, self._injections)
        self.violations += await traces.used(self._arena, facts)
        self.violations += await runs.replayed(self._arena, facts, random.Random(0))

    @staticmethod
    def stopped(platform: HurtPlatform) -> list[Violation]:
        """What can only be looked at when nothing runs any more."""
        return leftovers.found(platform)

    async def _at_rest(self) -> None:
        """Wait until nothing is queued, unacknowledged or leased; what still is, is a violation."""
        deadline = time.monotonic() + QUIET_SECONDS
        while unrest := await bus.unrest(self._arena):
            if time.monotonic() > deadline:
                self.violations += unrest
                return
            await asyncio.sleep(1.0)
