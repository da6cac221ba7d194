"""Values become values of their columns' types, or are bad."""

from __future__ import annotations

import datetime as dt
import math

import daft
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.preprocess.rules.coercion import as_kind
from services.preprocess.rules.dates import parse_date
from services.preprocess.rules.numbers import parse_integer, parse_number
from tidemill.datasets import Column
from tidemill.errors import InvalidInput


def read(values: list[str], kind: str, *, decimal_comma: bool = False) -> list[object]:
    frame = daft.from_arrow(pa.table({"x": pa.array(values, pa.string())}))
    column = Column(name="x", kind=kind, strings=True)
    return frame.select(as_kind(column, kind, decimal_comma=decimal_comma).alias("x")).to_pydict()["x"]


numbers = st.floats(allow_nan=False, allow_infinity=False)
grouped = st.integers(-(10**15), 10**15)


@settings(max_examples=15, deadline=None)
@given(st.lists(numbers, min_size=10))
def test_numbers_come_back_exactly_as_they_were_formatted(values: list[float]) -> None:
    assert read([repr(value) for value in values], "number") == values
    assert read([repr(value).replace(".", ",") for value in values], "number", decimal_comma=True) == values


@settings(max_examples=15, deadline=None)
@given(st.lists(grouped, min_size=10))
def test_thousands_may_be_grouped(values: list[int]) -> None:
    assert read([f"{value:,}" for value in values], "integer") == values
    assert read([f"{value:,}.5" for value in values if value > 0], "number") == [v + 0.5 for v in values if v > 0]
    assert read([f"{value:,}".replace(",", ".") for value in values], "integer", decimal_comma=True) == values
    assert read([f"{value:,}".replace(",", "\u202f") for value in values], "integer") == values


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=10))
def test_all_integers_of_64_bits_are_read(values: list[int]) -> None:
    assert read([str(value) for value in values], "integer") == values


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1.5", 1.5), (" 2 ", 2.0), ("+3", 3.0), ("-.5", -0.5), ("5.", 5.0), ("1e3", 1000.0), ("12%", 0.12),
        ("１２３", 123.0), ("−4", -4.0), ("1'234.5", 1234.5), ("1 234", 1234.0), ("007", 7.0),
        ("1,23", None), ("1,2345", None), ("12,34,567", None), ("1.234.567", None), ("$5", None), ("inf", None),
        ("nan", None), ("0x10", None), ("1_000", None), ("(5)", None), ("1e999", None), ("", None), (".", None),
        ("-", None), ("%", None), ("1 2", None), ("--1", None), ("1e", None), ("٣", None), ("abc", None),
        ("1e99999999999", None),
    ],
)  # fmt: skip
def test_what_is_one_number_and_what_is_none(text: str, number: float | None) -> None:
    assert read([text], "number") == [number]
    assert parse_number(text) == number


def test_under_a_decimal_comma_the_comma_is_the_point() -> None:
    texts = ["1,5", "1.234,5", "1.234", "1.5", "1,234.5", "5", "-,5"]
    assert read(texts, "number", decimal_comma=True) == [1.5, 1234.5, 1234.0, None, None, 5.0, -0.5]


def test_an_integer_has_nothing_behind_the_point() -> None:
    texts = ["3.0", "3.5", "1e3", "9223372036854775807", "9223372036854775808", "-9223372036854775808", "1e30"]
    expected = [3, None, 1000, 2**63 - 1, None, -(2**63), None]
    assert read(texts, "integer") == expected
    assert [parse_integer(text) for text in texts] == expected


def test_booleans_in_english_and_chinese() -> None:
    texts = ["yes", "No", "TRUE", "false", "1", "0", "是", "否", "t", "N", "maybe", "2"]
    assert read(texts, "boolean") == [True, False, True, False, True, False, True, False, True, False, None, None]


