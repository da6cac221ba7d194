"""A histogram says the same whatever the order, and is exact where it says so."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.datasets.histogram import MAX_BINS, Histogram, HistogramBuilder, aligned


def counted(numbers: object) -> Histogram:
    builder = HistogramBuilder()
    builder.add(np.asarray(numbers, np.float64))
    histogram = builder.histogram()
    assert histogram is not None
    return histogram


finite = st.floats(allow_nan=False, allow_infinity=False)


@given(st.lists(finite, min_size=1, max_size=50))
def test_few_numbers_are_kept_as_they_are(numbers: list[float]) -> None:
    histogram = counted(numbers)
    distinct, counts = np.unique(np.array(numbers) + 0.0, return_counts=True)
    assert histogram.exact
    assert histogram.edges == distinct.tolist()
    assert histogram.counts == counts.tolist()
    assert (histogram.minimum, histogram.maximum) == (min(numbers), max(numbers))


@pytest.mark.parametrize("seed", range(3))
def test_order_and_batches_and_merging_make_no_difference(seed: int) -> None:
    numbers = np.random.default_rng(seed).normal(0, 1, 20_000) ** 3
    whole = counted(numbers)
    builder = HistogramBuilder()
    for batch in np.array_split(np.sort(numbers)[::-1], 37):
        builder.add(batch)
    assert builder.histogram() == whole
    one, other = HistogramBuilder(counted(numbers[:300])), counted(numbers[300:])
    one.merge(other)
    assert one.histogram() == whole
    reversed_order = HistogramBuilder(other)
    reversed_order.merge(counted(numbers[:300]))
    assert reversed_order.histogram() == whole


@pytest.mark.parametrize(
    "numbers",
    [
        np.random.default_rng(1).normal(0, 1, 100_000),
        np.random.default_rng(2).lognormal(0, 3, 100_000),
        1.7e9 + np.random.default_rng(3).uniform(0, 86_400, 100_000),
        np.arange(100_000),
        -np.random.default_rng(4).exponential(1e-9, 100_000),
    ],
    ids=["normal", "lognormal", "timestamps of a day", "integers", "small negative ones"],
)
def test_quantiles_are_near_the_true_ones(numbers: np.ndarray) -> None:
    histogram = counted(numbers)
    assert len(histogram.counts) <= MAX_BINS
    assert histogram.rows == len(numbers)
    for share in (0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99):
        reached = np.mean(numbers <= histogram.quantile(share))
        assert reached == pytest.approx(share, abs=0.01)
    assert histogram.mean() == pytest.approx(float(np.mean(numbers)), rel=0.02, abs=0.01 * float(np.std(numbers)))


@given(st.lists(finite, min_size=1, max_size=100))
def test_any_numbers_fit(numbers: list[float]) -> None:
    histogram = counted([*numbers, *np.linspace(-8e307, 8e307, 3000)])
    assert len(histogram.counts) <= MAX_BINS
    assert Histogram.model_validate_json(histogram.model_dump_json()) == histogram
    assert np.isfinite(histogram.centres()).all()
    assert sum(rows for _, _, rows in histogram.ranges(10)) == histogram.rows


def test_what_is_not_finite_is_left_out() -> None:
    assert counted([1.0, np.nan, np.inf, -np.inf]).counts == [1]
    assert HistogramBuilder().histogram() is None


def test_weights_count_as_rows() -> None:
    builder = HistogramBuilder()
    builder.add(np.array([3, 5]), np.array([10, 1]))
    assert builder.histogram() == counted([3.0] * 10 + [5.0])


def test_histograms_of_different_resolution_are_compared_bin_by_bin() -> None:
    fine, coarse = counted([1.0, 2.0, 2.0]), counted(np.linspace(0, 4, 50_000))
    before, after = aligned(fine, coarse)
    assert (before.sum(), after.sum()) == (3, 50_000)
    assert sorted(before[before > 0].tolist()) == [1, 2]
