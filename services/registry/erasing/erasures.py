"""The erasures that were asked for, one after the other, in the background of a registry.

A request waits in the store until it is done, so whichever replica is elected finds it, and goes on where another one
was stopped. What fails is tried again later: an erasure is never given up.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import logging
import time
from collections.abc import Collection
from datetime import timedelta
from pathlib import Path

from services.registry.commands import Commands
from services.registry.database import Database
from services.registry.erasing.erasure import Erasure
from services.registry.erasing.rewriting import Rewriter
from services.registry.erasing.runs import AffectedRuns
from services.registry.erasing.search import Search
from services.registry.projection import Projection
from tidemill.artifacts.objects import Objects
from tidemill.audit import put_on_record
from tidemill.bus import Bus, Leases
from tidemill.bus.subjects import ERASED
from tidemill.contracts import EraseSubject
from tidemill.contracts.erasures import ErasureReport
from tidemill.erasure.requests import ErasureProgress, ErasureRequest, PendingErasures
from tidemill.erasure.subject import matcher
from tidemill.errors import NotFound, TidemillError
from tidemill.jobs import JobRunner
from tidemill.records import RecordStore

log = logging.getLogger(__name__)

LOOK_SECONDS = 10.0
"""How often it is asked whether something waits."""
FIRST_PAUSE = 10.0
"""Seconds until an erasure that failed is tried again. Doubles each time."""
LONGEST_PAUSE = 600.0


class Erasures:
    """Takes erasures in hand."""

    def __init__(
        self, *, bus: Bus, objects: Objects, records: RecordStore, commands: Commands, projection: Projection,
        database: Database, scratch: Path, silence: timedelta, owner: str,
    ) -> None:  # fmt: skip
        self._bus = bus
        self._objects = objects
        self._records = records
        self._projection = projection
        self._database = database
        self._scratch = scratch
        self._silence = silence
        self._owner = owner
        self._leases = Leases(bus)
        self._pending = PendingErasures(objects)
        self._runs = AffectedRuns(bus, records, commands, projection, silence=silence)
        self._task: asyncio.Task[None] | None = None
        self._look_at = 0.0
        self._failures = 0

    async def asked(self, command: EraseSubject) -> None:
        """Make sure that what a command asks for waits, or is done.

        Raises:
            NotFound: it does neither.
        """
        if await self._pending.request(command.project, command.erasure) is not None:
            self._look_at = 0.0
        elif await self._records.erasure(command.project, command.erasure) is None:
            raise NotFound(f"there is no request {command.erasure} to erase; ask again: tidemill erase")

    @staticmethod
    def possible() -> bool:
        """Whether datasets can be rewritten here: what reads and writes them is not in every image of the registry."""
        return all(importlib.util.find_spec(name) is not None for name in ("numpy", "pyarrow"))

    def tick(self) -> None:
        """To be called every few seconds by every replica where it is possible; returns at once."""
        if (self._task is None or self._task.done()) and time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + LOOK_SECONDS
            self._task = asyncio.create_task(self._work())

    async def stop(self) -> None:
        """Stop what is in hand; it goes on later, here or elsewhere."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=5)

    async def _work(self) -> None:
        request: ErasureRequest | None = None
        try:
            for request in await self._pending.all():
                await self._alone(request)
                self._failures = 0
        except Exception as error:
            self._failures += 1
            pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(self._failures - 1, 10))
            self._look_at = time.monotonic() + pause
            which = f"erasure {request.id}" if request else "erasures"
            foreseen = isinstance(error, TidemillError)
            log.error("%s: %s; again in %.0f s", which, error, pause, exc_info=None if foreseen else error)
            if request is not None:
                await self._say_why(request, error)

    async def _alone(self, request: ErasureRequest) -> None:
        """Carry out a request unless another replica does, or has by now."""
        lease = await self._leases.acquire(f"erasure-{request.id}", self._owner)
        if lease is None:
            return
        if await self._pending.request(request.project, request.id) is None:
            await self._leases.release(lease)
            return
        work = asyncio.create_task(self.carry_out(request))
        try:
            while not work.done():
                await asyncio.wait({work}, timeout=self._silence.total_seconds() / 3)
                if not work.done():
                    await self._leases.renew(lease)
            work.result()
        finally:
            if not work.done():
                work.cancel()
                await asyncio.wait({work})
            await self._leases.release(lease)

    async def carry_out(self, request: ErasureRequest) -> ErasureReport:
        """Do one erasure, from where it is to its end. Raises what ``Erasure.run`` raises."""
        log.info("erasure %s of project %s is in hand", request.id, request.project)
        known = matcher(request.subject, request.kind)
        runner = JobRunner(preload=("tidemill.erasure.files", "tidemill.erasure.rewriting"))
        try:
            search = Search(
                self._objects, self._pending, request, known, runner=runner, scratch=self._scratch,
                told=lambda step, done, total: self._pending.tell(
                    request, ErasureProgress(step=step, done=done, total=total)
                ),
            )  # fmt: skip
            rewriter = Rewriter(
                self._objects, self._records, self._bus, request, known, runner=runner, scratch=self._scratch
            )
            erasure = Erasure(
                request, known, bus=self._bus, objects=self._objects, records=self._records, pending=self._pending,
                search=search, rewriter=rewriter, runs=self._runs, buried=lambda: self._tell_services(request),
                changed=lambda runs: self._project_again(request.project, runs), settle=self._silence,
            )  # fmt: skip
            report = await erasure.run()
            if not request.dry_run:
                await put_on_record(
                    self._records, request.project, actor=request.actor, action="erase",
                    subject=f"erasure:{request.id}", reason="its report is on record",
                )  # fmt: skip
            return report
        finally:
            await runner.close()

    async def _tell_services(self, request: ErasureRequest) -> None:
        """Let all services drop what they keep; one that does not hear it does so at its next look at the store."""
        body = json.dumps({"project": request.project, "erasure": request.id}).encode()
        await self._bus.client.publish(ERASED, body)

    async def _project_again(self, project: str, runs: Collection[str]) -> None:
        """Bring the tables up to records that were overwritten, and leave nothing of the rows before in the file."""
        for run_id in sorted(runs):
            await self._projection.run(project, run_id)
        if runs:
            await self._database.compact()

    async def _say_why(self, request: ErasureRequest, error: Exception) -> None:
        try:
            step = f"stopped, and tried again later: {error}" if isinstance(error, TidemillError) else "stopped"
            await self._pending.tell(request, ErasureProgress(step=step))
        except TidemillError:
            log.warning("erasure %s: why it stopped cannot be told; the store is out of reach", request.id)
