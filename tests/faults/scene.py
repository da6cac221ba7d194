"""One scene from its first process to its audit: runs and faults in step, then quiet, then the questions."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.arena import Arena
from tests.faults.audit import Audit, Violation
from tests.faults.orders import draw_orders
from tests.faults.platform import HurtPlatform, Scene
from tests.faults.runs import Runs, Tracked
from tests.faults.schedule import LANES, Injection, Schedule, draw
from tests.faults.watching import Watch

SLOW_EPOCHS = {"quick": 60, "real": 150}
SLOWNESS = {"quick": 1.0, "real": 3.0}


@dataclass
class Plan:
    """What a scene is to be."""

    scene: Scene
    runs: int
    faults: int
    seed: int
    work: str = "quick"
    kinds: Sequence[str] = ()
    at_once: int = 8
    deadline: float = 300.0
    """Seconds that runs may take to end after the last fault."""


@dataclass
class Findings:
    """What a scene showed."""

    scene: Scene
    injections: list[Injection] = field(default_factory=list)
    violations: list[Violation] = field(default_factory=list)
    states: Counter[str] = field(default_factory=Counter)
    runs: int = 0
    strays: int = 0
    seconds: float = 0.0


async def play(plan: Plan, folder: Path, *, said: Callable[[str], None], progress: Callable[[str], None]) -> Findings:
    """Carry out ``plan`` in ``folder``, which is made and stays; everything that was started has ended afterwards."""
    folder.mkdir(parents=True)
    began = time.monotonic()
    findings = Findings(plan.scene)
    platform = HurtPlatform(folder, plan.scene, work=plan.work, said=lambda line: None)
    try:
        await platform.start()
        said(f"{plan.scene}: ready after {time.monotonic() - began:.0f} s in {folder}")
        watch = Watch()
        await watch.follow(platform.nats)
        runs = Runs(platform, watch, plan.seed, at_once=plan.at_once)
        arena = Arena(platform, watch, runs, slowness=SLOWNESS[plan.work])
        schedule = await _hurt(plan, arena, said, progress)
        audit = Audit(arena, schedule.done)
        progress(f"{plan.scene}: the audit")
        await audit.running()
        findings.injections = schedule.done
        findings.violations += audit.violations
        findings.runs, findings.strays = len(runs.tracked), audit.strays
        findings.states = Counter(run.outcome.state if run.outcome else "lost" for run in runs.tracked)
    finally:
        progress(f"{plan.scene}: stopping")
        left = await platform.stop()
        findings.violations += [Violation("orphan", "", f"process {pid} outlived its platform") for pid in left]
        findings.violations += Audit.stopped(platform)
        await platform.clean_up()
    findings.seconds = time.monotonic() - began
    return findings


async def _hurt(plan: Plan, arena: Arena, said: Callable[[str], None], progress: Callable[[str], None]) -> Schedule:
    orders = draw_orders(plan.seed, plan.runs, slow_epochs=SLOW_EPOCHS[plan.work])
    kinds = draw(plan.seed, plan.faults, plan.scene, kinds=plan.kinds)
    share = len(kinds) / max(1, len(orders))

    def due() -> float:
        return len(arena.runs.tracked) * share + 2 if len(arena.runs.tracked) < len(orders) else len(kinds)

    schedule = Schedule(arena, kinds, plan.seed, due=due, said=said)

    async def in_step(number: int) -> Tracked:
        # Runs wait for faults as faults wait for runs, so that there is always something to hurt.
        later = len(orders) - plan.at_once
        while kinds and number >= plan.at_once + later * (len(schedule.done) + LANES) / len(kinds):
            await asyncio.sleep(0.2)
        return await arena.runs.carry_out(orders[number])

    following = [asyncio.create_task(in_step(number)) for number in range(len(orders))]
    hurting = asyncio.create_task(schedule.carry_out())

    async def over() -> None:
        await asyncio.wait(following)
        arena.over = True

    ending = asyncio.create_task(over())
    while not hurting.done():
        ended = sum(run.outcome is not None for run in arena.runs.tracked)
        progress(
            f"{plan.scene}: {ended} of {len(orders)} runs ended, {len(arena.runs.in_flight())} under way; "
            f"{len(schedule.done)} of {len(kinds)} faults"
        )
        await asyncio.wait({hurting}, timeout=1.0)
    hurting.result()
    await arena.platform.heal()
    done, late = await asyncio.wait(following, timeout=plan.deadline * arena.slowness)
    ending.cancel()
    for task in late:
        task.cancel()
    for task in done:
        if error := task.exception():
            said(f"following a run: {error!r}")
    return schedule
