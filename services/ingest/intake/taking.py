"""The one pass over the rows: read, judge, write, describe. Memory does not grow with their number."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from services.ingest.intake.arrow_types import OneSchema
from services.ingest.intake.bad_rows import BadRowKeeper
from services.ingest.intake.expected import ExpectedColumns
from services.ingest.tables import TableFile
from tidemill.datasets import PartWriter
from tidemill.datasets.intake import FileRead
from tidemill.datasets.statistics import ColumnStatistics
from tidemill.errors import HandedBack, InvalidInput
from tidemill.jobs.report import ProgressReport

Tables = Mapping[str, Sequence[TableFile]]


@dataclass(frozen=True)
class Taken:
    """What was read: the files in their order, rows by part, and the columns with their figures over all parts."""

    files: list[FileRead]
    rows: dict[str, int]
    schema: pa.Schema
    columns: list[ColumnStatistics]
    counted: Mapping[str, Sequence[Counter[str] | None]]
    """By part, for each column: rows by value up to the end of that part; None: too many values."""

    def label_counts(self, column: str) -> dict[str, dict[str, int]]:
        """Rows by value of ``column``, sorted, for each part; empty where there are too many values."""
        place = [statistics.name for statistics in self.columns].index(column)
        counts: dict[str, dict[str, int]] = {}
        before: Counter[str] = Counter()
        for part, columns in self.counted.items():
            now = columns[place]
            counts[part] = {} if now is None else dict(sorted((now - before).items()))
            before = now or Counter()
        return counts


class Taking:
    """Takes the rows of tables into the dataset in ``folder``."""

    def __init__(
        self,
        folder: Path,
        columns: list[ColumnStatistics],
        *,
        schema: OneSchema,
        expected: ExpectedColumns,
        bad: BadRowKeeper,
        report: ProgressReport,
    ) -> None:
        self._folder = folder
        self._columns = columns
        self._schema = schema
        self._expected = expected
        self._bad = bad
        self._report = report

    def take(self, tables: Tables, *, shard_rows: int, first: Mapping[str, int]) -> Taken:
        """Write the rows of each part's files, one after the other, in shards of ``shard_rows``.

        ``first`` is the number of a part's first shard, 0 where it names none.

        Raises:
            InvalidInput: a part has no good row; what ``BadRows`` and readers raise.
            HandedBack: the worker wants to leave.
        """
        files: list[FileRead] = []
        rows: dict[str, int] = {}
        counted: dict[str, list[Counter[str] | None]] = {}
        whole = sum(len(part) for part in tables.values())
        for part, of_part in tables.items():
            with PartWriter(self._folder, part, shard_rows=shard_rows, first=first.get(part, 0)) as writer:
                for table in of_part:
                    files.append(self._take_file(part, table, writer, len(files) / whole, 1 / whole))
                rows[part] = writer.rows
            if not rows[part]:
                raise self._no_rows(of_part)
            counted[part] = [None if one.values is None else Counter(one.values) for one in self._columns]
        return Taken(files, rows, self._schema.schema, self._columns, counted)

    def _take_file(self, part: str, table: TableFile, writer: PartWriter, done: float, share: float) -> FileRead:
        before, bad_before = writer.rows, self._bad.of_file(table.path)
        self._bad.begin(table.path)
        for batch in table.batches(self._bad):
            numbers = self._bad.numbers_of(table.path, batch.rows.num_rows)
            kept = self._expected.kept(self._schema.fit(batch.rows, table.path), numbers, table.path, self._bad)
            writer.write(kept)
            for column, statistics in zip(kept.columns, self._columns, strict=True):
                statistics.update(column)
            self._report.progress(done + share * batch.fraction, f"{writer.rows:,} rows of {table.path.name}")
            if self._report.stop_requested:
                raise HandedBack("the worker is leaving in the middle of reading a dataset")
        writing, bad_rows = table.writing, self._bad.of_file(table.path) - bad_before
        return FileRead(
            name=table.path.name, part=part, rows=writer.rows - before, bad_rows=bad_rows,
            format=writing.format, encoding=writing.encoding, delimiter=writing.delimiter, quoted=writing.quoted,
            header=writing.header,
        )  # fmt: skip

    def _no_rows(self, tables: Sequence[TableFile]) -> InvalidInput:
        where = " and ".join(table.path.name for table in tables[:5])
        self._bad.check(0, where)
        names = ", ".join(column.name for column in self._columns[:20])
        return InvalidInput(f"{where} has column names ({names}) but no rows; add rows below them")
