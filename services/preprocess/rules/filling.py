"""Missing values become the median or the most frequent value of the training part.

What the step for outliers made missing is handled as the recipe says of missing values, whichever rule that is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from daft import DataType, Expression, col, lit
from daft import functions as fn

from services.preprocess.change import Change
from services.preprocess.fitted import FittedStep
from services.preprocess.rules.columns import NUMBERS, Roles
from services.preprocess.rules.fitting import ColumnwiseStep, Figures, numbers
from services.preprocess.rules.missing import any_missing, constant_value, filled, flag_column, missing_rules
from tidemill.contracts.data import Data
from tidemill.contracts.preparation import Constant
from tidemill.datasets import Column


def fill_missing(data: Data, roles: Roles) -> FittedStep:
    """Fill what is missing; a column without any value in the training part stays as it is."""
    again = data.outliers is not None and data.outliers.action == "missing"

    def choose(columns: Mapping[str, Column]) -> Sequence[str]:
        rules = missing_rules(data.missing, roles, columns)
        return [
            name for name, rule in rules.items() if rule in ("median", "mode") or (again and _numeric(columns[name]))
        ]

    def figures(name: str, values: pa.ChunkedArray) -> Figures | None:
        own = data.missing.columns.get(name, data.missing.default)
        numeric = pa.types.is_integer(values.type) or pa.types.is_floating(values.type)
        if own == "median" and numeric:
            found = numbers(values)
            return {"value": float(np.median(found))} if len(found) else None
        if own in ("median", "mode"):
            return {"value": most_frequent(values)} if len(values) else None
        return {}

    def make(columns: Mapping[str, Column], fitted: Mapping[str, Figures]) -> Change:
        rules = missing_rules(data.missing, roles, columns)
        values: dict[str, Expression] = {}
        drop = []
        for name, found in fitted.items():
            rule = rules.get(name)
            if "value" in found:
                values[name] = _filled(columns[name], found["value"])
            elif isinstance(rule, Constant):
                values[name] = filled(name, columns[name], constant_value(rule, columns[name].kind))
            elif rule == "flag":
                values[flag_column(name)] = col(flag_column(name)) | fn.is_null(col(name))
            elif rule == "drop":
                drop.append(name)
        counts = {name: fn.is_null(col(name)) for name in fitted if name not in drop}
        return Change(values, remove=any_missing(drop), counts=counts)

    def after(columns: Mapping[str, Column], fitted: Mapping[str, Figures]) -> dict[str, Column]:
        new = {
            name: Column(name=name, kind="number")
            for name, found in fitted.items()
            if columns[name].kind == "integer" and not float(found.get("value", 0)).is_integer()
        }
        return {**columns, **new}

    says = "missing values become the median or the most frequent value of the training part"
    return ColumnwiseStep("fill missing values", says, choose, figures, make, after)


def most_frequent(values: pa.ChunkedArray) -> Any:
    """The value that occurs most often, the smallest of several, as JSON: moments as ISO 8601."""
    counted = pc.value_counts(values)
    top = pc.max(counted.field("counts"))
    candidates = counted.field("values").filter(pc.equal(counted.field("counts"), top)).to_pylist()
    best = min(candidates)
    return best.isoformat() if isinstance(best, datetime) else best


def _filled(column: Column, value: Any) -> Expression:
    if column.kind == "date":
        value = datetime.fromisoformat(value)
    elif column.kind == "integer":
        if not float(value).is_integer():
            return fn.fill_null(fn.cast(col(column.name), DataType.float64()), lit(value))
        value = int(value)
    return filled(column.name, column, value)


def _numeric(column: Column) -> bool:
    return column.kind in NUMBERS
