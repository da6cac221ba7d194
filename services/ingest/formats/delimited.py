"""Reads CSV and TSV. The whole file is looked at once, before its first row is given out, to settle its dialect.

What is plainly written (see ``plainness``) is read by Arrow's parser; the rest by the csv module, row by row.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from services.ingest.formats.delimited_rows import BadRow, read_rows
from services.ingest.formats.dialect import Dialect, Sniffed, has_header, sniff
from services.ingest.formats.encoding import detect_encoding
from services.ingest.formats.plainness import LONGEST_ROW, Plain, check_plain
from services.ingest.formats.text import bounded_lines, open_text, open_utf8
from services.ingest.tables import BATCH_BYTES, BATCH_ROWS, BadRows, Batch, Limits, Writing, check_columns, check_width
from tidemill.contracts.data import Data
from tidemill.datasets.schema import ColumnKind
from tidemill.errors import InvalidInput
from tidemill.tasks import known_column_names

_SAMPLE = 1 << 18
_STEP = 256
_BLOCK = 2 * LONGEST_ROW
"""Bytes that Arrow parses at once; it reads up to 32 blocks ahead."""
_ENOUGH = 200
"""Bad rows after which it is clear how well a dialect fits."""


@dataclass(frozen=True)
class _Fit:
    """How a dialect fits the whole file."""

    dialect: Dialect
    plain: Plain | None
    bad: int = 0
    """Bad rows, up to ``_ENOUGH``."""
    share: float = 0.0
    """Of bad rows among those looked at."""
    joined: bool = False


class DelimitedFile:
    """A CSV or TSV file, all columns as strings; a missing value is an empty string.

    ``header`` overrides what is detected: further parts of a dataset have a header when the first one has.
    """

    def __init__(
        self, path: Path, format: Literal["csv", "tsv"], data: Data, limits: Limits, *, header: bool | None = None
    ) -> None:
        self.path = path
        self._limits = limits
        self._encoding = detect_encoding(path, data.encoding, max_line=limits.max_line)
        sniffed = self._sniff(format, data)
        self.consistent = sniffed.consistent if sniffed.width > 1 else 0.0
        """Share of the first rows that have the same number of fields; 0 if they have one."""
        self._header = self._decide_header(sniffed, data, header)
        self.columns = self._name_columns(sniffed, data)
        self.kinds: dict[str, ColumnKind] = {}
        self.schema = pa.schema([(name, pa.string()) for name in self.columns])
        fit = self._settle(sniffed)
        self._dialect, self._plain = fit.dialect, fit.plain
        delimiter = self._dialect.delimiter
        self.writing = Writing(
            "tsv" if delimiter == "\t" else "csv", self._encoding.name, delimiter, self._dialect.quoted, self._header
        )

    def batches(self, bad: BadRows) -> Iterator[Batch]:
        """All good rows in order, the header left out."""
        return self._plain_batches() if self._plain is not None else self._checked_batches(bad)

    def _plain_batches(self) -> Iterator[Batch]:
        assert self._plain is not None
        size = self.path.stat().st_size
        with open_utf8(self.path, self._encoding) as (stream, raw):
            reader = pacsv.open_csv(
                stream,
                pacsv.ReadOptions(column_names=self.columns, block_size=_BLOCK, use_threads=False),
                pacsv.ParseOptions(
                    delimiter=self._dialect.delimiter,
                    quote_char='"' if self._dialect.quoted else False,
                    newlines_in_values=self._plain.joined,
                ),
                pacsv.ConvertOptions(column_types=self.schema, strings_can_be_null=False),
            )
            skip = 1 if self._header else 0
            for read in reader:
                block = _without_blank(read)
                for start in range(skip, block.num_rows, BATCH_ROWS):
                    yield Batch(block.slice(start, BATCH_ROWS), min(1.0, raw.tell() / size))
                skip = max(0, skip - block.num_rows)

    def _checked_batches(self, bad: BadRows) -> Iterator[Batch]:
        size = self.path.stat().st_size
        rows: list[list[str]] = []
        number = begun = 0
        with open_text(self.path, self._encoding, newline="") as (file, raw):
            for number, row in enumerate(self._rows(bounded_lines(file, self._encoding, self._limits.max_line)), 1):
                if isinstance(row, BadRow):
                    bad.add(self.path, number, row.reason, row.content)
                    continue
                rows.append(row)
                if len(rows) >= BATCH_ROWS or (len(rows) % _STEP == 0 and raw.tell() - begun >= BATCH_BYTES):
                    begun = raw.tell()
                    yield Batch(self._columns_of(rows), begun / size)
                    rows = []
        if rows:
            yield Batch(self._columns_of(rows), 1.0)

    def _rows(self, lines: Iterator[str], dialect: Dialect | None = None) -> Iterator[list[str] | BadRow]:
        return read_rows(
            lines,
            dialect or self._dialect,
            self.columns,
            self._limits,
            header=self._header,
            damaged=self._encoding.name if self._encoding.damaged else None,
        )

    def _columns_of(self, rows: list[list[str]]) -> pa.RecordBatch:
        arrays = [pa.array(values, pa.string()) for values in zip(*rows, strict=True)]
        return pa.RecordBatch.from_arrays(arrays, schema=self.schema)

    def _sniff(self, format: Literal["csv", "tsv"], data: Data) -> Sniffed:
        lines: list[str] = []
        size, truncated = 0, False
        with open_text(self.path, self._encoding, newline="") as (file, _):
            rest = bounded_lines(file, self._encoding, self._limits.max_line)
            for line in rest:
                size += len(line)
                # One endless line says nothing, and every way of reading the sample would have to read it.
                truncated = bool(lines) and size > _SAMPLE
                if truncated:
                    break
                lines.append(line)
        sniffed = sniff(lines, truncated=truncated, format=format, data=data)
        if sniffed is None:
            raise InvalidInput(f"{self.path.name} holds no row that can be read; check its encoding and its quotes")
        check_width(sniffed.width, self.path)
        return sniffed

    def _decide_header(self, sniffed: Sniffed, data: Data, header: bool | None) -> bool:
        if data.columns is not None:
            return False
        if data.header is not None:
            return data.header
        first = sniffed.rows[0]
        if header is False and any(cell.strip().casefold() in known_column_names() for cell in first):
            raise InvalidInput(
                f"{self.path.name} begins with what looks like column names ({', '.join(first)[:60]}), but the file "
                "before it has none; give all files column names or none, or say which with data.header"
            )
        if header is not None:
            return header
        if len(first) != sniffed.width or first[0].strip().casefold() == "sep=":
            raise InvalidInput(
                f"{self.path.name} begins with {sniffed.dialect.delimiter.join(first)[:60]!r}, which is no row of "
                f"{sniffed.width} fields as the others are; remove what stands above the column names, or say with "
                "data.header whether it holds them"
            )
        return has_header(sniffed.rows, data)

    def _name_columns(self, sniffed: Sniffed, data: Data) -> list[str]:
        if data.columns is not None:
            if len(data.columns) != sniffed.width:
                raise InvalidInput(
                    f"{self.path.name}, line 1: {sniffed.width} field{'s' if sniffed.width > 1 else ''} separated by "
                    f"{sniffed.dialect.named}, but data.columns names {len(data.columns)} "
                    f"({', '.join(data.columns)}); name every column"
                )
            return list(data.columns)
        first = sniffed.rows[0] if self._header else [""] * sniffed.width
        columns = [cell.strip() or f"column_{number}" for number, cell in enumerate(first, 1)]
        check_columns(columns, self.path)
        return columns

    def _written_headers(self, dialect: Dialect) -> tuple[bytes, ...]:
        """The beginnings of lines that are the column names again: as they are written first, and without quotes."""
        with open_text(self.path, self._encoding, newline="") as (file, _):
            lines = bounded_lines(file, self._encoding, self._limits.max_line)
            first = next(line for line in lines if not line.isspace())
        written = {first.rstrip("\r\n"), dialect.delimiter.join(self.columns)}
        return tuple(sorted(line.encode() for line in written))

    def _settle(self, sniffed: Sniffed) -> _Fit:
        """The dialect of the whole file: the one that was found, unless another leaves fewer bad rows."""
        found = self._fit(sniffed.dialect)
        if found.bad == 0:
            if found.joined and sniffed.doubtful:
                plain = self._fit(Dialect(sniffed.dialect.delimiter, quoted=False))
                return plain if plain.bad == 0 else found
            return found
        # Sorting is stable, and the one that was found comes first.
        return min((found, *map(self._fit, sniffed.otherwise)), key=_badness)

    def _fit(self, dialect: Dialect) -> _Fit:
        width = len(self.columns)
        if not self._encoding.damaged and not self._encoding.long_lines:
            headers = self._written_headers(dialect) if self._header and width > 1 else ()
            with open_utf8(self.path, self._encoding) as (stream, _):
                plain = check_plain(stream, dialect, width, max_cell=self._limits.max_cell, headers=headers)
            if plain is not None:
                return _Fit(dialect, plain, joined=plain.joined)
        bad = rows = 0
        with open_text(self.path, self._encoding, newline="") as (file, _):
            counted = _Counted(bounded_lines(file, self._encoding, self._limits.max_line))
            for row in self._rows(counted, dialect):
                rows += 1
                bad += isinstance(row, BadRow)
                if bad >= _ENOUGH:
                    break
        return _Fit(dialect, None, bad, bad / max(1, rows), joined=counted.filled > rows + self._header)


def _badness(fit: _Fit) -> tuple[int, float]:
    return fit.bad, fit.share if fit.bad >= _ENOUGH else 0.0


class _Counted:
    """Counts the lines that are not blank while they go by."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines
        self.filled = 0

    def __iter__(self) -> _Counted:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self.filled += not line.isspace()
        return line


def _without_blank(batch: pa.RecordBatch) -> pa.RecordBatch:
    if batch.num_columns > 1:
        return batch
    return batch.filter(pc.greater(pc.binary_length(pc.utf8_trim_whitespace(batch.column(0))), 0))
