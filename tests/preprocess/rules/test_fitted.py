"""What is fitted is fitted on the training part, is JSON, and changes every part."""

from __future__ import annotations

import datetime as dt
import json
import math
import random
import statistics

import pyarrow as pa
import pytest

from services.preprocess.rules import fitted_steps
from tidemill.contracts.data import Data
from tidemill.datasets import Column, DatasetSchema
from tidemill.errors import InvalidInput

MANY = [float(value) for value in range(1, 100)]


def test_missing_values_become_the_median_and_the_mode_of_the_training_part(prepare) -> None:
    rows = {"n": ["", "100", "7"], "i": ["", "1", "2"], "c": ["", "rare", "rare"], "b": ["", "no", "no"]}
    training = {"n": ["1", "2", "9"], "i": ["1", "2", "2"], "c": ["b", "a", ""], "b": ["yes", "", "yes"]}
    kinds = {"n": "number", "i": "integer", "c": "category", "b": "boolean"}
    outcome = prepare(rows, kinds=kinds, training=training, missing={"default": "median"})
    assert outcome.columns == {
        "n": [2.0, 100.0, 7.0], "i": [2, 1, 2], "c": ["a", "rare", "rare"], "b": [True, False, False],
    }  # fmt: skip
    assert outcome.counts["fill missing values"] == {"n": 1, "i": 1, "c": 1, "b": 1}


def test_a_median_between_two_integers_makes_the_column_one_of_numbers(prepare) -> None:
    outcome = prepare({"i": ["1", "2", ""]}, kinds={"i": "integer"}, missing={"columns": {"i": "median"}})
    assert outcome["i"] == [1.0, 2.0, 1.5]
    assert outcome.kinds["i"] == "number"


@pytest.mark.parametrize(
    "data",
    [{"features": {"scale": "standard"}}, {"missing": {"default": "median"}}, {"outliers": {"method": "iqr"}}],
)
def test_integers_that_no_float_holds_exactly_are_fitted_too(prepare, data) -> None:
    numbers = [2**60 + 7919 * number for number in range(99)]
    wide = [sign * (2**62 + number) for number in range(50) for sign in (1, -1)][:99]
    outcome = prepare({"n": [*numbers, None], "w": [*wide, 0]}, kinds={"n": "integer", "w": "integer"}, **data)
    assert len(outcome["n"]) == 100
    if "outliers" in data:
        assert outcome["w"][:99] == wide


@pytest.mark.parametrize("data", [{"features": {"scale": "standard"}}, {"outliers": {"method": "zscore"}}])
def test_numbers_too_far_apart_are_named(prepare, data) -> None:
    with pytest.raises(InvalidInput, match="column 'x' has numbers too large"):
        prepare({"x": [1e300, -1e300, 1.0]}, **data)


def test_the_most_frequent_date_fills_dates(prepare) -> None:
    rows = {"d": ["2024-01-05", "2024-01-05 00:00:00", "2023-01-01", ""]}
    outcome = prepare(rows, kinds={"d": "date"}, missing={"default": "mode"})
    assert outcome["d"][-1] == dt.datetime(2024, 1, 5)


def test_a_column_without_training_values_stays_as_it_is(prepare) -> None:
    training = {"n": ["", "?"], "c": ["", ""]}
    outcome = prepare(
        {"n": ["", "1"], "c": ["", "x"]}, kinds={"n": "number", "c": "category"}, training=training,
        missing={"default": "median"}, outliers={}, features={"scale": "standard", "categories": "onehot"},
    )  # fmt: skip
    assert outcome.columns == {"n": [None, 1.0], "c": [None, "x"]}


@pytest.mark.parametrize(
    ("action", "expected"),
    [("clip", [-50.0, 149.0, 5.0]), ("missing", [None, None, 5.0]), ("drop", [5.0]), ("flag", [-51.0, 1000.0, 5.0])],
)
def test_outliers_by_interquartile_ranges(prepare, action: str, expected: list[float | None]) -> None:
    rows, training = {"x": [-51.0, 1000.0, 5.0]}, {"x": [0.0, 25.0, 49.5, 74.0, 99.0]}
    outcome = prepare(rows, training=training, outliers={"threshold": 75 / 49, "action": action})
    assert outcome.fitted["outliers"]["x"] == pytest.approx({"low": -50.0, "high": 149.0})
    assert outcome["x"] == pytest.approx(expected) if None not in expected else outcome["x"] == expected
    if action == "flag":
        assert outcome["x_outlier"] == [True, True, False]


def test_outliers_by_standard_deviations(prepare) -> None:
    outcome = prepare({"x": [0.0, 1000.0]}, training={"x": MANY}, outliers={"method": "zscore", "action": "missing"})
    assert outcome["x"] == [0.0, None]
    fences = outcome.fitted["outliers"]["x"]
    assert fences["high"] == statistics.fmean(MANY) + 3 * statistics.pstdev(MANY)


def test_fences_themselves_are_no_outliers_and_integers_stay_integers(prepare) -> None:
    training = {"x": ["0", "1", "2", "3"]}
    outcome = prepare(
        {"x": ["-4", "-3", "6", "7"]}, kinds={"x": "integer"}, training=training, outliers={"threshold": 2.5}
    )
    assert outcome.fitted["outliers"] == {"x": {"low": -3, "high": 6}}
    assert outcome["x"] == [-3, -3, 6, 6]
    assert outcome.counts["outliers"] == {"x": 2}


