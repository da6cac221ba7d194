"""Which format a file has, by its first bytes and its name; and which files are no data at all."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from typing import Literal

import orjson

from services.ingest.formats.encoding import guess_utf16
from tidemill.contracts.data import FormatName
from tidemill.errors import InvalidInput

_HEAD = 1 << 16
_FOREIGN = (
    (b"\x1f\x8b", "gzip-compressed", "unpack it"),
    (b"\x28\xb5\x2f\xfd", "zstd-compressed", "unpack it"),
    (b"BZh", "bzip2-compressed", "unpack it"),
    (b"\xfd7zXZ", "xz-compressed", "unpack it"),
    (b"%PDF", "a PDF document", "publish the table itself"),
    (b"\x89PNG", "a PNG image", "publish a table, or a folder of images"),
    (b"\xff\xd8\xff", "a JPEG image", "publish a table, or a folder of images"),
    (b"RIFF", "a WAV or AVI recording", "publish a table, or a folder of recordings"),
    (b"\x7fELF", "a program", "publish a table"),
    (b"SQLite format 3", "an SQLite database", "export the table as CSV"),
    (b"\x89HDF", "an HDF5 file", "save the table as Parquet"),
    (b"\x93NUMPY", "one NumPy array without a name", "save the arrays with numpy.savez"),
    (b"FEA1", "a Feather file of version 1", "save it as Parquet"),
    (b"Obj\x01", "an Avro file", "save it as Parquet"),
    (b"ORC", "an ORC file", "save it as Parquet"),
    (b"\x80\x03", "a pickle", "save the table as Parquet: reading a pickle runs whatever is in it"),
    (b"\x80\x04", "a pickle", "save the table as Parquet: reading a pickle runs whatever is in it"),
    (b"\x80\x05", "a pickle", "save the table as Parquet: reading a pickle runs whatever is in it"),
)
_NAMED: dict[FormatName, str] = {
    "parquet": "a Parquet file", "arrow": "an Arrow IPC file", "xlsx": "a workbook", "xls": "a workbook",
    "npz": "a NumPy archive",
}  # fmt: skip
"""The formats that are no text: their bytes decide."""
_OF_SUFFIX: dict[str, FormatName] = {
    ".parquet": "parquet", ".pq": "parquet", ".arrow": "arrow", ".feather": "arrow", ".ipc": "arrow",
    ".arrows": "arrow",
    ".xlsx": "xlsx", ".xlsm": "xlsx", ".xlsb": "xlsx", ".ods": "xlsx", ".xls": "xls", ".npz": "npz", ".arff": "arff",
    ".jsonl": "jsonl", ".ndjson": "jsonl", ".tsv": "tsv", ".tab": "tsv",
}  # fmt: skip
_WIDE_MARKS = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")
_MAX_CONTROL_SHARE = 0.02
_TEXT_CONTROLS = frozenset(b"\t\n\r\f\x1b")
_ARFF = re.compile(rb"(?:\s*(?:%[^\n]*)?\n)*\s*@relation\s", re.IGNORECASE)
_SQUAD = re.compile(rb'^\s*\{.*"paragraphs"\s*:\s*\[', re.DOTALL)
_JSON_ROWS = re.compile(rb'\[\s*\{\s*["}]')


def detect_format(path: Path, wanted: Literal["auto"] | FormatName) -> FormatName:
    """The format of the file; ``wanted`` is what the recipe says.

    Raises:
        InvalidInput: it is empty, of no format that can be read, or evidently not what the recipe says.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if not head.strip(b"\xef\xbb\xbf \t\r\n"):
        raise InvalidInput(f"{path.name} is empty; it has to hold at least a few rows of every class")
    suffix = path.suffix.casefold()
    binary = _binary_format(path, head)
    expected = wanted if wanted != "auto" else _OF_SUFFIX.get(suffix)
    if binary is not None:
        workbooks = {"xlsx", "xls"}
        if wanted != "auto" and wanted != binary and not {wanted, binary} <= workbooks:
            raise InvalidInput(f"{path.name} is {_NAMED[binary]}; remove data.format: {wanted} from the recipe")
        return binary
    if expected in _NAMED:
        raise InvalidInput(
            f"{path.name} is not {_NAMED[expected]}: it does not begin as one; check how it was written and copied"
        )
    _refuse_what_is_no_text(path.name, head)
    return wanted if wanted != "auto" else _text_format(suffix, _as_utf8(head))


