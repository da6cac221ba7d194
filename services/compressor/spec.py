"""What a compression job is told and what it answers. Light: the service's parent process imports it."""

from __future__ import annotations

from pydantic import Field

from tidemill.contracts import ArtifactRef, EvaluationSummary, FoldSummary, Frozen, VariantFigures
from tidemill.contracts.recipe import Compression, Goal


class CompressionSpec(Frozen):
    """What the result depends on beside the bytes of the model and the dataset."""

    compression: Compression
    goal: Goal
    task: str
    trained: ArtifactRef
    """Goes into the lineage of the compressed package."""
    cross_validation: FoldSummary | None = None
    """Of the training run; goes into the package's figures."""


class CompressionResult(Frozen):
    """Figures of the original and of every variant that could be made, and which of them serves."""

    evaluation: EvaluationSummary
    """Of the chosen variant, on the test part."""
    original: VariantFigures
    variants: list[VariantFigures]
    chosen: str
    reason: str
    """Why that one, in a sentence for a person."""
    failed: dict[str, str] = Field(default_factory=dict)
    """Candidates that could not be made, with the reason."""
