"""Questions that the registry answers over NATS request-reply, and the views it answers with.

Subject ``tidemill.query.<question>``; the request is one of the frozen models below as JSON. The answer is
``Answer``: either ``value`` (JSON of the view) or ``problem``. The gateway passes views through unchanged.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar, Literal

from pydantic import Field

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
    promoted: bool = False
    reason: str = ""
    """Why the version was promoted or was not."""
    metrics: dict[str, float] = Field(default_factory=dict)
    """Of the serving variant on the test part."""
    original: VariantFigures | None = None
    compressed: VariantFigures | None = None
    cross_validation: FoldSummary | None = None
    usage: ResourceUsage = ResourceUsage()
    trace_id: str | None = None
    uri: str | None = None
    rows: int | None = None
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
    ingested: ArtifactRef | None = None
    source: ArtifactRef | None = None
    recipe: ArtifactRef
    metrics: dict[str, float]
    evaluation: EvaluationSummary
    variants: list[VariantFigures]
    serving_variant: str
    usage: ResourceUsage = ResourceUsage()


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
    """Answer: list of ``ModelRow``."""

    subject: ClassVar[str] = "tidemill.query.models.list"


class ShowModel(Question):
    """Answer: ``ModelView``."""

    subject: ClassVar[str] = "tidemill.query.models.show"
    name: Name


class ListDeadLetters(Question):
    """Newest first. Answer: list of ``DeadLetterView``."""

    subject: ClassVar[str] = "tidemill.query.dead.list"
    limit: int = Field(default=50, ge=1, le=1000)


QUESTION_TYPES: tuple[type[Question], ...] = (ListRuns, ShowRun, ListModels, ShowModel, ListDeadLetters)


class Problem(Frozen):
    """Why a question has no answer."""

    kind: Literal["not-found", "invalid", "unavailable"]
    detail: str


class Answer(Frozen):
    """The reply to a question."""

    value: Any = None
    problem: Problem | None = None
