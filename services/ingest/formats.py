"""Which format a file has, by its first bytes and its name; and which files are no data at all."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Literal

from tidemill.errors import InvalidInput

Format = Literal["csv", "tsv", "jsonl", "parquet"]

_HEAD = 1 << 16
_FOREIGN = (
    (b"PK\x03\x04", "a ZIP archive or an Excel workbook", "unpack it, or save the sheet as CSV"),
    (b"\xd0\xcf\x11\xe0", "an old Excel or Word file", "save it as CSV"),
    (b"\x1f\x8b", "gzip-compressed", "unpack it"),
    (b"\x28\xb5\x2f\xfd", "zstd-compressed", "unpack it"),
    (b"BZh", "bzip2-compressed", "unpack it"),
    (b"\xfd7zXZ", "xz-compressed", "unpack it"),
    (b"%PDF", "a PDF document", "publish the table itself"),
    (b"\x89PNG", "a PNG image", "publish a table"),
    (b"\xff\xd8\xff", "a JPEG image", "publish a table"),
    (b"\x7fELF", "a program", "publish a table"),
    (b"SQLite format 3", "an SQLite database", "export the table as CSV"),
)
_WIDE_MARKS = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")
_MAX_CONTROL_SHARE = 0.02
_TEXT_CONTROLS = frozenset(b"\t\n\r\f\x1b")


def detect_format(path: Path, wanted: Literal["auto"] | Format) -> Format:
    """The format of the file; ``wanted`` is what the recipe says.

    Raises:
        InvalidInput: it is empty, no text and no Parquet, or evidently not what the recipe says.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if not head.strip():
        raise InvalidInput(f"{path.name} is empty; it has to hold at least a few rows of every class")
    suffix = path.suffix.casefold()
    is_parquet = head.startswith(b"PAR1")
    if is_parquet and wanted in ("auto", "parquet"):
        return "parquet"
    if is_parquet:
        raise InvalidInput(f"{path.name} is a Parquet file; remove data.format: {wanted} from the recipe")
    if wanted == "parquet" or (wanted == "auto" and suffix in (".parquet", ".pq")):
        raise InvalidInput(
            f"{path.name} is not a Parquet file: it does not begin with 'PAR1'; check how it was written"
        )
    _refuse_what_is_no_text(path.name, head)
    if wanted != "auto":
        return wanted
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if suffix in (".jsonl", ".ndjson") or (suffix not in (".csv", ".tsv") and _first_line_is_object(start)):
        return "jsonl"
    if suffix == ".json" or start.startswith(b"[{"):
        raise InvalidInput(f"{path.name} is one JSON document; write one JSON object per line instead (JSON Lines)")
    return "tsv" if suffix in (".tsv", ".tab") else "csv"


def _first_line_is_object(start: bytes) -> bool:
    first = start.partition(b"\n")[0].rstrip()
    return first.startswith(b'{"') and (first.endswith(b"}") or b"\n" not in start)


def _refuse_what_is_no_text(name: str, head: bytes) -> None:
    for magic, what, advice in _FOREIGN:
        if head.startswith(magic):
            raise InvalidInput(f"{name} is {what}, not a text file; {advice}")
    if head[:200].lstrip().lower().startswith((b"<!doctype html", b"<html")):
        raise InvalidInput(f"{name} is an HTML page, not a table; check the address that it came from")
    controls = sum(byte < 32 and byte not in _TEXT_CONTROLS for byte in head)
    if controls > _MAX_CONTROL_SHARE * len(head) and not head.startswith(_WIDE_MARKS) and not guess_utf16(head):
        raise InvalidInput(
            f"{name} is a binary file, not text: {controls} of its first {len(head)} bytes are control characters; "
            "publish CSV, TSV, JSONL or Parquet"
        )


def guess_utf16(head: bytes) -> str | None:
    """The byte order of UTF-16 text without a byte order mark, or None when ``head`` is something else."""
    if b"\x00" not in head:
        return None
    plausible: dict[str, int] = {}
    for encoding in ("utf-16-le", "utf-16-be"):
        try:
            text = head[: len(head) // 2 * 2].decode(encoding, errors="strict")
        except UnicodeDecodeError as error:
            if error.start < len(head) - 4:
                continue
            text = head[: error.start].decode(encoding)
        odd = sum(unicodedata.category(char) in ("Cc", "Cn", "Co") and char not in "\t\r\n" for char in text)
        if "\n" in text and odd <= 0.01 * len(text):
            plausible[encoding] = sum(char in " ,\t\r\n" for char in text)
    return max(plausible, key=lambda encoding: plausible[encoding]) if plausible else None
