"""Fits the steps that look at the training part first: on training rows that stay, and on nothing else.

A step sees the columns as the fitted steps before it left them. Removed are rows of every part whose values a step
rejects.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from daft import DataFrame

from services.preprocess.engine import Engine
from services.preprocess.fitted import FittedStep
from services.preprocess.frame import STAYS, Folded, begin, fold, removed_by
from services.preprocess.plan import FITTED, Plan
from services.preprocess.spec import ShardInfo
from services.preprocess.work import Work
from tidemill.datasets import Column

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Fit:
    """A fitted step under its number, with what it saw."""

    number: int
    step: FittedStep
    fitted: Mapping[str, Any]

    def document(self) -> dict[str, Any]:
        """As JSON; ``restore`` is the way back."""
        return {"number": self.number, "name": self.step.name, "says": self.step.says, "fitted": dict(self.fitted)}


def restore(plan: Plan, documents: Sequence[Mapping[str, Any]]) -> list[Fit]:
    """The fitted steps of the plan with what they saw."""
    return [
        Fit(document["number"], plan.fitted[document["number"] - FITTED], document["fitted"]) for document in documents
    ]


def fold_fits(
    frame: DataFrame, columns: Mapping[str, Column], fits: Sequence[Fit]
) -> tuple[DataFrame, Mapping[str, Column], list[Folded]]:
    """``frame`` after the fitted steps, and its columns then."""
    folded = []
    for fit in fits:
        change = fit.step.change(columns, fit.fitted)
        frame, one = fold(frame, columns, change, number=fit.number, name=fit.step.name, says=fit.step.says)
        columns = fit.step.columns_after(columns, fit.fitted)
        folded.append(one)
    return frame, columns, folded


@dataclass
class Fitting:
    """Fits the plan's steps one after the other. ``training`` and ``stay``: bool [rows], rows over all shards."""

    plan: Plan
    shards: Sequence[ShardInfo]
    work: Work
    engine: Engine
    named: Sequence[str]
    training: Bools
    fits: list[Fit] = field(default_factory=list)
    removes: bool = False
    """Whether any of them removes rows."""

    def fit(self) -> list[Fit]:
        """Fit every step that has something to do."""
        columns: Mapping[str, Column] = self._short()
        for place, step in enumerate(self.plan.fitted):
            needed = list(step.needs(columns))
            if not needed:
                continue
            fitted = step.fit(self._training_rows(needed))
            self.fits.append(Fit(FITTED + place, step, fitted))
            self.removes |= step.change(columns, fitted).remove is not None
            columns = step.columns_after(columns, fitted)
        return self.fits

    def removed(self) -> npt.NDArray[np.int16]:
        """The number of the fitted step that removes each row, 0 where none does: int16 [rows]."""
        pieces = [removed_by(batch) for _, batch in self._batches()] or [np.zeros(0, np.int16)]
        removed = np.concatenate(pieces)
        return np.where(removed == STAYS, 0, removed).astype(np.int16)

    def _short(self) -> dict[str, Column]:
        return {name: self.plan.columns[name] for name in self.plan.short_columns(self.named)}

    def _training_rows(self, needed: Sequence[str]) -> pa.Table:
        pieces, schema = [], None
        for first, batch in self._batches():
            chosen = self.training[first : first + batch.num_rows] & (removed_by(batch) == STAYS)
            pieces.append(batch.select(needed).filter(pa.array(chosen)))
            schema = pieces[-1].schema
        return pa.Table.from_batches(pieces, schema)

    def _batches(self) -> Iterator[tuple[int, pa.RecordBatch]]:
        """The short columns of all rows behind the steps fitted so far; each batch with the number of its first row."""
        first, columns = 0, self._short()
        for shard in self.shards:

            def build(frame: DataFrame, _: int) -> tuple[DataFrame, None]:
                return fold_fits(begin(frame.select(*columns)), columns, self.fits)[0], None

            with self.engine.compute(self.work.keys(shard), build) as made:
                for batch in made.batches:
                    yield first, batch
                    first += batch.num_rows
