"""What a row step of the preparation is: a pure function from the columns of a table to Daft expressions.

The plan folds the steps into one lazy Daft frame, the same on one machine and on a Ray cluster, adds what it counts,
and runs it once. A step never sees rows, knows of no other step, and neither counts nor writes.

Bookkeeping columns of the frame begin with ``__``: ``__part`` (string), ``__row`` (int64, number of the row in its
part from 1, over all shards), ``__removed`` (int16: number of the step that removed the row, null while it stays).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from daft import DataType, Expression

from tidemill.datasets import Column

PART, ROW, REMOVED = "__part", "__row", "__removed"


@dataclass(frozen=True)
class Change:
    """What a step does to every row. Expressions see the columns as the steps before left them."""

    columns: Mapping[str, Expression] = field(default_factory=dict)
    """New values by column; a name that was not there is a new column."""
    remove: Expression | None = None
    """Boolean: rows that go. Null counts as false. A row that an earlier step removed stays removed by that one."""
    counts: Mapping[str, Expression] = field(default_factory=dict)
    """Integers or booleans of a row that are summed over all rows that stay, by what they count (``email``)."""
    fails: Mapping[str, Expression] = field(default_factory=dict)
    """Boolean by message: when it is true of any row, the run fails with the message and the first such row."""
    dropped_columns: tuple[str, ...] = ()
    typed: Callable[[Mapping[str, DataType]], Change] | None = None
    """What the change is instead, by the types of the frame's columns, where it depends on them."""

    def for_types(self, types: Mapping[str, DataType]) -> Change:
        """The change to a frame whose columns have these types."""
        return self if self.typed is None else self.typed(types)


class RowStep(Protocol):
    """One step. ``spec`` of the plan holds exactly what its outcome depends on, so that it can be cached."""

    @property
    def name(self) -> str:
        """For the report: ``coerce types``."""

    @property
    def says(self) -> str:
        """What it does, for a person, in a sentence."""

    def change(self, columns: Mapping[str, Column]) -> Change:
        """The expressions for a table with these columns, by name. An empty ``Change`` when nothing applies."""

    def columns_after(self, columns: Mapping[str, Column]) -> dict[str, Column]:
        """The columns of the table afterwards."""


@dataclass(frozen=True)
class Step:
    """A row step made of functions; ``after`` None means that names and kinds of columns stay."""

    name: str
    says: str
    make: Callable[[Mapping[str, Column]], Change]
    after: Callable[[Mapping[str, Column]], dict[str, Column]] | None = None

    def change(self, columns: Mapping[str, Column]) -> Change:
        """See ``RowStep``."""
        return self.make(columns)

    def columns_after(self, columns: Mapping[str, Column]) -> dict[str, Column]:
        """See ``RowStep``."""
        return dict(columns) if self.after is None else self.after(columns)