@settings(max_examples=15, deadline=None)
@given(st.lists(st.datetimes(dt.datetime(1, 1, 1), dt.datetime(9999, 12, 31)), min_size=10))
def test_moments_come_back_as_they_were_written(moments: list[dt.datetime]) -> None:
    assert read([moment.isoformat() for moment in moments], "date") == moments
    days = [moment.replace(hour=0, minute=0, second=0, microsecond=0) for moment in moments]
    for form in (
        "{0:%Y}-{0.month}-{0.day}",
        "{0.year:04}{0:%m%d}",
        "{0.year:04}年{0.month}月{0.day}日",
        "{0.day}.{0.month}.{0.year:04}",
    ):
        assert read([form.format(day) for day in days if day.year > 999], "date") == [d for d in days if d.year > 999]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-02-29", (2024, 2, 29)), ("2023-02-29", None), ("2024/1/5", (2024, 1, 5)), ("20240105", (2024, 1, 5)),
        ("25/12/2024", (2024, 12, 25)), ("12/25/2024", (2024, 12, 25)), ("5/5/2024", (2024, 5, 5)),
        ("3/4/2024", None), ("3-4-2024", None), ("13/13/2024", None), ("5.1.2024", (2024, 1, 5)),
        ("5 Jan 2024", (2024, 1, 5)), ("January 5th, 2024", (2024, 1, 5)), ("5-Sept-2024", (2024, 9, 5)),
        ("5 Foo 2024", None), ("1/2/24", None), ("２０２４年１月５日", (2024, 1, 5)),
        ("2024-01-05 3:04 PM", (2024, 1, 5, 15, 4)),
        ("2024-01-05T23:30:00-01:00", (2024, 1, 6, 0, 30)), ("2024-01-05T10:00:00Z", (2024, 1, 5, 10)),
        ("2024-01-05 25:00:00", None), ("2024-01-05 13:00 PM", None), ("9999-12-31T23:59:59-01:00", None),
        ("now", None),
        ("0000-01-01", None), ("", None),
    ],
)  # fmt: skip
def test_a_date_is_one_only_when_it_can_be_read_in_one_way(text: str, expected: tuple[int, ...] | None) -> None:
    moment = None if expected is None else dt.datetime(*expected)
    assert read([text], "date") == [moment]
    assert parse_date(text) == moment


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=20))
def test_no_text_is_too_strange_to_be_no_date_and_no_number(text: str) -> None:
    assert parse_date(text) is None or isinstance(parse_date(text), dt.datetime)
    assert parse_number(text) is None or math.isfinite(parse_number(text))


ROWS = {"age": ["17", "old", "x", "20"], "name": ["a", "b", "c", "d"]}


def test_bad_values_become_missing_and_are_counted(prepare) -> None:
    outcome = prepare(ROWS, kinds={"age": "integer"})
    assert outcome["age"] == [17, None, None, 20]
    assert outcome.counts == {"coerce types": {"age": 2}}
    assert outcome.kinds == {"age": "integer", "name": "text"}


def test_bad_values_can_remove_their_rows(prepare) -> None:
    outcome = prepare(ROWS, types={"columns": {"age": "integer"}, "on_bad_value": "drop"})
    assert outcome["name"] == ["a", "d"]
    assert outcome.removed == {"coerce types": [2, 3]}


def test_bad_values_can_fail_the_run_with_their_first_row(prepare) -> None:
    outcome = prepare(ROWS, types={"columns": {"age": "integer"}, "on_bad_value": "fail"})
    (message,) = outcome.fails
    assert outcome.fails[message] == 2
    assert message.startswith('column "age" has a value that is no whole number; fix the row')


def test_typed_columns_can_become_others(prepare) -> None:
    rows = {"f": [1.0, 2.5, None], "i": [20240105, 1, 0], "b": [True, False, None], "t": [1, 0, 2]}
    kinds = {"i": "integer", "b": "boolean", "t": "integer"}
    columns = {"f": "integer", "i": "date", "b": "number", "t": "boolean"}
    outcome = prepare(rows, kinds=kinds, types={"columns": columns})
    assert outcome["f"] == [1, None, None]
    assert outcome["i"] == [dt.datetime(2024, 1, 5), None, None]
    assert outcome["b"] == [1.0, 0.0, None]
    assert outcome["t"] == [True, False, None]
    words = prepare(
        {"f": [1.0, 2.5, None], "b": [True, None, False]},
        kinds={"b": "boolean"},
        types={"columns": {"f": "category", "b": "text"}},
    )
    assert words.columns == {"f": ["1", "2.5", None], "b": ["true", None, "false"]}


def test_infinity_is_no_number(prepare) -> None:
    assert prepare({"x": [1.0, math.inf, -math.inf]})["x"] == [1.0, None, None]


def test_classes_stay_text_and_the_value_of_a_regression_becomes_a_number(prepare) -> None:
    rows = {"x": ["1", "2"], "y": ["1", "two"]}
    kinds = {"x": "integer", "y": "integer"}
    assert prepare(rows, kinds=kinds, roles={"label": "y"})["y"] == ["1", "two"]
    regression = prepare(rows, kinds={**kinds, "y": "text"}, roles={"label": "y"}, task="tabular-regression")
    assert regression["y"] == [1.0]
    assert regression.removed == {"drop empty rows": [2]}


def test_a_column_of_pictures_cannot_become_numbers(prepare) -> None:
    with pytest.raises(InvalidInput, match="cannot become number"):
        prepare({"x": pa.array([b"1"])}, kinds={"x": "image"}, types={"columns": {"x": "number"}})
