"""What is known of one column after reading it once: all that a task's schema sees of a dataset."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tidemill.contracts import Frozen

ColumnType = Literal[
    "text", "integer", "number", "boolean", "date", "category", "image", "audio", "nested", "empty", "other"
]
"""The kinds of ``tidemill.datasets.schema.ColumnKind``, and ``other`` for binary values of no known kind. ``text``
holds at least one value that is no number."""


class ColumnProfile(Frozen):
    """Figures of one column. Lengths are in characters, of values that are present."""

    name: str
    type: ColumnType
    rows: int = Field(ge=0)
    missing: int = Field(ge=0)
    """Rows without a value: null, empty, or white space alone."""
    distinct: int | None
    """Distinct values; None when there are more than were counted."""
    min_length: int = 0
    mean_length: float = 0.0
    max_length: int = 0
    fields: tuple[str, ...] = ()
    """Of a nested column: the names of the fields of its structs, also of structs in a list; none when not known."""

    @property
    def present(self) -> int:
        """Rows with a value."""
        return self.rows - self.missing
