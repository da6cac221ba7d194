"""Commands: what a person wants done to a run or a model. Durable, in the ``JOBS`` stream, taken by the registry."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tidemill.contracts.economics import Budget
from tidemill.contracts.erasures import ErasureId
from tidemill.contracts.references import Frozen, LetterId, Name, RunId


class CancelRun(Frozen):
    """End a run; its workers stop at once."""

    command: Literal["cancel-run"] = "cancel-run"
    project: Name = "default"
    run_id: RunId
    reason: str = "cancelled by the user"


class RetryRun(Frozen):
    """Start a failed or cancelled run again from the stage where it stopped."""

    command: Literal["retry-run"] = "retry-run"
    project: Name = "default"
    run_id: RunId
    budget: Budget | None = None
    """Limits from now on, where they differ from those that the run had."""


class PromoteVersion(Frozen):
    """Point an alias to a version, whatever the gates say."""

    command: Literal["promote-version"] = "promote-version"
    project: Name = "default"
    name: Name
    version: int = Field(ge=1)
    alias: Name = "champion"


class DeleteModel(Frozen):
    """Delete a model: one version, or all that there are at this moment. Numbers are never given again."""

    command: Literal["delete-model"] = "delete-model"
    project: Name = "default"
    name: Name
    version: int | None = Field(default=None, ge=1)


class DeleteDataset(Frozen):
    """Delete what the runs of a dataset that have ended took in and prepared; models trained on it stay."""

    command: Literal["delete-dataset"] = "delete-dataset"
    project: Name = "default"
    name: Name


class ReplayDeadLetter(Frozen):
    """Publish a dead letter's message again on its first subject; its run, if it has one, is running again."""

    command: Literal["replay-dead-letter"] = "replay-dead-letter"
    project: Name = "default"
    letter: LetterId
    """The dead letter's id."""


class EraseSubject(Frozen):
    """Erase a person's data. The value is no part of the command, since streams keep what they carried: it waits in the
    store, and is removed from there when the erasure is done."""

    command: Literal["erase-subject"] = "erase-subject"
    project: Name = "default"
    erasure: ErasureId


Command = Annotated[
    CancelRun | RetryRun | PromoteVersion | DeleteModel | DeleteDataset | ReplayDeadLetter | EraseSubject,
    Field(discriminator="command"),
]
