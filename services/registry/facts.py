"""What the records say about one run, read in one go. Plain data; knows no bus and no database."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from tidemill.contracts import STAGES, DatasetPrepared, ResourceUsage, RunState, StageEvent, StageName
from tidemill.records import RecordStore
from tidemill.records.schema import AttemptRecord, EpochRecord, OutcomeRecord, RunRecord, StageRecord
from tidemill.stage.announced import announced
from tidemill.stage.limits import Allowance, allowance, used


@dataclass(frozen=True)
class RunFacts:
    """A run's records. ``epoch`` is its latest; ``outcome`` how that one ended, None while it goes on."""

    record: RunRecord
    stages: Sequence[StageRecord]
    epoch: int
    outcome: OutcomeRecord | None
    epochs: Sequence[EpochRecord] = ()
    attempts: Sequence[AttemptRecord] = ()

    @property
    def project(self) -> str:
        """The run's project."""
        return self.record.event.project

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self.record.event.run_id

    @property
    def state(self) -> RunState:
        """How its latest epoch stands."""
        return self.outcome.state if self.outcome else "running"

    @property
    def reached(self) -> list[StageName]:
        """The stages behind it, in their order."""
        return [record.stage for record in self.stages]

    @property
    def prepared(self) -> DatasetPrepared | None:
        """The dataset that the run was about, where it ends with that and trains nothing; None before it is there."""
        record = self.stage("preprocess")
        event = announced(record) if record is not None else None
        return event if isinstance(event, DatasetPrepared) and event.final else None

    @property
    def next_stage(self) -> StageName:
        """The first stage that it does not have behind it; ``register`` when there is none."""
        if self.prepared is not None:
            return "register"
        reached = self.reached
        return next((stage for stage in STAGES if stage not in reached), "register")

    @property
    def used(self) -> dict[StageName, ResourceUsage]:
        """What each stage used so far, tries that came to nothing included."""
        return used(self.stages, self.attempts)

    @property
    def allowance(self) -> Allowance:
        """What its latest epoch may take."""
        return allowance(self.record, self.epochs)

    def stage(self, name: StageName) -> StageRecord | None:
        """The record of a stage that it has behind it."""
        return next((record for record in self.stages if record.stage == name), None)

    def last_work(self) -> StageRecord | None:
        """The last stage before ``register`` that it has behind it."""
        done = [record for record in self.stages if record.stage != "register"]
        return done[-1] if done else None


async def read_facts(records: RecordStore, project: str, run_id: str) -> RunFacts | None:
    """Everything on record about a run, None when there is no such run.

    Raises:
        TransientError: the store cannot be reached.
    """
    record, stages, epochs, outcomes, attempts = await asyncio.gather(
        records.run(project, run_id),
        records.stages(project, run_id),
        records.epochs(project, run_id),
        records.outcomes(project, run_id),
        records.run_attempts(project, run_id),
    )
    if record is None:
        return None
    epoch = max([1, *[one.epoch for one in epochs]])
    ended = next((outcome for outcome in outcomes if outcome.epoch == epoch), None)
    in_order = sorted(stages, key=lambda stage: STAGES.index(stage.stage))
    return RunFacts(record, in_order, epoch, ended, epochs, attempts)


def stage_event(record: StageRecord) -> StageEvent | None:
    """The event that a worker's stage announced; None for ``register``, which announces no ``StageEvent``.

    Raises:
        CorruptArtifact: this version cannot read it.
    """
    event = announced(record)
    return event if isinstance(event, StageEvent) else None
