"""What a try of a job took, as figures for the operator. The account of a run is its records, not these."""

from __future__ import annotations

from tidemill.contracts import Prices, cost_of
from tidemill.records.schema import AttemptRecord
from tidemill.telemetry import measures

_BURIED_FOR = ("permanent", "exhausted", "unforeseen")


def begin_counting(stage: str) -> None:
    """Show the dead letters of ``stage`` at zero, so that the first one is an increase."""
    for kind in _BURIED_FOR:
        measures.DEAD_LETTERS.record(0, {measures.STAGE: stage, measures.KIND: kind})


def meter(attempt: AttemptRecord, project: str, prices: Prices) -> None:
    """Tell how long the try took, how it ended, what it used and what that costs.

    Once for each try: by its worker when it ended, or by whoever puts the try of a worker that is gone on record. The
    figures of a worker that is killed right behind that, before they are exported, are not told.
    """
    stage = {measures.STAGE: attempt.stage}
    if attempt.started_at is not None:
        took = ((attempt.ended_at or attempt.at) - attempt.started_at).total_seconds()
        measures.JOB_DURATION.record(max(0.0, took), stage | {measures.OUTCOME: attempt.kind})
    usage = attempt.usage
    if not usage.attempts:  # no child was started for it
        return
    whose = stage | {measures.PROJECT: project}
    measures.CPU_TIME.record(usage.cpu_seconds, whose)
    measures.GPU_TIME.record(usage.gpu_seconds, whose)
    measures.MEMORY_PEAK.record(usage.peak_memory_bytes, stage)
    measures.JOB_IO.record(usage.read_bytes, whose | {measures.DIRECTION: "read"})
    measures.JOB_IO.record(usage.written_bytes, whose | {measures.DIRECTION: "write"})
    cost = cost_of([usage], prices)
    measures.COST.record(cost.total, whose | {measures.CURRENCY: cost.currency})
