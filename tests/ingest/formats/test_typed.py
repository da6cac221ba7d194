"""Parquet and Arrow IPC keep their types; a value that is wrong costs its row."""

from __future__ import annotations

import io
from datetime import date, datetime, time, timedelta
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tidemill.errors import InvalidInput


def parquet(table: pa.Table, **options) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out, **options)
    return out.getvalue()


def ipc_file(table: pa.Table) -> bytes:
    out = io.BytesIO()
    with pa.ipc.new_file(out, table.schema) as writer:
        writer.write_table(table, max_chunksize=3)
    return out.getvalue()


def ipc_stream(table: pa.Table) -> bytes:
    out = io.BytesIO()
    with pa.ipc.new_stream(out, table.schema) as writer:
        writer.write_table(table, max_chunksize=3)
    return out.getvalue()


WRITERS = {"x.parquet": parquet, "x.arrow": ipc_file, "x.feather": ipc_stream}
every_writer = pytest.mark.parametrize("name", WRITERS)


@every_writer
def test_types_are_kept_and_kinds_said(read_files, name: str) -> None:
    table = pa.table(
        {
            "text": ["a", "你好", None],
            "whole": pa.array([1, 2, None], pa.int16()),
            "part": [0.5, None, 2.0],
            "yes": [True, False, None],
            "day": [date(2024, 1, 2), None, date(1900, 1, 1)],
            "at": pa.array([datetime(2024, 1, 2, 3, 4, 5), None, None], pa.timestamp("ms")),
            "price": pa.array([Decimal("1.50"), None, Decimal("2.25")]),
            "list": [[1, 2], [], None],
            "struct": [{"a": 1}, None, {"a": None}],
        }
    )
    read = read_files({name: WRITERS[name](table)})
    assert read.rows() == table.to_pylist()
    assert read.table.kinds == {
        "whole": "integer", "part": "number", "yes": "boolean", "day": "date", "at": "date", "price": "number",
        "list": "nested", "struct": "nested",
    }  # fmt: skip


@every_writer
def test_types_that_few_know_become_plain_ones(read_files, name: str) -> None:
    table = pa.table(
        {
            "category": pa.array(["x", "y", "x", None]).dictionary_encode(),
            "large": pa.array(["a", "b", None, "d"], pa.large_string()),
            "clock": pa.array([time(1, 2, 3), None, time(4), time(5)], pa.time32("s")),
            "nothing": pa.nulls(4),
            "map": pa.array([[("k", 1)], [], None, [("l", 2)]], pa.map_(pa.string(), pa.int64())),
            "lists": pa.array([["a"], None, [], ["b"]], pa.large_list(pa.large_string())),
        }
    )
    read = read_files({name: WRITERS[name](table)})
    assert [row["category"] for row in read.rows()] == ["x", "y", "x", None]
    assert [row["clock"] for row in read.rows()] == ["01:02:03", None, "04:00:00", "05:00:00"]
    assert read.rows()[0]["map"] == [{"key": "k", "value": 1}]
    assert read.rows()[0]["lists"] == ["a"]
    assert read.table.kinds["nothing"] == "empty"


def test_durations_and_other_types_of_arrow(read_files) -> None:
    table = pa.table(
        {
            "view": pa.array(["a", None], pa.string_view()),
            "half": pa.array([1.5, None], pa.float16()),
            "long": pa.array([timedelta(seconds=2), None], pa.duration("ms")),
            "runs": pa.RunEndEncodedArray.from_arrays([2], ["z"]),
        }
    )
    read = read_files({"x.arrow": ipc_file(table)})
    assert read.rows() == [
        {"view": "a", "half": 1.5, "long": "2000", "runs": "z"},
        {"view": None, "half": None, "long": None, "runs": "z"},
    ]


def test_a_type_that_cannot_be_kept_is_named(read_files) -> None:
    union = pa.UnionArray.from_sparse(pa.array([0, 1], pa.int8()), [pa.array([1, 2]), pa.array(["a", "b"])])
    with pytest.raises(InvalidInput, match="column 'u': values of type sparse_union"):
        read_files({"x.arrow": ipc_file(pa.table({"u": union}))})


