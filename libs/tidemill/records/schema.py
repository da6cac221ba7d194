"""Records: small create-only JSON documents beside the artifacts. What happened, and what was decided.

    records/<project>/runs/<run_id>/run.json                  RunRecord: who wanted what (written first)
    records/<project>/runs/<run_id>/stages/<stage>.json       StageRecord: the event a stage announced
    records/<project>/runs/<run_id>/dataset.json              ClaimedVersion: which version of its dataset it makes
    records/<project>/datasets/<name>/<version>.json          DatasetVersionRecord: provenance of a dataset version
    records/<project>/runs/<run_id>/outcomes/<epoch>.json     OutcomeRecord: how an epoch ended; a retry starts the next
    records/<project>/runs/<run_id>/epochs/<epoch>.json       EpochRecord: a retry, from the second epoch on
    records/<project>/attempts/<run_id>/<fingerprint>/<attempt id>.json  AttemptRecord: a try of one job
    records/<project>/results/<fingerprint>.json              ResultRecord: the commit of a job
    records/<project>/results/<fingerprint>.<generation>.json   from the second on: its artifacts were lost before
    records/<project>/checkpoints/<fingerprint>/<token>-<n>.json  CheckpointRecord
    records/<project>/dead-letters/<id>.json                  DeadLetterRecord: a message that nobody could handle
    records/<project>/dead-letters/listed/<time>-<id>.json    ListedLetter: the same by time
    records/<project>/dead-letters/replayed/<id>.json         ReplayRecord: it was published again
    records/<project>/erasures/<id>.json                      ErasureReport: what was erased for a person
    records/<project>/decisions/<sequence>.json               DecisionRecord: hash-chained, source of the registry
    records/<project>/audit/<sequence>.json                   AuditRecord: hash-chained, who did what

Numbers in keys are zero-padded so that the store lists them in order.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import uuid4

from pydantic import ConfigDict, Field

from tidemill.contracts import (
    ArtifactRef,
    Budget,
    Cost,
    DatasetPublished,
    Frozen,
    LetterId,
    ModelCompressed,
    Name,
    PackageSignature,
    ResourceUsage,
    RunId,
    RunState,
    StageName,
)
from tidemill.contracts.access import Actor, KeyGrant, KeyId
from tidemill.contracts.erasures import ErasureId


class RunRecord(Frozen):
    """A run exists: what was published, when, by whom, and the trace it belongs to."""

    event: DatasetPublished
    created_at: datetime
    traceparent: str | None = None
    actor: str = "local"
    """Who published it; see ``AuditEntry``."""


class StageRecord(Frozen):
    """A stage of a run is done. ``event`` is what it announced; the reconciler can announce it again."""

    stage: StageName
    subject: str
    event: dict[str, Any]
    fingerprint: str
    """Hash over the fingerprints of the stage's jobs."""
    started_at: datetime
    """When the stage took its event."""
    finished_at: datetime
    cached: bool
    """Every job's result existed already."""
    jobs: int
    fingerprints: list[str] = Field(default_factory=list)
    """Of its jobs, round by round; none on record by a version that did not keep them."""


class DatasetVersionRecord(Frozen):
    """A version of a dataset: where it comes from. Claimed when the first run of it is planned, before it is read.

    A run of the same source, read in the same way, as the version before, which was taken in, makes none of its own.
    """

    name: Name
    version: int = Field(ge=1)
    run_id: RunId
    """The run that claimed it; its ingest stage record names the ingested dataset."""
    source: ArtifactRef
    append: bool = False
    """Its rows are those of ``previous`` and then those of ``source``."""
    previous: ArtifactRef | None = None
    """The ingested dataset of the version before."""
    reading: str = ""
    """Hash of what the recipe says about reading the source."""
    uri: str | None = None
    licence: str | None = None
    owner: str | None = None
    erasure: ErasureId | None = None
    """Provenance "erasure": it is the version before without the rows of a person."""
    at: datetime


class ClaimedVersion(Frozen):
    """Which version of its dataset a run makes."""

    name: Name
    version: int = Field(ge=1)


