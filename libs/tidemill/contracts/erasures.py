"""Erasures as people ask for them and are told of them. None of these holds the value that was erased."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from tidemill.contracts.privacy import EntityName
from tidemill.contracts.references import Digest, Frozen, Name, RunId

SubjectKind = EntityName | Literal["any"]
"""What the value is; ``any`` goes by its form."""

ErasureId = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
"""Names an erasure; whoever asked keeps it, since nothing else tells whose it was."""

Fate = Literal["removed", "kept-model", "kept-shared"]


class ErasedArtifact(Frozen):
    """An artifact that held the person's data, or was made from one that did."""

    digest: Digest
    kind: str
    fate: Fate
    """``removed``; a model is kept, and its versions are listed; what another project refers to is kept too."""
    held: bool
    """Whether the value was found in it; else it was made from an artifact in which it was."""
    files: int = 0
    """Files with the value."""
    rows: int = 0
    """Rows with the value, of tables."""


class RewrittenDataset(Frozen):
    """A dataset whose last version was made again without the person's rows."""

    name: Name
    version: int
    """The version that held them."""
    run_id: RunId | None = None
    """The run that makes the version without them; None where nothing is left to make one of, and in a dry run."""
    erased: int = 0
    left: int = 0


class TrainedModel(Frozen):
    """A version of a model that was trained on the person's data. It is not changed."""

    name: Name
    version: int
    run_id: RunId
    aliases: list[str] = Field(default_factory=list)
    serving: bool = False
    holds: bool = False
    """Whether the value itself stands in the package: in a vocabulary, a label."""


class Unsearched(Frozen):
    """Something that could not be looked into."""

    what: str
    files: int


class ErasureReport(Frozen):
    """What was looked at, what was found, and what was done about it. In a dry run nothing was done."""

    id: ErasureId
    project: Name
    kind: SubjectKind
    """What the value was taken for."""
    dry_run: bool
    asked_at: datetime
    finished_at: datetime
    searched_artifacts: int = 0
    searched_files: int = 0
    searched_bytes: int = 0
    searched_records: int = 0
    artifacts: list[ErasedArtifact] = Field(default_factory=list)
    datasets: list[RewrittenDataset] = Field(default_factory=list)
    models: list[TrainedModel] = Field(default_factory=list)
    runs_cancelled: list[RunId] = Field(default_factory=list)
    runs_deleted: list[RunId] = Field(default_factory=list)
    """Runs whose datasets are no more: they cannot be retried."""
    records: int = 0
    """Records in which the value was overwritten."""
    messages: dict[str, int] = Field(default_factory=dict)
    """Messages that were removed, by stream."""
    unsearched: list[Unsearched] = Field(default_factory=list)
    advice: list[str] = Field(default_factory=list)
    """Commands that train models again without the person, one after the other; models are never trained unasked."""
    left: list[str] = Field(default_factory=list)
    """What still holds the value, or may, and what to do about it, in sentences."""

    @property
    def found(self) -> bool:
        """Whether there was anything of the person."""
        return bool(self.artifacts or self.records or self.messages)


class ErasureView(Frozen):
    """One erasure: how far it is, or what it did."""

    id: ErasureId
    state: Literal["waiting", "running", "done"]
    kind: SubjectKind = "any"
    dry_run: bool = False
    asked_at: datetime
    step: str = ""
    """What is being done."""
    done: int = 0
    total: int = 0
    report: ErasureReport | None = None
