"""Commands: what a person wants done to a run, a model or a key. Durable, in the stream ``JOBS``, for the registry.

``actor`` says who wants it, for the audit log: ``key:<id>``, ``oidc:<subject>``, ``operator`` or ``local``.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from tidemill.contracts.access import KeyGrant, KeyId
from tidemill.contracts.economics import Budget
from tidemill.contracts.erasures import ErasureId
from tidemill.contracts.references import Frozen, LetterId, Name, RunId


class CancelRun(Frozen):
    """End a run; its workers stop at once."""

    command: Literal["cancel-run"] = "cancel-run"
    project: Name = "default"
    actor: str = "local"
    run_id: RunId
    reason: str = "cancelled by the user"


class RetryRun(Frozen):
    """Start a failed or cancelled run again from the stage where it stopped."""

    command: Literal["retry-run"] = "retry-run"
    project: Name = "default"
    actor: str = "local"
    run_id: RunId
    budget: Budget | None = None
    """Limits from now on, where they differ from those that the run had."""


class PromoteVersion(Frozen):
    """Point an alias to a version, whatever the gates say."""

    command: Literal["promote-version"] = "promote-version"
    project: Name = "default"
    actor: str = "local"
    name: Name
    version: int = Field(ge=1)
    alias: Name = "champion"


class RevokeVersion(Frozen):
    """Take a version out of service for good; its aliases fall back to the last good version, or to none."""

    command: Literal["revoke-version"] = "revoke-version"
    project: Name = "default"
    actor: str = "local"
    name: Name
    version: int = Field(ge=1)
    reason: str = Field(min_length=1, max_length=1000)


class SignVersions(Frozen):
    """Sign the versions on record that no trusted signer has signed: one version, all of a model, or all there are.

    Whoever asks for it says that what is on record is what was registered; nothing else can tell.
    """

    command: Literal["sign-versions"] = "sign-versions"
    project: Name = "default"
    actor: str = "local"
    name: Name | None = None
    version: int | None = Field(default=None, ge=1)
    """Of the model ``name``."""


class DeleteModel(Frozen):
    """Delete a model: one version, or all that there are at this moment. Numbers are never given again."""

    command: Literal["delete-model"] = "delete-model"
    project: Name = "default"
    actor: str = "local"
    name: Name
    version: int | None = Field(default=None, ge=1)


class DeleteDataset(Frozen):
    """Delete what the runs of a dataset that have ended took in and prepared; models trained on it stay."""

    command: Literal["delete-dataset"] = "delete-dataset"
    project: Name = "default"
    actor: str = "local"
    name: Name


class ReplayDeadLetter(Frozen):
    """Publish a dead letter's message again on its first subject; its run, if it has one, is running again."""

    command: Literal["replay-dead-letter"] = "replay-dead-letter"
    project: Name = "default"
    actor: str = "local"
    letter: LetterId
    """The dead letter's id."""


class IssueKey(Frozen):
    """Let an API key be taken; whoever made it keeps its secret."""

    command: Literal["issue-key"] = "issue-key"
    project: Name = "default"
    actor: str = "local"
    key_id: KeyId
    digest: str = Field(pattern=r"^[0-9a-f]{64}$")
    """sha256 of the secret, in hex."""
    grant: KeyGrant


class RotateKey(Frozen):
    """Let another API key take the place of one, which is taken itself until ``until``."""

    command: Literal["rotate-key"] = "rotate-key"
    project: Name = "default"
    actor: str = "local"
    key_id: KeyId
    """The key that is replaced."""
    by: KeyId
    digest: str = Field(pattern=r"^[0-9a-f]{64}$")
    """Of the new secret."""
    until: datetime


class RevokeKey(Frozen):
    """Take an API key no longer."""

    command: Literal["revoke-key"] = "revoke-key"
    project: Name = "default"
    actor: str = "local"
    key_id: KeyId
    reason: str = "revoked by a person"


class EraseSubject(Frozen):
    """Erase a person's data. The value is no part of the command, since streams keep what they carried: it waits in the
    store, and is removed from there when the erasure is done."""

    command: Literal["erase-subject"] = "erase-subject"
    project: Name = "default"
    actor: str = "local"
    erasure: ErasureId


Command = Annotated[
    CancelRun
    | RetryRun
    | PromoteVersion
    | RevokeVersion
    | SignVersions
    | DeleteModel
    | DeleteDataset
    | ReplayDeadLetter
    | IssueKey
    | RotateKey
    | RevokeKey
    | EraseSubject,
    Field(discriminator="command"),
]
