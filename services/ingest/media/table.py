"""A table beside media files that says what is in them: CSV or TSV, one row per file, one column with their names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from services.ingest.formats.delimited import DelimitedFile
from services.ingest.media.checks import Media
from services.ingest.media.names import FileNames
from services.ingest.tables import BadRows, Limits
from tidemill.contracts.data import Data
from tidemill.errors import InvalidInput
from tidemill.tasks.columns import MEDIA_COLUMNS

TABLE_SUFFIXES = frozenset((".csv", ".tsv", ".tab"))
_SAMPLE = 1_000


class _Noted:
    """Bad rows by their numbers, told to ``bad`` if there is one: the table is read by every part, and told of once."""

    def __init__(self, bad: BadRows | None = None) -> None:
        self._bad = bad
        self.rows: list[int] = []

    def add(self, path: Path, row: int, reason: str, content: str) -> None:
        """See ``BadRows``."""
        self.rows.append(row)
        if self._bad is not None:
            self._bad.add(path, row, reason, content)


class AnnotationTable:
    """The rows of a table; shared by the parts whose files it names."""

    def __init__(self, path: Path, data: Data, limits: Limits) -> None:
        self.path = path
        suffix = path.suffix.casefold()
        self._table = DelimitedFile(path, "csv" if suffix == ".csv" else "tsv", data, limits)
        self._data = data
        self._key: str | None = None
        self._rows: pa.Table | None = None
        self._names: FileNames | None = None

    def find_key(self, paths: Iterable[str]) -> bool:
        """Look for the column that names files such as ``paths``; whether there is one."""
        first = next(self._table.batches(_Noted()), None)
        if first is None:
            return False
        sample = list(islice(paths, _SAMPLE))
        hits: dict[str, int] = {}
        for name in self._table.columns:
            names = FileNames(first.rows.column(name), self.path.name, "row")
            hits[name] = sum(map(names.fits, sample))
        best = max(hits, key=lambda name: hits[name])
        if hits[best]:
            self._key = best
        return self._key is not None

    @property
    def columns(self) -> Mapping[str, pa.DataType]:
        """All but the names; one that is called like a column of media files gets ``_annotated`` behind its name."""
        return {self._renamed(name): pa.string() for name in self._table.columns if name != self._key}

    def load(self, bad: BadRows | None, paths: Iterable[str]) -> None:
        """Read it and match it with all files of the dataset; tell of its bad rows, and of rows without a file.

        Without ``bad`` there is nobody to tell, and what was read before stays.
        """
        if bad is None and self._rows is not None:
            return
        noted = _Noted(bad)
        rows = pa.Table.from_batches(
            [batch.rows for batch in self._table.batches(noted)],
            pa.schema([(name, pa.string()) for name in self._table.columns]),
        ).combine_chunks()
        numbers = np.delete(np.arange(1, len(rows) + len(noted.rows) + 1), np.array(noted.rows, dtype=np.int64) - 1)
        names = FileNames(pa.concat_arrays(rows.column(self._key).chunks), self.path.name, "row", numbers)
        names.match(paths)
        self._rows, self._names = rows, names
        if bad is not None:
            self._tell_of_missing_files(rows, names, bad)

    def _tell_of_missing_files(self, rows: pa.Table, names: FileNames, bad: BadRows) -> None:
        for entry, name in names.without_file():
            number = int(names.numbers[entry])
            reason = (
                f"{self.path.name}, row {number}, column {self._key!r}: there is no file {name!r}; put it there, or "
                "take the row out"
            )
            bad.add(self.path, number, reason, str(rows.slice(entry, 1).to_pylist()[0]))

    def values(self, path: str) -> dict[str, Any]:
        """What the table says of a file. Raises Unusable when that is nothing, or not one thing."""
        assert self._rows is not None
        assert self._names is not None
        entry = self._names.entry(path)
        return {self._renamed(name): self._rows.column(name)[entry].as_py() for name in self._table.columns
                if name != self._key}  # fmt: skip

    def _renamed(self, name: str) -> str:
        return f"{name}_annotated" if name in MEDIA_COLUMNS else name


class TableColumns:
    """A table's columns for the files of one part. ``paths`` gives those of the whole dataset; the part that ``tells``
    of the table's bad rows is one of those that read it."""

    def __init__(self, table: AnnotationTable, paths: Callable[[], Iterable[str]], *, tells: bool) -> None:
        self._table = table
        self._paths = paths
        self._tells = tells
        self.columns: Mapping[str, pa.DataType] = table.columns

    def begin(self, bad: BadRows) -> None:
        """Read the table."""
        self._table.load(bad if self._tells else None, self._paths())

    def of(self, path: str, media: Media) -> Mapping[str, Any]:
        """See ``Annotations``."""
        return self._table.values(path)


def find_tables(folder: Path, named: str | None) -> list[Path]:
    """The tables in ``folder`` itself, or the one that ``data.annotations`` names below it."""
    if named is None:
        return [path for path in sorted(folder.iterdir()) if _is_table(path)]
    path = (folder / named).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise InvalidInput(f"data.annotations {named!r} lies outside of the dataset; name a file in its folder")
    if path.is_file() and path.suffix.casefold() == ".json":
        raise InvalidInput(f"data.annotations {named!r} is JSON; set data.format: coco, or write the table as CSV")
    return [path] if path.is_file() else []


def _is_table(path: Path) -> bool:
    return path.suffix.casefold() in TABLE_SUFFIXES and path.is_file() and not path.name.startswith((".", "~"))
