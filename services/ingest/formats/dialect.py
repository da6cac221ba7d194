"""How a delimited text file is written: delimiter, quoting, header. Looks at a sample, decides by consistency.

The csv module's own sniffer guesses from quotes; here every way of reading the sample is tried and the one wins that
gives rows of one width. Quotes are quoting only when they are well-formed throughout: chat messages and tweets begin
with stray quotes, which must not join lines.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, Literal

from tidemill.contracts.data import Data
from tidemill.tasks import known_column_names

_DELIMITERS = {"csv": ",;\t|", "tsv": "\t"}
_NUMBER = re.compile(r"^\s*[-+]?(\d[\d,]*)?\.?\d+([eE][-+]?\d+)?\s*$")
_NAME = re.compile(r"^[^\W\d][\w .\-/()#%?]{0,39}$")
_LONGEST_NAME = 60
_ANY_FIELD = 1 << 30
_FEW = 0.2
"""A column whose share of distinct values is below this holds categories."""


@dataclass(frozen=True)
class Dialect:
    """``quoted``: fields may be enclosed in double quotes, doubled inside (RFC 4180)."""

    delimiter: str
    quoted: bool
    skip_space: bool = False
    """White space after a delimiter is no part of the field."""

    @property
    def named(self) -> str:
        """The delimiter in words."""
        return {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a bar"}[self.delimiter]

    def options(self, *, strict: bool = True) -> dict[str, Any]:
        """Keyword arguments of ``csv.reader``; ``strict`` makes it raise on a quote that is out of place."""
        quoting = csv.QUOTE_MINIMAL if self.quoted else csv.QUOTE_NONE
        return {
            "delimiter": self.delimiter,
            "quotechar": '"' if self.quoted else None,
            "quoting": quoting,
            "doublequote": True,
            "skipinitialspace": self.skip_space,
            "strict": strict,
        }


@dataclass(frozen=True)
class _Reading:
    dialect: Dialect
    rows: list[list[str]]
    width: int
    consistent: float
    """Share of the rows that have ``width`` fields."""
    well_formed: bool
    """Whether every quote is where RFC 4180 wants it."""

    @property
    def merit(self) -> tuple[bool, bool, bool, float, bool]:
        """How well the dialect fits; larger is better."""
        return (
            self.width >= 2,
            self.well_formed and self.consistent == 1.0,
            len(self.rows[0]) == self.width,
            # A whole per cent apart is a difference; less is ragged rows, which are the user's to mend.
            round(self.consistent, 2),
            self.well_formed,
        )


@dataclass(frozen=True)
class Sniffed:
    """The way to read a file, judged by its first lines."""

    dialect: Dialect
    width: int
    """Fields in a row."""
    rows: list[list[str]]
    """The sample's rows, blank ones left out."""
    consistent: float
    """Share of them that have ``width`` fields."""
    otherwise: tuple[Dialect, ...]
    """Dialects of the same width that matter when the rest of the file does not fit ``dialect``."""
    doubtful: bool
    """Whether quotes that join lines should rather be taken for text, if every line is a whole row without them."""


def sniff(lines: Sequence[str], *, truncated: bool, format: Literal["csv", "tsv"], data: Data) -> Sniffed | None:
    """Find out how a file is written whose first lines, with their ends, are ``lines``; None when they hold no row.

    ``truncated`` says that the file goes on after them.
    """
    readings = [
        reading
        for delimiter in _DELIMITERS[format]
        for quoted, skip_space in ((True, False), (True, True), (False, False))
        if (reading := _read(lines, Dialect(delimiter, quoted, skip_space), truncated)) is not None
    ]
    named = {name for name in (data.text, data.label) if name is not None}

    def rank(reading: _Reading) -> tuple[object, ...]:
        wanted_width = data.columns is not None and reading.width == len(data.columns)
        has_named = bool(named) and named <= {cell.strip() for cell in reading.rows[0]}
        usual = reading.dialect.delimiter == _DELIMITERS[format][0]
        return (wanted_width, has_named, *reading.merit, usual, not reading.dialect.skip_space)

    # Sorting is stable: of two equal ones the quoted reading comes first.
    readings.sort(key=rank, reverse=True)
    if not readings:
        return None
    best = readings[0]
    others = [r for r in readings[1:] if r.dialect.delimiter == best.dialect.delimiter and r.width == best.width]
    plain = next((other for other in others if not other.dialect.quoted), None)
    doubtful = plain is not None and best.dialect.quoted and _may_be_text(plain)
    if plain is not None and doubtful and plain.consistent == 1.0 and len(best.rows) < len(plain.rows):
        # Taking quotes for quoting joins lines that are whole rows by themselves.
        best, others = plain, [best]
    otherwise = tuple(other.dialect for other in others if other.dialect.quoted or not _encloses_fields(other.rows))
    return Sniffed(best.dialect, best.width, best.rows, best.consistent, otherwise, doubtful)


