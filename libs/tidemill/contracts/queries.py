"""Questions that the registry answers over NATS request-reply, and the views it answers with.

Subject ``tidemill.query.<question>``; the request is one of the frozen models below as JSON. The answer is
``Answer``: either ``value`` (JSON of the view) or ``problem``. The gateway passes views through unchanged.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar, Literal

from pydantic import Field

from tidemill.contracts.economics import Budget, Cost
from tidemill.contracts.erasures import ErasureId
from tidemill.contracts.evaluation import EvaluationSummary, FoldSummary, VariantFigures
from tidemill.contracts.events import RunState
from tidemill.contracts.references import ArtifactRef, Frozen, LetterId, Name, RunId, StageName
from tidemill.contracts.usage import ResourceUsage


class StageView(Frozen):
    """One stage of a run as a person sees it."""

    name: StageName
    state: Literal["waiting", "running", "finished", "failed", "cancelled"]
    seconds: float | None = None
    """From taking its event to announcing its own."""
    cached: bool = False
    jobs: int = 0
    usage: ResourceUsage = ResourceUsage()
    """Of all its tries in this run, interrupted ones included."""
    cost: float | None = None
    """Of ``usage``, in the currency of the run's cost; None where there is no price book."""
    fraction: float | None = None
    message: str = ""


class RunView(Frozen):
    """One run, everything a person wants to know about it."""

    project: Name
    run_id: RunId
    name: Name
    state: RunState
    created_at: datetime
    ended_at: datetime | None = None
    seconds: float | None = None
    stages: list[StageView]
    error: str | None = None
    error_stage: StageName | None = None
    model: Name | None = None
    version: int | None = None
    version_deleted: bool = False
    """The version that it made was deleted since."""
    dataset_deleted: bool = False
    """What it took in and prepared was deleted since."""
    promoted: bool = False
    reason: str = ""
    """Why the version was promoted or was not."""
    metrics: dict[str, float] = Field(default_factory=dict)
    """Of the serving variant on the test part."""
    original: VariantFigures | None = None
    compressed: VariantFigures | None = None
    cross_validation: FoldSummary | None = None
    usage: ResourceUsage = ResourceUsage()
    """Of all stages and tries so far, but not of the try in hand."""
    cost: Cost | None = None
    """Of ``usage``, at the prices of the registry now; None where there is no price book."""
    budget: Budget = Budget()
    """The limits of its latest epoch."""
    trace_id: str | None = None
    uri: str | None = None
    rows: int | None = None
    bad_rows: int = 0
    """Rows that could not be read and were left out; ``quarantined``: they were put aside."""
    quarantined: bool = False
    labels: list[str] = Field(default_factory=list)


class RunRow(Frozen):
    """One run in a list."""

    run_id: RunId
    name: Name
    state: RunState
    stage: StageName | None = None
    """The stage it is in, or ended in."""
    created_at: datetime
    seconds: float | None = None
    model: Name | None = None
    version: int | None = None
    version_deleted: bool = False
    error: str | None = None


class VersionView(Frozen):
    """One version of a model, with what it came from."""

    name: Name
    version: int
    aliases: list[str]
    registered_at: datetime
    task: str
    run_id: RunId
    model: ArtifactRef
    dataset: ArtifactRef
    """The prepared dataset: parts and rows."""
    dataset_deleted: bool = False
    """The dataset, what it was prepared from and its source were deleted since."""
    ingested: ArtifactRef | None = None
    source: ArtifactRef | None = None
    recipe: ArtifactRef
    metrics: dict[str, float]
    evaluation: EvaluationSummary
    variants: list[VariantFigures]
    serving_variant: str
    usage: ResourceUsage = ResourceUsage()
    cost: Cost | None = None
    """Of the run that registered it, at the prices of the registry now."""


class ModelView(Frozen):
    """A model: its aliases and versions, newest first."""

    name: Name
    task: str
    aliases: dict[str, int]
    versions: list[VersionView]


