"""Which runs have work waiting: a run that stands in a queue is not lost."""

from __future__ import annotations

from dataclasses import dataclass

from tidemill.bus import Bus
from tidemill.bus.connection import UNREACHABLE
from tidemill.bus.subjects import EVENTS, JOBS, token
from tidemill.contracts import STAGES, StageName


@dataclass(frozen=True)
class Backlog:
    """What waited at one moment. Empty when the server could not be asked."""

    jobs: frozenset[tuple[str, str, str]]
    """Stage, project and run, as tokens, of all jobs that are queued or in hand."""
    events: frozenset[StageName]
    """Stages that have events to take: of which runs, nobody can tell."""

    def has_job(self, project: str, run_id: str, stage: StageName) -> bool:
        """Whether a job of the run is queued or in hand."""
        return (stage, token(project), token(run_id)) in self.jobs


async def look(bus: Bus) -> Backlog:
    """What waits now."""
    return Backlog(await _jobs(bus), await _events(bus))


async def _jobs(bus: Bus) -> frozenset[tuple[str, str, str]]:
    try:
        info = await bus.jetstream.stream_info(JOBS, subjects_filter="tidemill.job.*.*.*.*")
    except UNREACHABLE:
        return frozenset()
    parts = (subject.split(".") for subject in info.state.subjects or {})
    return frozenset((stage, project, run_id) for _, _, stage, _, project, run_id in parts)


async def _events(bus: Bus) -> frozenset[StageName]:
    waiting: set[StageName] = set()
    for stage in STAGES:
        durable = "registry-events" if stage == "register" else f"{stage}-events"
        try:
            info = await bus.jetstream.consumer_info(EVENTS, durable)
        except UNREACHABLE:
            continue
        if (info.num_pending or 0) + (info.num_ack_pending or 0):
            waiting.add(stage)
    return frozenset(waiting)
