"""How far one version of a dataset moved from another, judged by their profiles, never by rows.

The population stability index of a column, sum of (a - b) ln(a / b) over the shares of bins, where the bins are the
version before's: about ten equally full ranges of a column of numbers and one on either side of them; the 20 most
frequent values and the rest of one of few values; ranges of lengths of one of texts, in any language. A count of 0.5
is added to each bin, so that an empty one is finite.

Small samples differ by chance. Without drift the index times nm / (n + m), for n and m rows, follows the chi-squared
distribution with bins - 1 degrees of freedom (Yurdakul and Naranjo 2020), so that ``noise`` is what chance alone
exceeds once in a thousand times. By habit 0.1 counts as moderate and 0.25 as large.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from tidemill.contracts import Frozen
from tidemill.datasets.histogram import Histogram, aligned
from tidemill.datasets.profile import ColumnFigures, DatasetProfile

MODERATE, LARGE = 0.1, 0.25
TOP_VALUES = 20
_DECILES = 10
_SHOWN = 20
_NORMAL_999 = 3.0902
"""The standard normal's quantile at 0.999."""
_MISSING_MATTERS = 0.05

Level = Literal["none", "moderate", "large"]
Counts = npt.NDArray[np.int64]


class ColumnDrift(Frozen):
    """One column, before and after."""

    column: str
    measure: Literal["numbers", "values", "lengths", "missing"]
    """What was compared; ``missing``: nothing else could be."""
    psi: float = 0.0
    noise: float = 0.0
    """What the index reaches by chance once in a thousand times, for as many rows."""
    level: Level = "none"
    """``none`` where ``psi`` is within ``noise``."""
    missing_before: float = 0.0
    missing_after: float = 0.0
    """Shares of the rows, 0..1."""
    missing_changed: bool = False
    """By five percentage points or more, and by more than chance does once in a thousand times."""
    new_values: list[str] = Field(default_factory=list)
    """Values that did not occur before, the most frequent first, at most 20; only of a column of few values."""
    vanished_values: list[str] = Field(default_factory=list)


class LabelDrift(Frozen):
    """The labels, before and after."""

    psi: float
    noise: float
    level: Level
    total_variation: float
    """Half the sum of the absolute differences of the labels' shares, 0..1."""
    new: list[str]
    """Labels that did not occur before, the most frequent first."""
    vanished: list[str]


class Drift(Frozen):
    """A version against the one before: the columns that both have, in their order."""

    rows_before: int
    rows_after: int
    columns: list[ColumnDrift]
    labels: LabelDrift | None = None

    @property
    def largest(self) -> ColumnDrift | None:
        """The column that moved most, of those that moved more than by chance."""
        moved = [column for column in self.columns if column.psi > column.noise]
        return max(moved, key=lambda column: column.psi, default=None)


def drift(before: DatasetProfile, after: DatasetProfile) -> Drift:
    """How ``after`` differs from ``before``."""
    both = [(old, new) for new in after.columns if (old := before.column(new.name)) is not None]
    labels = _label_drift(before.label_counts, after.label_counts)
    return Drift(
        rows_before=before.rows, rows_after=after.rows, columns=[_column_drift(old, new) for old, new in both],
        labels=labels,
    )  # fmt: skip


def stability_index(before: Counts, after: Counts) -> tuple[float, float]:
    """The population stability index of the counts of the same bins, and its noise."""
    before, after = before[(before + after) > 0], after[(before + after) > 0]
    rows, others, bins = int(before.sum()), int(after.sum()), len(before)
    if bins < 2 or not rows or not others:
        return 0.0, 0.0
    old, new = (before + 0.5) / (rows + 0.5 * bins), (after + 0.5) / (others + 0.5 * bins)
    index = float(np.sum((new - old) * np.log(new / old)))
    return round(index, 6), round(_chi_squared_999(bins - 1) * (1 / rows + 1 / others), 6)


