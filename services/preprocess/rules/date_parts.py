"""Moments as numbers: year, month, day, weekday (Monday is 0) and hour, each in a column of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pyarrow as pa
from daft import DataType, col
from daft import functions as fn

from services.preprocess.change import Change
from services.preprocess.fitted import FittedStep
from services.preprocess.rules.columns import check_new
from services.preprocess.rules.fitting import ColumnwiseStep, Figures
from tidemill.datasets import Column

PARTS = {"year": fn.year, "month": fn.month, "day": fn.day, "weekday": fn.day_of_week, "hour": fn.hour}


def date_parts(features: Callable[[Mapping[str, Column]], list[str]]) -> FittedStep:
    """Int64 columns ``<column>_<part>`` in the place of each column of moments. Nothing is fitted."""

    def choose(columns: Mapping[str, Column]) -> Sequence[str]:
        return [name for name in features(columns) if columns[name].kind == "date"]

    def figures(name: str, values: pa.ChunkedArray) -> Figures | None:
        return {}

    def make(columns: Mapping[str, Column], fitted: Mapping[str, Figures]) -> Change:
        values = {}
        for name in fitted:
            moment = fn.cast(col(name), DataType.timestamp("us"))
            for part, function in PARTS.items():
                check_new(f"{name}_{part}", columns, "data.features.dates")
                values[f"{name}_{part}"] = fn.cast(function(moment), DataType.int64())
        return Change(values, dropped_columns=tuple(fitted))

    def after(columns: Mapping[str, Column], fitted: Mapping[str, Figures]) -> dict[str, Column]:
        kept = {name: column for name, column in columns.items() if name not in fitted}
        new = [f"{name}_{part}" for name in fitted for part in PARTS]
        return {**kept, **{name: Column(name=name, kind="integer") for name in new}}

    return ColumnwiseStep(
        "date parts", f"{', '.join(PARTS)} of dates in columns of their own", choose, figures, make, after
    )
