"""Figures of a part of the prepared dataset, counted while it is written, added up over shards."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, Field


class PartFigures(BaseModel):
    """Rows, and rows by class."""

    rows: int = 0
    labels: dict[str, int] = Field(default_factory=dict)

    def count(self, table: pa.Table, label: str | None) -> None:
        """Add rows; ``label`` is the column with the class."""
        self.rows += table.num_rows
        if label is None:
            return
        for entry in pc.value_counts(table[label].cast(pa.string())).to_pylist():
            self._add(entry["values"], entry["counts"])

    def add(self, other: PartFigures) -> None:
        """Add the rows of another shard."""
        self.rows += other.rows
        for label, number in other.labels.items():
            self._add(label, number)

    def _add(self, label: str, number: int) -> None:
        self.labels[label] = self.labels.get(label, 0) + number
