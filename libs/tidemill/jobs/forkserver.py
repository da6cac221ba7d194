"""The standard library's forkserver, shared by every runner of this process. Knows nothing of jobs.

``multiprocessing`` has one forkserver per process and offers no public way to end it or to hear of a failed preload;
what is done about that is done here and nowhere else. The lock also guards against two threads reading the same
child's exit status. All functions may block (starting a child waits for the preloads): call them in a thread.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import multiprocessing
import multiprocessing.forkserver
import os
import signal
import sys
import threading
from collections.abc import Callable
from multiprocessing import connection
from multiprocessing.context import ForkServerContext, ForkServerProcess
from typing import Any
from weakref import WeakSet

from tidemill.jobs.preload import PRELOAD_VARIABLE

_context: ForkServerContext = multiprocessing.get_context("forkserver")
_server: Any = multiprocessing.forkserver._forkserver
_lock = threading.Lock()
_users: dict[object, tuple[str, ...]] = {}
_children: WeakSet[ForkServerProcess] = WeakSet()


def join(user: object, preload: tuple[str, ...]) -> None:
    """``user`` needs the forkserver, with ``preload`` loaded from its next start on. Starts nothing."""
    _users[user] = preload


def start() -> None:
    """Start the forkserver unless it runs; returns before its preloads are done."""
    with _lock:
        _ensure_running()


def launch(target: Callable[..., None], args: tuple[Any, ...], name: str) -> ForkServerProcess:
    """Fork a child that runs ``target(*args)``; returns when it runs, after the preloads.

    A forkserver that died is replaced.

    Raises:
        EOFError, OSError: the forkserver died twice, as it does when a preload kills it.
    """
    with _lock:
        try:
            return _launch(target, args, name)
        except (EOFError, OSError):
            # It may have been killed between the look and the fork: a second one is worth a try.
            if not _users:
                raise
            _await_end()
            return _launch(target, args, name)


def exit_status(child: ForkServerProcess) -> int | None:
    """Exit code of ``child``, negative for a signal; None while it runs, 255 when the forkserver died under it."""
    with _lock:
        return child.exitcode


def forget(child: ForkServerProcess, timeout: float) -> int | None:
    """Wait up to ``timeout`` seconds for the end of ``child``, release what is held for it, return its exit code."""
    connection.wait([child.sentinel], timeout)
    with _lock:
        status = child.exitcode
        if status is not None:
            child.close()
        return status


def leave(user: object) -> None:
    """``user`` is done; the forkserver ends with its last user."""
    _users.pop(user, None)
    if _users:
        return
    pid = _server._forkserver_pid
    if pid is not None:
        # It may be in the middle of long imports or of a fork that a thread waits for; it has nothing to save.
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    with _lock:
        if not _users and _server._forkserver_pid is not None:
            try:
                _server._stop()
            except (ChildProcessError, FileNotFoundError):
                _server._forkserver_pid = None  # somebody else reaped it or removed its socket


def pid() -> int | None:
    """Process id of the forkserver, or None when none was started."""
    found: int | None = _server._forkserver_pid
    return found


def _launch(target: Callable[..., None], args: tuple[Any, ...], name: str) -> ForkServerProcess:
    _ensure_running()
    child = _context.Process(target=target, args=args, name=name)
    child.start()
    _children.add(child)
    return child


def _await_end() -> None:
    """Wait until a forkserver that does not answer is dead, leaving it to ``ensure_running`` to notice.

    A killed process closes its connections a moment before it counts as dead; until then it would pass for alive.
    """
    server = pid()
    if server is not None:
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(server, signal.SIGKILL)
            os.waitid(os.P_PID, server, os.WEXITED | os.WNOWAIT)


def _ensure_running() -> None:
    modules = sorted({module for preload in _users.values() for module in preload})
    _context.set_forkserver_preload(["tidemill.jobs.preload"])
    os.environ[PRELOAD_VARIABLE] = json.dumps({"modules": modules, "path": sys.path})
    try:
        multiprocessing.forkserver.ensure_running()
    finally:
        os.environ.pop(PRELOAD_VARIABLE, None)


@atexit.register
def _kill_children() -> None:
    # multiprocessing joins its children at exit; one that is still busy would keep this process for ever.
    for child in list(_children):
        with contextlib.suppress(ValueError, ProcessLookupError, PermissionError):
            if child.pid is not None and child.exitcode is None:
                os.killpg(child.pid, signal.SIGKILL)
