"""The supervisor with real small processes: order, restarts, stubborn and failing programs, what is left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tidemill.platform.processes import ProcessIdentity, carrying
from tidemill.platform.supervisor import Ailment, Program, StartFailed, Supervisor

POLITE = """
import os, pathlib, signal, sys, time
diary, ready, name = sys.argv[1:4]
def note(word):
    with open(diary, "a") as file:
        file.write(f"{word} {name}\\n")
def leave(*_):
    note("stop")
    sys.exit(0)
signal.signal(signal.SIGTERM, leave)
note("start")
pathlib.Path(ready).write_text(str(os.getpid()))
while True:
    time.sleep(60)
"""
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
RUNAWAY = """
import subprocess, sys, time
print(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True).pid, flush=True)
time.sleep(60)
"""


async def eventually(condition: Callable[[], bool], timeout: float = 10.0) -> None:
    async with asyncio.timeout(timeout):
        while not condition():
            await asyncio.sleep(0.01)


def says(log: Path) -> Callable[[int], Awaitable[bool]]:
    async def spoke(_pid: int) -> bool:
        return log.exists() and log.stat().st_size > 0

    return spoke


class Stage:
    """A folder with a diary that polite programs write to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.said: list[str] = []
        self.platform_id = f"test-{os.getpid()}-{folder.name}"

    @property
    def diary(self) -> list[str]:
        path = self.folder / "diary"
        return path.read_text().splitlines() if path.exists() else []

    def polite(self, name: str, tier: int = 0, stop_tier: int = 0) -> Program:
        ready = self.folder / f"{name}.ready"

        async def wrote(pid: int) -> bool:
            return ready.exists() and ready.read_text() == str(pid)

        command = (sys.executable, "-S", "-c", POLITE, str(self.folder / "diary"), str(ready), name)
        return Program(name=name, command=command, ready=wrote, tier=tier, stop_tier=stop_tier)

    def script(self, name: str, text: str, grace: float = 10.0) -> Program:
        log = self.folder / f"{name}.log"
        return Program(name=name, command=(sys.executable, "-S", "-c", text), ready=says(log), grace=grace)

    def supervisor(self, *programs: Program) -> Supervisor:
        return Supervisor(
            programs, logs=self.folder, folder=self.folder, platform_id=self.platform_id, noticed=self.said.append
        )


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


async def test_tiers_start_one_after_another_and_stop_in_the_opposite_order(stage: Stage) -> None:
    supervisor = stage.supervisor(stage.polite("worker", 1, 1), stage.polite("bus", 0, 0), stage.polite("door", 1, 2))
    seconds = await supervisor.start()
    await supervisor.stop()
    assert list(seconds) == [0, 1]
    assert stage.diary[0] == "start bus"
    assert sorted(stage.diary[1:3]) == ["start door", "start worker"]
    assert stage.diary[3:] == ["stop door", "stop worker", "stop bus"]
    assert carrying(stage.platform_id) == []


async def test_what_dies_is_started_again(stage: Stage) -> None:
    supervisor = stage.supervisor(stage.polite("worker"))
    await supervisor.start()
    child = supervisor.children[0]
    first = child.identity
    assert first is not None
    os.kill(first.pid, signal.SIGKILL)
    await eventually(lambda: child.restarts == 1 and child.state == "ready")
    assert child.identity is not None
    assert child.identity != first
    assert child.record().restarts == 1
    assert any("worker was ended by SIGKILL" in line for line in stage.said)
    await supervisor.stop()
    assert carrying(stage.platform_id) == []


async def test_a_program_that_does_not_start_fails_the_start_with_its_log(stage: Stage) -> None:
    async def never(_pid: int) -> bool:
        return False

    broken = Program(name="broken", command=(sys.executable, "-S", "-c", "raise SystemExit('no lamp')"), ready=never)
    supervisor = stage.supervisor(broken)
    with pytest.raises(StartFailed, match=r"(?s)broken ended with code 1 3 times while starting.*no lamp"):
        await supervisor.start()
    await supervisor.stop()


async def test_a_program_that_ignores_the_request_is_killed_after_its_grace(stage: Stage) -> None:
    supervisor = stage.supervisor(stage.script("stubborn", STUBBORN, grace=0.2))
    await supervisor.start()
    identity = supervisor.children[0].identity
    await supervisor.stop()
    assert identity is not None
    assert not identity.alive
    assert any("did not stop" in line for line in stage.said)


async def test_a_grandchild_in_another_session_does_not_outlive_the_platform(stage: Stage) -> None:
    supervisor = stage.supervisor(stage.script("runaway", RUNAWAY))
    await supervisor.start()
    grandchild = ProcessIdentity.of(int((stage.folder / "runaway.log").read_text()))
    assert grandchild is not None
    await supervisor.stop()
    assert not grandchild.alive


class Physician:
    """Says about a program what the test wants."""

    def __init__(self) -> None:
        self.finding: Ailment | None = None
        self.asked = 0

    async def __call__(self) -> Ailment | None:
        self.asked += 1
        return self.finding


async def test_what_is_ill_is_restarted_and_what_a_restart_would_not_help_is_said(stage: Stage) -> None:
    physician = Physician()
    supervisor = stage.supervisor(replace(stage.polite("bus"), healthy=physician, health_every=0.02))
    await supervisor.start()
    child = supervisor.children[0]
    first = child.identity
    physician.finding = Ailment("its disk is full", restart_helps=False)
    await eventually(lambda: child.record().ailment == "its disk is full")
    asked = physician.asked
    await eventually(lambda: physician.asked >= asked + 5)
    assert (child.restarts, child.identity) == (0, first)
    physician.finding = Ailment("it cannot write")
    await eventually(lambda: child.restarts == 1)
    physician.finding = None
    await eventually(lambda: child.state == "ready" and child.record().ailment is None)
    assert stage.diary == ["start bus", "stop bus", "start bus"]
    assert "bus: its disk is full" in stage.said
    assert "bus is restarted: it cannot write" in stage.said
    await supervisor.stop()
    assert carrying(stage.platform_id) == []


async def test_what_recovers_by_itself_is_left_alone(stage: Stage) -> None:
    physician = Physician()
    supervisor = stage.supervisor(replace(stage.polite("bus"), healthy=physician, health_every=0.1))
    await supervisor.start()
    child = supervisor.children[0]
    for _ in range(3):
        physician.finding = Ailment("no answer")
        await eventually(lambda: child.record().ailment == "no answer")
        physician.finding = None
        await eventually(lambda: child.record().ailment is None)
    assert child.restarts == 0
    assert stage.said.count("bus: is well again") == 3
    await supervisor.stop()