class OutcomeRecord(Frozen):
    """How an epoch of a run ended. Epoch 1 is the first; every retry starts another."""

    epoch: int = Field(ge=1)
    state: RunState
    ended_at: datetime
    stage: StageName | None = None
    """Where it failed or was cancelled."""
    error: str | None = None
    evidence: ArtifactRef | None = None
    """A report that shows what is wrong: the data report of a dataset that did not pass its quality gate."""
    name: str | None = None
    version: int | None = None
    promoted: bool = False
    reason: str = ""
    cost: Cost | None = None
    """What the run cost when its budget stopped it, at the prices of that moment."""
    command: str | None = None
    """Identity of the command that cancelled it, so that its redelivery does not cancel a later epoch."""


class EpochRecord(Frozen):
    """A run that had ended goes on: a retry starts the next epoch. The first epoch has no such record."""

    epoch: int = Field(ge=2)
    started_at: datetime
    reason: str = ""
    budget: Budget | None = None
    """Limits from this epoch on, where they differ from those before."""
    command: str | None = None
    """Identity of the command that asked for it, so that its redelivery does not start another one."""


AttemptKind = Literal[
    "crash", "transient", "permanent", "unforeseen", "handed-back", "cancelled", "lost", "budget", "time-limit",
    "finished",
]  # fmt: skip


class AttemptRecord(Frozen):
    """One try of a job, and how it ended. Crashes and unforeseen errors count towards the limit within its epoch.

    ``lost`` is one whose worker went without a word, as far as its last sign of life tells. ``finished`` is on record
    where a stage has several jobs, so that a stage that never ends still says what it used.
    """

    attempt_id: str = Field(default_factory=lambda: uuid4().hex)
    run_id: RunId
    epoch: int
    stage: StageName
    fingerprint: str
    kind: AttemptKind
    error: str
    at: datetime
    """When it ended; of a lost one, when that was noticed."""
    started_at: datetime | None = None
    ended_at: datetime | None = None
    """``at``, or the last sign of life of a lost one."""
    instance: str = ""
    """The worker."""
    usage: ResourceUsage = ResourceUsage()


class ResultRecord(Frozen):
    """The commit of a job: written once under its fingerprint; whoever comes later adopts it.

    A job whose result names an artifact that is lost is worked again, and committed as the next generation.
    """

    fingerprint: str
    stage: StageName
    result: dict[str, Any]
    artifacts: dict[str, ArtifactRef]
    usage: ResourceUsage
    committed_at: datetime
    run_id: RunId
    """The run whose job made it; others adopt it."""
    attempt_id: str | None = None
    """The try that made it."""


class CheckpointRecord(Frozen):
    """A resumable checkpoint of a job, written under the fencing token of the lease that its worker held."""

    fingerprint: str
    token: int
    number: int
    artifact: ArtifactRef
    at: datetime


class DeadLetterRecord(Frozen):
    """A message that nobody could handle, as it came, and why. Its body is base64 on record."""

    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_bytes="base64", val_json_bytes="base64")

    id: LetterId
    """Made of the message, its stage, its run and epoch: the same letter is kept once."""
    subject: str
    stage: str
    error: str
    kind: str
    run_id: RunId | None = None
    epoch: int = 1
    at: datetime
    headers: dict[str, str] = Field(default_factory=dict)
    body: bytes


class ListedLetter(Frozen):
    """Says that a dead letter is on the list; its key tells when it came there."""

    id: LetterId


class ReplayRecord(Frozen):
    """A dead letter was published again, under the message id ``identity``, and is off the list."""

    identity: str
    at: datetime


class VersionRegistered(Frozen):
    """A model package became version ``version`` of ``name``."""

    kind: Literal["version-registered"] = "version-registered"
    name: Name
    version: int = Field(ge=1)
    run_id: RunId
    event: ModelCompressed
    signature: PackageSignature | None = None
    """None of a version that was registered before packages were signed."""


