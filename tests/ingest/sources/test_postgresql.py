"""Queries of a real PostgreSQL server."""

from __future__ import annotations

import datetime
import socket
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from psycopg import sql

from services.ingest.sources.policy import SourcePolicy
from tests.ingest.sources.conftest import Take
from tidemill.errors import InvalidInput, TransientError
from tidemill.testing.postgresql import PostgresServer

PASSWORD = "it's a ;secret= %41"
TABLE = """
CREATE TABLE reviews (id int PRIMARY KEY, text varchar(50), stars smallint, price numeric(8,2), score real,
  share numeric, good boolean, day date, at timestamptz, plain timestamp, hour time, tags text[], more jsonb,
  key uuid, raw bytea, span interval);
INSERT INTO reviews VALUES (1, '很好 100%', 5, 12.50, 0.5, 0.1, true, '2026-01-31', '2026-01-31 12:00+08',
  '2026-01-31 12:00', '08:30', '{a,"b c"}', '{"n": [1, null]}', '00000000-0000-0000-0000-000000000001', '\\x00ff',
  '1 day');
INSERT INTO reviews (id) VALUES (2);
CREATE SEQUENCE numbers;
"""


@dataclass(frozen=True)
class Server:
    port: int

    def uri(self, rest: str = "?password=env:READER_PASSWORD", user: str = "reader") -> str:
        return f"postgresql://{user}@127.0.0.1:{self.port}/shop{rest}"


@pytest.fixture(scope="module")
def server(postgres_server: PostgresServer) -> Server:
    postgres_server.create("shop")
    postgres_server.execute(sql.SQL("CREATE ROLE reader LOGIN PASSWORD {}").format(PASSWORD))
    postgres_server.execute(TABLE, "shop")
    for what in ("TABLES", "SEQUENCES"):
        postgres_server.execute(f"GRANT ALL ON ALL {what} IN SCHEMA public TO reader", "shop")
    return Server(postgres_server.port)


@pytest.fixture(autouse=True)
def password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("READER_PASSWORD", PASSWORD)
    monkeypatch.setenv("TIDEMILL_DATABASE_SHOP", PASSWORD)


def test_rows_come_with_their_types(take: Take, server: Server) -> None:
    query = "SELECT * FROM reviews ORDER BY id -- all of it"
    table = pq.read_table(take(server.uri(), data={"query": query}) / "query.parquet")
    assert dict(zip(table.column_names, table.schema.types, strict=True)) == {
        "id": pa.int32(), "text": pa.string(), "stars": pa.int16(), "price": pa.decimal128(8, 2), "score": pa.float32(),
        "share": pa.float64(), "good": pa.bool_(), "day": pa.date32(), "at": pa.timestamp("us", tz="UTC"),
        "plain": pa.timestamp("us"), "hour": pa.time64("us"), "tags": pa.string(), "more": pa.string(),
        "key": pa.string(), "raw": pa.binary(), "span": pa.string(),
    }  # fmt: skip
    first, second = table.to_pylist()
    assert first == {
        "id": 1, "text": "很好 100%", "stars": 5, "price": Decimal("12.50"), "score": 0.5, "share": 0.1, "good": True,
        "day": datetime.date(2026, 1, 31), "at": datetime.datetime(2026, 1, 31, 4, tzinfo=datetime.UTC),
        "plain": datetime.datetime(2026, 1, 31, 12), "hour": datetime.time(8, 30), "tags": '["a","b c"]',
        "more": '{"n": [1, null]}', "key": "00000000-0000-0000-0000-000000000001", "raw": b"\0\xff", "span": "1 day",
    }  # fmt: skip
    assert set(second.values()) == {2, None}


