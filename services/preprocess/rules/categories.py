"""Categories as numbers: a code each, or a column each.

Codes count from the training part's most frequent category (of equally frequent ones, the first in the order of code
points). Categories beyond ``max_categories`` share one code, the last. One that the training part does not have is -1,
or zero in every column; a missing value stays missing, or is zero in every column.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc
from daft import DataType, Expression, Series, col, func, lit
from daft import functions as fn

from services.preprocess.change import Change
from services.preprocess.fitted import FittedStep
from services.preprocess.rules.columns import check_new
from services.preprocess.rules.fitting import ColumnwiseStep, Figures
from tidemill.datasets import Column

OTHERS = "(others)"


def encode_categories(
    method: Literal["ordinal", "onehot"], most: int, features: Callable[[Mapping[str, Column]], list[str]]
) -> FittedStep:
    """``ordinal``: int64 codes in the column. ``onehot``: int8 columns ``<column>=<category>`` in its place."""

    def choose(columns: Mapping[str, Column]) -> Sequence[str]:
        return [name for name in features(columns) if columns[name].kind == "category"]

    def figures(name: str, values: pa.ChunkedArray) -> Figures | None:
        counted = pc.value_counts(values.cast(pa.string())).to_pylist()
        ordered = [entry["values"] for entry in sorted(counted, key=lambda one: (-one["counts"], one["values"]))]
        return {"categories": ordered[:most], "others": ordered[most:]} if ordered else None

    def make(columns: Mapping[str, Column], fitted: Mapping[str, Figures]) -> Change:
        if method == "ordinal":
            return Change({name: _code(name, found) for name, found in fitted.items()})
        values: dict[str, Expression] = {}
        for name, found in fitted.items():
            text = fn.cast(col(name), DataType.string())
            for category in found["categories"]:
                values[f"{name}={category}"] = _indicator(text == lit(category))
            if found["others"]:
                values[f"{name}={OTHERS}"] = _indicator(fn.is_in(text, found["others"]))
        for column in values:
            check_new(column, columns, "data.features.categories: onehot")
        return Change(values, dropped_columns=tuple(fitted))

    def after(columns: Mapping[str, Column], fitted: Mapping[str, Figures]) -> dict[str, Column]:
        kept: dict[str, Column] = {}
        for name, column in columns.items():
            if name not in fitted:
                kept[name] = column
            elif method == "ordinal":
                kept[name] = Column(name=name, kind="integer")
        new = make(columns, fitted).columns if method == "onehot" else {}
        return {**kept, **{name: Column(name=name, kind="integer") for name in new}}

    how = "a code each" if method == "ordinal" else "a column each"
    says = f"categories of the training part become numbers, {how}; at most {most:,}, the others as one"
    return ColumnwiseStep("encode categories", says, choose, figures, make, after)


def _indicator(found: Expression) -> Expression:
    return fn.cast(fn.fill_null(found, lit(False)), DataType.int8())


def _code(name: str, found: Figures) -> Expression:
    known = [*found["categories"], *found["others"]]
    return _codes(fn.cast(col(name), DataType.string()), known, len(found["categories"]))


@func.batch(return_dtype=DataType.int64(), use_process=False)
def _codes(value: Series, known: list[str], others: int) -> pa.Array:
    array = value.to_arrow()
    places = pc.fill_null(pc.index_in(array, pa.array(known, array.type)).cast(pa.int64()), -1)
    return pc.if_else(pc.is_null(array), pa.scalar(None, pa.int64()), pc.min_element_wise(places, pa.scalar(others)))