def _column_drift(old: ColumnFigures, new: ColumnFigures) -> ColumnDrift:
    measure, bins = _bins(old, new)
    psi, noise = stability_index(*bins) if bins is not None else (0.0, 0.0)
    few = old.complete and new.complete and measure == "values"
    return ColumnDrift(
        column=new.name, measure=measure, psi=psi, noise=noise, level=_level(psi, noise),
        missing_before=round(old.missing_share, 6), missing_after=round(new.missing_share, 6),
        missing_changed=_missing_changed(old, new),
        new_values=_only_in(new.values, old.values)[:_SHOWN] if few else [],
        vanished_values=_only_in(old.values, new.values)[:_SHOWN] if few else [],
    )  # fmt: skip


def _bins(
    old: ColumnFigures, new: ColumnFigures
) -> tuple[Literal["numbers", "values", "lengths", "missing"], tuple[Counts, Counts] | None]:
    if old.kind == "date" or new.kind == "date":  # time goes on: later dates are no drift
        return "missing", None
    if old.numbers is not None and new.numbers is not None:
        return "numbers", _ranges(old.numbers, new.numbers)
    if old.complete and new.complete and old.values and new.values:
        return "values", _top_values(old.values, new.values)
    if old.lengths is not None and new.lengths is not None:
        return "lengths", _ranges(old.lengths, new.lengths)
    return "missing", None


def _label_drift(before: Mapping[str, int], after: Mapping[str, int]) -> LabelDrift | None:
    if not before or not after:
        return None
    labels = sorted(before.keys() | after.keys())
    old, new = (np.array([counts.get(label, 0) for label in labels], np.int64) for counts in (before, after))
    psi, noise = stability_index(old, new)
    return LabelDrift(
        psi=psi, noise=noise, level=_level(psi, noise), new=_only_in(after, before), vanished=_only_in(before, after),
        total_variation=round(float(np.abs(old / old.sum() - new / new.sum()).sum()) / 2, 6),
    )  # fmt: skip


def _ranges(old: Histogram, new: Histogram) -> tuple[Counts, Counts]:
    """Counts in ranges that hold a tenth of the old numbers each, as far as bins can be told apart."""
    before, after = aligned(old, new)
    occupied = np.flatnonzero(before)
    first, last = int(occupied[0]), int(occupied[-1])
    reached = np.cumsum(before)[first : last + 1]
    # A range ends at the bin with which it has its tenth.
    ends = np.searchsorted(reached, np.arange(1, _DECILES) * reached[-1] / _DECILES) + first + 1
    starts = sorted({0, first, *ends.tolist(), last + 1} - {len(before)})
    return np.add.reduceat(before, starts), np.add.reduceat(after, starts)


def _top_values(old: Mapping[str, int], new: Mapping[str, int]) -> tuple[Counts, Counts]:
    top = list(old)[:TOP_VALUES]
    counts = []
    for values in (old, new):
        named = [values.get(value, 0) for value in top]
        counts.append(np.array([*named, sum(values.values()) - sum(named)], np.int64))
    return counts[0], counts[1]


def _only_in(values: Mapping[str, int], others: Mapping[str, int]) -> list[str]:
    return sorted(values.keys() - others.keys(), key=lambda value: (-values[value], value))


def _level(psi: float, noise: float) -> Level:
    if psi <= noise or psi < MODERATE:
        return "none"
    return "large" if psi >= LARGE else "moderate"


def _missing_changed(old: ColumnFigures, new: ColumnFigures) -> bool:
    if not old.rows or not new.rows:
        return False
    change = abs(old.missing_share - new.missing_share)
    # Two proportions with Yates's correction; two rows of each kind are added, for shares near zero (Agresti, Coull).
    share = (old.missing + new.missing + 2) / (old.rows + new.rows + 4)
    inverse = 1 / old.rows + 1 / new.rows
    by_chance = _NORMAL_999 * float(np.sqrt(share * (1 - share) * inverse)) + inverse / 2
    return change >= _MISSING_MATTERS and change > by_chance


def _chi_squared_999(degrees: int) -> float:
    """The quantile at 0.999, by Wilson and Hilferty (1931); within 3.1 % from one degree of freedom on."""
    spread = 2 / (9 * degrees)
    return float(degrees * (1 - spread + _NORMAL_999 * np.sqrt(spread)) ** 3)