def test_a_column_of_mostly_one_value_has_no_outliers(prepare) -> None:
    gain = [0.0] * 9 + [5000.0]
    assert prepare({"gain": gain}, outliers={})["gain"] == gain
    assert prepare({"gain": [1.0, 1.0]}, outliers={"method": "zscore"})["gain"] == [1.0, 1.0]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("median", [3.0, 2.0]),
        ({"constant": 0}, [0.0, 2.0]),
        ("drop", [2.0]),
        ("flag", [None, 2.0]),
        ("keep", [None, 2.0]),
    ],
)
def test_what_outliers_made_missing_is_handled_as_missing(prepare, rule, expected) -> None:
    training = {"x": [1.0, 2.0, 3.0, 4.0, 5.0]}
    outcome = prepare(
        {"x": [99.0, 2.0]}, training=training, outliers={"action": "missing"}, missing={"columns": {"x": rule}}
    )
    assert outcome["x"] == expected
    if rule == "flag":
        assert outcome["x_missing"] == [True, False]


def test_outliers_are_numbers(prepare) -> None:
    with pytest.raises(InvalidInput, match="outliers are numbers"):
        prepare({"c": ["a"]}, outliers={"columns": ["c"]})


def test_numbers_are_scaled_as_the_training_part_has_them(prepare) -> None:
    training = {"x": ["2", "4", "", "6"], "y": ["1", "1", "1", "1"]}
    kinds = {"x": "integer", "y": "number"}
    rows = {"x": ["4", "8", ""], "y": ["1", "2", ""]}
    standard = prepare(rows, kinds=kinds, training=training, features={"scale": "standard"})
    deviation = math.sqrt(8 / 3)
    assert standard.columns == {"x": [0.0, 4 / deviation, None], "y": [0.0, 1.0, None]}
    assert standard.kinds == {"x": "number", "y": "number"}
    ranged = prepare(rows, kinds=kinds, training=training, features={"scale": "minmax"})
    assert ranged.columns == {"x": [0.5, 1.5, None], "y": [0.0, 1.0, None]}


def test_what_is_fitted_does_not_depend_on_the_order_of_rows(prepare) -> None:
    values = [random.Random(1).uniform(-1e6, 1e6) ** 3 for _ in range(999)]
    data = {"features": {"scale": "standard"}, "outliers": {"method": "zscore"}}
    one = prepare({"x": values}, **data).fitted
    other = prepare({"x": values[::-1]}, **data).fitted
    assert json.dumps(one) == json.dumps(other)
    assert json.loads(json.dumps(one)) == one


def test_the_value_to_predict_and_the_group_are_no_features(prepare) -> None:
    rows = {"y": ["10", "20"], "patient": ["1", "2"], "x": ["1", "3"]}
    outcome = prepare(
        rows, kinds=dict.fromkeys(rows, "integer"), task="tabular-regression", roles={"label": "y"},
        features={"scale": "minmax"}, split={"method": "group", "group": "patient"},
    )  # fmt: skip
    assert outcome.columns == {"y": [10, 20], "patient": [1, 2], "x": [0.0, 1.0]}


CITIES = {"c": ["b", "new", None, "c", "a", "d"]}
TRAINED = {"c": ["a", "b", "b", "c", "d", ""]}


def test_categories_become_codes_by_frequency(prepare) -> None:
    outcome = prepare(CITIES, kinds={"c": "category"}, training=TRAINED, features={"categories": "ordinal"})
    assert outcome["c"] == [0, -1, None, 2, 1, 3]
    few = prepare(
        CITIES, kinds={"c": "category"}, training=TRAINED, features={"categories": "ordinal", "max_categories": 2}
    )
    assert few["c"] == [0, -1, None, 2, 1, 2]
    assert few.fitted["encode categories"] == {"c": {"categories": ["b", "a"], "others": ["c", "d"]}}


def test_or_a_column_each(prepare) -> None:
    outcome = prepare(
        CITIES, kinds={"c": "category"}, training=TRAINED, features={"categories": "onehot", "max_categories": 2}
    )
    assert outcome.columns == {
        "c=b": [1, 0, 0, 0, 0, 0], "c=a": [0, 0, 0, 0, 1, 0], "c=(others)": [0, 0, 0, 1, 0, 1],
    }  # fmt: skip
    assert set(outcome.kinds) == {"c=b", "c=a", "c=(others)"}


def test_dates_become_their_parts_which_are_scaled_like_other_numbers(prepare) -> None:
    rows = {"d": ["2024-01-07 15:30:00", ""]}
    outcome = prepare(rows, kinds={"d": "date"}, features={"dates": "parts"})
    assert outcome.columns == {
        "d_year": [2024, None], "d_month": [1, None], "d_day": [7, None], "d_weekday": [6, None], "d_hour": [15, None],
    }  # fmt: skip
    scaled = prepare(
        {"d": ["2024-01-01", "2025-01-01"]}, kinds={"d": "date"}, features={"dates": "parts", "scale": "minmax"}
    )
    assert scaled["d_year"] == [0.0, 1.0]


def test_a_typed_date_has_parts_too(prepare) -> None:
    rows = pa.table({"d": pa.array([dt.date(2024, 2, 29)], pa.date32())})
    assert prepare(rows, kinds={"d": "date"}, features={"dates": "parts"})["d_day"] == [29]


def test_nothing_is_fitted_unless_the_recipe_asks(prepare) -> None:
    assert (
        fitted_steps(Data(), DatasetSchema(task="tabular-classification", columns=[Column(name="x", kind="number")]))
        == []
    )


def test_an_empty_table_can_be_prepared(prepare) -> None:
    rows = {"x": pa.array([], pa.string()), "c": pa.array([], pa.string())}
    outcome = prepare(
        rows, kinds={"x": "number", "c": "category"}, missing={"default": "median"}, outliers={},
        features={"scale": "standard", "categories": "ordinal"},
    )  # fmt: skip
    assert outcome.columns == {"x": [], "c": []}
