"""Looks through tables of Arrow for a value: texts, numbers that may be one, bytes, and what is nested in them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from tidemill.erasure.subject import Matcher, folded
from tidemill.erasure.texts import found_in, writings

BATCH_ROWS = 1 << 14
_BUFFER = 1 << 18
_BETWEEN = "\x00"
"""Stands between values that are looked through as one text; no form of a value matches it."""


def parquet_batches(path: Path) -> Iterator[pa.RecordBatch]:
    """The rows of a Parquet file, in constant memory however large its row groups are. Raises pyarrow's errors."""
    with pq.ParquetFile(path, buffer_size=_BUFFER, pre_buffer=False) as file:
        yield from file.iter_batches(batch_size=BATCH_ROWS, use_threads=False)


def holds_in_schema(schema: pa.Schema, matcher: Matcher) -> bool:
    """Whether names of columns or what is written beside them hold the value."""
    return found_in(str(schema.to_string(show_schema_metadata=True, truncate_metadata=False)), matcher)


def rows_with(batch: pa.RecordBatch, matcher: Matcher) -> npt.NDArray[np.bool_]:
    """Of every row, whether one of its values holds the value."""
    found = np.zeros(batch.num_rows, np.bool_)
    for column in batch.columns:
        if _may_hold(column, matcher):
            found |= np.fromiter((_value_holds(value, matcher) for value in column.to_pylist()), np.bool_, len(column))
    return found


def _may_hold(array: pa.Array, matcher: Matcher) -> bool:
    """Whether a look at the single values is worth it: all of them are looked through as one text."""
    return any(_text_holds(leaf, matcher) for leaf in _leaves(array, matcher))


def _text_holds(values: pa.Array, matcher: Matcher) -> bool:
    text = _BETWEEN.join(value for value in values.to_pylist() if value is not None)
    return any(next(matcher.places(folded(one)), None) is not None for one in writings(text))


def _leaves(array: pa.Array, matcher: Matcher) -> Iterator[pa.Array]:
    """The texts in an array, whatever it nests them in; numbers as texts where they may be the value."""
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    kind = array.type
    if pa.types.is_dictionary(kind):
        yield from _leaves(array.dictionary, matcher)
    elif pa.types.is_run_end_encoded(kind):
        yield from _leaves(array.values, matcher)
    elif pa.types.is_map(kind):
        yield from _leaves(array.keys, matcher)
        yield from _leaves(array.items, matcher)
    elif pa.types.is_struct(kind):
        for field in array.flatten():
            yield from _leaves(field, matcher)
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        yield from _leaves(array.flatten(), matcher)
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        yield array
    elif _is_bytes(kind) or (matcher.of_digits and _is_number(kind)):
        yield pa.array([_as_text(value) for value in array.to_pylist()], pa.large_string())
    elif pa.types.is_nested(kind):  # unions and views: rare, and looked at value by value
        yield pa.array([" ".join(_texts_in(value)) for value in array.to_pylist()], pa.large_string())


def _is_bytes(kind: pa.DataType) -> bool:
    tests = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary, pa.types.is_binary_view)
    return any(test(kind) for test in tests)


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _value_holds(value: Any, matcher: Matcher) -> bool:
    return any(found_in(text, matcher) for text in _texts_in(value))


def _texts_in(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield str(key)
            yield from _texts_in(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts_in(inner)
    elif (text := _as_text(value)) is not None:
        yield text


def _as_text(value: Any) -> str | None:
    """A value as it is looked through: whole numbers without a point, bytes as UTF-8."""
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    if isinstance(value, str | int):
        return str(value)
    return format(value, "f").rstrip("0").rstrip(".") if hasattr(value, "as_tuple") else str(value)
