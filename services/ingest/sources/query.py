"""Copies the rows of a SELECT statement into a Parquet file. Knows nothing of any one database."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from services.ingest.sources.database_url import DatabaseAddress, parse_database
from services.ingest.sources.policy import Origin, SourcePolicy
from services.ingest.sources.transfer import Transfer
from tidemill.errors import InvalidInput

FILE = "query.parquet"
FETCH_ROWS = 1_000
"""Rows asked of the database at once."""
_GROUP_ROWS = 1 << 16
_GROUP_BYTES = 64 << 20
"""A row group ends at either, so that memory does not grow with the result."""
_COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
_SELECTS = ("select", "with", "values", "table")


@dataclass(frozen=True)
class Rows:
    """What a statement gives: the columns, and batches of rows of at most ``FETCH_ROWS``."""

    columns: pa.Schema
    batches: Iterator[Sequence[Sequence[Any]]]


def copy_query(
    uri: str, statement: str | None, into: Path, transfer: Transfer, *, policy: SourcePolicy, origin: Origin
) -> None:
    """Write what ``statement`` selects from the database at ``uri`` to ``into/query.parquet``, streamed.

    The statement runs in a transaction that may only read. Its rows come in its order: one without ORDER BY may give
    another order, and so another dataset, each time.

    Raises:
        InvalidInput: no statement or not a SELECT, a wrong address or one that the policy refuses, no access, what the
            database says of the statement, no rows, or too many bytes.
        TransientError: the database cannot be reached or fails by itself.
    """
    selected = _checked(statement)
    address = parse_database(uri, policy=policy, origin=origin)
    with _opened(address, selected, transfer) as rows:
        _check_names(rows.columns)
        _write(rows, into / FILE, transfer)


def _opened(address: DatabaseAddress, statement: str, transfer: Transfer) -> AbstractContextManager[Rows]:
    if address.kind == "sqlite":
        from services.ingest.sources.sqlite import select_sqlite

        return select_sqlite(address, statement, transfer)
    from services.ingest.sources.postgresql import select_postgresql

    return select_postgresql(address, statement)


def _checked(statement: str | None) -> str:
    """The statement without what ends it. Whether it only reads is for the database to say; this is for the message."""
    text = (statement or "").strip().rstrip(";").strip()
    if not text:
        raise InvalidInput("the uri is a database; set data.query of the recipe to the SELECT statement to read")
    if not _COMMENT.sub(" ", text).lstrip(" \t\r\n(").lower().startswith(_SELECTS):
        raise InvalidInput(f"data.query has to be one SELECT statement, not {text[:60]!r}")
    return text


def _check_names(columns: pa.Schema) -> None:
    twice = [name for name, times in Counter(columns.names).items() if times > 1]
    if twice:
        raise InvalidInput(f"data.query gives more than one column named {twice[0]!r}; name them apart with AS")


def _write(rows: Rows, target: Path, transfer: Transfer) -> None:
    done = written = rows_waiting = bytes_waiting = 0
    waiting: list[pa.RecordBatch] = []
    with pq.ParquetWriter(target, rows.columns, compression="zstd", compression_level=1) as writer:

        def flush() -> None:
            nonlocal written, waiting, rows_waiting, bytes_waiting
            # As one chunk, a column longer than 2 GiB would not fit; a group is far from it.
            writer.write_table(pa.Table.from_batches(waiting, rows.columns), row_group_size=_GROUP_ROWS)
            waiting, rows_waiting, bytes_waiting = [], 0, 0
            size = target.stat().st_size
            transfer.count(size - written)
            written = size

        for batch in rows.batches:
            waiting.append(_arrow(batch, rows.columns, done))
            done += len(batch)
            transfer.say(f"{done:,} rows selected")
            rows_waiting += len(batch)
            bytes_waiting += waiting[-1].nbytes
            if rows_waiting > _GROUP_ROWS - FETCH_ROWS or bytes_waiting >= _GROUP_BYTES:
                flush()
        if waiting:
            flush()
    if not done:
        raise InvalidInput("data.query selects no rows; check its conditions")


def _arrow(batch: Sequence[Sequence[Any]], columns: pa.Schema, done: int) -> pa.RecordBatch:
    arrays = []
    for field, values in zip(columns, zip(*batch, strict=True), strict=True):
        try:
            arrays.append(pa.array(values, field.type))
        except (pa.ArrowException, OverflowError, ValueError, TypeError) as error:
            raise InvalidInput(
                f"data.query, rows {done + 1:,} to {done + len(batch):,}, column {field.name!r}: a value does not fit "
                f"the column's type {field.type} ({error}); cast it in the statement"
            ) from None
    return pa.record_batch(arrays, schema=columns)
