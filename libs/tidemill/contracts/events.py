"""The events: frozen facts in the past tense. They carry references and figures, never bytes.

Subject: ``tidemill.<entity>.<fact>.v1``. Consumers ignore fields that they do not know; a new optional field is
compatible, anything else is a ``v2``. ``EVENTS`` maps every subject to its type.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar, Literal, get_args

from pydantic import Field, field_validator, model_validator

from tidemill.contracts.erasures import ErasureId
from tidemill.contracts.evaluation import EvaluationSummary, FoldSummary, VariantFigures
from tidemill.contracts.references import ArtifactRef, Frozen, Name, RunId, StageName
from tidemill.contracts.usage import ResourceUsage

RunState = Literal["running", "finished", "failed", "cancelled"]

FailureKind = Literal["permanent", "exhausted", "budget", "time-limit"]
"""``permanent``: the input has to change. ``exhausted``: too many tries failed. ``budget``: ``economics.max_cost`` or
``max_wall_time`` was used up. ``time-limit``: a stage worked longer than it may."""


def failure_kind(text: str) -> FailureKind:
    """``text`` as a kind of failure; one that this version does not know is permanent."""
    return next((kind for kind in get_args(FailureKind) if kind == text), "permanent")


class Event(Frozen):
    """What every event carries."""

    subject: ClassVar[str]

    project: Name = "default"
    run_id: RunId


class DatasetPublished(Event):
    """Somebody wants a model from a dataset: a ``uri`` to read, or a ``source`` that is in the store already.

    ``run_id`` may be absent on the wire when a plain NATS client publishes; the consumer then derives it from the
    stream and sequence, so that a redelivery is the same run.
    """

    subject: ClassVar[str] = "tidemill.dataset.published.v1"

    name: Name
    """Name of the dataset and of the model that comes out."""
    uri: str | None = None
    """``file://``, ``http(s)://``, ``s3://``, ``hf://datasets/owner/name``, a database (``postgresql://``,
    ``sqlite:////``; read by ``data.query`` of the recipe) or an absolute path on the ingest service's machine. Never
    with a password: an event is kept on record."""
    source: ArtifactRef | None = None
    """The dataset's files as uploaded, or what ingest found at ``uri``; it is taken where both are there."""
    recipe: dict[str, Any] | None = None
    """The recipe as the user wrote it; ingest resolves and freezes it."""
    origin: Literal["bus", "http"] = "bus"
    """How it came in. What came in over HTTP may not read local paths or private addresses."""
    use_cache: bool = True
    """False works everything again, even where a result for the same inputs exists."""
    promote: bool | None = None
    """Overrides ``promotion.enabled`` of the recipe."""
    append: bool = False
    """The rows are added to the dataset's last version; otherwise they replace it."""
    licence: str | None = None
    owner: str | None = None
    """Provenance, where the publisher knows it; ``data.licence`` and ``data.owner`` of the recipe count first."""
    version: int | None = Field(default=None, ge=1)
    """Ingest's own: the number of the dataset version that this run makes."""
    previous: ArtifactRef | None = None
    """Ingest's own: the ingested dataset of the version before, as it was found when the run was planned."""
    erasure: ErasureId | None = None
    """The erasure that made the source out of the dataset's last version, without the rows of a person."""

    @model_validator(mode="after")
    def _names_a_source(self) -> DatasetPublished:
        if self.uri is None and self.source is None:
            raise ValueError("give uri or source")
        return self


class StageEvent(Event):
    """A stage is done. ``recipe`` is the frozen recipe, ``usage`` what the stage's jobs used."""

    name: Name
    recipe: ArtifactRef
    usage: ResourceUsage = ResourceUsage()
    use_cache: bool = True


class DatasetIngested(StageEvent):
    """The dataset was read into an immutable Parquet version."""

    subject: ClassVar[str] = "tidemill.dataset.ingested.v1"

    source: ArtifactRef
    dataset: ArtifactRef
    task: str
    rows: int
    parts: dict[str, int]
    """Rows by part: ``{"data": n}``, or the given parts ``train``, ``validation``, ``test``."""
    version: int | None = None
    """Number of the dataset version."""
    report: ArtifactRef | None = None
    """What was repaired, what drifted against the version before, how many rows were bad."""
    quarantine: ArtifactRef | None = None
    """The bad rows that were put aside, with row number and reason."""
    bad_rows: int = 0
    """Rows that could not be read and were left out."""