class ModelRow(Frozen):
    """One model in a list."""

    name: Name
    task: str
    versions: int
    champion: int | None = None
    metrics: dict[str, float] = Field(default_factory=dict)
    updated_at: datetime


class DatasetRow(Frozen):
    """A dataset in a list: everything that was published under one name."""

    name: Name
    task: str | None = None
    """None while no run has taken it in."""
    versions: int
    """Different contents that were taken in and not deleted."""
    rows: int | None = None
    """Of the newest of them."""
    size_bytes: int
    """Of their sources, and of them as taken in and as prepared."""
    runs: int
    running: int
    deleted: bool
    """Nothing of it is left: all runs have ended and what they took in was deleted."""
    updated_at: datetime


class DatasetVersionView(Frozen):
    """A version of a dataset: where it comes from, and how much was taken in."""

    version: int
    run_id: RunId
    """The run that made it."""
    at: datetime
    uri: str | None = None
    """None of an upload."""
    source: str
    """Digest of its source as it was brought."""
    licence: str | None = None
    owner: str | None = None
    append: bool = False
    """Its rows were added to those of the version before."""
    erasure: ErasureId | None = None
    """The erasure that made it: it is the version before without the rows of a person."""
    rows: int | None = None
    """None while its run has not taken it in."""
    parts: dict[str, int] = Field(default_factory=dict)
    dataset: str | None = None
    quarantined: bool = False
    """Whether rows were put aside that could not be read."""


RunArtifact = Literal["dataset", "ingested", "quarantine", "report", "vault"]
"""What a run made of its dataset and can be taken away; ``dataset`` is the prepared one."""


class ArtifactFiles(Frozen):
    """An artifact's files: bytes by path."""

    digest: str
    files: dict[str, int]


class DeadLetterView(Frozen):
    """One message that nobody could handle, and why."""

    id: LetterId
    """The same for as long as the platform lives, also on another machine."""
    subject: str
    stage: str
    error: str
    kind: str
    run_id: RunId | None = None
    at: datetime
    data: str
    """The message's bytes as text, cut to 4,000 characters."""


class Question(Frozen):
    """What every question carries."""

    subject: ClassVar[str]

    project: Name = "default"


class ListRuns(Question):
    """Newest first. Answer: list of ``RunRow``."""

    subject: ClassVar[str] = "tidemill.query.runs.list"
    limit: int = Field(default=50, ge=1, le=1000)
    state: RunState | None = None


class ShowRun(Question):
    """Answer: ``RunView``."""

    subject: ClassVar[str] = "tidemill.query.runs.show"
    run_id: RunId


class ListModels(Question):
    """Those with the newest versions first. Answer: list of ``ModelRow``."""

    subject: ClassVar[str] = "tidemill.query.models.list"
    limit: int = Field(default=200, ge=1, le=1000)


class ShowModel(Question):
    """Answer: ``ModelView``."""

    subject: ClassVar[str] = "tidemill.query.models.show"
    name: Name


class ListDatasets(Question):
    """Those with the newest runs first. Answer: list of ``DatasetRow``."""

    subject: ClassVar[str] = "tidemill.query.datasets.list"
    limit: int = Field(default=200, ge=1, le=1000)
    name: Name | None = None
    """Only the dataset of this name."""


class ListDeadLetters(Question):
    """Newest first. Answer: list of ``DeadLetterView``."""

    subject: ClassVar[str] = "tidemill.query.dead.list"
    limit: int = Field(default=50, ge=1, le=1000)


QUESTION_TYPES: tuple[type[Question], ...] = (
    ListRuns, ShowRun, ListModels, ShowModel, ListDatasets, ListDeadLetters,
)  # fmt: skip


class Problem(Frozen):
    """Why a question has no answer."""

    kind: Literal["not-found", "invalid", "unavailable"]
    detail: str


class Answer(Frozen):
    """The reply to a question."""

    value: Any = None
    problem: Problem | None = None
