"""Numbers on one scale: zero mean and unit deviation, or from 0 to 1, as the training part has them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import pyarrow as pa
from daft import DataType, col, lit
from daft import functions as fn

from services.preprocess.change import Change
from services.preprocess.fitted import FittedStep
from services.preprocess.rules.columns import NUMBERS
from services.preprocess.rules.fitting import ColumnwiseStep, Figures, mean_and_deviation, numbers
from tidemill.datasets import Column


def scale_numbers(
    method: Literal["standard", "minmax"], features: Callable[[Mapping[str, Column]], list[str]]
) -> FittedStep:
    """``(value - shift) / scale``, as float64. A column of one value becomes 0; values of other parts may lie beyond
    0 and 1."""

    def choose(columns: Mapping[str, Column]) -> Sequence[str]:
        return [name for name in features(columns) if columns[name].kind in NUMBERS]

    def figures(name: str, values: pa.ChunkedArray) -> Figures | None:
        found = numbers(values)
        if not len(found):
            return None
        if method == "standard":
            shift, scale = mean_and_deviation(found)
        else:
            shift = float(found.min())
            scale = float(found.max()) - shift
        return {"shift": shift, "scale": scale if scale > 0 else 1.0}

    def make(columns: Mapping[str, Column], fitted: Mapping[str, Figures]) -> Change:
        return Change(
            {
                name: (fn.cast(col(name), DataType.float64()) - lit(figure["shift"])) / lit(figure["scale"])
                for name, figure in fitted.items()
            }
        )

    def after(columns: Mapping[str, Column], fitted: Mapping[str, Figures]) -> dict[str, Column]:
        return {**columns, **{name: Column(name=name, kind="number") for name in fitted}}

    how = "zero mean and unit deviation" if method == "standard" else "0 to 1"
    return ColumnwiseStep("scale", f"numbers scaled to {how} in the training part", choose, figures, make, after)