class VersionSigned(Frozen):
    """A version on record has this signature from now on: somebody trusts what is on record under a new key."""

    kind: Literal["version-signed"] = "version-signed"
    name: Name
    version: int = Field(ge=1)
    signature: PackageSignature
    command: str = ""
    """Identity of the command, which may be delivered twice."""


class VersionRevoked(Frozen):
    """A version must not serve any more. It stays on record, with its package, as evidence."""

    kind: Literal["version-revoked"] = "version-revoked"
    name: Name
    version: int = Field(ge=1)
    reason: str
    aliases: dict[Name, int | None] = Field(default_factory=dict)
    """Where the aliases point now that pointed to it: the last version before that is good, or none."""
    command: str = ""
    """Identity of the command, which may be delivered twice."""


class AliasMoved(Frozen):
    """``alias`` of ``name`` points to ``version`` now; ``previous`` is what the mover saw before (compare-and-set)."""

    kind: Literal["alias-moved"] = "alias-moved"
    name: Name
    alias: Name
    version: int = Field(ge=1)
    previous: int | None
    reason: str
    run_id: RunId | None = None


class ModelDeleted(Frozen):
    """Versions of ``name`` are no more: all that there were, or one. Their numbers are never given again."""

    kind: Literal["model-deleted"] = "model-deleted"
    name: Name
    versions: tuple[int, ...] = Field(min_length=1)
    command: str = ""
    """Identity of the command, which may be delivered twice."""
    reason: str = "deleted by a person"


class DatasetDeleted(Frozen):
    """What the runs ``runs`` took in and prepared under ``name`` is no more; models trained on it stay."""

    kind: Literal["dataset-deleted"] = "dataset-deleted"
    name: Name
    runs: tuple[RunId, ...] = Field(min_length=1)
    """Those that had ended when it was decided and were not deleted before."""
    command: str = ""
    """Identity of the command, which may be delivered twice."""
    reason: str = "deleted by a person"


class KeyIssued(Frozen):
    """An API key exists. Of its secret only the digest is on record.

    One that replaces another keeps what that one may do; the other is taken until ``replaced_until``.
    """

    kind: Literal["key-issued"] = "key-issued"
    key_id: KeyId
    digest: str
    """sha256 of the secret, in hex."""
    grant: KeyGrant
    actor: Actor = "local"
    replaces: KeyId | None = None
    replaced_until: datetime | None = None


class KeyRevoked(Frozen):
    """An API key is no longer taken."""

    kind: Literal["key-revoked"] = "key-revoked"
    key_id: KeyId
    actor: Actor = "local"
    reason: str = "revoked by a person"


Decision = Annotated[
    VersionRegistered
    | VersionSigned
    | VersionRevoked
    | AliasMoved
    | ModelDeleted
    | DatasetDeleted
    | KeyIssued
    | KeyRevoked,
    Field(discriminator="kind"),
]


class Link(Frozen):
    """One link of a hash chain: ``digest`` covers ``previous``, ``at`` and what the link says."""

    sequence: int = Field(ge=1)
    previous: str
    """Digest of the link before; 64 zeros for the first."""
    at: datetime
    digest: str


class DecisionRecord(Link):
    """One link of a project's chain of decisions."""

    decision: Decision


class AuditEntry(Frozen):
    """A control action: who did what to which, and how it went."""

    actor: str
    """``key:<id>``, ``oidc:<subject>``, ``operator`` (the gateway's own key), ``local`` (this machine),
    ``nats`` (a plain client of the bus) or ``service:<name>`` (the platform itself)."""
    action: str
    """What was asked for, in the imperative: ``promote-version``."""
    subject: str
    """What it was done to: ``run:<id>``, ``model:<name>:<version>``; never a person's data."""
    outcome: Literal["done", "refused"]
    reason: str = ""
    """Why it was refused, or why it was done where somebody said so."""
    command: str | None = None
    """Identity of the command, which may be delivered several times."""
    trace_id: str | None = None


class AuditRecord(Link):
    """One link of a project's audit log."""

    entry: AuditEntry
