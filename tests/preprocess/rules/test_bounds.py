"""The values that a column may have, ends included."""

from __future__ import annotations

import math

import pytest

from tidemill.errors import InvalidInput

AGES = {"age": ["-1", "0", "50", "120", "121", "?"]}
KINDS = {"age": "integer"}


def bounded(action: str) -> dict[str, object]:
    return {"age": {"minimum": 0, "maximum": 120, "action": action}}


def test_values_beyond_either_end_become_missing(prepare) -> None:
    outcome = prepare(AGES, kinds=KINDS, bounds=bounded("missing"))
    assert outcome["age"] == [None, 0, 50, 120, None, None]
    assert outcome.counts["bounds"] == {"age": 2}


def test_or_take_the_ends(prepare) -> None:
    assert prepare(AGES, kinds=KINDS, bounds=bounded("clip"))["age"] == [0, 0, 50, 120, 120, None]
    clipped = prepare(AGES, kinds=KINDS, bounds={"age": {"minimum": 0.5, "maximum": 119.5, "action": "clip"}})
    assert clipped["age"] == [1, 1, 50, 119, 119, None]
    assert prepare({"x": [0.1, 9.0]}, bounds={"x": {"minimum": 0.5, "action": "clip"}})["x"] == [0.5, 9.0]


def test_ends_beyond_64_bits_clip_nothing(prepare) -> None:
    rule = {"minimum": -1e30, "maximum": math.inf, "action": "clip"}
    assert prepare(AGES, kinds=KINDS, bounds={"age": rule})["age"] == [-1, 0, 50, 120, 121, None]


def test_or_remove_their_rows(prepare) -> None:
    outcome = prepare(AGES, kinds=KINDS, bounds=bounded("drop"))
    assert outcome["age"] == [0, 50, 120, None]
    assert outcome.removed == {"bounds": [1, 5]}


def test_or_fail_the_run(prepare) -> None:
    outcome = prepare(AGES, kinds=KINDS, bounds=bounded("fail"))
    (message,) = outcome.fails
    assert outcome.fails[message] == 1
    assert 'column "age" has a value that is not from 0 and up to 120' in message


@pytest.mark.parametrize(
    ("kind", "values", "allowed", "expected"),
    [
        ("category", ["ham", "maybe", None], ["ham", "spam"], ["ham", None, None]),
        ("integer", ["1", "3"], ["1", "2.0"], [1, None]),
        ("number", ["1.5", "1.50", "2"], ["1.5"], [1.5, 1.5, None]),
        ("boolean", ["yes", "no"], ["true"], [True, None]),
        ("category", ["是", "也许"], ["是", "否"], ["是", None]),
    ],
)
def test_only_some_values_may_be_allowed(prepare, kind, values, allowed, expected) -> None:
    assert prepare({"x": values}, kinds={"x": kind}, bounds={"x": {"allowed": allowed}})["x"] == expected


def test_a_label_that_is_not_allowed_is_no_label(prepare) -> None:
    outcome = prepare(
        {"y": ["ham", "maybe"]}, kinds={"y": "category"}, roles={"label": "y"}, bounds={"y": {"allowed": ["ham"]}}
    )
    assert outcome.removed == {"drop empty rows": [2]}


@pytest.mark.parametrize(
    ("kind", "rule", "words"),
    [
        ("category", {"minimum": 1}, "no minimum or maximum"),
        ("number", {"allowed": ["a"]}, "is no number"),
        ("boolean", {"allowed": ["perhaps"]}, "neither true nor false"),
        ("date", {"allowed": ["2024-01-01"]}, "cannot be bounded"),
        ("integer", {"minimum": 0.2, "maximum": 0.8, "action": "clip"}, "no whole number"),
        ("integer", {"minimum": 1e30, "action": "clip"}, "no whole number"),
        ("integer", {"maximum": -math.inf, "action": "clip"}, "no whole number"),
    ],
)
def test_bounds_that_do_not_suit_the_column_are_refused(prepare, kind, rule, words) -> None:
    with pytest.raises(InvalidInput, match=words):
        prepare({"x": ["1"]}, kinds={"x": kind}, bounds={"x": rule})


def test_nothing_is_out_of_bounds_in_a_column_without_values(prepare) -> None:
    outcome = prepare({"x": ["?", ""]}, kinds={"x": "number"}, bounds={"x": {"minimum": 0, "action": "drop"}})
    assert outcome["x"] == [None, None]
