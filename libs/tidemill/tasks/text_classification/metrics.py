"""Quality of a text classifier, and whether two of them differ. Knows neither models nor files."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tidemill.contracts import ClassMetrics, EvaluationSummary
from tidemill.tasks.text_classification.serving import softmax

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

MOST_CONFUSED = 1000
"""Labels up to which an evaluation holds its confusion matrix: it travels on events, and grows with their square."""


def evaluate_logits(labels: Sequence[str], y_true: ArrayLike, logits: ArrayLike, part: str) -> EvaluationSummary:
    """Everything that is reported about a model on one part.

    ``y_true`` int [n] indexes ``labels``; ``logits`` float [n, len(labels)]. Metrics: ``accuracy``, ``loss`` (mean
    cross-entropy, nats), ``macro_precision``, ``macro_recall``, ``macro_f1``, ``weighted_precision``,
    ``weighted_recall``, ``weighted_f1``, and ``auc`` where it is defined. A macro average is taken over the labels
    that occur in ``y_true`` or in the predictions; a ratio without a denominator counts as 0. Both as scikit-learn
    does by default.

    Raises:
        ValueError: the part is empty or the shapes do not fit.
    """
    truth, scores = _checked(y_true, logits, len(labels))
    confusion = confusion_matrix(truth, scores.argmax(axis=1), len(labels))
    precision, recall, f1 = _ratios(confusion)
    support = confusion.sum(axis=1)
    metrics = _averages(confusion, precision, recall, f1)
    metrics["loss"] = cross_entropy(truth, scores)
    area = area_under_curve(truth, scores)
    if area is not None:
        metrics["auc"] = area
    return EvaluationSummary(
        part=part,
        examples=len(truth),
        metrics=metrics,
        classes=[
            ClassMetrics(
                label=label,
                precision=float(precision[index]),
                recall=float(recall[index]),
                f1=float(f1[index]),
                support=int(support[index]),
            )
            for index, label in enumerate(labels)
        ],
        labels=list(labels),
        confusion=confusion.tolist() if len(labels) <= MOST_CONFUSED else [],
    )


def goal_metrics(y_true: ArrayLike, logits: ArrayLike) -> dict[str, float]:
    """The metrics that a recipe's goal may name, and the loss; cheap enough for every epoch."""
    scores = np.asarray(logits, dtype=np.float64)
    truth, scores = _checked(y_true, scores, scores.shape[-1])
    confusion = confusion_matrix(truth, scores.argmax(axis=1), scores.shape[1])
    return _averages(confusion, *_ratios(confusion)) | {"loss": cross_entropy(truth, scores)}


def confusion_matrix(y_true: Integers, y_pred: Integers, labels: int) -> Integers:
    """Counts int64 [labels, labels]: row the true label, column the predicted one."""
    return np.bincount(y_true * labels + y_pred, minlength=labels * labels).reshape(labels, labels)


def cross_entropy(y_true: Integers, logits: Floats) -> float:
    """Mean negative log-likelihood in nats."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    normaliser = np.log(np.exp(shifted).sum(axis=1))
    return float((normaliser - shifted[np.arange(len(y_true)), y_true]).mean())


def area_under_curve(y_true: Integers, logits: Floats) -> float | None:
    """Area under the ROC curve: of label 1 with two labels, else one-versus-rest, averaged over the labels.

    A label without an example, or with nothing but examples, has no curve and is left out; None when none has one.
    Equals the normalised Mann-Whitney U statistic (Hanley & McNeil 1982), ties counted half.
    """
    probabilities = softmax(logits)
    columns = [1] if logits.shape[1] == 2 else range(logits.shape[1])
    areas = [_binary_area(y_true == column, probabilities[:, column]) for column in columns]
    defined = [area for area in areas if area is not None]
    return float(np.mean(defined)) if defined else None


def paired_bootstrap(
    correct_a: ArrayLike, correct_b: ArrayLike, seed: int, *, resamples: int = 10_000
) -> tuple[float, float]:
    """95 % percentile interval of accuracy(a) - accuracy(b) over the same examples, bool [n] each.

    Resampling examples with replacement (Efron 1979) only changes how often the differences -1, 0 and 1 occur, so
    one multinomial draw stands for a resample: the same distribution at a fraction of the cost.

    Raises:
        ValueError: the arrays are empty or of different length.
    """
    first, second = np.asarray(correct_a, dtype=bool), np.asarray(correct_b, dtype=bool)
    if first.shape != second.shape or first.ndim != 1 or not len(first):
        raise ValueError(f"need two arrays of the same examples, got shapes {first.shape} and {second.shape}")
    count = len(first)
    better, worse = int((first & ~second).sum()), int((second & ~first).sum())
    shares = np.array([better, worse, count - better - worse]) / count
    draws = np.random.default_rng(seed).multinomial(count, shares, size=resamples)
    low, high = np.percentile((draws[:, 0] - draws[:, 1]) / count, [2.5, 97.5])
    return float(low), float(high)


def agreement(predictions_a: ArrayLike, predictions_b: ArrayLike) -> float:
    """Share of equal predictions, int [n] each.

    Raises:
        ValueError: the arrays are empty or of different length.
    """
    first, second = np.asarray(predictions_a), np.asarray(predictions_b)
    if first.shape != second.shape or first.ndim != 1 or not len(first):
        raise ValueError(f"need two arrays of the same examples, got shapes {first.shape} and {second.shape}")
    return float((first == second).mean())


def _checked(y_true: ArrayLike, logits: ArrayLike, labels: int) -> tuple[Integers, Floats]:
    truth, scores = np.asarray(y_true, dtype=np.int64), np.asarray(logits, dtype=np.float64)
    if not len(truth) or scores.shape != (len(truth), labels):
        raise ValueError(f"{len(truth)} examples and {labels} labels do not fit logits of shape {scores.shape}")
    return truth, scores


def _averages(confusion: Integers, precision: Floats, recall: Floats, f1: Floats) -> dict[str, float]:
    support = confusion.sum(axis=1)
    present = (support + confusion.sum(axis=0)) > 0
    metrics = {"accuracy": float(np.trace(confusion) / confusion.sum())}
    for name, values in (("precision", precision), ("recall", recall), ("f1", f1)):
        metrics[f"macro_{name}"] = float(values[present].mean())
        metrics[f"weighted_{name}"] = float(np.average(values, weights=support))
    return metrics


def _ratios(confusion: Integers) -> tuple[Floats, Floats, Floats]:
    hits = np.diag(confusion).astype(np.float64)
    precision = _divide(hits, confusion.sum(axis=0))
    recall = _divide(hits, confusion.sum(axis=1))
    return precision, recall, _divide(2 * hits, confusion.sum(axis=0) + confusion.sum(axis=1))


def _divide(numerator: Floats, denominator: Integers) -> Floats:
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0)


def _binary_area(positive: NDArray[np.bool_], scores: Floats) -> float | None:
    positives = int(positive.sum())
    negatives = len(positive) - positives
    if not positives or not negatives:
        return None
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - (counts - 1) / 2
    statistic = ranks[inverse][positive].sum() - positives * (positives + 1) / 2
    return float(statistic / (positives * negatives))
