"""The data report as data. ``report.json``; the page shows the same."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from services.preprocess.tally import StepTally
from tidemill.contracts import Frozen
from tidemill.datasets.intake import IntakeReport
from tidemill.datasets.profile import DatasetProfile


class DuplicatePair(Frozen):
    """A row that went because another says the same; ``similarity`` is the Jaccard similarity of their shingles."""

    reason: str
    row: dict[str, Any]
    of: dict[str, Any]
    similarity: float


class PreparationStatistics(Frozen):
    """What the preparation counted: ``statistics.json`` of a prepared dataset. Rows by part; labels by part."""

    source: dict[str, int]
    prepared: dict[str, int]
    source_parts: dict[str, str] = Field(default_factory=dict)
    """The part of the ingested dataset that each prepared part's rows come from."""
    steps: list[StepTally]
    pairs: list[DuplicatePair] = Field(default_factory=list)
    balance: dict[str, dict[str, int]] = Field(default_factory=dict)
    tokens: dict[str, Any] | None = None
    """Of the training texts; see ``rules.token_statistics``."""
    anonymity: dict[str, Any] | None = None
    split: dict[str, Any] = Field(default_factory=dict)
    features: list[str] = Field(default_factory=list)
    """What was fitted on the training part, in words."""
    warnings: list[str] = Field(default_factory=list)

    @property
    def removed(self) -> int:
        """Rows that went, whoever removed them; copies that balancing or augmentation added do not count."""
        return sum(step.removed for step in self.steps)


class Finding(Frozen):
    """One rule of the quality gate, and whether the dataset keeps it."""

    rule: str
    limit: float
    value: float
    kept: bool
    says: str


class DataReport(Frozen):
    """Everything. ``before`` is the ingested dataset, ``after`` the prepared one, all parts together."""

    version: int = 2
    task: str
    roles: dict[str, str]
    intake: IntakeReport | None = None
    statistics: PreparationStatistics
    before: DatasetProfile
    after: DatasetProfile
    personal_left: dict[str, int] = Field(default_factory=dict)
    """Findings of personal data in the prepared texts, by kind; only of kinds that were looked for and need
    no model: names and addresses are not counted again."""
    gate: list[Finding] = Field(default_factory=list)

    @property
    def broken(self) -> list[Finding]:
        """The rules that the dataset does not keep."""
        return [finding for finding in self.gate if not finding.kept]
