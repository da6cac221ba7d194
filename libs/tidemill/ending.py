"""How our programs end: their work done and their output written, without taking the interpreter apart.

Object stores and dataframes are spoken to by native threads. One that comes back to Python while the interpreter is
being taken apart aborts the process, after all is done: of some hundred calls of a command one ended with SIGABRT
instead of 0 (PyO3/pyo3-async-runtimes, issue 40). So a program ends as Python ends one, threads awaited and exit
functions called, up to the point where the interpreter would be taken apart.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any, NoReturn

INTERRUPTED = 130


def end_with(program: Callable[[], int | None]) -> NoReturn:
    """Run ``program`` and end this process with what it returns, raises as SystemExit, or 1 after a traceback."""
    code = _status(program)
    for number in (signal.SIGTERM, signal.SIGINT):  # whoever asks once more does not want to wait
        signal.signal(number, signal.SIG_DFL)
    stop_threads: Any = threading._shutdown  # type: ignore[attr-defined]
    for last in (stop_threads, atexit._run_exitfuncs):
        try:
            last()
        except BaseException:
            sys.excepthook(*sys.exc_info())
    for stream in filter(None, (sys.stdout, sys.stderr)):  # closed before we began, they are None
        try:
            stream.flush()
        except BrokenPipeError:  # whoever read it has gone
            pass
        except (OSError, ValueError):  # nowhere to write to: what was said is not known to have arrived
            code = code or 1
    os._exit(code)


def _status(program: Callable[[], int | None]) -> int:
    try:
        return program() or 0
    except SystemExit as asked:
        if asked.code is None or isinstance(asked.code, int):
            return asked.code or 0
        print(asked.code, file=sys.stderr)
    except KeyboardInterrupt:
        sys.excepthook(*sys.exc_info())
        return INTERRUPTED
    except BaseException:
        sys.excepthook(*sys.exc_info())
    return 1
