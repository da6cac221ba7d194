"""The child process: makes itself a group of its own, runs the domain function, answers with its result or error."""

from __future__ import annotations

import contextlib
import faulthandler
import logging
import os
import pickle
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from tidemill.errors import TidemillError, TransientError, out_of_space
from tidemill.jobs import preload
from tidemill.jobs.link import ChildReport, ParentLink
from tidemill.jobs.messages import ChildSettings, FromChild, Logged, Raised, Returned
from tidemill.jobs.usage import own_usage
from tidemill.telemetry import recording

_log = logging.getLogger("tidemill.jobs")
_OUT_OF_MEMORY_SCORE = "500"


def main(channel: socket.socket, output: Connection, call: bytes, settings: ChildSettings) -> None:
    """Entry of the child. ``call`` is the pickled function with its arguments; the report is added as the last."""
    _separate(output)
    link = ParentLink(channel)
    _log_to(link, settings.log_level)
    recorder = recording.record(settings.service, settings.instance) if settings.traceparent else None
    ending: Returned | Raised
    try:
        with recorder.under(settings.traceparent) if recorder else contextlib.nullcontext():
            ending = _answer(call, settings, link)
    except BaseException as error:
        ending = _error(error)
    link.gpu.tick()
    link.flush()
    account = {"usage": own_usage(link.gpu.seconds), "spans": recorder.finished() if recorder else ()}
    sys.stdout.flush()
    sys.stderr.flush()
    link.send(_with(ending, account))


def _with(ending: Returned | Raised, account: dict[str, Any]) -> FromChild:
    return type(ending)(**{**vars(ending), **account})


def _answer(call: bytes, settings: ChildSettings, link: ParentLink) -> Returned:
    _finish_preloads(settings.preload)
    _use_processors()
    function: Callable[..., Any]
    function, arguments = pickle.loads(call)  # noqa: S301 - pickled by our parent a moment ago
    value = function(*arguments, ChildReport(link))
    return Returned(pickle.dumps(value), usage=own_usage(0))


def _separate(output: Connection) -> None:
    """Leave the parent's process group, signal handlers and output streams."""
    os.setsid()
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for stream in (1, 2):
        os.dup2(output.fileno(), stream)
    output.close()
    sys.stdout = open(1, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
    faulthandler.enable(2, all_threads=False)
    # When memory runs out the kernel shall take the job, not the service or the bus beside it.
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_OUT_OF_MEMORY_SCORE, encoding="ascii")


def _finish_preloads(modules: tuple[str, ...]) -> None:
    """Load what the forkserver has not (it may have started for another runner) and say what cannot be loaded."""
    preload.import_all(modules)
    for module in modules:
        if module in preload.failures:
            last = preload.failures[module].strip().splitlines()[-1]
            _log.error("could not load %s ahead of the jobs: %s", module, last)
            _log.debug("%s", preload.failures[module])


def _use_processors() -> None:
    """Give torch the processors that this process may use, unless the environment says otherwise."""
    torch: Any = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS") or preload.usable_processors()))


def _error(error: BaseException) -> Raised:
    text = "".join(traceback.format_exception(error))
    if isinstance(error, TidemillError):
        types = tuple(
            (kind.__module__, kind.__qualname__) for kind in type(error).__mro__ if issubclass(kind, TidemillError)
        )
        return Raised(str(error), text, types=types)
    if out_of_space(error):
        full = (TransientError.__module__, TransientError.__qualname__)
        return Raised(f"the disk is full or its quota is used up: {_one_line(error)}; make room", text, types=(full,))
    return Raised(_one_line(error), text, memory=isinstance(error, MemoryError))


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


class _ToParent(logging.Handler):
    """Sends log records to the parent; a process that the domain code forked writes to its standard error."""

    def __init__(self, link: ParentLink) -> None:
        super().__init__()
        self._link = link

    def emit(self, record: logging.LogRecord) -> None:
        try:
            if self._link.ours:
                self._link.send(Logged(record.levelno, record.name, self.format(record)))
            else:
                print(self.format(record), file=sys.stderr)
        except Exception:
            self.handleError(record)


def _log_to(link: ParentLink, level: int) -> None:
    logging.basicConfig(handlers=[_ToParent(link)], level=level, format="%(message)s", force=True)
    logging.captureWarnings(True)
