"""Files of every format are looked through, and what cannot be looked into is said."""

from __future__ import annotations

import io
import tarfile
import zipfile
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tidemill.datasets import PartWriter
from tidemill.erasure.files import search_file
from tidemill.erasure.logs import blot_out
from tidemill.erasure.rewriting import rewrite
from tidemill.erasure.subject import matcher
from tidemill.jobs import SilentReport

MAIL, PHONE = "an@x-mail.org", "+49 151 23456789"

COLUMNS: dict[str, Any] = {
    "text": pa.array(["nothing", f"to {MAIL}", None]),
    "nested": pa.array([[{"who": ["x"]}], [{"who": [None, MAIL]}], None]),
    "map": pa.array([[("a", "b")], [(MAIL, "b")], None], pa.map_(pa.string(), pa.string())),
    "dictionary": pa.array(["a", MAIL, "b"]).dictionary_encode(),
    "bytes": pa.array([b"\xff\xd8\xff", MAIL.encode(), None]),
    "large": pa.array(["a", MAIL, None], pa.large_string()),
}
NUMBERS: dict[str, Any] = {
    "integer": pa.array([1, 4915123456789, None]),
    "float": pa.array([0.5, 15123456789.0, None]),
    "decimal": pa.array([Decimal("1.0"), Decimal("15123456789.0"), None]),
}


@pytest.mark.parametrize(("name", "subject"), [*((one, MAIL) for one in COLUMNS), *((one, PHONE) for one in NUMBERS)])
@pytest.mark.parametrize("format", ["parquet", "arrow", "stream"])
def test_columns_of_every_type_are_read_row_by_row(name: str, subject: str, format: str, tmp_path: Path) -> None:
    table = pa.table({"other": [date(2026, 1, 1), None, None], name: (COLUMNS | NUMBERS)[name]})
    path = tmp_path / f"table.{format}"
    if format == "parquet":
        pq.write_table(table, path)
    else:
        writer = pa.ipc.new_file if format == "arrow" else pa.ipc.new_stream
        with path.open("wb") as file, writer(file, table.schema) as out:
            out.write_table(table)
    found = search_file(path, matcher(subject))
    assert (found.held, found.rows) == (True, 1)
    assert not search_file(path, matcher("somebody.else@x-mail.org")).held


def _zipped(content: bytes, name: str = "a.csv") -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return file.getvalue()


def _tarred(content: bytes, mode: Any = "w:xz") -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as archive:
        member = tarfile.TarInfo("a.csv")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return file.getvalue()


def _parquet(text: str) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table({"text": [text]}), file)
    return file.getvalue()


TEXT = f"text\nwrite to {MAIL}\n".encode()


@pytest.mark.parametrize(
    "content",
    [_zipped(TEXT), _zipped(_zipped(TEXT)), _tarred(TEXT), _tarred(TEXT, "w"), _tarred(_zipped(TEXT), "w:gz"),
     _zipped(_parquet(MAIL)), _zipped(b"x", f"{MAIL}.txt"), TEXT,
     pa.compress(TEXT, "zstd", asbytes=True)],
)  # fmt: skip
def test_archives_are_opened(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(content)
    assert search_file(tmp_path / "file", matcher(MAIL)).held
    assert not search_file(tmp_path / "file", matcher("somebody.else@x-mail.org")).held


def test_arrays_of_text_are_read(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", x=np.array(["客户欧阳小娜", MAIL]))
    for value in (MAIL, "欧阳小娜"):
        assert search_file(tmp_path / "a.npz", matcher(value)).held


@pytest.mark.parametrize(
    ("content", "what"),
    [(b"\x89PNG\r\n\x1a\n" + bytes(100), "images"), (b"7z\xbc\xaf\x27\x1c" + bytes(100), "7z archives"),
     (b"%PDF-1.7", "PDF documents"), (b"\x1f\x8b" + bytes(100), "damaged archives (BadGzipFile)"),
     (_zipped(_zipped(_zipped(_zipped(_zipped(TEXT))))), "archives nested more than 4 deep"),
     (b"PK\x03\x04broken", "damaged files (BadZipFile)")],
)  # fmt: skip
def test_what_cannot_be_looked_into_is_said(content: bytes, what: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(content)
    assert search_file(tmp_path / "file", matcher(MAIL)).unsearched == {what}


def test_a_dataset_is_rewritten_without_the_rows_and_its_first_shards_stay(tmp_path: Path) -> None:
    rows = [{"n": number, "text": MAIL if number == 2500 else f"d{MAIL}"} for number in range(4000)]
    with PartWriter(tmp_path / "old", "data", shard_rows=1000) as writer:
        writer.write(pa.RecordBatch.from_pylist(rows))
    erased, left = rewrite(tmp_path / "old", matcher(MAIL), tmp_path / "new", SilentReport(), shard_rows=1000)
    assert (erased, left) == (1, {"data": 3999})
    old, new = (sorted((tmp_path / which / "data").iterdir()) for which in ("old", "new"))
    assert [one.read_bytes() for one in old[:2]] == [one.read_bytes() for one in new[:2]]
    assert [n for one in new for n in pq.read_table(one)["n"].to_pylist()] == [n for n in range(4000) if n != 2500]


def test_lines_of_logs_are_overwritten_where_they_are(tmp_path: Path) -> None:
    lines = [
        '{"message": "reads an@x-mail.org"}',
        '{"message": "reads dan@x-mail.org"}',
        "plain an@x-mail.org",
        "plain",
    ]
    (tmp_path / "deep").mkdir()
    log = tmp_path / "deep" / "a.jsonl"
    log.write_text("\n".join(lines))
    before = log.stat()
    assert blot_out(tmp_path, matcher(MAIL)) == 2
    assert (log.stat().st_size, log.stat().st_ino) == (before.st_size, before.st_ino)
    now = log.read_text().split("\n")
    assert (now[0].strip(), now[1], now[2], now[3]) == ("{}", lines[1], "*" * len(lines[2]), lines[3])
