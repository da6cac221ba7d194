"""A run as it is at this moment: the registry's last view, with the live progress that came since laid over it."""

from __future__ import annotations

from collections.abc import Mapping

from tidemill.contracts import STAGES, RunProgressed, StageName
from tidemill.contracts.queries import RunView, StageView


class LiveRun:
    """The picture of one run, built from views and progress in whatever order they come."""

    def __init__(self, view: RunView) -> None:
        self._view = view
        self._fractions: dict[StageName, dict[str, float]] = {}
        self._messages: dict[StageName, str] = {}

    def update(self, view: RunView) -> None:
        """Take a newer view. What ended in it needs no live progress any more."""
        self._view = view
        for stage in view.stages:
            if stage.state != "running":
                self._fractions.pop(stage.name, None)
                self._messages.pop(stage.name, None)

    def advance(self, progress: RunProgressed) -> bool:
        """Take live progress; False when the view says that its stage is over."""
        states = {stage.name: stage.state for stage in self._view.stages}
        if states.get(progress.stage) not in ("running", "waiting", None):
            return False
        if progress.fraction is not None:
            self._fractions.setdefault(progress.stage, {})[progress.job] = progress.fraction
        parts = (progress.job, progress.message)
        self._messages[progress.stage] = ": ".join(part for part in parts if part)
        return True

    def knows(self, stage: StageName) -> bool:
        """Whether the view says that ``stage`` has begun."""
        return any(one.name == stage and one.state != "waiting" for one in self._view.stages)

    @property
    def view(self) -> RunView:
        """The picture; stages in their order."""
        given = {stage.name: stage for stage in self._view.stages}
        stages = [self._stage(name, given) for name in STAGES if name in given or name in self._messages]
        return self._view.model_copy(update={"stages": stages})

    def _stage(self, name: StageName, given: Mapping[StageName, StageView]) -> StageView:
        stage = given.get(name) or StageView(name=name, state="waiting")
        if name not in self._messages and name not in self._fractions:
            return stage
        fractions = self._fractions.get(name, {})
        jobs = max(stage.jobs, len(fractions))
        return stage.model_copy(
            update={
                "state": "running",
                "message": self._messages.get(name, ""),
                # Jobs that have not said anything yet are at their beginning.
                "fraction": sum(fractions.values()) / jobs if fractions else None,
            }
        )
