"""From the way a child ended to the error that the stage gets. Knows no process and no socket."""

from __future__ import annotations

import signal
import sys

from tidemill.contracts import ResourceUsage
from tidemill.errors import HandedBack, TidemillError
from tidemill.jobs.messages import Raised
from tidemill.jobs.outcome import JobCrashed, JobFailed

_HINTS = {
    "SIGKILL": "probably by the kernel because memory ran out",
    "SIGSEGV": "a fault in native code; its stack is in the log",
    "SIGBUS": "a fault in native code, or a disk that is full under a mapped file",
    "SIGABRT": "native code gave up; its reason is in the log",
    "SIGILL": "native code built for another processor",
}


def remote_error(raised: Raised) -> TidemillError:
    """The error that the child raised: a Tidemill error of the same type and text, anything else as ``JobFailed``."""
    for module, name in raised.types:
        # Only what is loaded here already: the class may live in a module that imports torch. The list ends with
        # tidemill.errors, so a special class at worst arrives as the general one that the bus understands.
        kind = getattr(sys.modules.get(module), name, None)
        if isinstance(kind, type) and issubclass(kind, TidemillError):
            return kind.__new__(kind, raised.message)
    if raised.memory:
        return JobCrashed(f"the job ran out of memory: {raised.message}", output=raised.traceback)
    return JobFailed(raised.message, raised.traceback)


def death(status: int | None, usage: ResourceUsage, output: str) -> TidemillError:
    """The error for a child that gave no answer; ``status`` is its exit code, negative for a signal."""
    peak = f"; peak memory {usage.peak_memory_bytes / 2**20:,.0f} MB" if usage.peak_memory_bytes else ""
    if status is None:
        return JobCrashed("the job's process closed its connection but did not end, and was killed", output=output)
    if status >= 0:
        return JobCrashed(f"the job's process ended with exit status {status} and no answer{peak}", output=output)
    name = _signal_name(-status)
    if name == "SIGTERM":
        return HandedBack("the job's process was told to leave (SIGTERM)")
    hint = f" ({_HINTS[name]})" if name in _HINTS else ""
    return JobCrashed(f"the job's process was killed by {name}{hint}{peak}", signal=name, output=output)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
