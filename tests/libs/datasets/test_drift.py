"""Drift is found where a distribution moved, and not where chance alone moved it."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest

from tidemill.datasets.drift import ColumnDrift, Drift, drift, stability_index
from tidemill.datasets.profile import DatasetProfile, PartFigures
from tidemill.datasets.statistics import ColumnStatistics


def profile(labels: list[str] | None = None, **columns: object) -> DatasetProfile:
    figures = []
    for name, values in columns.items():
        array = values if isinstance(values, pa.Array) else pa.array(np.asarray(values).astype(str).tolist())
        statistics = ColumnStatistics(name, markers=["?"])
        statistics.update(array)
        figures.append(statistics.figures())
    rows = figures[0].rows
    counts = dict(sorted(Counter(labels or []).items()))
    return DatasetProfile(rows=rows, columns=figures, label_counts=counts, parts={"data": PartFigures(rows=rows)})


def of(found: Drift, column: str) -> ColumnDrift:
    return next(one for one in found.columns if one.column == column)


def sample(seed: int, rows: int, shift: float = 0.0) -> DatasetProfile:
    rng = np.random.default_rng(seed)
    words = np.array(["红", "green", "blue", "rare"])
    shares = np.array([0.4, 0.3, 0.25, 0.05]) + shift * np.array([-0.3, 0.3, 0, 0])
    return profile(
        list(rng.choice(["good", "bad"], rows, p=[0.7 - 0.4 * shift, 0.3 + 0.4 * shift])),
        size=rng.normal(50 + 10 * shift, 10, rows).round(3),
        age=rng.integers(18, 90, rows) + int(20 * shift),
        year=2000 + rng.binomial(20, 0.3 + 0.3 * shift, rows),
        colour=rng.choice(words, rows, p=shares),
        review=[f"{number}" + "好" * int(rng.exponential(30 + 40 * shift)) + "。" for number in range(rows)],
    )


@pytest.mark.parametrize("rows", [60, 500, 20_000])
@pytest.mark.parametrize("seed", range(5))
def test_a_new_sample_of_the_same_distribution_is_no_drift(rows: int, seed: int) -> None:
    found = drift(sample(seed, rows), sample(seed + 100, rows))
    assert [(one.column, one.level) for one in found.columns] == [
        (name, "none") for name in ("size", "age", "year", "colour", "review")
    ]
    assert found.labels is not None
    assert found.labels.level == "none"


@pytest.mark.parametrize("rows", [500, 20_000])
def test_a_shifted_distribution_is_drift_in_every_kind_of_column(rows: int) -> None:
    found = drift(sample(1, rows), sample(2, rows, shift=1.0))
    assert {one.column: one.level for one in found.columns} == {
        "size": "large", "age": "large", "year": "large", "colour": "large", "review": "large",
    }  # fmt: skip
    assert {one.column: one.measure for one in found.columns} == {
        "size": "numbers", "age": "numbers", "year": "numbers", "colour": "values", "review": "lengths",
    }  # fmt: skip
    assert found.labels is not None
    assert found.labels.level == "large"
    assert found.labels.total_variation == pytest.approx(0.4, abs=0.06)
    assert found.largest is not None


def test_the_index_of_large_samples_is_the_one_of_the_shares() -> None:
    before, after = np.array([500_000, 500_000]), np.array([250_000, 750_000])
    psi, noise = stability_index(before, after)
    assert psi == pytest.approx((0.25 - 0.5) * np.log(0.25 / 0.5) + (0.75 - 0.5) * np.log(0.75 / 0.5), rel=1e-4)
    assert noise < 0.0001


def test_the_noise_is_exceeded_about_once_in_a_thousand_times() -> None:
    rng = np.random.default_rng(5)
    shares = np.full(10, 0.1)
    above = 0
    for _ in range(4000):
        psi, noise = stability_index(rng.multinomial(400, shares), rng.multinomial(900, shares))
        above += psi > noise
    assert above / 4000 < 0.004


def test_numbers_outside_the_range_before_are_drift() -> None:
    constant = profile(x=["5"] * 300)
    for moved in ("4", "6"):
        found = drift(constant, profile(x=["5"] * 200 + [moved] * 100))
        assert of(found, "x").level == "large"
    assert of(drift(constant, profile(x=["5"] * 100)), "x").psi == 0


def test_new_and_vanished_values_are_named() -> None:
    before = profile(["a", "b"] * 10, kind=["x", "y", "z", "z"] * 5)
    after = profile(["a", "c"] * 10, kind=["x", "y", "新", "新"] * 5)
    found = drift(before, after)
    assert (of(found, "kind").new_values, of(found, "kind").vanished_values) == (["新"], ["z"])
    assert found.labels is not None
    assert (found.labels.new, found.labels.vanished) == (["c"], ["b"])


def test_more_missing_values_are_noticed() -> None:
    before = profile(x=["1", "2"] * 100)
    assert of(drift(before, profile(x=["1", "2"] * 80 + ["?"] * 40)), "x").missing_changed
    assert not of(drift(before, profile(x=["1", "2"] * 99 + ["?"] * 2)), "x").missing_changed
    few = profile(x=["1", "2"] * 3 + ["?"])
    assert not of(drift(before, few), "x").missing_changed


def test_later_dates_are_no_drift() -> None:
    before = profile(day=[f"2026-01-{day:02}" for day in range(1, 29)])
    found = of(drift(before, profile(day=[f"2026-02-{day:02}" for day in range(1, 29)])), "day")
    assert (found.measure, found.level) == ("missing", "none")


def test_columns_that_only_one_version_has_are_left_out() -> None:
    assert drift(profile(x=["1"], y=["1"]), profile(y=["1"], z=["1"])).columns[0].column == "y"


def test_columns_without_any_value_are_compared_without_an_error() -> None:
    found = drift(profile(x=["", "?"] * 20), profile(x=["1", "2"] * 20))
    assert (of(found, "x").psi, of(found, "x").missing_changed) == (0.0, True)
