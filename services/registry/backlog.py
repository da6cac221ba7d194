"""Whether a stage has work waiting: a run behind it is in a queue, not lost."""

from __future__ import annotations

from tidemill.bus import Bus
from tidemill.bus.connection import UNREACHABLE
from tidemill.bus.subjects import EVENTS, JOBS, token
from tidemill.contracts import StageName


class Backlog:
    """Looks at a stage's queue of jobs and at the events that it has not taken yet."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def waiting(self, project: str, stage: StageName) -> bool:
        """True when the stage has jobs of the project queued or in hand, or events to take; False when unknown."""
        return await self._jobs(project, stage) or await self._events(stage)

    async def _jobs(self, project: str, stage: StageName) -> bool:
        queued = f"tidemill.job.{stage}.*.{token(project)}"
        try:
            info = await self._bus.jetstream.stream_info(JOBS, subjects_filter=queued)
        except UNREACHABLE:
            return False
        return any((info.state.subjects or {}).values())

    async def _events(self, stage: StageName) -> bool:
        try:
            info = await self._bus.jetstream.consumer_info(EVENTS, f"{stage}-events")
        except UNREACHABLE:
            return False
        return bool((info.num_pending or 0) + (info.num_ack_pending or 0))
