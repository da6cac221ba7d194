"""From the way a child ended to the error that the stage gets. Knows no process and no socket."""

from __future__ import annotations

import signal
import sys
import traceback
from pathlib import Path

from tidemill.contracts import ResourceUsage
from tidemill.errors import HandedBack, TidemillError, TransientError, out_of_space
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
            error = kind.__new__(kind, raised.message)
            if isinstance(error, JobFailed):  # of a piece of the job
                error.traceback = raised.traceback
            return error
    if raised.memory:
        return JobCrashed(f"the job ran out of memory: {raised.message}", output=raised.traceback)
    return JobFailed(raised.message, raised.traceback)


def raised_by(error: BaseException) -> Raised:
    """What a child says of an error that ended its work; ``remote_error`` makes the error of it."""
    text = "".join(traceback.format_exception(error))
    if isinstance(error, JobFailed):
        text += f"\nin a piece of the job:\n{error.traceback}"
    if isinstance(error, TidemillError):
        types = tuple(
            (kind.__module__, kind.__qualname__) for kind in type(error).__mro__ if issubclass(kind, TidemillError)
        )
        return Raised(str(error), text, types=types)
    if out_of_space(error):
        full = (TransientError.__module__, TransientError.__qualname__)
        return Raised(f"the disk is full or its quota is used up: {_one_line(error)}; make room", text, types=(full,))
    return Raised(_one_line(error), text, memory=isinstance(error, MemoryError))


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


def _one_line(error: BaseException) -> str:
    """``KeyError: 'label' (services/trainer/fitting.py, line 88)``: the last frame, since it is the nearest."""
    if isinstance(error, SystemExit):
        what = f"the job's code called sys.exit({error.code!r})"
    else:
        lines = str(error).strip().splitlines()
        what = f"{type(error).__name__}: {lines[0][:500]}" if lines else type(error).__name__
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return what
    parts = Path(frames[-1].filename).parts[-3:]
    return f"{what} ({'/'.join(parts)}, line {frames[-1].lineno})"
