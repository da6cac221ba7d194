"""Runs once inside the forkserver: loads the stage's heavy modules, so that every job starts with them.

It is the one module of Tidemill that acts when it is imported, because that is how ``multiprocessing`` preloads.
It opens nothing and starts no thread; without ``PRELOAD_VARIABLE`` in the environment it does nothing at all.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import traceback
from collections.abc import Iterable

PRELOAD_VARIABLE = "TIDEMILL_JOBS_PRELOAD"
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
EXPORTER_VARIABLES = "OTEL_EXPORTER_"
"""What the names of OpenTelemetry's variables that say where to export begin with."""

# What every child needs itself: without these each fork would import them again.
OWN = ("psutil", "tidemill.jobs.child", "tidemill.telemetry.recording")

failures: dict[str, str] = {}
"""Modules that could not be loaded, with their tracebacks; the children of this forkserver report them."""


def import_all(modules: Iterable[str]) -> None:
    """Import ``modules``; what fails is noted in ``failures`` and does not keep the others from loading."""
    for name in modules:
        if name in sys.modules or name in failures:
            continue
        try:
            importlib.import_module(name)
        except Exception:
            failures[name] = traceback.format_exc()


def usable_processors() -> int:
    """Processors that this process may use: its affinity, cut by the control group's quota where there is one."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        with open("/sys/fs/cgroup/cpu.max", encoding="ascii") as limits:  # noqa: PTH123 - pathlib costs an import
            quota, period = limits.read().split()
        if quota != "max":
            count = min(count, max(1, round(int(quota) / int(period))))
    except (OSError, ValueError):
        pass
    return count


def _become_forkserver(modules: list[str], path: list[str]) -> None:
    # Python 3.11's forkserver is given the parent's path but does not use it.
    sys.path[:] = path
    # A signal to the service's process group must not take the running job: this process ends with its parent.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    # OpenMP reads its variables when it is loaded; left alone it counts the host's processors in a container.
    for variable in THREAD_VARIABLES:
        os.environ.setdefault(variable, str(usable_processors()))
    # A job's spans go through its parent. A library that exports its own (Daft does) would start threads before the
    # fork, and its exporter would hang in the child.
    for variable in [name for name in os.environ if name.startswith(EXPORTER_VARIABLES)]:
        del os.environ[variable]
    import_all((*OWN, *modules))


if PRELOAD_VARIABLE in os.environ:
    _become_forkserver(**json.loads(os.environ.pop(PRELOAD_VARIABLE)))
