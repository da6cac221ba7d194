"""Live progress of the runs, in memory only: what a question about a running stage is answered with."""

from __future__ import annotations

import time
from collections import OrderedDict

from tidemill.contracts import RunProgressed, StageName

MOST_RUNS = 2000


class Live:
    """The latest progress of every job of the runs heard of lately, and when each was heard of."""

    def __init__(self) -> None:
        self._runs: OrderedDict[tuple[str, str], dict[tuple[StageName, str], RunProgressed]] = OrderedDict()
        self._heard: dict[tuple[str, str], float] = {}

    def progressed(self, event: RunProgressed) -> None:
        """Take in what a worker says."""
        key = (event.project, event.run_id)
        self._runs.setdefault(key, {})[(event.stage, event.job)] = event
        self._runs.move_to_end(key)
        self._heard[key] = time.monotonic()
        while len(self._runs) > MOST_RUNS:
            oldest, _ = self._runs.popitem(last=False)
            self._heard.pop(oldest, None)

    def heard(self, project: str, run_id: str) -> float | None:
        """Monotonic time at which a worker last said something about a run."""
        return self._heard.get((project, run_id))

    def stage(self, project: str, run_id: str, stage: StageName) -> tuple[float | None, str]:
        """How far a stage is, over all its jobs, and the last message of one of them."""
        jobs = [
            event for (of, _), event in self._runs.get((project, run_id), {}).items() if of == stage
        ]  # fmt: skip
        if not jobs:
            return None, ""
        fractions = [event.fraction for event in jobs if event.fraction is not None]
        last = jobs[-1]
        message = f"{last.job}: {last.message}" if last.job and last.message else last.message or last.job
        return (sum(fractions) / len(fractions) if fractions else None), message
