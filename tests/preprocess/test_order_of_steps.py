"""A step that calls Python sees the columns as the steps before it left them, whatever the steps behind it write."""

from __future__ import annotations

from collections.abc import Callable

import daft
import pyarrow as pa
from daft import DataType, Expression, Series, col, func, lit
from daft.functions import concat, lower, upper, when
from hypothesis import given, settings
from hypothesis import strategies as st

from services.preprocess.change import Change
from services.preprocess.frame import begin, fold
from tidemill.datasets import Column

Row = dict[str, str]


@func.batch(return_dtype=DataType.string(), use_process=False)
def reversed_text(texts: Series) -> pa.Array:
    return pa.array([text[::-1] for text in texts.to_pylist()], pa.string())


@func.batch(return_dtype=DataType.string(), use_process=False)
def joined(ones: Series, others: Series) -> pa.Array:
    return pa.array([one + other for one, other in zip(ones.to_pylist(), others.to_pylist(), strict=True)], pa.string())


def conditional(row: Row) -> str:
    return row["b"] if row["a"][::-1] == row["a"] else row["a"]


STEPS: dict[str, tuple[dict[str, Expression], Callable[[Row], Row]]] = {
    "native": ({"a": upper(col("a"))}, lambda row: {"a": row["a"].upper()}),
    "native on both": (
        {"a": lower(col("a")), "b": concat(col("a"), lit("!"))},
        lambda row: {"a": row["a"].lower(), "b": row["a"] + "!"},
    ),
    "call in place": ({"a": reversed_text(col("a"))}, lambda row: {"a": row["a"][::-1]}),
    "call elsewhere": ({"b": reversed_text(col("a"))}, lambda row: {"b": row["a"][::-1]}),
    "call beside native": (
        {"a": upper(col("a")), "b": joined(col("a"), col("b"))},
        lambda row: {"a": row["a"].upper(), "b": row["a"] + row["b"]},
    ),
    "call on native": ({"b": reversed_text(upper(col("a")))}, lambda row: {"b": row["a"].upper()[::-1]}),
    "call in a condition": (
        {"b": when(reversed_text(col("a")) == col("a"), col("b")).otherwise(col("a")), "a": lower(col("b"))},
        lambda row: {"b": conditional(row), "a": row["b"].lower()},
    ),
}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(sorted(STEPS)), min_size=1, max_size=6))
def test_every_sequence_of_steps_gives_what_one_after_the_other_gives(names: list[str]) -> None:
    rows = [{"a": "Ab", "b": "x"}, {"a": "aBa", "b": "Yz"}, {"a": "", "b": ""}]
    columns = {name: Column(name=name, kind="text") for name in ("a", "b")}
    frame = begin(daft.from_pylist(rows))
    for number, name in enumerate(names, 1):
        change = Change(STEPS[name][0], counts={"length": reversed_text(col("a")).length()})
        frame, _ = fold(frame, columns, change, number=number, name=name, says="")
    result = frame.to_pydict()
    for number, name in enumerate(names, 1):
        assert result[f"__{number}_count_0"] == [len(row["a"]) for row in rows]
        rows = [row | STEPS[name][1](row) for row in rows]
    assert [{"a": a, "b": b} for a, b in zip(result["a"], result["b"], strict=True)] == rows
