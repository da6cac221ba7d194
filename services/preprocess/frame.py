"""Folds steps into one lazy Daft frame, and reads off its batches what each step did.

Beside the columns of the table the frame gets bookkeeping columns (see ``change``): which step removed the row, and
for each step whether it changed the row, what it counted and what it refuses. They are summed batch by batch, where
the rows are written anyway. Knows no step and no file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from daft import DataFrame, DataType, Expression, col, lit
from daft.functions import when

from services.preprocess.change import REMOVED, Change
from services.preprocess.python_calls import with_columns
from services.preprocess.tally import StepTally, shown
from tidemill.datasets import Column
from tidemill.errors import InvalidInput

STAYS = np.iinfo(np.int16).max
"""Where a removed row has the number of its step: more than any."""


@dataclass(frozen=True)
class Folded:
    """A step in a frame: its number, and the names of its bookkeeping columns."""

    number: int
    name: str
    says: str
    changed: str | None
    counts: Mapping[str, str]
    fails: Mapping[str, str]

    @property
    def hidden(self) -> list[str]:
        """Its bookkeeping columns."""
        return [*([self.changed] if self.changed else []), *self.counts.values(), *self.fails.values()]


def begin(frame: DataFrame) -> DataFrame:
    """``frame`` with no row removed yet."""
    return frame.with_column(REMOVED, lit(None).cast(DataType.int16()))


def fold(
    frame: DataFrame, columns: Mapping[str, Column], change: Change, *, number: int, name: str, says: str
) -> tuple[DataFrame, Folded]:
    """``frame`` after the step ``number``, whose expressions see the columns before it."""
    change = change.for_types({field.name: field.dtype for field in frame.schema()})
    prefix = f"__{number}"
    new = dict(change.columns)
    changed = _changed(columns, change, frame)
    hidden: dict[str, Expression] = {} if changed is None else {f"{prefix}_changed": changed}
    counts = {what: f"{prefix}_count_{place}" for place, what in enumerate(change.counts)}
    fails = {message: f"{prefix}_fails_{place}" for place, message in enumerate(change.fails)}
    hidden |= {counts[what]: value.cast(DataType.int64()) for what, value in change.counts.items()}
    hidden |= {fails[message]: value.cast(DataType.bool()) for message, value in change.fails.items()}
    if change.remove is not None:
        goes = col(REMOVED).is_null() & change.remove.fill_null(False)
        hidden[REMOVED] = when(goes, lit(number).cast(DataType.int16())).otherwise(col(REMOVED))
    if new or hidden:
        frame = with_columns(frame, new | hidden)
    if change.dropped_columns:
        frame = frame.exclude(*change.dropped_columns)
    step = Folded(number, name, says, f"{prefix}_changed" if changed is not None else None, counts, fails)
    return frame, step


def _changed(columns: Mapping[str, Column], change: Change, frame: DataFrame) -> Expression | None:
    """Whether a value of a column that was there before is another one now, or is missing now."""
    before = {field.name: field.dtype for field in frame.schema()}
    after = {field.name: field.dtype for field in frame.select(*_aliased(change)).schema()} if change.columns else {}
    differ = []
    for name, value in change.columns.items():
        if name not in columns:
            continue
        same_type = before[name] == after[name]
        differ.append(~value.eq_null_safe(col(name)) if same_type else value.is_null() != col(name).is_null())
    if not differ:
        return None
    return reduce(or_, differ)


def _aliased(change: Change) -> list[Expression]:
    return [value.alias(name) for name, value in change.columns.items()]


def removed_by(batch: pa.RecordBatch) -> npt.NDArray[np.int16]:
    """The number of the step that removed each row, ``STAYS`` where none did: int16 [rows]."""
    return pc.fill_null(batch.column(REMOVED), pa.scalar(STAYS, pa.int16())).to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]


def count(
    batch: pa.RecordBatch, steps: Sequence[Folded], tallies: Mapping[int, StepTally], *, part: str, first: int,
    shown_as: Mapping[str, str] | None,
) -> None:  # fmt: skip
    """Add to ``tallies`` what the steps did to the rows of ``batch``, whose first is row ``first`` of ``part``.

    ``shown_as``: the columns of examples, by what a report calls them; None: removed rows are counted by a later pass.

    Raises:
        InvalidInput: a step refuses a row; names the first such row.
    """
    removed = removed_by(batch)
    _refuse(batch, steps, removed, part, first)
    for step in steps:
        tally = tallies[step.number]
        gone = removed == step.number
        if shown_as is not None and gone.any():
            tally.removed += int(gone.sum())
            tally.show(shown(batch, np.flatnonzero(gone)[: tally.wanted], part, first, shown_as))
        stays = removed > step.number
        if step.changed is not None:
            tally.changed += int((_flags(batch, step.changed) & stays).sum())
        for what, column in step.counts.items():
            values = pc.fill_null(batch.column(column), 0).to_numpy(zero_copy_only=False)
            tally.counts[what] = tally.counts.get(what, 0) + int(values[stays].sum())


def _refuse(
    batch: pa.RecordBatch, steps: Sequence[Folded], removed: npt.NDArray[np.int16], part: str, first: int
) -> None:
    refused = [
        (int(np.flatnonzero(flags)[0]), step.number, message)
        for step in steps
        for message, column in step.fails.items()
        if (flags := _flags(batch, column) & (removed >= step.number)).any()
    ]
    if refused:
        row, _, message = min(refused)
        where = f"row {first + row}" if part == "data" else f"the {part} part, row {first + row}"
        raise InvalidInput(f"{where}: {message}")


def _flags(batch: pa.RecordBatch, column: str) -> npt.NDArray[np.bool_]:
    return pc.fill_null(batch.column(column), False).to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]