def _may_be_text(plain: _Reading) -> bool:
    """Whether quotes could be plain characters: tabs need no quoting, and not every field is enclosed in quotes."""
    return plain.dialect.delimiter == "\t" and not _encloses_fields(plain.rows)


def _encloses_fields(rows: Sequence[Sequence[str]]) -> bool:
    """Whether most fields of a column of ``rows``, which were read with quotes as text, have quotes around them."""
    for cells in zip_longest(*rows, fillvalue=""):
        if 2 * sum(len(cell) > 1 and cell[0] == cell[-1] == '"' for cell in cells) >= len(cells):
            return True
    return False


def _read(lines: Sequence[str], dialect: Dialect, truncated: bool) -> _Reading | None:
    if dialect.skip_space and not any(f'{dialect.delimiter} "' in line for line in lines):
        return None
    rows, well_formed = _rows(lines, dialect, truncated, strict=True)
    if not well_formed:
        rows, _ = _rows(lines, dialect, truncated, strict=False)
    if not rows:
        return None
    widths = Counter(map(len, rows))
    width, count = max(widths.items(), key=lambda item: (item[1], item[0]))
    if not dialect.quoted and _encloses_fields(rows):
        # Taken for text, quotes around fields would stand in every value.
        well_formed = False
    return _Reading(dialect, rows, width, count / len(rows), well_formed)


def _rows(lines: Sequence[str], dialect: Dialect, truncated: bool, *, strict: bool) -> tuple[list[list[str]], bool]:
    rows: list[list[str]] = []
    # The module has one limit for the whole process. A sample is bounded already.
    csv.field_size_limit(_ANY_FIELD)
    try:
        for row in csv.reader(iter(lines), **dialect.options(strict=strict)):
            if any(row) and (len(row) > 1 or row[0].strip()):
                rows.append(row)
    except csv.Error as error:
        return rows, truncated and "unexpected end of data" in str(error)
    return rows, True


def has_header(rows: Sequence[Sequence[str]], data: Data) -> bool:
    """Whether the first of ``rows`` holds column names rather than values.

    A name that the recipe or a task knows decides; then a first cell that recurs in its column, or differs in kind
    from the numbers or the few categories below it; then whether all cells could be names.
    """
    # A delimiter behind the last field of every row makes one more column, of nothing.
    width = max((index for row in rows for index, cell in enumerate(row, 1) if cell.strip()), default=0)
    first = [cell.strip() for cell in rows[0][:width]]
    names = [cell for cell in first if cell]
    if {name for name in (data.text, data.label) if name} & set(names):
        return True
    # pandas leaves the name of the index column empty.
    if not names or "" in first[1:] or len(set(names)) != len(names) or any(map(_NUMBER.match, names)):
        return False
    if any(len(name) > _LONGEST_NAME for name in names):
        return False
    if any(name.casefold() in known_column_names() for name in names):
        return True
    for index, cell in enumerate(first):
        values = [row[index].strip() for row in rows[1:] if len(row) > index and row[index].strip()]
        if cell in values:
            return False
        if values and (all(map(_NUMBER.match, values)) or _are_categories(values)):
            return True
    return all(map(_NAME.match, names))


def _are_categories(values: Sequence[str]) -> bool:
    return len(values) >= 10 and len(set(values)) <= _FEW * len(values)
