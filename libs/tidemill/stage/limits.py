"""Limits of a run: its budget and the working time of its stages. Says what is used up; stops nothing.

They come from the recipe as it was published and from retries, never from the frozen recipe: no result depends on them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from tidemill.contracts import (
    Budget,
    Cost,
    Prices,
    RecipeError,
    ResourceUsage,
    StageEvent,
    StageName,
    cost_of,
    parse_recipe,
)
from tidemill.contracts.durations import format_duration
from tidemill.contracts.economics import amount_of
from tidemill.errors import PermanentError
from tidemill.records import RecordStore
from tidemill.records.schema import AttemptRecord, EpochRecord, RunRecord, StageRecord
from tidemill.stage.announced import announced
from tidemill.stage.job_command import JobCommand
from tidemill.stage.ledger import Ledger


class LimitReached(PermanentError):
    """A limit ends the run; ``cost`` is what it cost until then, where a price book says so."""

    def __init__(self, message: str, kind: Literal["budget", "time-limit"], cost: Cost | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.cost = cost


@dataclass(frozen=True)
class Allowance:
    """What the latest epoch of a run may take, and since when its wall time counts."""

    budget: Budget
    since: datetime

    @property
    def deadline(self) -> datetime | None:
        """When its wall time is over."""
        return self.since + self.budget.max_wall_time if self.budget.max_wall_time else None


def allowance(run: RunRecord, epochs: Sequence[EpochRecord]) -> Allowance:
    """The limits of a run: what its recipe says, then what each retry said instead."""
    try:
        budget: Budget = parse_recipe(run.event.recipe).economics
    except RecipeError:  # its planning fails with these words
        budget = Budget()
    for epoch in epochs:
        budget = budget.overlaid(epoch.budget)
    return Allowance(budget, epochs[-1].started_at if epochs else run.created_at)


def used(stages: Sequence[StageRecord], attempts: Sequence[AttemptRecord]) -> dict[StageName, ResourceUsage]:
    """What each stage of a run used: as it announced, and the tries since then; all its tries while it is not done.

    A stage that is done works again when what it made is lost; a paused worker's try ends when the stage has.

    Raises:
        CorruptArtifact: what a stage announced cannot be read.
    """
    parts: dict[StageName, list[ResourceUsage]] = {}
    done: dict[StageName, datetime] = {}
    for stage in stages:
        event = announced(stage)
        if isinstance(event, StageEvent):
            parts[stage.stage], done[stage.stage] = [event.usage], stage.finished_at
    for attempt in attempts:
        ended = done.get(attempt.stage)
        if ended is None or (attempt.at > ended and attempt.kind != "finished"):
            parts.setdefault(attempt.stage, []).append(attempt.usage)
    return {stage: ResourceUsage.total(usages) for stage, usages in parts.items()}


def wall_time_over(run_id: str, allowed: Allowance, now: datetime, cost: Cost) -> LimitReached | None:
    """The error for a run whose wall time is over."""
    limit = allowed.budget.max_wall_time
    if limit is None or now - allowed.since < limit:
        return None
    took = format_duration(now - allowed.since)
    return LimitReached(
        f"stopped: it took {took} of {format_duration(limit)} (economics.max_wall_time) and cost {cost}; raise the "
        f"budget: tidemill runs retry {run_id} --max-wall-time {format_duration(2 * limit)}",
        "budget",
        cost,
    )


class Limits:
    """The limits of one job while it is worked on."""

    def __init__(
        self, command: JobCommand, epoch: int, allowed: Allowance, stage_time: timedelta | None, policy: LimitPolicy
    ) -> None:
        self._command = command
        self._epoch = epoch
        self._allowed = allowed
        self._stage_time = stage_time
        self._policy = policy
        self._before: list[ResourceUsage] = []
        self._stage_seconds = 0.0

    async def look(self) -> None:
        """Read again what the run used beside the try in hand; nothing to do where no limit depends on it.

        Raises:
            TransientError: it cannot be read now.
        """
        if self._stage_time is None and self._allowed.budget == Budget():
            return
        self._before, self._stage_seconds = await self._policy.spent(self._command, self._epoch)

    def reached(self, usage: ResourceUsage) -> LimitReached | None:
        """The error for the limit that is used up, when the try in hand has used ``usage``."""
        run_id, budget = self._command.run_id, self._allowed.budget
        cost = cost_of([*self._before, usage], self._policy.prices)
        if budget.max_cost is not None and cost.total >= budget.max_cost:
            return LimitReached(
                f"stopped: it cost {cost} of {amount_of(budget.max_cost)} {cost.currency} (economics.max_cost); raise "
                f"the budget: tidemill runs retry {run_id} --max-cost {amount_of(2 * budget.max_cost)}",
                "budget",
                cost,
            )
        worked = timedelta(seconds=self._stage_seconds + usage.wall_seconds)
        if self._stage_time is not None and worked >= self._stage_time:
            return self._too_long(worked, self._stage_time, cost)
        return wall_time_over(run_id, self._allowed, datetime.now(UTC), cost)

    def left(self, usage: ResourceUsage) -> float:
        """Seconds until the next limit of time is used up; infinite where there is none."""
        ends = [float("inf")]
        if self._allowed.deadline is not None:
            ends.append((self._allowed.deadline - datetime.now(UTC)).total_seconds())
        if self._stage_time is not None:
            ends.append(self._stage_time.total_seconds() - self._stage_seconds - usage.wall_seconds)
        return max(0.0, min(ends))

    def _too_long(self, worked: timedelta, limit: timedelta, cost: Cost) -> LimitReached:
        stage = self._command.stage
        key = f"economics.max_stage_time.{stage}"
        if stage not in self._allowed.budget.max_stage_time:
            key = "the time limit in the settings of its service"
        return LimitReached(
            f"stopped: {stage} worked {format_duration(worked)} of {format_duration(limit)} ({key}); give it more "
            f"time: tidemill runs retry {self._command.run_id} --max-stage-time {stage}={format_duration(2 * limit)}",
            "time-limit",
            cost,
        )


class LimitPolicy:
    """The limits that a worker keeps to: each run's own, and ``time_limit`` for a stage where the run has none."""

    def __init__(self, records: RecordStore, ledger: Ledger, prices: Prices, time_limit: timedelta | None) -> None:
        self._records = records
        self._ledger = ledger
        self.prices = prices
        self._time_limit = time_limit

    async def of(self, command: JobCommand, epoch: int) -> Limits:
        """The limits of a job that begins.

        Raises:
            LimitReached: they are used up already.
            TransientError: they cannot be read now.
        """
        run, epochs = await asyncio.gather(
            self._records.run(command.project, command.run_id), self._records.epochs(command.project, command.run_id)
        )
        allowed = allowance(run, epochs) if run is not None else Allowance(Budget(), command.started_at)
        stage_time = allowed.budget.max_stage_time.get(command.stage, self._time_limit)
        limits = Limits(command, epoch, allowed, stage_time, self)
        await limits.look()
        if (reached := limits.reached(ResourceUsage())) is not None:
            raise reached
        return limits

    async def spent(self, command: JobCommand, epoch: int) -> tuple[list[ResourceUsage], float]:
        """What the run used beside the try in hand, and the seconds that its stage worked in this epoch."""
        project, run_id = command.project, command.run_id
        stages = await self._records.stages(project, run_id)
        attempts = await self._records.run_attempts(project, run_id)
        others = [one for one in set(command.stage_jobs) if one != command.fingerprint]
        in_flight = [entry for one in others if (entry := await self._ledger.read(project, one)) is not None]
        known = {attempt.attempt_id for attempt in attempts}
        beside = [
            entry.usage for entry in in_flight if entry.run_id == run_id and entry.attempt_id not in known
        ]  # fmt: skip
        here = [one.usage for one in attempts if one.stage == command.stage and one.epoch == epoch]
        seconds = sum(usage.wall_seconds for usage in (*here, *beside))
        return [*used(stages, attempts).values(), *beside], seconds
