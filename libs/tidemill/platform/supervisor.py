"""The supervisor: starts programs tier by tier, restarts what dies, stops in order and leaves nothing running.

Knows processes and readiness; what the programs are is said in ``programs.py``.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from tidemill.errors import PermanentError, TidemillError
from tidemill.platform.data_dir import ProcessRecord, ProcessState
from tidemill.platform.logs import rotate, tail
from tidemill.platform.processes import PLATFORM_ID, Process, ProcessIdentity, end_all, kill_group, start_process

FIRST_DELAY = 0.2
LONGEST_DELAY = 10.0
HEALTHY_AFTER = 60.0
"""Seconds of life after which a program's next death counts as its first."""
DEATHS_AT_START = 3
"""Deaths before a program was ever ready after which the whole start has failed."""
START_TIMEOUT = 120.0
POLL = 0.05
ILL_BEFORE_RESTART = 3
"""Answers in a row that call for a restart before there is one: a busy machine is not an ill program."""


@dataclass(frozen=True)
class Ailment:
    """What is wrong with a program that runs, as words, and whether a restart would help now."""

    words: str
    restart_helps: bool = True


@dataclass(frozen=True)
class Program:
    """One process to keep running.

    ``ready`` is asked with the pid until it says yes; ``once_ready`` then runs, after every start of the process.
    Programs of a lower ``tier`` are ready before the next tier starts; a higher ``stop_tier`` is stopped first.
    """

    name: str
    command: Sequence[str]
    ready: Callable[[int], Awaitable[bool]]
    environment: Mapping[str, str] = field(default_factory=dict)
    tier: int = 0
    stop_tier: int = 0
    awaited: bool = True
    """Whether the platform waits for it and has failed to start without it; else it is tried for ever."""
    grace: float = 10.0
    """Seconds between SIGTERM and SIGKILL."""
    once_ready: Callable[[], Awaitable[None]] | None = None
    healthy: Callable[[], Awaitable[Ailment | None]] | None = None
    """Asked every ``health_every`` seconds once it is ready; None when all is well. Must not take for ever."""
    health_every: float = 5.0


class StartFailed(PermanentError):
    """A program does not start; the message holds the end of its log."""


