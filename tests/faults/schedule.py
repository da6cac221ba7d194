"""Which fault comes when: a list drawn from the seed in which every kind occurs, and the lanes that carry it out."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.faults.arena import Arena, NotNow, NotRecovered
from tests.faults.faults import KINDS, Kind

LANES = 3
TRIES = 4


@dataclass(frozen=True)
class Injection:
    """What became of one planned fault. ``problem`` says how the platform failed to recover."""

    number: int
    kind: str
    target: str
    at: float
    """Seconds since the scene began."""
    seconds: float | None
    """Until it was over; see ``Kind.measured``."""
    committed: float | None = None
    """Until the job that it hit had its result."""
    problem: str = ""
    skipped: str = ""


def draw(seed: int, count: int, scene: str, *, kinds: Sequence[str] = ()) -> list[Kind]:
    """``count`` faults for a scene in a random order, each of its kinds at least once where there is room."""
    chance = random.Random(f"faults {seed} {scene}")
    possible = [kind for kind in KINDS if scene in kind.scenes and (kind.name in kinds or not kinds)]
    once = chance.sample(possible, min(count, len(possible)))
    more = chance.choices(possible, [kind.weight for kind in possible], k=max(0, count - len(once)))
    drawn = [*once, *more]
    chance.shuffle(drawn)
    return drawn


class Schedule:
    """Carries out ``planned``, some at a time, in step with the runs: ``due`` says how many may have begun by now."""

    def __init__(
        self, arena: Arena, planned: Sequence[Kind], seed: int, *, due: Callable[[], float], said: Callable[[str], None]
    ) -> None:
        self.done: list[Injection] = []
        self.begun = 0
        self._arena = arena
        self._planned = list(planned)
        self._seed = seed
        self._due = due
        self._said = said
        self._began = time.monotonic()

    async def carry_out(self) -> None:
        """Inject everything that was planned."""
        await self._arena.runs.published.wait()
        await asyncio.gather(*(self._lane() for _ in range(LANES)))

    async def _lane(self) -> None:
        while self.begun < len(self._planned):
            if self.begun >= self._due():
                await asyncio.sleep(0.1)
                continue
            number = self.begun
            self.begun += 1
            self.done.append(await self._inject(number, self._planned[number]))

    async def _inject(self, number: int, kind: Kind) -> Injection:
        chance = random.Random(f"{self._seed} {number} {kind.name}")
        at = time.monotonic() - self._began
        reason = ""
        for _ in range(TRIES):
            if self._arena.over:
                reason = reason or "no run was left that it could hit"
                break
            try:
                hit = await kind.inject(self._arena, chance)
            except NotNow as missed:
                reason = str(missed)
                if reason.startswith("skipped"):
                    break
                await asyncio.sleep(1.0)
                continue
            except NotRecovered as problem:
                self._said(f"{kind.name}: {problem}")
                return Injection(number, kind.name, kind.name, at, None, problem=str(problem))
            except Exception as error:
                self._said(f"{kind.name}: {error!r}")
                return Injection(number, kind.name, kind.name, at, None, skipped=f"could not be injected: {error!r}")
            spoken = "" if hit.seconds is None else f", over after {hit.seconds:.1f} s"
            self._said(f"{kind.name}: {hit.target}{spoken}")
            return Injection(number, kind.name, hit.target, at, hit.seconds, hit.committed)
        return Injection(number, kind.name, "", at, None, skipped=reason)
