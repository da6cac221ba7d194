"""Numbers far from the others, by fences that the training part sets.

``iqr``: Tukey's fences, ``threshold`` interquartile ranges beyond the quartiles (linear interpolation, type 7 of
Hyndman and Fan). ``zscore``: ``threshold`` population standard deviations from the mean. Where so many values are one
that the quartiles are the same, the range between them says nothing of how far is far: such a column has no fences.
Fences of whole numbers are the nearest whole numbers inside, so that a clipped column keeps its type.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
from daft import DataType, Expression, col, lit
from daft import functions as fn

from services.preprocess.change import Change
from services.preprocess.fitted import FittedStep
from services.preprocess.rules.columns import NUMBERS, Roles, check_new
from services.preprocess.rules.fitting import ColumnwiseStep, Figures, mean_and_deviation, numbers
from tidemill.contracts.preparation import Outliers
from tidemill.datasets import Column
from tidemill.errors import InvalidInput


def outliers(rule: Outliers, roles: Roles) -> FittedStep:
    """Numbers beyond the fences take the fence's value, become missing, are flagged, or their row goes."""

    def choose(columns: Mapping[str, Column]) -> Sequence[str]:
        return _columns(rule, roles, columns)

    def figures(name: str, values: pa.ChunkedArray) -> Figures | None:
        found = numbers(values)
        if not len(found):
            return None
        if rule.method == "iqr":
            low, high = (float(quartile) for quartile in np.quantile(found, (0.25, 0.75)))
            spread = high - low
        else:
            low, spread = mean_and_deviation(found)
            high = low
        if not spread > 0:
            return None
        low, high = low - rule.threshold * spread, high + rule.threshold * spread
        if pa.types.is_integer(values.type):
            low, high = max(-(2**63), math.ceil(low)), min(2**63 - 1, math.floor(high))
        return {"low": low, "high": high}

    def make(columns: Mapping[str, Column], fitted: Mapping[str, Figures]) -> Change:
        beyond = {name: _beyond(name, fences) for name, fences in fitted.items()}
        if rule.action == "drop":
            remove: Expression | None = None
            for found in beyond.values():
                remove = found if remove is None else remove | found
            return Change(remove=remove)
        if rule.action == "flag":
            for name in fitted:
                check_new(flag_column(name), columns, "data.outliers")
            return Change(
                {flag_column(name): fn.fill_null(found, lit(False)) for name, found in beyond.items()}, counts=beyond
            )
        if rule.action == "missing":
            values = {name: fn.when(found, lit(None)).otherwise(col(name)) for name, found in beyond.items()}
        else:
            values = {
                name: fn.clip(col(name), lit(fences["low"]), lit(fences["high"])) for name, fences in fitted.items()
            }
        return Change(values, counts=beyond)

    def after(columns: Mapping[str, Column], fitted: Mapping[str, Figures]) -> dict[str, Column]:
        flags = [flag_column(name) for name in fitted] if rule.action == "flag" else []
        return {**columns, **{flag: Column(name=flag, kind="boolean") for flag in flags}}

    what = "interquartile ranges beyond the quartiles" if rule.method == "iqr" else "standard deviations from the mean"
    says = f"numbers more than {rule.threshold:g} {what} of the training part: {rule.action}"
    return ColumnwiseStep("outliers", says, choose, figures, make, after)


def flag_column(name: str) -> str:
    """The column that says where ``name`` had an outlier."""
    return f"{name}_outlier"


def _beyond(name: str, fences: Figures) -> Expression:
    value = fn.cast(col(name), DataType.float64())
    return (value < lit(fences["low"])) | (value > lit(fences["high"]))


def _columns(rule: Outliers, roles: Roles, columns: Mapping[str, Column]) -> list[str]:
    if rule.columns is None:
        return [name for name in roles.features(columns) if columns[name].kind in NUMBERS]
    for name in rule.columns:
        if name in columns and columns[name].kind not in NUMBERS:
            raise InvalidInput(
                f"data.outliers.columns names {name!r}, which is of kind {columns[name].kind}; outliers are numbers"
            )
    return [name for name in rule.columns if name in columns]
