"""Any bytes under any name: rows, bad rows, or an InvalidInput; never anything else."""

from __future__ import annotations

import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.ingest.formats.sheets import sheet_xml, xlsx
from tidemill.errors import InvalidInput

SUFFIXES = (
    "csv", "tsv", "txt", "json", "jsonl", "parquet", "arrow", "feather", "xlsx", "xls", "ods", "arff", "npz", "data",
)  # fmt: skip
FORMATS = ("auto", "csv", "tsv", "json", "jsonl", "squad", "lines", "arff", "parquet", "arrow", "xlsx", "npz")
TABLE = pa.table({"text": [f"text {number}" for number in range(50)], "n": list(range(50))})
quick = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def wholes() -> dict[str, bytes]:
    """One sound file of each format."""
    parquet, arrow, arrays = io.BytesIO(), io.BytesIO(), io.BytesIO()
    pq.write_table(TABLE, parquet)
    with pa.ipc.new_stream(arrow, TABLE.schema) as writer:
        writer.write_table(TABLE)
    np.savez_compressed(arrays, x=np.arange(50), image=np.zeros((50, 4, 4), np.uint8))
    rows = TABLE.to_pylist()
    answers = [{"text": "c", "answer_start": 0}]
    squad = {
        "data": [{"paragraphs": [{"context": "c", "qas": [{"id": "1", "question": "q", "answers": answers}] * 9}]}]
    }
    return {
        "csv": b'text,n\n"a, b",1\n' + b"".join(b"text %d,%d\n" % (n, n) for n in range(50)),
        "json": json.dumps(rows, indent=1).encode(),
        "jsonl": "\n".join(map(json.dumps, rows)).encode(),
        "squad.json": json.dumps(squad).encode(),
        "parquet": parquet.getvalue(),
        "arrow": arrow.getvalue(),
        "npz": arrays.getvalue(),
        "arff": b"@relation r\n@attribute t string\n@attribute n real\n@data\n" + b"'a, b',1\n{0 x}\n" * 20,
        "gbk.csv": ("text,n\n" + "你好,1\n" * 50).encode("gbk"),
        "utf16.csv": ("text,n\n" + "你好,1\n" * 50).encode("utf-16"),
    }


def read(read_files, name: str, content: bytes, format: str = "auto") -> None:
    try:
        read_files({name: content}, {"format": format}, max_cell=1000, tolerant=True)
    except InvalidInput as error:
        assert str(error)  # noqa: PT017


@quick
@given(content=st.binary(max_size=300), suffix=st.sampled_from(SUFFIXES), format=st.sampled_from(FORMATS))
def test_bytes(read_files, content: bytes, suffix: str, format: str) -> None:
    read(read_files, f"x.{suffix}", content, format)


pieces = st.sampled_from(
    [
        *'{}[]",:;\t\n\r %?@\'\\', "\r\n", "null", "true", "1", "-", ".", "e9", '"a"', '{"a": 1}', '["a", 1]', "train", "test",  # noqa: E501
        "data", "@relation r\n", "@attribute a real\n", "@data\n", "你好", "\ufeff", "\x00", "\\ud800", '"paragraphs": [', "PK",  # noqa: E501
    ]
)  # fmt: skip
texts = st.lists(pieces, max_size=40).map("".join)


@quick
@given(text=texts, suffix=st.sampled_from(SUFFIXES), format=st.sampled_from(FORMATS))
def test_text_that_looks_like_something(read_files, text: str, suffix: str, format: str) -> None:
    read(read_files, f"x.{suffix}", text.encode(), format)


@quick
@given(which=st.sampled_from(sorted(wholes())), data=st.data())
def test_sound_files_that_were_damaged(read_files, which: str, data: st.DataObject) -> None:
    content = bytearray(wholes()[which])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        change = data.draw(st.sampled_from(["flip", "cut", "fill", "insert"]))
        if change == "flip":
            content[at] ^= 1 << data.draw(st.integers(0, 7))
        elif change == "cut" and at:
            del content[at:]
        elif change == "fill":
            content[at : at + 8] = b"\xff" * len(content[at : at + 8])
        else:
            content[at:at] = data.draw(st.sampled_from([b"\x00", b'"', b"\n", b"\xff\xfe", b"{", b","]))
    read(read_files, f"x.{which}", bytes(content))


@pytest.mark.full
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_workbooks_that_were_damaged(read_files, data: st.DataObject) -> None:
    xml = sheet_xml([["text", "n"], ["a", 1], ["b", 2.5]])
    at = data.draw(st.integers(0, len(xml) - 1))
    piece = data.draw(st.sampled_from(["<", ">", '"', "&", "</row>", 'r="A1"', "\x00", "999999999999", "<c/>", "<v>"]))
    read(read_files, "x.xlsx", xlsx({"Data": xml[:at] + piece + xml[at + data.draw(st.integers(0, 9)) :]}))
