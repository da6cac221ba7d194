"""How good a model is and how fast: the figures that travel on events and in model packages."""

from __future__ import annotations

from pydantic import Field

from tidemill.contracts.references import Frozen


class ClassMetrics(Frozen):
    """Precision, recall and F1 of one label on one part; ``support`` is its number of true examples."""

    label: str
    precision: float
    recall: float
    f1: float
    support: int


class EvaluationSummary(Frozen):
    """Quality of one model on one part of a dataset.

    ``metrics`` holds the scalar metrics by name (for text classification: ``accuracy``, ``macro_f1``,
    ``macro_precision``, ``macro_recall``, ``weighted_f1``, ``auc``, ``loss``). ``confusion[i][j]`` counts the
    examples of true label ``labels[i]`` that were predicted as ``labels[j]``.
    It is empty where there are too many labels for an event to carry it.
    """

    part: str
    examples: int
    metrics: dict[str, float]
    classes: list[ClassMetrics] = Field(default_factory=list)
    labels: list[str] = Field(default_factory=list)
    confusion: list[list[int]] = Field(default_factory=list)


class FoldSummary(Frozen):
    """k-fold cross-validation: the metrics of each fold, and their mean and standard deviation (ddof=1)."""

    folds: list[dict[str, float]]
    mean: dict[str, float]
    std: dict[str, float]


class VariantFigures(Frozen):
    """One variant of a model package as measured: size, speed, quality. All variants of one table were
    measured in one interleaved run on one machine, so their ratios are meaningful."""

    variant: str
    """Directory name under ``variants/``, e.g. ``torch-fp32``, ``onnx-fp32``, ``onnx-int8``, ``openvino-int8``."""
    size_bytes: int
    p50_ms: float
    """Median latency of one call, batch 1, 64 tokens, milliseconds."""
    p95_ms: float
    throughput: float
    """Examples per second at batch 32, 64 tokens."""
    threads: int
    metrics: dict[str, float]
    """Quality on the validation part: what the choice was made on."""
    test_metrics: dict[str, float] = Field(default_factory=dict)
    """Quality on the test part: reported, never chosen on."""
    agreement: float | None = None
    """Share of test predictions equal to those of the original model."""
    accuracy_difference_ci95: tuple[float, float] | None = None
    """Paired bootstrap interval of (this - original) test accuracy; containing 0 means not significantly different."""