def test_a_password_comes_from_a_file_or_a_variable(take: Take, server: Server, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(PASSWORD + "\n", encoding="utf-8")
    for reference in ("env:READER_PASSWORD", f"file:{tmp_path}/secret"):
        assert take(server.uri(f"?password={reference}&sslmode=disable"), data={"query": "SELECT 1 AS one"})


def test_many_rows_are_streamed(take: Take, server: Server) -> None:
    query = "SELECT i, repeat('x', 100) AS t FROM generate_series(1, 100000) AS i WHERE 'a%' LIKE 'a%' ORDER BY i"
    one, two = (take(server.uri(), data={"query": query}) / "query.parquet" for _ in range(2))
    assert pq.read_metadata(one).num_rows == 100_000
    assert one.read_bytes() == two.read_bytes()


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("DELETE FROM reviews", "has to be one SELECT statement"),
        ("COPY reviews TO '/tmp/x'", "has to be one SELECT statement"),
        ("WITH gone AS (DELETE FROM reviews RETURNING *) SELECT * FROM gone", "does not run data.query"),
        ("SELECT 1; DELETE FROM reviews", "does not run data.query"),
        ("SELECT 1) AS q; COMMIT; DELETE FROM reviews; --", "does not run data.query"),
        ("SELECT * FROM nowhere", 'relation "nowhere" does not exist'),
        ("SELECT id, text AS id FROM reviews", "more than one column named 'id'"),
        ("SELECT id FROM reviews WHERE false", "selects no rows"),
        ("SELECT 1 / (id - 1) AS x FROM reviews", "division by zero"),
        ("SELECT 'infinity'::date AS day", "data.query"),
        ("SELECT nextval('numbers')", "does more than read"),
    ],
)
def test_what_is_no_readable_statement_is_refused(take: Take, server: Server, query: str, says: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        take(server.uri(), data={"query": query})
    assert says in str(raised.value)
    rows = pq.read_table(take(server.uri(), data={"query": "SELECT count(*) AS n FROM reviews"}) / "query.parquet")
    assert rows.to_pylist() == [{"n": 2}]


def test_what_a_reading_transaction_may_change_is_taken_back(take: Take, server: Server) -> None:
    take(server.uri(), data={"query": "SELECT lo_create(4711)::text AS made"})
    counted = take(server.uri(), data={"query": "SELECT count(*) AS n FROM pg_largeobject_metadata"})
    assert pq.read_table(counted / "query.parquet").to_pylist() == [{"n": 0}]


@pytest.mark.parametrize(
    ("rest", "says"),
    [
        (":secret@127.0.0.1/shop", "holds a password"),
        ("@127.0.0.1/shop?password=secret", "holds a password"),
        ("@127.0.0.1/shop?passfile=/root/.pgpass", "holds a password"),
        ("@127.0.0.1/shop?host=other", "option 'host'"),
        ("@127.0.0.1/shop?service=x", "option 'service'"),
        ("@127.0.0.1/shop?options=-c%20x", "option 'options'"),
        ("@127.0.0.1/", "names no database"),
        ("@127.0.0.1/host=other", "names no database"),
        ("@127.0.0.1/shop?sslmode=maybe", "sslmode 'maybe' is not known"),
        ("@127.0.0.1:many/shop", "malformed"),
        ("@127.0.0.1/shop?password=env:NOT_SET_HERE", "NOT_SET_HERE, which is to hold the password, is not set"),
        ("@127.0.0.1/shop?password=file:/nowhere/x", "/nowhere/x, which is to hold the password, cannot be read"),
        ("@127.0.0.1/shop?password=file:/dev/null", "/dev/null, which is to hold the password, is empty"),
    ],
)
def test_a_wrong_address_says_what_is_wrong_and_repeats_no_password(take: Take, rest: str, says: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        take(f"postgresql://reader{rest}", data={"query": "SELECT 1 AS one"})
    assert says in str(raised.value)
    assert "secret" not in str(raised.value)


def test_a_refused_login_is_not_tried_again_and_a_server_that_is_away_is(
    take: Take, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WRONG_PASSWORD", "not-it-at-all")
    data = {"query": "SELECT 1 AS one"}
    with pytest.raises(InvalidInput, match="password authentication failed") as raised:
        take(server.uri("?password=env:WRONG_PASSWORD"), data=data)
    assert "not-it-at-all" not in str(raised.value)
    with pytest.raises(InvalidInput, match='database "nothing" does not exist'):
        take(server.uri().replace("/shop", "/nothing"), data=data)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(TransientError, match="cannot be read now"):
            take(Server(unused.getsockname()[1]).uri(), data=data)


def test_over_http_hosts_and_variables_are_the_operators_to_allow(take: Take, server: Server) -> None:
    data = {"query": "SELECT 1 AS one"}
    uri = server.uri("?password=env:TIDEMILL_DATABASE_SHOP")
    for allowed in ((), ("127.0.0.2",), ("127.0.0.1:1",), ("127.0.0.1/other",), (f"127.0.0.1:{server.port}/shopping",)):
        with pytest.raises(InvalidInput, match="TIDEMILL_INGEST_ALLOWED_DATABASES"):
            take(uri, origin="http", policy=SourcePolicy(allowed_databases=allowed), data=data)
    with pytest.raises(InvalidInput, match="TIDEMILL_INGEST_ALLOWED_DATABASES"):
        take("postgresql:///shop", origin="http", policy=SourcePolicy(allowed_databases=("127.0.0.1",)), data=data)
    policy = SourcePolicy(allowed_databases=(f"127.0.0.1:{server.port}/shop",))
    assert take(uri, origin="http", policy=policy, data=data)
    for reference in ("env:READER_PASSWORD", "env:AWS_SECRET_ACCESS_KEY", "file:/etc/passwd"):
        with pytest.raises(InvalidInput, match="env:TIDEMILL_DATABASE_"):
            take(server.uri(f"?password={reference}"), origin="http", policy=policy, data=data)
