"""Figures of a part of the prepared dataset, counted while it is written, added up over shards."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, Field

from services.preprocess.lengths import Lengths


class PartFigures(BaseModel):
    """``labels``: rows by class. ``missing``: nulls by column. ``lengths``: of the texts, where the task has one."""

    rows: int = 0
    labels: dict[str, int] = Field(default_factory=dict)
    missing: dict[str, int] = Field(default_factory=dict)
    lengths: Lengths = Field(default_factory=Lengths)

    def count(self, table: pa.Table, text: str | None, label: str | None) -> None:
        """Add rows; ``text`` and ``label`` are their columns."""
        self.rows += table.num_rows
        for name in table.column_names:
            self.missing[name] = self.missing.get(name, 0) + table[name].null_count
        if label is not None:
            for entry in pc.value_counts(table[label].cast(pa.string())).to_pylist():
                value = "" if entry["values"] is None else entry["values"]
                self.labels[value] = self.labels.get(value, 0) + entry["counts"]
        if text is not None:
            lengths = pc.fill_null(pc.utf8_length(table[text]), 0)
            self.lengths.count(lengths.combine_chunks().to_numpy(zero_copy_only=False).astype("int64"))

    def add(self, other: PartFigures) -> None:
        """Add the rows of another shard."""
        self.rows += other.rows
        for name, number in other.missing.items():
            self.missing[name] = self.missing.get(name, 0) + number
        for label, number in other.labels.items():
            self.labels[label] = self.labels.get(label, 0) + number
        self.lengths.add(other.lengths)