def _binary_format(path: Path, head: bytes) -> FormatName | None:
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.startswith(b"ARROW1") or (head[:4] == b"\xff\xff\xff\xff" and path.suffix.casefold() != ".csv"):
        return "arrow"
    if head.startswith(b"\xd0\xcf\x11\xe0"):
        return "xls"
    if not head.startswith(b"PK\x03\x04"):
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise InvalidInput(f"{path.name} is a damaged ZIP archive ({error}); copy it again") from None
    if any(name.startswith("xl/") for name in names) or "content.xml" in names:
        return "xlsx"
    if names and all(name.endswith(".npy") for name in names):
        return "npz"
    raise InvalidInput(
        f"{path.name} is a ZIP archive, neither a workbook nor a NumPy archive; unpack it, or publish it as an archive"
    )


def _text_format(suffix: str, head: bytes) -> FormatName:
    if suffix == ".arff" or _ARFF.match(head):
        return "arff"
    start = head.lstrip(b" \t\r\n")
    if suffix in (".jsonl", ".ndjson"):
        return "jsonl"
    if start.startswith(b"{") and suffix not in (".csv", ".tsv", ".tab"):
        first, _, rest = start.partition(b"\n")
        if _is_object(first.rstrip(), cut=not rest) and (suffix != ".json" or rest.lstrip().startswith(b"{")):
            return "jsonl"
        if _SQUAD.match(start):
            return "squad"
        if suffix == ".json" or start[1:].lstrip().startswith((b'"', b"}")):
            return "json"
    if suffix == ".json" or _JSON_ROWS.match(start):
        return "json"
    return "tsv" if suffix in (".tsv", ".tab") else "csv"


def _is_object(line: bytes, *, cut: bool) -> bool:
    try:
        return isinstance(orjson.loads(line), dict)
    except orjson.JSONDecodeError:
        # A line longer than the head, or one bad row: the way the line ends decides.
        return line.startswith(b'{"') and (line.endswith(b"}") or (cut and len(line) > _HEAD // 2))


def _as_utf8(head: bytes) -> bytes:
    encoding = guess_utf16(head)
    if head.startswith(_WIDE_MARKS):
        encoding = "utf-32" if head[:4] in (b"\xff\xfe\x00\x00", b"\x00\x00\xfe\xff") else "utf-16"
    if encoding is not None:
        head = head.decode(encoding, errors="ignore").encode("utf-8", errors="ignore")
    return head.removeprefix(b"\xef\xbb\xbf")


def _refuse_what_is_no_text(name: str, head: bytes) -> None:
    for magic, what, advice in _FOREIGN:
        if head.startswith(magic):
            raise InvalidInput(f"{name} is {what}, not a table; {advice}")
    if head[:200].lstrip().lower().startswith((b"<!doctype html", b"<html")):
        raise InvalidInput(f"{name} is an HTML page, not a table; check the address that it came from")
    controls = sum(byte < 32 and byte not in _TEXT_CONTROLS for byte in head)
    if controls > _MAX_CONTROL_SHARE * len(head) and not head.startswith(_WIDE_MARKS) and not guess_utf16(head):
        raise InvalidInput(
            f"{name} is a binary file, not text: {controls} of its first {len(head)} bytes are control characters; "
            "publish a table (CSV, JSON, Parquet, a workbook, …)"
        )
