"""The supervisor's record against the processes that live."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime
from pathlib import Path

import psutil

from tidemill.doctor.findings import Finding, failed, ok, warning
from tidemill.doctor.site import Site
from tidemill.platform.data_dir import DataDir, PlatformRecord, ProcessRecord
from tidemill.platform.logs import tail

LOOP = 3
"""Restarts after which a process that lives for less than ``SETTLED`` seconds is in a loop."""
SETTLED = 60.0
SLOW_START = 180.0
_LOG_LINES = 3


async def look(site: Site) -> list[Finding]:
    """Whether everything runs that ought to, for how long, and what it uses."""
    data = site.folder()
    record = site.record
    up = f"`tidemill up{site.data_dir_option}`"
    if record is None:
        return [failed(f"no platform has run in {data.root}", f"start one with {up}")]
    if not site.running:
        return [_not_running(record, data, up)]
    found = [finding for one in record.processes if (finding := _of(one)) is not None]
    return found or [ok(await asyncio.to_thread(_figures, record))]


def _not_running(record: PlatformRecord, data: DataDir, up: str) -> Finding:
    if record.error:
        first = record.error.splitlines()[0]
        return failed(f"the platform in {data.root} did not start: {first}", f"mend it, then {up}; logs: {data.logs}")
    if record.state in ("stopped", "failed"):
        return failed(f"the platform in {data.root} is stopped", f"start it with {up}")
    return failed(
        f"the supervisor of {data.root} (pid {record.supervisor.pid}) is gone although it never stopped the platform",
        f"{up} ends what it left and starts again",
    )


def _of(one: ProcessRecord) -> Finding | None:
    alive = one.identity is not None and one.identity.alive
    lived = (datetime.now(UTC) - one.started_at).total_seconds() if one.started_at else 0.0
    log = Path(one.log)
    if one.state == "waiting" or not alive:
        looping = f" ({one.restarts} restarts)" if one.restarts else ""
        return failed(f"{one.name} does not run{looping}; {_end(log)}", f"mend what its log says: {log}")
    if one.restarts >= LOOP and lived < SETTLED:
        return failed(f"{one.name} restarts in a loop ({one.restarts} restarts); {_end(log)}", f"see {log}")
    if one.ailment:
        return failed(f"{one.name} is not healthy: {one.ailment}", "make room on the disk; it recovers by itself then")
    if one.state == "starting" and lived > SLOW_START:
        return warning(f"{one.name} is not ready after {lived:.0f} s; {_end(log)}", f"see {log}")
    if one.restarts:
        return warning(f"{one.name} was restarted {one.restarts} times, and runs for {lived:.0f} s", f"see {log}")
    return None


def _end(log: Path) -> str:
    lines = tail(log, lines=_LOG_LINES).splitlines()
    return "the end of its log: " + " ⏎ ".join(line.strip() for line in lines) if lines else "its log is empty"


def _figures(record: PlatformRecord) -> str:
    memory, processor = 0, 0.0
    for one in record.processes:
        with contextlib.suppress(psutil.Error):
            if one.identity is not None:
                process = psutil.Process(one.identity.pid)
                for member in (process, *process.children(recursive=True)):
                    with contextlib.suppress(psutil.Error):
                        memory += member.memory_info().rss
                        times = member.cpu_times()
                        processor += times.user + times.system
    names = ", ".join(one.name for one in record.processes)
    return f"{names} run; together {memory / 1e6:.0f} MB and {processor:.0f} s of processor time so far"
