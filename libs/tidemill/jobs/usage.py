"""What a job uses: sampled by the parent over the child's process tree, completed by the child at its end.

The samples survive a crash; the child's own figures include grandchildren that lived between two samples. Of each
figure the larger counts, since both are lower bounds of the truth.
"""

from __future__ import annotations

import contextlib
import os
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tidemill.contracts import ResourceUsage
from tidemill.jobs.messages import ChildUsage

if TYPE_CHECKING:
    import psutil


@dataclass
class _Seen:
    """The last figures of one process of the tree."""

    cpu_seconds: float = 0.0
    read_bytes: int = 0
    written_bytes: int = 0


class TreeSampler:
    """Looks at a process and all its descendants; remembers what it saw of those that are gone.

    Memory is the sum of resident set sizes at one moment, so pages that processes share count for each of them.
    Bytes read and written are those of system calls, whether a disk or the page cache served them.
    """

    def __init__(self, pid: int | None) -> None:
        self._root: psutil.Process | None = None
        if pid is not None:
            # Held from the start: psutil then never takes another process with the same id for it.
            with contextlib.suppress(_psutil().Error):
                self._root = _psutil().Process(pid)
        self._seen: dict[psutil.Process, _Seen] = {}
        self._peak = 0

    def sample(self) -> None:
        """Look once. Takes milliseconds: call it in a thread."""
        resident = 0
        for process in self.tree():
            with contextlib.suppress(_psutil().Error):
                with process.oneshot():
                    times, memory = process.cpu_times(), process.memory_info()
                seen = self._seen.setdefault(process, _Seen())
                seen.cpu_seconds = times.user + times.system
                resident += memory.rss
                counters = process.io_counters()
                seen.read_bytes, seen.written_bytes = counters.read_chars, counters.write_chars
        self._peak = max(self._peak, resident)

    def tree(self) -> list[psutil.Process]:
        """The process and its living descendants; empty when it is gone."""
        if self._root is None:
            return []
        try:
            return [self._root, *self._root.children(recursive=True)]
        except _psutil().Error:
            return []

    def alive(self) -> bool:
        """Whether the process itself still runs."""
        try:
            return self._root is not None and self._root.status() != _psutil().STATUS_ZOMBIE
        except _psutil().Error:
            return False

    def known(self) -> list[psutil.Process]:
        """Every process that was ever seen, gone or not."""
        return list(self._seen)

    def usage(self, wall_seconds: float, own: ChildUsage) -> ResourceUsage:
        """The samples and the child's own figures together."""
        seen = list(self._seen.values())  # a sample may be under way in another thread
        return ResourceUsage(
            wall_seconds=wall_seconds,
            cpu_seconds=max(own.cpu_seconds, sum(process.cpu_seconds for process in seen)),
            gpu_seconds=own.gpu_seconds,
            peak_memory_bytes=max(own.peak_memory_bytes, self._peak),
            read_bytes=max(own.read_bytes, sum(process.read_bytes for process in seen)),
            written_bytes=max(own.written_bytes, sum(process.written_bytes for process in seen)),
            attempts=1,
        )


def own_usage(gpu_seconds: float) -> ChildUsage:
    """What this process and its children that have ended used since it was forked."""
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    unit = 1 if sys.platform == "darwin" else 1024
    read, written = _own_bytes()
    return ChildUsage(
        cpu_seconds=own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime,
        gpu_seconds=gpu_seconds,
        peak_memory_bytes=max(own.ru_maxrss, children.ru_maxrss) * unit,
        read_bytes=read,
        written_bytes=written,
    )


class GpuClock:
    """Wall seconds during which this process held GPU memory, as far as torch knows; never imports torch itself."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds = 0.0
        self._clock = clock
        self._last = clock()

    def tick(self) -> bool:
        """Account for the time since the last tick; true when GPU memory was held."""
        now, last = self._clock(), self._last
        self._last = now
        held = _holds_gpu_memory()
        if held:
            self.seconds += now - last
        return held


def _holds_gpu_memory() -> bool:
    torch: Any = sys.modules.get("torch")
    cuda = getattr(torch, "cuda", None)
    try:
        if cuda is None or not cuda.is_initialized():
            return False
        return any(cuda.memory_reserved(device) > 0 for device in range(cuda.device_count()))
    except Exception:
        return False  # torch half imported, or a driver error that the domain code will meet itself


def _own_bytes() -> tuple[int, int]:
    try:
        lines = Path(f"/proc/{os.getpid()}/io").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0, 0
    counters = dict(line.split(": ", 1) for line in lines)
    return int(counters.get("rchar", 0)), int(counters.get("wchar", 0))


def _psutil() -> Any:
    # Imported where it is used: services that run no job do not pay for it.
    import psutil

    return psutil
