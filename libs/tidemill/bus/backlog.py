"""What waits on the bus: a run that stands in a queue is not lost."""

from __future__ import annotations

from dataclasses import dataclass

from nats.js import JetStreamContext
from nats.js.errors import NotFoundError

from tidemill.bus.connection import UNREACHABLE
from tidemill.bus.subjects import EVENTS, JOBS, events_durable, token
from tidemill.contracts import STAGES, StageName


@dataclass(frozen=True)
class Backlog:
    """What waited at one moment, as far as the server said so."""

    jobs: frozenset[tuple[str, str, str]]
    """Stage, project and run, as tokens, of all jobs that are queued or in hand."""
    events: frozenset[StageName]
    """Stages that have events to take: of which runs, nobody can tell."""
    whole: bool = True
    """False when the server could not be asked about some of it."""

    def has_job(self, project: str, run_id: str) -> bool:
        """Whether a job of the run, of whichever stage, is queued or in hand."""
        return any((stage, token(project), token(run_id)) in self.jobs for stage in STAGES)


async def look(js: JetStreamContext) -> Backlog:
    """What waits now. Nothing waits in a stream or for a consumer that is not there."""
    whole, events = True, set[StageName]()
    jobs: frozenset[tuple[str, str, str]] = frozenset()
    try:
        jobs = await _jobs(js)
    except NotFoundError:
        pass
    except UNREACHABLE:
        whole = False
    for stage in STAGES:
        try:
            info = await js.consumer_info(EVENTS, events_durable(stage))
        except NotFoundError:
            continue
        except UNREACHABLE:
            whole = False
            continue
        if (info.num_pending or 0) + (info.num_ack_pending or 0):
            events.add(stage)
    return Backlog(jobs, frozenset(events), whole)


async def _jobs(js: JetStreamContext) -> frozenset[tuple[str, str, str]]:
    info = await js.stream_info(JOBS, subjects_filter="tidemill.job.*.*.*.*")
    parts = (subject.split(".") for subject in info.state.subjects or {})
    return frozenset((stage, project, run_id) for _, _, stage, _, project, run_id in parts)
