"""Processes by identity: a pid may belong to another program tomorrow, a pid with its birth never does.

Knows how to start a process that cannot outlive its parent, how to recognise one later and how to end it. Knows
nothing of what the processes are for.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import psutil
from pydantic import BaseModel, ConfigDict

from tidemill.parent_death import dies_with_parent

PLATFORM_ID = "TIDEMILL_PLATFORM_ID"
"""Environment variable that every process of a platform carries, whatever group or session it moved to."""


class ProcessIdentity(BaseModel):
    """One process of this machine, for ever: its pid and when it was born."""

    model_config = ConfigDict(frozen=True)

    pid: int
    birth: str

    @classmethod
    def of(cls, pid: int) -> ProcessIdentity | None:
        """The process that has ``pid`` now; None when there is none, or only its unreaped rest."""
        birth = _birth(pid)
        return cls(pid=pid, birth=birth) if birth is not None else None

    @property
    def alive(self) -> bool:
        """Whether this very process still runs."""
        return _birth(self.pid) == self.birth


def _birth(pid: int) -> str | None:
    stat = Path(f"/proc/{pid}/stat")
    if sys.platform == "linux":
        try:
            fields = stat.read_text(errors="replace").rpartition(")")[2].split()
        except OSError:
            return None
        state, started_ticks = fields[0], fields[19]
        return None if state in "ZX" else f"{_boot()}:{started_ticks}"
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else f"{process.create_time():.2f}"
    except psutil.Error:
        return None


def _boot() -> str:
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()[:8]
    return ""


async def start_process(command: Sequence[str], *, environment: Mapping[str, str], folder: Path, log: Path) -> Process:
    """Start ``command`` in a session of its own, its output appended to ``log``.

    On Linux the kernel kills it when the calling process ends, however that ends.
    """
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        return await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=descriptor,
            stderr=descriptor,
            cwd=folder,
            env=dict(environment),
            start_new_session=True,
            preexec_fn=dies_with_parent(),
        )
    finally:
        os.close(descriptor)


Process = asyncio.subprocess.Process


def kill_group(pid: int) -> None:
    """SIGKILL to the session that ``pid`` leads or led."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def carrying(platform_id: str) -> list[int]:
    """Pids of the processes of this user whose environment carries ``platform_id``."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get(PLATFORM_ID) == platform_id and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
    return found


def end_all(identities: Iterable[ProcessIdentity], *, platform_id: str | None, grace: float = 2.0) -> list[int]:
    """End what is left of a platform: SIGTERM, then SIGKILL after ``grace`` seconds; the pids that were alive.

    Every process is verified by its birth before each signal; those that merely carry ``platform_id`` are found in
    the process table.
    """
    left = {one.pid: one for one in identities if one.alive}
    for pid in carrying(platform_id) if platform_id else ():
        identity = ProcessIdentity.of(pid)
        if identity is not None and pid != os.getpid():
            left[pid] = identity
    for identity in left.values():
        _signal(identity, signal.SIGTERM)
    deadline = time.monotonic() + grace
    while any(one.alive for one in left.values()) and time.monotonic() < deadline:
        time.sleep(0.02)
    for identity in left.values():
        _signal(identity, signal.SIGKILL)
    while any(one.alive for one in left.values()) and time.monotonic() < deadline + 5:
        time.sleep(0.01)
    return sorted(left)


def _signal(identity: ProcessIdentity, number: signal.Signals) -> None:
    if identity.alive:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(identity.pid, number)