@every_writer
def test_text_that_is_no_utf8_costs_its_row(read_files, name: str) -> None:
    text = pa.array([b"a", b"caf\xe9", b"c", b"d"], pa.binary()).view(pa.string())
    read = read_files({name: WRITERS[name](pa.table({"text": text, "n": [1, 2, 3, 4]}))}, tolerant=True)
    assert [(bad.row, bad.reason) for bad in read.bad] == [
        (2, "row 2, column 'text': byte 4 of the value is not valid UTF-8; write the column as text again")
    ]
    assert [row["n"] for row in read.rows()] == [1, 3, 4]


@every_writer
def test_a_cell_over_the_limit_costs_its_row(read_files, name: str) -> None:
    table = pa.table({"text": ["a", "b", "c", "y" * 3000, "e"]})
    read = read_files({name: WRITERS[name](table)}, max_cell=2000, tolerant=True)
    assert [bad.row for bad in read.bad] == [4]
    assert "row 4, column 'text': a value of 3,000 characters; at most 2,000" in read.bad[0].reason
    assert len(read.rows()) == 4


@every_writer
def test_bytes_are_images_recordings_or_text(read_files, name: str) -> None:
    picture, sound = b"\x89PNG\r\n\x1a\n...", b"RIFF....WAVE"
    table = pa.table(
        {
            "image": pa.array([{"bytes": picture, "path": "a.png"}, {"bytes": picture, "path": None}]),
            "audio": pa.array([sound, sound]),
            "text": pa.array(["你好".encode(), b"b"]),
        }
    )
    read = read_files({name: WRITERS[name](table)})
    assert read.table.kinds == {"image": "image", "audio": "audio"}
    assert read.rows()[0] == {"image": picture, "audio": sound, "text": "你好"}


@every_writer
def test_a_damaged_file_is_refused(read_files, name: str) -> None:
    whole = WRITERS[name](pa.table({"text": [f"text {number}" for number in range(1000)]}))
    for content in (whole[: len(whole) // 2], whole[:60] + bytes(40) + whole[100:], whole[:-20]):
        try:
            read = read_files({name: content}, tolerant=True)
        except InvalidInput as error:
            assert name in str(error)  # noqa: PT017
        else:
            assert len(read.rows()) + len(read.bad) == 1000


def test_an_empty_table_has_columns(read_files) -> None:
    read = read_files({"x.parquet": parquet(pa.table({"a": pa.array([], pa.int64())}))})
    assert (read.table.columns, read.rows()) == (["a"], [])


def test_batches_stay_small_when_rows_are_large(read_files) -> None:
    table = pa.table({"text": ["x" * 100_000] * 400})
    read = read_files({"x.parquet": parquet(table), "y.parquet": ipc_file(table)})
    for table_file in read.tables["data"]:
        from tests.ingest.reading import Listed

        assert max(batch.rows.nbytes for batch in table_file.batches(Listed())) < 1 << 24


columns = st.lists(
    st.tuples(
        st.integers(-(1 << 63), (1 << 63) - 1) | st.none(), st.text(max_size=8) | st.none(), st.floats() | st.none()
    ),
    min_size=1,
    max_size=20,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=columns, name=st.sampled_from(sorted(WRITERS)))
def test_tables_come_back_as_they_were_written(read_files, rows, name: str) -> None:
    table = pa.table(
        {
            "i": pa.array([row[0] for row in rows], pa.int64()),
            "t": pa.array([row[1] for row in rows], pa.string()),
            "f": pa.array([row[2] for row in rows], pa.float64()),
        }
    )
    assert repr(read_files({name: WRITERS[name](table)}).rows()) == repr(table.to_pylist())


def test_a_map_that_is_missing_is_not_one_that_is_empty(read_files) -> None:
    maps = pa.array([[("z", 0)], [("a", 1)], None, [], [("b", 2)]], pa.map_(pa.string(), pa.int64()))
    sink = pa.BufferOutputStream()
    table = pa.table({"m": maps}).slice(1)
    with pa.ipc.new_file(sink, table.schema) as file:
        file.write_table(table)
    rows = read_files({"x.arrow": sink.getvalue().to_pybytes()}).rows()
    assert [row["m"] for row in rows] == [[{"key": "a", "value": 1}], None, [], [{"key": "b", "value": 2}]]
