"""Malformed files of every format: an InvalidInput that names the file, or bad rows that name their place. Never else.

What belongs to one format alone is in that format's own tests.
"""

from __future__ import annotations

import io
import json
import random
import struct
import zipfile
import zlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from services.ingest.formats.archive_size import check_unpacked_size
from tests.ingest.formats.sheets import ods, sheet_xml, xlsx, zipped
from tidemill.errors import InvalidInput

TABLE = pa.table({"text": [f"text {number}" for number in range(500)], "n": list(range(500))})
ROWS = b"".join(b"text %d,ham\n" % number for number in range(50))
CSV = b"text,label\n" + ROWS
LOL = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))


def parquet() -> bytes:
    out = io.BytesIO()
    pq.write_table(TABLE, out)
    return out.getvalue()


def arrow() -> bytes:
    out = io.BytesIO()
    with pa.ipc.new_file(out, TABLE.schema) as writer:
        writer.write_table(TABLE)
    return out.getvalue()


def npz() -> bytes:
    out = io.BytesIO()
    np.savez(out, x=np.arange(1000), y=np.arange(1000))
    return out.getvalue()


def lying_about_its_size(name: str, size: int) -> bytes:
    """An archive whose member says that it unpacks to 10 bytes, with the checksum of those, and unpacks to ``size``."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(bytes(size)) + packer.flush()
    sizes = struct.pack("<III", zlib.crc32(bytes(10)), len(packed), 10)
    common = struct.pack("<HHHHH", 20, 0, 8, 0, 0) + sizes + struct.pack("<HH", len(name), 0)
    local = b"PK\x03\x04" + common + name.encode() + packed
    central = b"PK\x01\x02" + struct.pack("<H", 20) + common + struct.pack("<HHHII", 0, 0, 0, 0, 0) + name.encode()
    return local + central + b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 1, 1, len(central), len(local), 0)


def book(sheet: str) -> bytes:
    return xlsx({"Data": sheet})


REFUSED = {
    "an empty table": ("x.csv", b"", "is empty"),
    "white space alone": ("x.json", b" \n\t\n", "is empty"),
    "a byte order mark alone": ("x.csv", b"\xef\xbb\xbf\n", "is empty"),
    "white space in UTF-16": ("x.csv", "\n \n".encode("utf-16"), "x.csv"),
    "random bytes": ("x.csv", random.Random(5).randbytes(4000), "is a binary file"),
    "a picture": ("x.csv", b"\x89PNG\r\n\x1a\n" + bytes(50), "is a PNG image"),
    "a pickle": ("x.csv", b"\x80\x04\x95\x10" + bytes(50), "is a pickle"),
    "a database": ("x.csv", b"SQLite format 3\x00" + bytes(50), "is an SQLite database"),
    "a document": ("x.csv", b"%PDF-1.7\n" + bytes(50), "is a PDF document"),
    "HDF5": ("x.csv", b"\x89HDF\r\n\x1a\n" + bytes(50), "is an HDF5 file"),
    "one array": ("x.npz", b"\x93NUMPY\x01\x00" + bytes(50), "is not a NumPy archive"),
    "an error page": ("x.csv", b"<html><body>404</body></html>", "is an HTML page"),
    "a million columns": ("x.csv", b",".join(b"c%d" % n for n in range(1_000_000)) + b"\n1\n", "has 1,000,000 columns"),
    "a header with a name twice": ("x.csv", b"text,text,label\na,b,c\nd,e,f\n", "more than one column named 'text'"),
    "a header of another width": ("x.csv", b"text,label,extra\n" + ROWS, "of its first 50 rows cannot be read"),
    "a wrong delimiter": ("x.tsv", b"a\tb\n" + ROWS, "of its first 50 rows cannot be read"),
    "text named parquet": ("x.parquet", CSV, "is not a Parquet file"),
    "text named xlsx": ("x.xlsx", CSV, "is not a workbook"),
    "text named npz": ("x.npz", CSV, "is not a NumPy archive"),
    "text named arrow": ("x.arrow", CSV, "is not an Arrow IPC file"),
    "parquet without its end": ("x.parquet", parquet()[:-50], "is not a readable Parquet file"),
    "parquet with a wrong length": ("x.parquet", parquet()[:-8] + b"\xff\xff\xff\x7fPAR1", "is not a readable Parquet"),
    "parquet of nothing": ("x.parquet", b"PAR1\x00\x00\x00\x00PAR1", "is not a readable Parquet file"),
    "arrow without its end": ("x.arrow", arrow()[:-200], "is not a readable Arrow IPC file"),
    "arrow of nothing": ("x.arrow", b"ARROW1\x00\x00", "is not a readable Arrow IPC file"),
    "a stream of a huge length": ("x.arrow", b"\xff\xff\xff\xff\xff\xff\xff\x7f" + bytes(99), "is not a readable Arrow"),  # noqa: E501
    "a stream of a negative length": ("x.arrow", b"\xff\xff\xff\xff\x00\x00\x00\x80" + bytes(99), "x.arrow"),
    "an archive that is no workbook": ("x.xlsx", zipped({"a.txt": "a"}), "is a ZIP archive, neither a workbook"),
    "a workbook cut short": ("x.xlsx", book(sheet_xml([["a"]]))[:-30], "is a damaged ZIP archive"),
    "a workbook without a sheet": ("x.xlsx", zipped({"xl/workbook.xml": "<workbook/>"}), "x.xlsx cannot be read"),
    "a sheet that is no XML": ("x.xlsx", book("<worksheet><sheetData><row"), "x.xlsx"),
    "a sheet cut in a cell": ("x.xlsx", book(sheet_xml([["a", "b"], [1, 2]])[:-60]), "x.xlsx"),
    "billion laughs": (
        "x.xlsx",
        book(sheet_xml([["a"]], doctype=f'<!DOCTYPE x [<!ENTITY l0 "lol">{LOL}]>').replace(">a<", ">&l9;<")),
        "x.xlsx cannot be read: it is damaged",
    ),
    "an external entity": (
        "x.xlsx",
        book(sheet_xml([["a"]], doctype='<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>').replace(">a<", ">&e;<")),  # noqa: E501
        "x.xlsx cannot be read: it is damaged",
    ),
    "a shared string that is not there": (
        "x.xlsx",
        book(sheet_xml([]).replace("<sheetData>", '<sheetData><row r="1"><c r="A1" t="s"><v>9</v></c></row>')),
        "x.xlsx cannot be read: it is damaged",
    ),
    "a workbook that lies about its size": ("x.xlsx", lying_about_its_size("xl/a.xml", 1 << 22), "not what it says"),
    "an encrypted member": ("x.xlsx", lying_about_its_size("xl/a.xml", 10).replace(
        b"\x14\x00\x00\x00\x08", b"\x14\x00\x01\x00\x08"), "is encrypted"),
    "an old workbook of nothing": ("x.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "x.xls cannot be read"),
    "an old workbook cut short": ("x.xls", b"\xd0\xcf\x11\xe0", "x.xls cannot be read"),
    "an open document of nothing": ("x.ods", zipped({"mimetype": "x", "content.xml": "<a>"}), "x.ods cannot be read"),
    "rows that repeat for ever": ("x.ods", ods([["a"] * 99, ["b"] * 99], repeated=4_000_000_000), "x.ods cannot be read"),  # noqa: E501
    "arrays that break off": ("x.npz", npz()[:-500], "x.npz is a damaged ZIP archive"),
    "an array changed on its way": ("x.npz", npz().replace(bytes(8), b"\x01" * 8), "x.npz"),
    "an array archive that lies": ("x.npz", lying_about_its_size("a.npy", 1 << 22), "is not what it says"),
    "JSON that breaks off": ("x.json", b'[{"a": 1}, {"a', "x.json, line 1, character 13: not valid JSON"),
    "JSON with something behind": ("x.json", b'[{"a": 1}] [{"a": 2}]', "something follows the end of the document"),
    "JSON with a comma too many": ("x.json", b'[{"a": 1},]', "not valid JSON"),
    "a single value": ("x.json", b"42", "holds a single value"),
    "an object of nothing": ("x.json", b"{}", "holds no list"),
    "a list of nothing": ("x.json", b"[]", "holds no row"),
    "a list of numbers": ("x.json", b"[1, 2, 3]", "holds no row"),
    "columns of different lengths": ("x.json", b'{"a": [1, 2], "b": [1]}', "column 'a' has 2 values, but 'b' has 1"),
    "a name that does not decode": ("x.csv", b"t\xff,label\n" + ROWS, "the name of column 1 holds bytes"),
    "a name that is no character": ("x.json", b'{"\\ud800": [1]}', "the name of column 1 holds"),
    "one key twice": ("x.json", b'{"a": [1], "a": [2]}', "has the key 'a' twice"),
    "JSON nested without end": ("x.json", b"[" * 100_000, "nested too deeply"),
    "lines that are no JSON": ("x.jsonl", b"hello\nworld\n", "holds no row with a key"),
    "lines nested without end": ("x.jsonl", b'{"a":' * 100_000, "(line 1: not valid JSON (nested too deeply)"),
    "more keys than a table has": (
        "x.jsonl", b"".join(b'{"k%d": 1}\n' % n for n in range(1200)), "more than 1,000 different keys"),
    "articles of nothing": ("x.json", b'{"data": [{"paragraphs": [{"qas": []}]}]}', "of its first 1 rows cannot be read"),  # noqa: E501
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_a_file_that_is_no_table_is_refused_in_words(read_files, what: str) -> None:
    name, content, says = REFUSED[what]
    with pytest.raises(InvalidInput) as error:
        read_files({name: content}, {"header": True} if "header" in what or "delimiter" in what else {}, tolerant=True)
    assert says in str(error.value)
    assert name in str(error.value)


BAD_ROWS = {
    "NUL bytes in UTF-8": ("x.csv", CSV + b"a\x00b,ham\n", 0),
    "an unclosed quote": ("x.csv", CSV + b'"a",b\n"b",c\n"c, d",e\n"e, f",g\n"h, i",j\n"open,ham\n' + ROWS, 1),
    "a byte order mark inside": ("x.csv", CSV + b"\xef\xbb\xbfmore,ham\n", 1),
    "encodings that are mixed": ("x.csv", CSV + "好,ham\n".encode() * 20 + "好用,ham\n".encode("gbk"), 1),
    "an overlong form of UTF-8": ("x.csv", CSV + b"\xc0\xaf,ham\n", 1),
    "a surrogate in UTF-8": ("x.csv", CSV + b"\xed\xa0\x80,ham\n", 1),
    "half of a pair in JSON": ("x.jsonl", b'{"a": "x"}\n' * 5 + b'{"a": "\\ud83d"}\n', 1),
    "a key that is half of a pair": ("x.jsonl", b'{"a": "x"}\n' * 5 + b'{"\\ud83d": 1}\n', 1),
    "a control character in JSON": ("x.jsonl", b'{"a": "x"}\n' * 5 + b'{"a": "\x01"}\n', 1),
    "a line nested too deeply": ("x.jsonl", b'{"a": "x"}\n' * 5 + b'{"a": ' + b"[" * 5000 + b"]" * 5000 + b"}\n", 1),
    "a number beyond doubles": ("x.jsonl", b'{"a": 1e999}\n{"a": 1' + b"0" * 5000 + b"}\n", 0),
    "a line that breaks off": ("x.jsonl", b'{"a": "x"}\n' * 5 + b'{"a": "y', 1),
    "bytes that are no text in JSON": ("x.json", b'[{"a": "x"}, {"a": "y"}, {"a": "caf\xe9"}]', 1),
    "columns with a bad byte": ("x.json", b'{"a": ["x", "y", "caf\xe9"], "b": [1, 2, 3]}', 1),
    "columns with half of a pair": ("x.json", b'{"a": ["x", "y", "\\ud83d"], "b": [1, 2, 3]}', 1),
    "a sparse row of nothing": ("x.arff", b"@relation r\n@attribute a real\n@data\n1\n2\n{\n", 1),
    "a question without a text": (
        "x.json",
        json.dumps({"data": [{"paragraphs": [{"context": "c", "qas": [{"question": "q"}, {"question": "r"}, {}]}]}]}).encode(),  # noqa: E501
        1,
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD_ROWS)
def test_what_is_wrong_in_one_place_costs_that_place(read_files, what: str) -> None:
    name, content, count = BAD_ROWS[what]
    read = read_files({name: content}, tolerant=True)
    assert len(read.bad) == count
    assert len(read.rows()) >= 2
    for bad in read.bad:
        assert bad.reason[:4] in ("line", "valu", "ques"), bad.reason


def test_a_bomb_is_refused_by_what_it_says_and_by_what_it_is(tmp_path) -> None:
    path = tmp_path / "x.xlsx"
    path.write_bytes(zipped({"xl/sheet.xml": bytes(1 << 20)}))
    check_unpacked_size(path, largest=1 << 20)
    with pytest.raises(InvalidInput, match="unpacks to 1,048,576 bytes; at most 1,048,575 are taken"):
        check_unpacked_size(path, largest=(1 << 20) - 1)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("xl/sheet.xml", b"x")
    with pytest.raises(InvalidInput, match="compressed in a way that workbooks do not use"):
        check_unpacked_size(path)
