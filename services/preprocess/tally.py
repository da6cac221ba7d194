"""What a step did, counted while rows pass by, added up over shards, and shown to people. Knows Arrow alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import BaseModel, Field

SHOWN_EXAMPLES = 5
_SHOWN_CHARACTERS = 200


class StepTally(BaseModel):
    """Rows that a step removed and changed, and what it counted; ``examples`` shows some of the rows it removed."""

    number: int
    name: str
    says: str
    removed: int = 0
    changed: int = 0
    counts: dict[str, int] = Field(default_factory=dict)
    examples: list[dict[str, Any]] = Field(default_factory=list)

    @property
    def wanted(self) -> int:
        """How many more examples it takes."""
        return max(0, SHOWN_EXAMPLES - len(self.examples))

    def show(self, examples: Sequence[dict[str, Any]]) -> None:
        """Take examples as long as there are few."""
        self.examples += examples[: self.wanted]

    def add(self, other: StepTally) -> None:
        """Add what the same step did to rows behind these."""
        self.removed += other.removed
        self.changed += other.changed
        for what, number in other.counts.items():
            self.counts[what] = self.counts.get(what, 0) + number
        self.show(other.examples)


def merged(tallies: Sequence[Sequence[StepTally]]) -> list[StepTally]:
    """The tallies of several shards, in their order, as those of all."""
    total: dict[int, StepTally] = {}
    for shard in tallies:
        for tally in shard:
            if tally.number in total:
                total[tally.number].add(tally)
            else:
                total[tally.number] = tally.model_copy(deep=True)
    return [total[number] for number in sorted(total)]


def shown(
    batch: pa.RecordBatch, rows: npt.NDArray[np.int64], part: str, first: int, columns: Mapping[str, str]
) -> list[dict[str, Any]]:
    """The rows of ``batch`` at ``rows`` for a report, long texts cut; ``first`` is the number of its first row.

    ``columns``: those that are shown, by what the report calls them.
    """
    some = batch.select(list(columns.values())).take(pa.array(rows)).to_pylist()
    return [
        {"part": part, "row": first + int(row), **{name: cut(values[column]) for name, column in columns.items()}}
        for row, values in zip(rows, some, strict=True)
    ]


def cut(value: Any) -> Any:
    """``value`` as JSON has it, shortened for people."""
    if isinstance(value, bytes):
        return f"{len(value):,} bytes"
    if value is None or isinstance(value, bool | int | float):
        return value
    text = str(value)
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…"