class DatasetPrepared(StageEvent):
    """The dataset is clean and cut into training, validation and test parts that share no example."""

    subject: ClassVar[str] = "tidemill.dataset.prepared.v1"

    ingested: ArtifactRef
    dataset: ArtifactRef
    task: str
    parts: dict[str, int]
    labels: list[str]
    """The classes, sorted; none for a task without classes."""
    report: ArtifactRef | None = None
    """The data report: ``report.json`` and ``report.html``."""
    vault: ArtifactRef | None = None
    """What the reversible tokens of personal data stand for, encrypted."""
    final: bool = False
    """The run ends here (``until: prepared``): nothing is trained."""


class ModelTrained(StageEvent):
    """A model exists and has been evaluated on the held-out test part."""

    subject: ClassVar[str] = "tidemill.model.trained.v1"

    dataset: ArtifactRef
    model: ArtifactRef
    task: str
    evaluation: EvaluationSummary
    """On the test part."""
    validation: EvaluationSummary
    cross_validation: FoldSummary | None = None


class ModelCompressed(StageEvent):
    """Every candidate was measured beside the original and one was chosen; ``model`` holds them all."""

    subject: ClassVar[str] = "tidemill.model.compressed.v1"

    dataset: ArtifactRef
    trained: ArtifactRef
    model: ArtifactRef
    task: str
    evaluation: EvaluationSummary
    """Of the chosen variant, on the test part."""
    original: VariantFigures
    compressed: VariantFigures
    """Figures of the chosen variant."""
    variants: list[VariantFigures]
    reason: str = ""
    """Why that one, in a sentence for a person."""
    failed: dict[str, str] = Field(default_factory=dict)
    """Candidates that could not be made, with the reason."""


class ModelRegistered(Event):
    """A model package became a numbered version."""

    subject: ClassVar[str] = "tidemill.model.registered.v1"

    name: Name
    version: int = Field(ge=1)
    model: ArtifactRef
    dataset: ArtifactRef


class ModelPromoted(Event):
    """An alias points to a version now; ``previous`` is the version it pointed to before."""

    subject: ClassVar[str] = "tidemill.model.promoted.v1"

    name: Name
    alias: Name
    version: int = Field(ge=1)
    previous: int | None = None
    reason: str


class RunProgressed(Event):
    """Live progress of one job; core NATS, not stored."""

    subject: ClassVar[str] = "tidemill.run.progressed.v1"

    stage: StageName
    job: str = ""
    """Which of the stage's jobs, e.g. ``fold 2 of 5``; empty when there is one."""
    fraction: float | None = Field(default=None, ge=0, le=1)
    message: str = ""
    metrics: dict[str, float] = Field(default_factory=dict)


class RunFailed(Event):
    """The run cannot go on. ``retry`` starts again from ``stage``.

    The failed event is in the dead letters, unless a limit ended the run: nothing is wrong with the event then.
    """

    subject: ClassVar[str] = "tidemill.run.failed.v1"

    stage: StageName
    error: str
    kind: FailureKind

    @field_validator("kind", mode="before")
    @classmethod
    def _known_kind(cls, kind: Any) -> Any:
        return failure_kind(kind) if isinstance(kind, str) else kind


class RunFinished(Event):
    """The run reached its end: finished with a model version, or cancelled."""

    subject: ClassVar[str] = "tidemill.run.finished.v1"

    state: Literal["finished", "cancelled"]
    name: Name | None = None
    version: int | None = None
    promoted: bool = False
    reason: str = ""


class FeedbackReceived(Event):
    """The truth about an earlier prediction."""

    subject: ClassVar[str] = "tidemill.feedback.received.v1"

    name: Name
    version: int
    prediction_id: str
    label: str


class DriftDetected(Event):
    """The inputs or predictions of a served model moved away from those of its training data."""

    subject: ClassVar[str] = "tidemill.drift.detected.v1"

    name: Name
    version: int
    statistic: str
    value: float
    threshold: float


class AlertRaised(Event):
    """Something needs a person."""

    subject: ClassVar[str] = "tidemill.alert.raised.v1"

    name: Name | None = None
    severity: Literal["info", "warning", "critical"]
    message: str
    raised_at: datetime


EVENT_TYPES: tuple[type[Event], ...] = (
    DatasetPublished, DatasetIngested, DatasetPrepared, ModelTrained, ModelCompressed, ModelRegistered,
    ModelPromoted, RunProgressed, RunFailed, RunFinished, FeedbackReceived, DriftDetected, AlertRaised,
)  # fmt: skip
EVENTS: dict[str, type[Event]] = {event.subject: event for event in EVENT_TYPES}
