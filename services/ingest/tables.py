"""What every reader gives: a table in batches. Knows no format."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import pyarrow as pa

from tidemill.errors import InvalidInput

BATCH_ROWS = 1 << 16
BATCH_BYTES = 1 << 23
"""A batch ends at either, so that memory does not grow with the file."""


@dataclass(frozen=True)
class Limits:
    """``max_cell``: characters of one value."""

    max_cell: int

    @property
    def max_line(self) -> int:
        """Characters of one line of a text file."""
        return 16 * self.max_cell


@dataclass(frozen=True)
class Batch:
    """Some rows, and the share of the file in 0..1 that has been read after them."""

    rows: pa.RecordBatch
    fraction: float


@dataclass(frozen=True)
class Writing:
    """How a file turned out to be written; what does not apply to its format is None."""

    format: Literal["csv", "tsv", "jsonl", "parquet"]
    encoding: str | None = None
    delimiter: str | None = None
    quoted: bool | None = None
    header: bool | None = None


class TableFile(Protocol):
    """An opened data file. Opening has found its columns; reading may still find bad rows."""

    path: Path
    columns: list[str]
    writing: Writing

    def batches(self) -> Iterator[Batch]:
        """All rows in order. Raises InvalidInput at a bad one, naming file, line and column."""


def check_columns(columns: Sequence[str], path: Path) -> None:
    """Raise InvalidInput when a name occurs twice."""
    twice = [name for name, times in Counter(columns).items() if times > 1]
    if twice:
        raise InvalidInput(f"{path.name} has more than one column named {twice[0]!r}; give every column its own name")


def cell_too_long(path: Path, place: str, column: str, length: int, limits: Limits) -> InvalidInput:
    """The error for a value of ``length`` characters at ``place`` ("line 7")."""
    return InvalidInput(
        f"{path.name}, {place}, column {column!r}: a value of {length:,} characters; at most {limits.max_cell:,} are "
        "taken (TIDEMILL_INGEST_MAX_CELL); shorten it, or check for a quote that is never closed"
    )
