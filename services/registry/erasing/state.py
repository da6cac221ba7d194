"""What an erasure has done so far: written down before and behind every step that cannot be taken back."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field

from tidemill.contracts import ArtifactRef
from tidemill.contracts.erasures import (
    ErasedArtifact,
    ErasureReport,
    RewrittenDataset,
    SubjectKind,
    TrainedModel,
    Unsearched,
)
from tidemill.erasure.requests import ErasureRequest


class Rewriting(BaseModel):
    """A dataset's last version without the person's rows, in the store as a source that is to be published."""

    told: RewrittenDataset
    source: ArtifactRef | None = None
    recipe: dict[str, Any] = Field(default_factory=dict)
    licence: str | None = None
    owner: str | None = None


class ErasureState(BaseModel):
    """The report as far as it is known, and what is needed to go on."""

    artifacts: dict[str, ErasedArtifact] = Field(default_factory=dict)
    rewritings: dict[str, Rewriting] = Field(default_factory=dict)
    """By the name of the dataset."""
    models: dict[str, TrainedModel] = Field(default_factory=dict)
    runs_cancelled: set[str] = Field(default_factory=set)
    runs_deleted: set[str] = Field(default_factory=set)
    records: int = 0
    runs_changed: set[str] = Field(default_factory=set)
    """Whose records were overwritten."""
    messages: dict[str, int] = Field(default_factory=dict)
    left: list[str] = Field(default_factory=list)
    unsearched: dict[str, int] = Field(default_factory=dict)
    searched_artifacts: int = 0
    searched_files: int = 0
    searched_bytes: int = 0
    searched_records: int = 0
    tombstones: int = 0

    def note(self, sentence: str) -> None:
        """Say once what still holds the value."""
        if sentence not in self.left:
            self.left.append(sentence)

    def _advice(self) -> list[str]:
        """How to train again what was trained on the data."""
        said = []
        for name in sorted({model.name for model in self.models.values()}):
            rewriting = self.rewritings.get(name)
            if rewriting is not None and rewriting.told.run_id is not None:
                said.append(f"tidemill datasets fetch {rewriting.told.run_id} --what ingested --to {name}-without")
                said.append(f"tidemill publish {name}-without --name {name} --wait")
            else:
                said.append(f"tidemill publish <the dataset without the person> --name {name} --wait")
            old = sorted(model.version for model in self.models.values() if model.name == name)
            said += [f"tidemill models delete {name} --version {version}" for version in old]
        return said

    def report(self, request: ErasureRequest, kind: SubjectKind, now: datetime) -> ErasureReport:
        """What is told of it."""
        return ErasureReport(
            id=request.id, project=request.project, kind=kind, dry_run=request.dry_run, asked_at=request.asked_at,
            finished_at=now,
            artifacts=sorted(self.artifacts.values(), key=lambda one: (one.fate, one.kind, one.digest)),
            datasets=sorted((one.told for one in self.rewritings.values()), key=lambda one: one.name),
            models=sorted(self.models.values(), key=lambda one: (one.name, one.version)),
            runs_cancelled=sorted(self.runs_cancelled), runs_deleted=sorted(self.runs_deleted),
            records=self.records, messages=self.messages, left=self.left, advice=self._advice(),
            unsearched=[Unsearched(what=what, files=files) for what, files in sorted(self.unsearched.items())],
            searched_artifacts=self.searched_artifacts, searched_files=self.searched_files,
            searched_bytes=self.searched_bytes, searched_records=self.searched_records,
        )  # fmt: skip
