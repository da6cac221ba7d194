"""All checks side by side, each with a time limit of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tidemill.bus.connection import UNREACHABLE
from tidemill.doctor import bus, clock, database, disk, gateway, processes, runs, store
from tidemill.doctor.findings import Finding, failed, skipped
from tidemill.doctor.site import NotLooked, Site
from tidemill.errors import TidemillError

TIMEOUT = 12.0
"""Seconds for one check."""

Look = Callable[[Site], Awaitable[list[Finding]]]


@dataclass(frozen=True)
class Check:
    """A name that a person reads, and what looks."""

    name: str
    look: Look


CHECKS: tuple[Check, ...] = (
    Check("processes", processes.look),
    Check("NATS", bus.look_at_server),
    Check("streams", bus.look_at_streams),
    Check("consumers", bus.look_at_consumers),
    Check("dead letters", store.look_at_dead_letters),
    Check("store", store.look_at_store),
    Check("records", store.look_at_records),
    Check("decisions", store.look_at_decisions),
    Check("database", database.look),
    Check("disk", disk.look),
    Check("runs", runs.look_at_runs),
    Check("jobs", runs.look_at_jobs),
    Check("leases", runs.look_at_leases),
    Check("clock", clock.look),
    Check("gateway", gateway.look),
)


@dataclass(frozen=True)
class Report:
    """What every check found, in the order of ``CHECKS``."""

    findings: tuple[tuple[str, Finding], ...]
    hung: bool = False
    """A check did not end in time: a thread of it may still be stuck in the operating system."""

    @property
    def healthy(self) -> bool:
        """Whether nothing failed."""
        return all(finding.state != "failed" for _, finding in self.findings)

    def of(self, check: str) -> list[Finding]:
        """What one check found."""
        return [finding for name, finding in self.findings if name == check]

    def document(self) -> dict[str, Any]:
        """For scripts."""
        return {
            "healthy": self.healthy,
            "findings": [{"check": name, **finding.model_dump()} for name, finding in self.findings],
        }


def diagnose(site: Site, checks: Sequence[Check] = CHECKS, *, timeout: float = TIMEOUT) -> Report:
    """Look at everything; returns after about ``timeout`` seconds at the latest, whatever hangs."""
    loop = asyncio.new_event_loop()
    report = loop.run_until_complete(examine(site, checks, timeout=timeout))
    if not report.hung:  # closing the loop would wait for a thread that hangs
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
    return report


async def examine(site: Site, checks: Sequence[Check] = CHECKS, *, timeout: float = TIMEOUT) -> Report:
    """Look at everything."""
    tasks = [asyncio.create_task(_found(check, site)) for check in checks]
    _, late = await asyncio.wait(tasks, timeout=timeout)
    for task in late:
        task.cancel()
    findings: list[tuple[str, Finding]] = []
    for check, task in zip(checks, tasks, strict=True):
        if task in late:
            hangs = failed(f"no answer within {timeout:.0f} s", "see what holds it up; the other findings may say")
            findings.append((check.name, hangs))
        else:
            findings += [(check.name, finding) for finding in task.result()]
    return Report(tuple(findings), hung=bool(late))


async def _found(check: Check, site: Site) -> list[Finding]:
    try:
        return await check.look(site)
    except NotLooked as reason:
        return [skipped(str(reason))]
    except ConnectionError as error:
        return [skipped(str(error))]
    except UNREACHABLE as error:
        return [failed(f"NATS does not answer what it was asked: {error!r}", "see the finding of NATS")]
    except TidemillError as error:
        return [failed(str(error), "see the sentence; the logs say more")]
    except Exception as error:  # a check that breaks must not take the others along
        return [failed(f"it could not be looked at: {error!r}", "this is a bug of the doctor: please report it")]
