"""Reads the rows of a statement from PostgreSQL, through a cursor on the server."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
import pyarrow as pa
from psycopg import sql

from services.ingest.sources.database_url import DatabaseAddress
from services.ingest.sources.query import FETCH_ROWS, Rows
from tidemill.errors import InvalidInput, TransientError

_TYPES = {
    "bool": pa.bool_(),
    "int2": pa.int16(),
    "int4": pa.int32(),
    "int8": pa.int64(),
    "oid": pa.int64(),
    "float4": pa.float32(),
    "float8": pa.float64(),
    "text": pa.string(),
    "varchar": pa.string(),
    "bpchar": pa.string(),
    "name": pa.string(),
    "bytea": pa.binary(),
    "date": pa.date32(),
    "time": pa.time64("us"),
    "timestamp": pa.timestamp("us"),
    "timestamptz": pa.timestamp("us", tz="UTC"),
}
_MAX_DIGITS = 38
_MAY_PASS = ("08", "40", "53", "55", "57", "58")
"""Classes of SQLSTATE (PostgreSQL 15, appendix A): connection, transaction, resources, locks, operator, system."""
_STAYS = ("authentication failed", "no password supplied", "does not exist", "no pg_hba.conf entry",
          "failed to resolve", "could not translate", "certificate", "not support SSL", "not permitted")  # fmt: skip
"""What a refused connection says, for which there is no SQLSTATE, that another try does not change."""


@contextmanager
def select_postgresql(address: DatabaseAddress, statement: str) -> Iterator[Rows]:
    """The rows of ``statement``, in a transaction that may only read.

    Numbers without a fixed scale are float64; JSON, arrays and composites are JSON text; other types are text as the
    server writes them. Times with a zone are in UTC.

    Raises:
        InvalidInput: no access, or what the server says of the statement.
        TransientError: the server cannot be reached, or fails by itself.
    """
    with _explained(address), psycopg.connect(
        host=address.host, port=address.port, dbname=address.name, user=address.user, password=address.password,
        sslmode=address.ssl_mode or "prefer", connect_timeout=10, keepalives_idle=30,
        application_name="tidemill-ingest",
        options="-c timezone=UTC -c datestyle=ISO -c client_encoding=UTF8 -c default_transaction_read_only=on",
    ) as connection:  # fmt: skip
        connection.read_only = True
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        inner = sql.SQL(statement)
        # Cursors on the server take one statement alone: nothing behind a semicolon leaves the transaction.
        with connection.cursor("shape") as shape:
            shape.execute(sql.SQL("SELECT * FROM ({}\n) AS q LIMIT 0").format(inner))
            described = list(shape.description or ())
        arrays = _arrays(connection, [column.type_code for column in described])
        fields, terms = [], []
        for column in described:
            kind, cast = _mapped(connection, column, column.type_code in arrays)
            fields.append(pa.field(column.name, kind))
            terms.append(sql.SQL(cast).format(sql.Identifier(column.name)))
        if len(set(schema := [field.name for field in fields])) < len(schema):
            yield Rows(pa.schema(fields), iter(()))
            return
        with connection.cursor("tidemill") as cursor:
            cursor.itersize = FETCH_ROWS
            cursor.execute(sql.SQL("SELECT {} FROM ({}\n) AS q").format(sql.SQL(", ").join(terms), inner))
            yield Rows(pa.schema(fields), _batches(cursor))
        connection.rollback()  # the little that a reading transaction may change (large objects, before version 16)


def _mapped(connection: psycopg.Connection[Any], column: psycopg.Column, is_array: bool) -> tuple[pa.DataType, Any]:
    """The Arrow type of a column, and the expression that gives it."""
    known = connection.adapters.types.get(column.type_code)
    name = known.name if known is not None and not is_array else ""
    if name == "numeric":
        precision, scale = column.precision, column.scale
        if precision is None or precision > _MAX_DIGITS or not 0 <= (scale or 0) <= precision:
            return pa.float64(), "{}::float8"
        return pa.decimal128(precision, scale or 0), "{}"
    if name in _TYPES:
        return _TYPES[name], "{}"
    return pa.string(), "to_json({})::text" if is_array else "{}::text"


def _arrays(connection: psycopg.Connection[Any], types: Sequence[int]) -> set[int]:
    """Those of the types that are arrays or composites."""
    asked = "SELECT oid FROM pg_type WHERE oid = ANY(%s) AND typcategory IN ('A', 'C')"
    return {int(row[0]) for row in connection.execute(asked, (list(types),))}


def _batches(cursor: psycopg.ServerCursor[Any]) -> Iterator[Sequence[Sequence[Any]]]:
    while rows := cursor.fetchmany(FETCH_ROWS):
        yield rows


@contextmanager
def _explained(address: DatabaseAddress) -> Iterator[None]:
    try:
        yield
    except psycopg.Error as error:
        reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        if address.password:
            reason = reason.replace(address.password, "…")
        state = error.sqlstate or ""
        lost = isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
        if state == "25006":
            raise InvalidInput("data.query does more than read; only SELECT statements are run") from None
        if state.startswith(_MAY_PASS) or (not state and lost and not any(word in str(error) for word in _STAYS)):
            raise TransientError(f"the {address.shown} cannot be read now: {reason}") from None
        raise InvalidInput(f"the {address.shown} does not run data.query: {reason}") from None
