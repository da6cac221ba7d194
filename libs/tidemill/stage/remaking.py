"""Making again what was lost: an artifact that cannot be read is made anew by the stage of the run that made it.

The damaged object is taken out of the way and ``ArtifactLost`` is announced: nobody may announce another's event, but
the making stage takes this one and plans again what it took then. Its result does not count any more (see ``results``),
so it works again; when the same bytes come out the run goes on from there.
"""

from __future__ import annotations

import logging
import time
from typing import Literal

from tidemill.artifacts import ArtifactStore
from tidemill.bus import Bus
from tidemill.contracts import ArtifactLost, ArtifactRef, DatasetIngested, Event, StageName
from tidemill.errors import PermanentError
from tidemill.records import RecordStore
from tidemill.stage.announced import announced

log = logging.getLogger(__name__)

Remaking = Literal["asked", "intact", "impossible"]
"""``asked``: its stage works again. ``intact``: the store's copy is good. ``impossible``: no stage of it made that."""


class LostForGood(PermanentError):
    """What a stage announced is lost and came out differently when it worked again: the run cannot go on."""


class Remaker:
    """Has lost artifacts made again."""

    def __init__(self, bus: Bus, store: ArtifactStore, records: RecordStore) -> None:
        self._bus = bus
        self._store = store
        self._records = records

    async def remake(self, project: str, run_id: str, artifact: ArtifactRef, *, at_work: StageName) -> Remaking:
        """See to it that ``artifact``, which the stage ``at_work`` could not read, is there again.

        Raises:
            TransientError: store or bus are out of reach.
        """
        damaged = await self._store.quarantine(artifact)
        if not damaged:
            return "intact"
        log.error("run %s: %s artifact %s is lost or damaged: %s", run_id, artifact.kind, artifact.digest, damaged[0])
        maker = await self._maker(project, run_id, artifact, at_work)
        if maker is None:
            return "impossible"
        lost = ArtifactLost(project=project, run_id=run_id, stage=maker, artifact=artifact)
        await self._bus.announce(lost, fingerprint=artifact.digest, announcement=again())
        log.warning("run %s: %s is asked to make it anew", run_id, maker)
        return "asked"

    async def has_lost(self, project: str, run_id: str, stage: StageName) -> bool:
        """Whether ``stage`` has announced artifacts for this run that are not there any more."""
        run = await self._records.run(project, run_id)
        if run is None:
            return False
        cause: Event = run.event
        for record in await self._records.stages(project, run_id):
            event = announced(record)
            if record.stage == stage:
                return not all([await self._store.exists(ref) for ref in made_by(event, cause)])
            cause = event
        return False

    async def _maker(self, project: str, run_id: str, artifact: ArtifactRef, at_work: StageName) -> StageName | None:
        """The stage of the run that made ``artifact``; None when it was given.

        What no event names was made by an earlier round of the stage that is at work.
        """
        run = await self._records.run(project, run_id)
        if run is None:
            return None
        cause: Event = run.event
        named = _artifacts(cause)
        for record in await self._records.stages(project, run_id):
            event = announced(record)
            if artifact in made_by(event, cause):
                return record.stage
            named += _artifacts(event)
            cause = event
        return None if artifact in named else at_work


async def taken_by(stage: StageName, records: RecordStore, project: str, run_id: str) -> Event | None:
    """The event that ``stage`` took in the run, or is to take next; None when no such run is on record."""
    run = await records.run(project, run_id)
    if run is None:
        return None
    cause: Event = run.event
    for record in await records.stages(project, run_id):
        if record.stage == stage:
            break
        cause = announced(record)
    return cause


def again() -> int:
    """A number for announcing a fact once more: it grows, also over restarts and from process to process."""
    return time.time_ns() // 1_000_000


def made_by(event: Event, cause: Event) -> list[ArtifactRef]:
    """The artifacts that a stage made: those that its event names and the event that it took does not."""
    given = _artifacts(cause)
    if isinstance(event, DatasetIngested):  # the dataset as somebody brought it
        given.append(event.source)
    return [ref for ref in _artifacts(event) if ref not in given]


def _artifacts(event: Event) -> list[ArtifactRef]:
    values = (getattr(event, name) for name in type(event).model_fields)
    return [value for value in values if isinstance(value, ArtifactRef)]
