"""What means 'missing', and what happens to it."""

from __future__ import annotations

import math

import pyarrow as pa
import pytest

from tidemill.errors import InvalidInput


def test_markers_and_the_spaces_around_values_are_no_values(prepare) -> None:
    outcome = prepare({"work": [" ?", "Private ", "", " NA", None, "NAN"]})
    assert outcome["work"] == [None, "Private", None, None, None, "NAN"]
    assert outcome.counts == {"strip spaces": {"work": 3}, "missing markers": {"work": 3}}


def test_markers_are_text_in_the_tasks_texts_and_missing_in_its_labels(prepare) -> None:
    rows = {"text": ["?", "NA", "null"], "label": ["a", "NA", "b"]}
    roles = {"text": "text", "label": "label"}
    outcome = prepare(rows, kinds={"label": "category"}, task="text-classification", roles=roles)
    assert outcome["text"] == ["?", "null"]
    assert outcome.removed == {"drop empty rows": [2]}


def test_the_recipe_can_name_other_markers(prepare) -> None:
    assert prepare({"x": ["-", "?"]}, missing={"markers": ["-"]})["x"] == [None, "?"]


def test_typed_columns_have_no_markers_but_nan_is_missing(prepare) -> None:
    outcome = prepare({"x": [1.0, math.nan, None]})
    assert outcome["x"] == [1.0, None, None]
    assert outcome.counts == {"missing markers": {"x": 1}}


def test_rows_go_flags_are_added_and_constants_filled_in(prepare) -> None:
    rows = {"a": ["1", "?", "3", "4"], "b": ["", "x", "y", ""], "c": ["5", "6", "NA", "8"]}
    columns = {"a": "drop", "b": {"constant": "none"}, "c": "flag"}
    outcome = prepare(rows, kinds={"a": "integer", "b": "category", "c": "number"}, missing={"columns": columns})
    assert outcome.columns == {
        "a": [1, 3, 4], "b": ["none", "y", "none"], "c": [5.0, None, 8.0], "c_missing": [False, True, False],
    }  # fmt: skip
    assert outcome.removed == {"missing values": [2]}
    assert outcome.kinds["c_missing"] == "boolean"


def test_a_default_constant_fills_the_columns_of_its_kind_alone(prepare) -> None:
    rows = {"n": ["", "1"], "w": ["", "x"]}
    kinds = {"n": "integer", "w": "category"}
    assert prepare(rows, kinds=kinds, missing={"default": {"constant": 0}}).columns == {"n": [0, 1], "w": [None, "x"]}
    assert prepare(rows, kinds=kinds, missing={"default": {"constant": "-"}}).columns == {
        "n": [None, 1],
        "w": ["-", "x"],
    }


def test_dates_can_be_filled_with_a_date(prepare) -> None:
    outcome = prepare({"d": ["", "2024-01-05"]}, kinds={"d": "date"}, missing={"default": {"constant": "2000-01-01"}})
    assert [value.year for value in outcome["d"]] == [2000, 2024]


@pytest.mark.parametrize(
    ("kind", "rule", "words"),
    [
        ("category", "median", "no median"),
        ("text", "mode", "most frequent"),
        ("integer", {"constant": 0.5}, "no value"),
        ("number", {"constant": "many"}, "no value"),
    ],
)
def test_a_rule_that_does_not_suit_the_column_is_refused(prepare, kind: str, rule: object, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        prepare({"x": ["1"]}, kinds={"x": kind}, missing={"columns": {"x": rule}})


def test_a_flag_must_not_take_the_place_of_a_column(prepare) -> None:
    with pytest.raises(InvalidInput, match="x_missing"):
        prepare({"x": ["1"], "x_missing": ["2"]}, missing={"columns": {"x": "flag"}})


def test_the_tasks_own_columns_have_no_missing_rule(prepare) -> None:
    with pytest.raises(InvalidInput, match="always dropped"):
        prepare({"x": ["1"], "y": ["a"]}, roles={"label": "y"}, missing={"columns": {"y": "mode"}})


def test_a_text_column_without_any_value_stays_one(prepare) -> None:
    for kind in ("text", "integer", "date", "boolean"):
        outcome = prepare({"x": pa.array([None, None], pa.string())}, kinds={"x": kind}, missing={"default": "flag"})
        assert outcome.columns == {"x": [None, None], "x_missing": [True, True]}


@pytest.mark.parametrize("kind", ["text", "category", "integer", "number", "boolean", "date"])
def test_an_empty_table_passes_every_step(prepare, kind: str) -> None:
    rows = {"x": pa.array([], pa.string()), "y": pa.array([], pa.string())}
    outcome = prepare(rows, kinds={"x": kind, "y": "category"}, roles={"label": "y"}, missing={"default": "flag"})
    assert outcome["x"] == outcome["x_missing"] == []
