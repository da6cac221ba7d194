"""What every reader gives: a table in batches. Knows no format."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from tidemill.contracts.data import FormatName
from tidemill.datasets.schema import ColumnKind
from tidemill.errors import InvalidInput

BATCH_ROWS = 1 << 16
BATCH_BYTES = 1 << 23
"""A batch ends at either, so that memory does not grow with the file."""
MAX_COLUMNS = 10_000


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


class BadRows(Protocol):
    """Where a reader says that a row cannot be read. What becomes of it is the recipe's business."""

    def add(self, path: Path, row: int, reason: str, content: str) -> None:
        """Row ``row`` of ``path`` (from 1, the header not counted) is bad: ``reason`` names line and column and says
        what to do; ``content`` is the row as it stood there, as far as it can be shown.

        Raises:
            InvalidInput: the recipe wants bad rows to fail the run, or there are too many of them.
        """


@dataclass(frozen=True)
class Writing:
    """How a file turned out to be written; what does not apply to its format is None."""

    format: FormatName
    encoding: str | None = None
    delimiter: str | None = None
    quoted: bool | None = None
    header: bool | None = None


class TableFile(Protocol):
    """An opened table: a data file, or a folder of files. Opening has found its columns and their kinds."""

    path: Path
    """Names the table. Of one among several in a file it is no path: ``clinc.json[train]``."""
    columns: list[str]
    writing: Writing

    @property
    def kinds(self) -> Mapping[str, ColumnKind]:
        """Kinds of the columns that are known without looking at values: of typed formats, of media. Text formats have
        none: their values are strings, and the profile finds out."""

    def batches(self, bad: BadRows) -> Iterator[Batch]:
        """All good rows in order; a bad one is told to ``bad`` and left out, if that does not raise.

        A batch has at most ``BATCH_ROWS`` rows and about ``BATCH_BYTES`` bytes, however large the file is.
        """


class ReadTable(TableFile, Protocol):
    """A table whose types are known as well."""

    schema: pa.Schema
    """Of its batches."""


def check_columns(columns: Sequence[str], path: Path) -> None:
    """Raise InvalidInput when a name occurs twice, or there are more than a table has."""
    check_width(len(columns), path)
    twice = [name for name, times in Counter(columns).items() if times > 1]
    if twice:
        raise InvalidInput(f"{path.name} has more than one column named {twice[0]!r}; give every column its own name")


def check_width(width: int, path: Path) -> None:
    """Raise InvalidInput when ``width`` columns are more than a table has."""
    if width > MAX_COLUMNS:
        raise InvalidInput(
            f"{path.name} has {width:,} columns; at most {MAX_COLUMNS:,} are taken. Check that rows end where they "
            "should, or keep many numbers of one example in one nested column (Parquet, NPZ)"
        )


def cell_too_long(place: str, column: str, length: int, limits: Limits) -> str:
    """The reason for a value of ``length`` characters at ``place`` ("line 7")."""
    return (
        f"{place}, column {column!r}: a value of {length:,} characters; at most {limits.max_cell:,} are taken "
        "(TIDEMILL_INGEST_MAX_CELL); shorten it, or check for a quote that is never closed"
    )
