"""Reads the rows of a statement from an SQLite file, which is opened for reading alone."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any
from urllib.parse import quote

import pyarrow as pa

from services.ingest.sources.database_url import DatabaseAddress
from services.ingest.sources.query import FETCH_ROWS, Rows
from services.ingest.sources.transfer import Transfer
from tidemill.errors import HandedBack, InvalidInput, TransientError

_INTEGER, _REAL, _TEXT, _BLOB = 1, 2, 4, 8
_TYPES = {
    0: pa.string(),
    _INTEGER: pa.int64(),
    _REAL: pa.float64(),
    _INTEGER | _REAL: pa.float64(),
    _BLOB: pa.binary(),
}
_READING = frozenset((sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE))
_STEPS = 100_000
"""Instructions of SQLite's machine between two looks at whether the worker is to leave."""
_BUSY = frozenset((sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED))
_OUT_OF_SPACE = sqlite3.SQLITE_FULL


@contextmanager
def select_sqlite(address: DatabaseAddress, statement: str, transfer: Transfer) -> Iterator[Rows]:
    """The rows of ``statement``.

    A column of SQLite holds values of any type. The statement therefore runs twice: first for the types that occur in
    each column (whole numbers and others are float64, numbers and text are text), then for the rows.

    Raises:
        InvalidInput: no SQLite file, or what SQLite says of the statement: one that does more than read is not
            authorized.
        TransientError: another process holds a lock.
        HandedBack: the worker wants to leave.
    """
    uri = f"file:{quote(address.name)}?mode=ro"
    with _explained(address, transfer), closing(_connected(uri)) as connection:
        connection.execute("BEGIN")  # both passes see the same rows
        connection.execute("PRAGMA schema_version")  # reads the file, whatever the statement does
        connection.set_authorizer(_authorize)
        connection.set_progress_handler(lambda: int(transfer.stop_requested), _STEPS)
        cursor = connection.execute(statement)
        names = [str(column[0]) for column in cursor.description or ()]
        kinds = _kinds(connection, statement, names)
        fields = [pa.field(name, _TYPES.get(kind, pa.string())) for name, kind in zip(names, kinds, strict=True)]
        mixed = [index for index, kind in enumerate(kinds) if kind & _TEXT and kind != _TEXT]
        yield Rows(pa.schema(fields), _batches(cursor, mixed))


def _connected(uri: str) -> sqlite3.Connection:
    return sqlite3.connect(uri, uri=True, isolation_level=None, timeout=1.0)


def _authorize(action: int, _first: str | None, second: str | None, *_: object) -> int:
    if action == sqlite3.SQLITE_FUNCTION and second == "load_extension":
        return sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_OK if action in _READING else sqlite3.SQLITE_DENY


def _kinds(connection: sqlite3.Connection, statement: str, names: Sequence[str]) -> list[int]:
    """For each column the kinds of values that occur in it, as the sum of ``_INTEGER`` and so on."""
    if len(set(names)) < len(names):
        return [0] * len(names)  # refused by their names
    columns = [f'"{name.replace(chr(34), chr(34) * 2)}"' for name in names]
    seen = ", ".join(
        f"max(typeof({column}) = 'integer') + {_REAL} * max(typeof({column}) = 'real')"
        f" + {_TEXT} * max(typeof({column}) = 'text') + {_BLOB} * max(typeof({column}) = 'blob')"
        for column in columns
    )
    found = [kind or 0 for kind in connection.execute(f"SELECT {seen} FROM ({statement}\n)").fetchone()]  # noqa: S608
    for name, kind in zip(names, found, strict=True):
        if kind & _BLOB and kind != _BLOB:
            raise InvalidInput(f"data.query, column {name!r}: both bytes and other values; cast it in the statement")
    return found


def _batches(cursor: sqlite3.Cursor, mixed: Sequence[int]) -> Iterator[Sequence[Sequence[Any]]]:
    """``mixed``: columns of text in which numbers occur, too."""
    while rows := cursor.fetchmany(FETCH_ROWS):
        if not mixed:
            yield rows
            continue
        columns = list(zip(*rows, strict=True))
        for index in mixed:
            columns[index] = tuple(None if value is None else str(value) for value in columns[index])
        yield list(zip(*columns, strict=True))


@contextmanager
def _explained(address: DatabaseAddress, transfer: Transfer) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        if transfer.stop_requested:
            raise HandedBack("the worker is leaving in the middle of a query") from None
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in _BUSY or code == _OUT_OF_SPACE:
            raise TransientError(f"the {address.shown} cannot be read now: {error}") from error
        if code == sqlite3.SQLITE_AUTH:
            raise InvalidInput("data.query does more than read; only SELECT statements are run") from None
        raise InvalidInput(f"the {address.shown} does not run data.query: {error}; check file and statement") from None
