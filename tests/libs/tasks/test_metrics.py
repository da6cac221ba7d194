"""Metrics of text classification, against scikit-learn's and against what is known by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as reference

from tidemill.tasks.text_classification.metrics import (
    agreement,
    evaluate_logits,
    goal_metrics,
    paired_bootstrap,
)


def _softmax(logits: np.ndarray) -> np.ndarray:
    return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


@pytest.mark.parametrize("labels", [2, 3, 77])
def test_agrees_with_scikit_learn(labels: int) -> None:
    generator = np.random.default_rng(labels)
    truth = np.concatenate([np.arange(labels), generator.integers(0, labels, 500)])
    logits = generator.normal(size=(len(truth), labels)) + 2 * np.eye(labels)[truth]
    predicted = logits.argmax(axis=1)
    names = [f"标签{index}" for index in range(labels)]

    summary = evaluate_logits(names, truth, logits, "test")

    expected = {
        "accuracy": reference.accuracy_score(truth, predicted),
        "macro_f1": reference.f1_score(truth, predicted, average="macro"),
        "weighted_f1": reference.f1_score(truth, predicted, average="weighted"),
        "macro_precision": reference.precision_score(truth, predicted, average="macro", zero_division=0),
        "macro_recall": reference.recall_score(truth, predicted, average="macro"),
        "weighted_precision": reference.precision_score(truth, predicted, average="weighted", zero_division=0),
        "loss": reference.log_loss(truth, _softmax(logits), labels=list(range(labels))),
        "auc": reference.roc_auc_score(truth, _softmax(logits)[:, 1])
        if labels == 2
        else reference.roc_auc_score(truth, _softmax(logits), multi_class="ovr"),
    }
    for name, value in expected.items():
        assert summary.metrics[name] == pytest.approx(value), name
    assert summary.confusion == reference.confusion_matrix(truth, predicted).tolist()
    assert summary.examples == len(truth)
    assert summary.classes[1].label == "标签1"
    assert goal_metrics(truth, logits)["macro_f1"] == pytest.approx(expected["macro_f1"])


def test_labels_that_do_not_occur_do_not_count() -> None:
    logits = np.array([[4.0, 0, 0], [0, 4, 0], [0, 4, 0]])
    summary = evaluate_logits(["a", "b", "c"], [0, 1, 0], logits, "test")
    assert summary.metrics["macro_f1"] == pytest.approx((2 / 3 + 2 / 3) / 2)
    assert summary.metrics["auc"] == pytest.approx((0.75 + 0.75) / 2)
    assert summary.classes[2].f1 == 0


def test_no_auc_where_it_is_not_defined() -> None:
    assert "auc" not in evaluate_logits(["a", "b"], [0, 0], [[1.0, 0], [0, 1]], "test").metrics


def test_huge_logits_do_not_overflow() -> None:
    assert evaluate_logits(["a", "b"], [0, 1], [[1e4, 0], [0, 1e4]], "test").metrics["loss"] == 0


def test_the_bootstrap_interval_tells_noise_from_a_difference() -> None:
    generator = np.random.default_rng(0)
    better = generator.random(2000) < 0.95
    same = better ^ (generator.random(2000) < 0.004)
    worse = better & (generator.random(2000) < 0.9)
    low, high = paired_bootstrap(worse, better, seed=1)
    assert low < worse.mean() - better.mean() < high < 0
    low, high = paired_bootstrap(same, better, seed=1)
    assert low <= 0 <= high or abs(same.mean() - better.mean()) > 0.003
    assert paired_bootstrap(worse, better, seed=1) == paired_bootstrap(worse, better, seed=1)


def test_the_bootstrap_equals_plain_resampling() -> None:
    generator = np.random.default_rng(3)
    first, second = generator.random(300) < 0.9, generator.random(300) < 0.85
    rows = generator.integers(0, 300, size=(10_000, 300))
    plain = np.percentile(first[rows].mean(axis=1) - second[rows].mean(axis=1), [2.5, 97.5])
    assert paired_bootstrap(first, second, seed=4) == pytest.approx(plain, abs=0.005)


def test_agreement_and_shapes_that_do_not_fit() -> None:
    assert agreement([1, 2, 3, 3], [1, 2, 3, 4]) == 0.75
    with pytest.raises(ValueError, match="same examples"):
        agreement([1], [1, 2])
    with pytest.raises(ValueError, match="do not fit"):
        evaluate_logits(["a", "b"], [0], [[1.0, 2.0, 3.0]], "test")