class Child:
    """One program and the process that runs it at the moment."""

    def __init__(self, program: Program, *, log: Path, folder: Path, platform_id: str, noticed: Callable[[str], None]):
        self.program = program
        self.log = log
        self.ready = asyncio.Event()
        self.failed: str | None = None
        self.restarts = 0
        self.state: ProcessState = "stopped"
        self.identity: ProcessIdentity | None = None
        self.started_at: datetime | None = None
        self.ailment: str | None = None
        self._folder = folder
        self._platform_id = platform_id
        self._noticed = noticed
        self._process: Process | None = None
        self._was_ready = False
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start it and keep it running."""
        self.state = "starting"
        self._task = asyncio.create_task(self._keep(), name=f"keep {self.program.name}")

    async def stop(self) -> None:
        """SIGTERM, and SIGKILL for its whole session when the grace is over."""
        self._stopping.set()
        process = self._process
        if process is not None and process.returncode is None:
            self.state = "stopping"
            await self._end(process)
        self.kill()
        if self._task is not None:
            await self._task
        self.state = "stopped"

    async def _end(self, process: Process) -> None:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(asyncio.shield(process.wait()), self.program.grace)
        except TimeoutError:
            self._noticed(f"{self.program.name} did not stop in {self.program.grace:.0f} s and was killed")
        if process.returncode is None:
            kill_group(process.pid)

    def kill(self) -> None:
        """SIGKILL to its session at once."""
        self._stopping.set()
        if self._process is not None and self._process.returncode is None:
            kill_group(self._process.pid)

    def record(self) -> ProcessRecord:
        """What ``platform.json`` says about it."""
        return ProcessRecord(
            name=self.program.name,
            state=self.state,
            identity=self.identity,
            started_at=self.started_at,
            restarts=self.restarts,
            log=str(self.log),
            ailment=self.ailment,
        )

    async def _keep(self) -> None:
        delay = FIRST_DELAY
        while not self._stopping.is_set():
            began = time.monotonic()
            ended = await self._live_once()
            if self._stopping.is_set():
                return
            self.restarts += 1
            if self.program.awaited and not self._was_ready and self.restarts >= DEATHS_AT_START:
                self.state = "stopped"
                self.failed = f"{self.program.name} {ended} {self.restarts} times while starting"
                self.ready.set()
                return
            if time.monotonic() - began >= HEALTHY_AFTER:
                delay = FIRST_DELAY
            self.state = "waiting"
            self._noticed(f"{self.program.name} {ended}; it starts again in {delay:.1f} s (log: {self.log})")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), delay)
            delay = min(2 * delay, LONGEST_DELAY)

    async def _live_once(self) -> str:
        """Run the program once; how it ended, as words."""
        try:
            process = await start_process(
                self.program.command,
                environment={**os.environ, **self.program.environment, PLATFORM_ID: self._platform_id},
                folder=self._folder,
                log=self.log,
            )
        except OSError as error:
            return f"cannot be started ({error})"
        self._process = process
        self.identity = ProcessIdentity.of(process.pid)
        self.started_at = datetime.now(UTC)
        self.state = "starting"
        if self._stopping.is_set():  # asked to stop while it was being started
            kill_group(process.pid)
        self._noticed("")
        attending = asyncio.create_task(self._attend(process))
        code = await process.wait()
        attending.cancel()
        self.ready.clear()
        self.ailment = None
        kill_group(process.pid)  # what it left in its session
        return _how_it_ended(code)

    async def _attend(self, process: Process) -> None:
        """Wait until it is ready, then ask how it is; restart it when it is ill and that would help."""
        await self._become_ready(process)
        ill = 0
        while self.program.healthy is not None and not self._stopping.is_set():
            await asyncio.sleep(self.program.health_every)
            ailment = await self.program.healthy()
            words = ailment.words if ailment else None
            if words != self.ailment:
                self.ailment = words
                self._noticed(f"{self.program.name}: {words or 'is well again'}")
            ill = ill + 1 if ailment is not None and ailment.restart_helps else 0
            if ill >= ILL_BEFORE_RESTART:
                self._noticed(f"{self.program.name} is restarted: {words}")
                await self._end(process)
                return

    async def _become_ready(self, process: Process) -> None:
        while not await self._answers(process.pid):  # noqa: ASYNC110 - another process cannot set our event
            await asyncio.sleep(POLL)
        self.state = "ready"
        self._was_ready = True
        self.ready.set()
        self._noticed("")

    async def _answers(self, pid: int) -> bool:
        try:
            if not await self.program.ready(pid):
                return False
            if self.program.once_ready is not None:
                await self.program.once_ready()
        except (OSError, TidemillError, asyncio.TimeoutError):
            return False
        return True


class Supervisor:
    """All programs of one platform.

    ``noticed`` is called with one line for a person whenever something happened, and with an empty one when only
    the record changed.
    """

    def __init__(
        self,
        programs: Sequence[Program],
        *,
        logs: Path,
        folder: Path,
        platform_id: str,
        noticed: Callable[[str], None],
        start_timeout: float = START_TIMEOUT,
    ) -> None:
        self._platform_id = platform_id
        self._start_timeout = start_timeout
        self.children = [
            Child(
                program,
                log=logs / f"{program.name}.log",
                folder=folder,
                platform_id=platform_id,
                noticed=noticed,
            )
            for program in programs
        ]

    async def start(self) -> dict[int, float]:
        """Start everything; seconds that each tier took to be ready.

        Raises:
            StartFailed: names the program, with the end of its log. Nothing is stopped: call ``stop``.
        """
        seconds = {}
        for tier in sorted({child.program.tier for child in self.children}):
            began = time.monotonic()
            members = [child for child in self.children if child.program.tier == tier]
            for child in members:
                child.start()
            await self._until_ready([child for child in members if child.program.awaited])
            seconds[tier] = time.monotonic() - began
        return seconds

    async def _until_ready(self, members: Sequence[Child]) -> None:
        waiting = {asyncio.create_task(child.ready.wait()): child for child in members}
        deadline = time.monotonic() + self._start_timeout
        try:
            while waiting:
                done, _ = await asyncio.wait(
                    waiting, timeout=deadline - time.monotonic(), return_when=asyncio.FIRST_COMPLETED
                )
                if not done:
                    late = next(iter(waiting.values()))
                    raise StartFailed(
                        _with_log(f"{late.program.name} is not ready after {self._start_timeout:.0f} s", late.log)
                    )
                for task in done:
                    child = waiting.pop(task)
                    if child.failed:
                        raise StartFailed(_with_log(child.failed, child.log))
        finally:
            for task in waiting:
                task.cancel()

    async def watch_logs(self, every: float = 5.0) -> None:
        """Keep the logs small, for ever."""
        while True:
            for child in self.children:
                with contextlib.suppress(OSError):
                    rotate(child.log)
            await asyncio.sleep(every)

    async def stop(self) -> None:
        """Stop everything in order; afterwards nothing of the platform runs."""
        for tier in sorted({child.program.stop_tier for child in self.children}, reverse=True):
            await asyncio.gather(*(child.stop() for child in self.children if child.program.stop_tier == tier))
        await asyncio.to_thread(end_all, [], platform_id=self._platform_id)

    def kill(self) -> None:
        """SIGKILL everything at once."""
        for child in self.children:
            child.kill()


def _how_it_ended(code: int) -> str:
    if code >= 0:
        return f"ended with code {code}"
    with contextlib.suppress(ValueError):
        return f"was ended by {signal.Signals(-code).name}"
    return f"was ended by signal {-code}"


def _with_log(sentence: str, log: Path) -> str:
    end = tail(log)
    return f"{sentence}; the end of {log}:\n\n{end}" if end else f"{sentence}; {log} is empty"
