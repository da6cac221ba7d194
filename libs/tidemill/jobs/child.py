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
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from tidemill.jobs import preload
from tidemill.jobs.endings import raised_by
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
        ending = raised_by(error)
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
