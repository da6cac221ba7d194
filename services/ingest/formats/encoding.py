"""Finds the encoding of a text file. Reads the file in pieces of fixed size.

UTF-8 is proved before anything else is guessed. Another encoding is only taken when the evidence is good: a wrong
guess would garble the text without anybody noticing. Text that is UTF-8 but for a few bytes is damaged UTF-8, whose
bad bytes cost the rows they are in, not the file.
"""

from __future__ import annotations

import codecs
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from services.ingest.formats.language import likely_encodings
from services.ingest.formats.undecodable import keep_undecodable
from tidemill.errors import InvalidInput

_CHUNK = 1 << 20
_SAMPLE = 1 << 18
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_JAPANESE_MAIL = re.compile(rb"^[^\x80-\xff\x1b]*\x1b\$[@B]")
"""ISO-2022-JP, which is ASCII and would pass for it: the sequence that begins Japanese (RFC 1468)."""
_LEAST_EVIDENCE = 8
"""Bytes above 0x7f in the sample below which a file counts as broken UTF-8 rather than as something else."""


@dataclass(frozen=True)
class TextEncoding:
    """How a file's bytes are read as text."""

    name: str
    """Python's name for it."""
    damaged: bool
    """Whether some of the bytes do not decode."""
    long_lines: bool
    """Whether a line is longer than the limit that was given."""

    @property
    def errors(self) -> str:
        """What ``open`` and decoders take as ``errors``: bad bytes are marked, see ``undecodable``."""
        return keep_undecodable()


class _Broken(Exception):
    """Byte ``offset`` (from 0) does not decode."""

    def __init__(self, offset: int) -> None:
        super().__init__(offset)
        self.offset = offset


def detect_encoding(path: Path, wanted: str | None, *, max_line: int) -> TextEncoding:
    """The file's encoding, and whether all of it decodes; ``wanted`` is what the recipe says.

    ``max_line`` is the longest line in characters that a reader wants in memory.

    Raises:
        InvalidInput: ``wanted`` is no encoding.
    """
    if wanted is not None:
        return _tolerant(path, _known(wanted, path), max_line)
    with path.open("rb") as file:
        head = file.read(_SAMPLE)
    for mark, encoding in _BYTE_ORDER_MARKS:
        if head.startswith(mark):
            return _tolerant(path, encoding, max_line)
    if _JAPANESE_MAIL.search(head):
        return _tolerant(path, "iso2022_jp", max_line)
    wide = guess_utf16(head[: 1 << 16])
    if wide is not None:
        return _tolerant(path, wide, max_line)
    try:
        return _proved(path, "utf-8", max_line)
    except _Broken as broken:
        for encoding in _guesses(path, broken.offset):
            try:
                return _proved(path, encoding, max_line)
            except _Broken:
                continue
    return _tolerant(path, "utf-8", max_line)


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


def _known(wanted: str, path: Path) -> str:
    try:
        name = codecs.lookup(wanted).name
        is_text = isinstance(codecs.getincrementaldecoder(name)().decode(b"", final=True), str)
    except (LookupError, ValueError, AttributeError):
        is_text = False
    if not is_text:
        raise InvalidInput(
            f"data.encoding: {wanted!r} (for {path.name}) is not a text encoding that Python knows; "
            "usual ones are utf-8, gb18030, big5, utf-16, cp1252"
        )
    # A byte order mark is no text, whoever names the encoding.
    with path.open("rb") as file:
        return "utf-8-sig" if name == "utf-8" and file.read(3) == codecs.BOM_UTF8 else name


def _tolerant(path: Path, encoding: str, max_line: int) -> TextEncoding:
    try:
        return _proved(path, encoding, max_line)
    except _Broken:
        return TextEncoding(encoding, True, _has_long_line(path, encoding, keep_undecodable(), max_line))


def _proved(path: Path, encoding: str, max_line: int) -> TextEncoding:
    return TextEncoding(encoding, False, _has_long_line(path, encoding, "strict", max_line))


def _has_long_line(path: Path, encoding: str, errors: str, max_line: int) -> bool:
    length, longest = 0, 0
    for text in _decoded(path, encoding, errors):
        first = text.find("\n")
        length += len(text) if first < 0 else first
        longest = max(longest, length)
        if first >= 0:
            length = len(text) - text.rindex("\n") - 1
    # Between two ends of lines in one piece there is at most a piece.
    return longest > max_line or (max_line < _CHUNK and _longer_in_a_piece(path, encoding, errors, max_line))


def _longer_in_a_piece(path: Path, encoding: str, errors: str, max_line: int) -> bool:
    return any(len(line) > max_line for text in _decoded(path, encoding, errors) for line in text.split("\n"))


def _decoded(path: Path, encoding: str, errors: str) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder(encoding)(errors)
    offset = 0
    with path.open("rb") as file:
        while True:
            chunk = file.read(_CHUNK)
            pending = decoder.getstate()[0]
            try:
                text = decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError as error:
                raise _Broken(offset - len(pending) + error.start) from None
            except UnicodeError:
                raise _Broken(offset) from None
            yield text
            if not chunk:
                return
            offset += len(chunk)


def _guesses(path: Path, offset: int) -> list[str]:
    """Encodings that the file could have instead of UTF-8, most likely first; empty when it is rather damaged UTF-8."""
    with path.open("rb") as file:
        file.seek(max(0, offset - _SAMPLE // 8))
        sample = file.read(_SAMPLE)
    # Whole lines only: a character cut in two is no evidence.
    if len(sample) == _SAMPLE:
        sample = sample[: sample.rfind(b"\n") + 1] or sample
    if offset > _SAMPLE // 8:
        sample = sample[sample.find(b"\n") + 1 :]
    as_utf8 = sample.decode("utf-8", errors="replace")
    invalid = as_utf8.count("\ufffd")
    valid = sum(char > "\x7f" for char in as_utf8) - invalid
    if valid > invalid or sum(byte > 0x7F for byte in sample) < _LEAST_EVIDENCE:
        return []
    return likely_encodings(sample)
