"""Reads delimited rows with the csv module, which knows on which line a bad one begins, and goes on behind it."""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from services.ingest.formats.dialect import Dialect
from services.ingest.formats.stray import is_plain_tail
from services.ingest.formats.undecodable import first_undecodable, shown, undecodable
from services.ingest.tables import Limits, cell_too_long


@dataclass(frozen=True)
class BadRow:
    """A row that cannot be read: why, and its lines as they stand in the file."""

    reason: str
    content: str


_AROUND = ' \t"'
"""What may stand around a column name: quotes, too, where they are read as text."""


class _TooLong(Exception):
    """A line is longer than a line may be."""


class _Lines:
    """Hands lines to the csv module and remembers those of the row that it is at."""

    def __init__(self, lines: Iterator[str], max_line: int) -> None:
        self._lines = lines
        self._max_line = max_line
        self._again: deque[str] = deque()
        self.of_row: list[str] = []
        self.begins = 1

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else next(self._lines)
        self.of_row.append(line)
        if len(line) > self._max_line:
            raise _TooLong
        return line

    def begin_row(self) -> None:
        self.begins += len(self.of_row)
        self.of_row.clear()

    def keep_first(self) -> None:
        """Only the first line belongs to the row; the others are read again."""
        self._again.extendleft(reversed(self.of_row[1:]))
        del self.of_row[1:]

    def place(self) -> str:
        """``line 5`` or ``lines 5 to 7``."""
        count = len(self.of_row)
        return f"line {self.begins}" if count < 2 else f"lines {self.begins} to {self.begins + count - 1}"


def read_rows(
    lines: Iterator[str], dialect: Dialect, columns: Sequence[str], limits: Limits, *, header: bool, damaged: str | None
) -> Iterator[list[str] | BadRow]:
    """The rows of a file of ``columns``, blank ones left out; the first one is skipped if it is the ``header``.

    ``damaged`` names the encoding if there are bytes that do not decode (see ``undecodable``).
    """
    width, names = len(columns), [name.strip(_AROUND) for name in columns] if header and len(columns) > 1 else None
    suspicious = names[0] if names else None
    feed = _Lines(lines, limits.max_line)
    reader = csv.reader(feed, **dialect.options())
    skip = header
    while True:
        feed.begin_row()
        # The module has one limit for the whole process; another reader may have set its own since the last row.
        csv.field_size_limit(limits.max_line)
        try:
            row = next(reader)
        except StopIteration:
            return
        except (csv.Error, _TooLong) as error:
            if not skip:
                yield _torn(feed, error, dialect, width, limits)
            skip = False
            continue
        if len(row) < 2 and not (row and row[0].strip()):
            continue
        if skip:
            skip = False
        elif len(row) != width:
            if len(feed.of_row) > 1 and is_plain_tail(feed.of_row[1:], dialect, width, limits.max_cell):
                feed.keep_first()
                yield _bad(feed, f"{feed.place()}: {_unclosed(dialect)}", limits)
            else:
                yield _bad(feed, f"{feed.place()}: {_ragged(len(row), columns, dialect)}", limits)
        elif (
            damaged is None
            and len(feed.of_row) == 1
            and len(feed.of_row[0]) <= limits.max_cell
            and row[0].strip(_AROUND) != suspicious
            and row[0][:1] != "\ufeff"
        ):
            yield row
        elif (reason := _wrong(row, columns, names, feed, limits, damaged)) is not None:
            yield _bad(feed, reason, limits)
        else:
            yield row


def _wrong(
    row: list[str], columns: Sequence[str], names: list[str] | None, feed: _Lines, limits: Limits, damaged: str | None
) -> str | None:
    if sum(map(len, row)) > limits.max_cell:
        for column, cell in zip(columns, row, strict=True):
            if len(cell) > limits.max_cell:
                return cell_too_long(feed.place(), column, len(cell), limits)
    if damaged is not None:
        for column, cell in zip(columns, row, strict=True):
            if (byte := first_undecodable(cell)) is not None:
                return undecodable(f"{feed.place()}, column {column!r}", byte, damaged)
    if row[0].startswith("\ufeff"):
        return f"{feed.place()}: begins with a byte order mark, as if another file had been appended; remove the mark"
    if names is not None and [cell.strip(_AROUND) for cell in row] == names:
        return f"{feed.place()}: the column names stand there again, as if another file had been appended; remove it"
    return None


def _torn(feed: _Lines, error: Exception, dialect: Dialect, width: int, limits: Limits) -> BadRow:
    """The row that the csv module gave up at.

    A quote that is never closed takes the first line only; so does one that a later row's quote seemed to close, if
    all lines behind the first are rows by themselves. Otherwise nobody can say where the rows are, and all go.
    """
    if isinstance(error, _TooLong):
        reason = f"longer than {limits.max_line:,} characters; check that rows end with a newline, or shorten the value"
        return _bad(feed, f"line {feed.begins + len(feed.of_row) - 1}: {reason}", limits)
    if "expected after" in str(error):
        if len(feed.of_row) > 1 and is_plain_tail(feed.of_row[1:], dialect, width, limits.max_cell):
            feed.keep_first()
            return _bad(feed, f"{feed.place()}: {_unclosed(dialect)}", limits)
        reason = (
            f"a quoted field goes on after its closing quote where {dialect.named} should follow; "
            "double the quotes inside a quoted field"
        )
        return _bad(feed, f"{feed.place()}: {reason}", limits)
    feed.keep_first()
    return _bad(feed, f"{feed.place()}: {_unclosed(dialect)}", limits)


def _bad(feed: _Lines, reason: str, limits: Limits) -> BadRow:
    return BadRow(reason, shown("".join(feed.of_row)[: limits.max_cell]).rstrip("\r\n"))


def _unclosed(dialect: Dialect) -> str:
    return (
        "a field begins with a double quote that is never closed; close it, or double it if it is meant as text"
        if dialect.quoted
        else "a field is too long; check that rows end with a newline"
    )


def _ragged(found: int, columns: Sequence[str], dialect: Dialect) -> str:
    advice = (
        f"enclose a field that holds {dialect.named} in double quotes"
        if found > len(columns)
        else "add the missing fields or remove the row"
    )
    fields = f"{found} field{'s' if found != 1 else ''}"
    return f"{fields}, but {len(columns)} are expected ({', '.join(columns[:20])}); {advice}"
