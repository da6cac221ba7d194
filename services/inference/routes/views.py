"""What the gateway itself takes and answers, as pydantic models: the OpenAPI document is made from them.

Views of runs and models are the registry's (``tidemill.contracts.queries``) and pass through unchanged.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from tidemill.contracts import Budget, Name, RunId, StageName
from tidemill.contracts.access import KeyName, Scopes, WrittenRate
from tidemill.contracts.durations import Duration
from tidemill.contracts.erasures import SubjectKind
from tidemill.contracts.references import Frozen
from tidemill.contracts.section import Section
from tidemill.contracts.source_uri import check_secrets

Provenance = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
"""Words about where a dataset comes from."""


class PublishRequest(Section):
    """A dataset that the platform reads by itself."""

    name: Name
    uri: str = Field(min_length=1)
    """``http(s)://``, ``hf://datasets/owner/name`` or ``s3://``; buckets, databases (``postgresql://``, ``sqlite:////``,
    with ``data.query`` in the recipe) and local paths only where the ingest service allows them. Never a password."""
    recipe: dict[str, Any] | None = None
    use_cache: bool = True
    promote: bool | None = None
    append: bool = False
    """The rows are added to the dataset's last version; otherwise they replace it."""
    licence: Provenance | None = None
    """Licence of the dataset as an SPDX identifier or a name."""
    owner: Provenance | None = None

    @field_validator("uri")
    @classmethod
    def _no_secrets(cls, uri: str) -> str:
        return check_secrets(uri)


class PublishForm(BaseModel):
    """Fields of an upload; the files are parts named ``file``, their file names relative paths (``train/a.png``)."""

    name: Name
    recipe: str | None = None
    """YAML or JSON."""
    use_cache: bool = True
    promote: bool | None = None
    append: bool = False
    """The rows are added to the dataset's last version; otherwise they replace it."""
    licence: Provenance | None = None
    """Licence of the dataset as an SPDX identifier or a name."""
    owner: Provenance | None = None
    file: list[bytes] = Field(json_schema_extra={"items": {"type": "string", "format": "binary"}})


class EraseRequest(Section):
    """Whose data is to go. A ``dry_run`` says what would, and changes nothing."""

    subject: str = Field(min_length=1, max_length=200, repr=False)
    """An e-mail address, a phone number, a name, an account: whatever stands for the person."""
    kind: SubjectKind = "any"
    dry_run: bool = False


class PublishLinks(Frozen):
    """Where to go on from here."""

    self: str
    events: str
    model: str
    predict: str


class PublishAnswer(Frozen):
    """A run has begun."""

    run_id: RunId
    name: Name
    events: str
    """Path of the run's server-sent events."""
    links: PublishLinks


class Accepted(Frozen):
    """The command is on its way; it is carried out by the registry."""

    status: Literal["accepted"] = "accepted"
    detail: str


class RetryRequest(Budget):
    """What a retry may take from now on, where that differs; the body may be absent."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class RevokeRequest(Section):
    """Why a version is revoked."""

    reason: str = Field(min_length=1, max_length=1000)


class SignRequest(Section):
    """What the registry is to sign: one version of a model, all of a model, or all there are."""

    name: Name | None = None
    version: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _version_of_a_model(self) -> SignRequest:
        if self.version is not None and self.name is None:
            raise ValueError("name is missing: it says of which model the version is")
        return self


class PromoteRequest(Section):
    """Point an alias to a version."""

    version: int = Field(ge=1)
    alias: Name = "champion"


class KeyRequest(Section):
    """An API key that somebody wants for their project."""

    name: KeyName
    """What it is for, for people."""
    scopes: Scopes
    rate: WrittenRate | None = None
    """At each gateway: ``10/s``, ``600/m``, ``1000/h``, ``5000/d``."""
    body_bytes: int | None = Field(default=None, ge=1)
    """Largest body of its requests."""
    expires_in: Duration | None = None


class RotateRequest(Section):
    """Another key in the place of one; the body may be absent."""

    grace: Duration = timedelta(hours=24)
    """How long the old key is still taken."""


class PredictRequest(BaseModel):
    """Raw instances: for text classification strings, or objects with ``text``."""

    model_config = ConfigDict(extra="forbid")

    instances: list[Any] = Field(min_length=1)
    scores: bool = False
    """Whether every label's score is wanted, not the best one's alone."""


class Prediction(Frozen):
    """One instance's answer."""

    label: str
    score: float
    scores: dict[str, float] | None = None


class PredictAnswer(Frozen):
    """Predictions in the order of the instances."""

    predictions: list[Prediction]
    model: Name
    version: int


class VersionWeight(Frozen):
    """A version in service and its share of the traffic."""

    version: int
    weight: float


class DeploymentView(Frozen):
    """What ought to serve under a name, and what does."""

    name: Name
    state: Literal["loading", "serving", "failed"]
    desired: list[VersionWeight]
    serving: list[VersionWeight]
    variant: str | None = None
    error: str | None = None


class BusStatus(Frozen):
    """Whether NATS can be reached."""

    connected: bool


class RegistryStatus(Frozen):
    """Whether the registry answers, and how fast."""

    reachable: bool
    ms: float | None = None
    error: str | None = None


class StoreStatus(Frozen):
    """Whether the artifact store can be read."""

    reachable: bool
    error: str | None = None


class ConsumerStatus(Frozen):
    """A durable consumer of a stream: who waits for work, and how much work waits."""

    stream: str
    consumer: str
    waiting: int
    """Requests for messages that are open now; 0 for a stage that nobody works or that is busy."""
    in_progress: int
    pending: int


class QueueStatus(Frozen):
    """Rows that wait for a free executor thread."""

    rows: int
    limit: int
    threads: int


class StatusView(Frozen):
    """The platform as the gateway sees it."""

    version: str
    project: Name
    uptime_seconds: float
    bus: BusStatus
    registry: RegistryStatus
    store: StoreStatus
    consumers: list[ConsumerStatus]
    models: list[DeploymentView]
    queue: QueueStatus


class StageAnnounced(Frozen):
    """Server-sent event ``stage``: a fact about the run."""

    stage: StageName | None
    """The stage that is done; None for facts that no stage makes."""
    type: str
    """The event's subject."""
    event: dict[str, Any]


class ProblemDocument(BaseModel):
    """RFC 9457."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
