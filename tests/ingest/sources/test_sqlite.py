"""Queries of SQLite files: rows and types come out, and nothing else is read or done."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from services.ingest.sources.policy import SourcePolicy
from tests.ingest.sources.conftest import Take
from tidemill.errors import HandedBack, InvalidInput, TransientError
from tidemill.jobs.report import SilentReport


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "评论 1.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE reviews (id INTEGER PRIMARY KEY, text TEXT, stars, mixed, picture BLOB, none)")
        connection.executemany(
            "INSERT INTO reviews VALUES (?, ?, ?, ?, ?, NULL)",
            [(1, "很好", 5, "five", b"\0\xff"), (2, 'bad, "bad"', 1.5, 1, None), (3, None, None, 2.5, b"")],
        )
    connection.close()
    return path


def test_rows_come_with_the_types_that_occur(take: Take, database: Path) -> None:
    query = "SELECT id, text, stars, mixed, picture, none FROM reviews ORDER BY id DESC; "
    table = pq.read_table(take(f"sqlite:///{database}", data={"query": query}) / "query.parquet")
    assert dict(zip(table.column_names, table.schema.types, strict=True)) == {
        "id": pa.int64(), "text": pa.string(), "stars": pa.float64(), "mixed": pa.string(), "picture": pa.binary(),
        "none": pa.string(),
    }  # fmt: skip
    assert table.to_pylist()[1:] == [
        {"id": 2, "text": 'bad, "bad"', "stars": 1.5, "mixed": "1", "picture": None, "none": None},
        {"id": 1, "text": "很好", "stars": 5.0, "mixed": "five", "picture": b"\0\xff", "none": None},
    ]


def test_the_same_rows_are_the_same_bytes_and_many_rows_are_several_groups(take: Take, database: Path) -> None:
    numbers = "WITH RECURSIVE n(i) AS (VALUES (0) UNION ALL SELECT i + 1 FROM n WHERE i < 150000)"
    query = f"{numbers} SELECT i, 'r' || i AS t FROM n"
    one, two = (take(f"sqlite:///{database}", data={"query": query}) / "query.parquet" for _ in range(2))
    assert one.read_bytes() == two.read_bytes()
    written = pq.ParquetFile(one)
    assert (written.metadata.num_rows, written.num_row_groups) == (150_001, 3)
    assert written.read().column("t")[150_000].as_py() == "r150000"


@pytest.mark.parametrize(
    ("query", "says"),
    [
        (None, "set data.query"),
        ("  ;", "set data.query"),
        ("DELETE FROM reviews", "has to be one SELECT statement"),
        ("PRAGMA writable_schema = ON", "has to be one SELECT statement"),
        ("ATTACH '/etc/passwd' AS other", "has to be one SELECT statement"),
        ("/* SELECT */ DROP TABLE reviews", "has to be one SELECT statement"),
        ("WITH x AS (SELECT 1) DELETE FROM reviews", "does more than read"),
        ("SELECT 1; DELETE FROM reviews", "does not run data.query"),
        ("SELECT 1) LIMIT 0; ATTACH '/etc/passwd' AS other; --", "does not run data.query"),
        ("SELECT load_extension('/tmp/x.so')", "does not run data.query|does more than read"),
        ("SELECT * FROM pragma_database_list", "does not run data.query|does more than read"),
        ("SELECT missing FROM reviews", "no such column: missing"),
        ("SELECT", "does not run data.query"),
        ("SELECT id, text AS id FROM reviews", "more than one column named 'id'"),
        ("SELECT id FROM reviews WHERE 0", "selects no rows"),
        ("SELECT picture AS p FROM reviews UNION ALL SELECT 'text'", "both bytes and other values"),
        ("SELECT CAST(x'ff41' AS TEXT) AS t", "UTF-8"),
        ("SELECT 9223372036854775807 AS a UNION ALL SELECT 0.5", "does not fit the column's type double"),
    ],
)
def test_what_is_no_readable_statement_is_refused(take: Take, database: Path, query: str | None, says: str) -> None:
    before = database.read_bytes()
    with pytest.raises(InvalidInput) as raised:
        take(f"sqlite:///{database}", data={"query": query} if query else None)
    assert any(word in str(raised.value) for word in says.split("|")), str(raised.value)
    assert database.read_bytes() == before


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("sqlite:///relative.db", "four slashes"),
        ("sqlite://", "four slashes"),
        ("sqlite:///:memory:", "four slashes"),
        ("sqlite://host/x.db", "four slashes"),
        ("sqlite:////nowhere/x.db", "there is no file /nowhere/x.db"),
        ("sqlite:////etc/passwd", "does not run data.query"),
        ("sqlite:////etc", "there is no file /etc"),
        ("sqlite:////x.db?mode=rwc&uri=true", "option 'mode' of the database's uri is not taken"),
        ("sqlite+aiosqlite:////x.db", "are not read"),
        ("sqlite:////x.db?password=env:X", "option 'password'"),
    ],
)
def test_a_wrong_address_says_what_is_wrong(take: Take, uri: str, says: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        take(uri, data={"query": "SELECT 1"})
    assert says in str(raised.value)


def test_over_http_the_file_has_to_be_in_an_allowed_folder(take: Take, database: Path) -> None:
    data = {"query": "SELECT id FROM reviews"}
    with pytest.raises(InvalidInput, match="is not in a folder that may be read"):
        take(f"sqlite:///{database}", origin="http", data=data)
    policy = SourcePolicy(allowed_folders=(database.parent,))
    assert take(f"sqlite:///{database}", origin="http", policy=policy, data=data)


def test_a_result_that_is_too_large_is_refused(take: Take, database: Path) -> None:
    numbers = "WITH RECURSIVE n(i) AS (VALUES (0) UNION ALL SELECT i + 1 FROM n WHERE i < 50000)"
    query = f"{numbers} SELECT hex(randomblob(500)) AS t FROM n"
    with pytest.raises(InvalidInput, match="TIDEMILL_INGEST_MAX_BYTES"):
        take(f"sqlite:///{database}", data={"query": query}, policy=SourcePolicy(max_bytes=10 << 20))


def test_an_endless_query_ends_when_the_worker_leaves(take: Take, database: Path) -> None:
    class Leaving(SilentReport):
        stop_requested = True

    query = "WITH RECURSIVE n(i) AS (VALUES (0) UNION ALL SELECT i + 1 FROM n) SELECT sum(i) AS s FROM n"
    with pytest.raises(HandedBack):
        take(f"sqlite:///{database}", data={"query": query}, report=Leaving())


def test_a_locked_file_is_worth_another_try(take: Take, database: Path) -> None:
    holder = sqlite3.connect(database, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    try:
        with pytest.raises(TransientError, match="locked"):
            take(f"sqlite:///{database}", data={"query": "SELECT id FROM reviews"})
    finally:
        holder.close()
