"""What fitted steps have in common: they look at columns of numbers or categories, and remember figures by column.

Sums are exactly rounded (``math.fsum``), so that the order of rows, the batches and the processor do not matter.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from services.preprocess.change import Change
from tidemill.datasets import Column
from tidemill.errors import InvalidInput

Figures = dict[str, Any]
"""What was fitted to one column, as JSON."""


@dataclass(frozen=True)
class ColumnwiseStep:
    """A fitted step that treats each column by itself; ``fitted`` is ``{column: figures}``.

    ``choose``: the columns that it looks at. ``figures``: what the present values of one training column say; None
    leaves the column as it is. ``make`` and ``after`` see the columns that there are figures of.
    """

    name: str
    says: str
    choose: Callable[[Mapping[str, Column]], Sequence[str]]
    figures: Callable[[str, pa.ChunkedArray], Figures | None]
    make: Callable[[Mapping[str, Column], Mapping[str, Figures]], Change]
    after: Callable[[Mapping[str, Column], Mapping[str, Figures]], dict[str, Column]] | None = None

    def needs(self, columns: Mapping[str, Column]) -> Sequence[str]:
        """See ``FittedStep``."""
        return self.choose(columns)

    def fit(self, training: pa.Table) -> dict[str, Any]:
        """See ``FittedStep``."""
        found = {name: self._finite(name, pc.drop_null(training[name])) for name in training.column_names}
        return {name: figures for name, figures in found.items() if figures is not None}

    def _finite(self, name: str, values: pa.ChunkedArray) -> Figures | None:
        """The figures. Raises InvalidInput when they are beyond what a number can be: squares of 1e200, say."""
        try:
            with np.errstate(over="ignore", invalid="ignore"):
                figures = self.figures(name, values)
        except OverflowError:
            raise self._too_far_apart(name) from None
        if any(isinstance(one, float) and not math.isfinite(one) for one in (figures or {}).values()):
            raise self._too_far_apart(name)
        return figures

    def _too_far_apart(self, name: str) -> InvalidInput:
        return InvalidInput(
            f"column {name!r} has numbers too large or too far apart for the step {self.name!r}; say what it may hold: "
            f"data: {{bounds: {{{name}: {{minimum: …, maximum: …}}}}}}"
        )

    def change(self, columns: Mapping[str, Column], fitted: Mapping[str, Any]) -> Change:
        """See ``FittedStep``."""
        return self.make(columns, _there(columns, fitted))

    def columns_after(self, columns: Mapping[str, Column], fitted: Mapping[str, Any]) -> dict[str, Column]:
        """See ``FittedStep``."""
        return dict(columns) if self.after is None else self.after(columns, _there(columns, fitted))


def numbers(values: pa.ChunkedArray) -> npt.NDArray[np.float64]:
    """Finite numbers, in their order: float64 [rows], the nearest one of an integer beyond 2⁵³."""
    found: npt.NDArray[np.float64] = values.cast(pa.float64(), safe=False).to_numpy()
    return found[np.isfinite(found)]


def mean_and_deviation(values: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Arithmetic mean and population standard deviation of at least one number."""
    mean = math.fsum(values.tolist()) / len(values)
    return mean, math.sqrt(math.fsum(((values - mean) ** 2).tolist()) / len(values))


def _there(columns: Mapping[str, Column], fitted: Mapping[str, Any]) -> dict[str, Figures]:
    return {name: figures for name, figures in fitted.items() if name in columns}
