"""The command that hands one job of a stage to a worker: everything it needs, by value or by reference."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any

from pydantic import Field, model_validator

from tidemill.contracts import ArtifactRef, Frozen, Name, ResourceClass, RunId, StageName


class JobCommand(Frozen):
    """Do one job of a stage, and join the stage if it was the last.

    ``fingerprints`` are those of all jobs of the stage in the order of the plan; ``index`` is this job's place.
    """

    project: Name
    run_id: RunId
    stage: StageName
    event: dict[str, Any]
    """The event that the stage took, complete: a worker joins with it."""
    index: int = Field(ge=0)
    fingerprints: list[str] = Field(min_length=1)
    spec: dict[str, Any]
    inputs: dict[str, ArtifactRef]
    resource_class: ResourceClass
    title: str = ""
    started_at: datetime
    """When the stage took its event."""
    earlier: list[list[str]] = Field(default_factory=list)
    """Fingerprints of the jobs of the rounds before this one, for a stage that works in rounds."""
    rounds: bool = False
    """Whether another round may follow."""
    cause: str = ""
    """What brought the stage's event: names the messages that queue its jobs."""
    steps: list[str] = Field(default_factory=list)
    """Fingerprints of the outcomes of the job's steps."""
    snapshot: bool = False
    """Copy what the event's URI names into the store; the stage is planned when it is there."""

    @model_validator(mode="after")
    def _is_one_of_its_jobs(self) -> JobCommand:
        if self.index >= len(self.fingerprints):
            raise ValueError(f"index {self.index} is none of {len(self.fingerprints)} jobs")
        return self

    @property
    def fingerprint(self) -> str:
        """This job's own fingerprint."""
        return self.fingerprints[self.index]

    @property
    def stage_jobs(self) -> list[str]:
        """Fingerprints of all jobs of the stage so far, round by round."""
        return [one for round in (*self.earlier, self.fingerprints) for one in round]

    @property
    def alone(self) -> bool:
        """Whether the stage is joined right behind this job, since it has no other."""
        return len(self.stage_jobs) == 1 and not self.rounds and not self.snapshot

    def message_id(self, cause: str) -> str:
        """``Nats-Msg-Id``: one job is queued once for each ``cause``, the id of the event announcement behind it."""
        return hashlib.sha256(f"{self.run_id}\n{self.fingerprint}\n{cause}".encode()).hexdigest()[:32]
