"""Finds the encoding of a text file and proves that the whole file decodes. Reads the file in pieces of fixed size.

UTF-8 is proved before anything else is guessed. Another encoding is only taken when the evidence is good: a wrong
guess would garble the text without anybody noticing.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from services.ingest.formats import guess_utf16
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
_WIDE_CJK = ("gb18030", "big5", "cp932", "euc_jp", "cp949")
_SINGLE_BYTE = ("cp1252", "cp1250", "cp1251", "koi8_r")
_LEAST_EVIDENCE = {"wide": 8, "single": 24}
"""Bytes above 0x7f in the sample below which a file counts as broken UTF-8 rather than as something else."""

_FREQUENT_HANZI = frozenset(
    "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里用道行所然家种事成方多"
    "经么去法学如都同现当没动面起看定天分还进好小部其些主样理心她本前开但因只从想实很吗买给太被让快手机品货质服务"
)


@dataclass(frozen=True)
class _Broken(Exception):
    """Byte ``offset`` (from 0) on ``line`` (from 1) does not decode."""

    offset: int
    line: int
    reason: str


def detect_encoding(path: Path, wanted: str | None, *, max_line: int) -> str:
    """The Python name of the file's encoding; every byte of the file decodes with it.

    ``wanted`` is what the recipe says. ``max_line`` bounds one line in characters, so that lines fit into memory.

    Raises:
        InvalidInput: the encoding is unknown, the file does not decode with it (names byte offset and line), or a
            line is too long.
    """
    if wanted is not None:
        return _proved(path, _known(wanted, path), max_line)
    with path.open("rb") as file:
        head = file.read(_SAMPLE)
    for mark, encoding in _BYTE_ORDER_MARKS:
        if head.startswith(mark):
            return _proved(path, encoding, max_line)
    wide = guess_utf16(head[: 1 << 16])
    if wide is not None:
        return _proved(path, wide, max_line)
    try:
        _prove(path, "utf-8", max_line)
    except _Broken as broken:
        for encoding in _guesses(path, broken):
            try:
                _prove(path, encoding, max_line)
            except _Broken:
                continue
            return encoding
        raise InvalidInput(
            f"{path.name}, line {broken.line}, byte {broken.offset}: not valid UTF-8 ({broken.reason}); repair the "
            "file, or name its encoding in the recipe, e.g.  data: {encoding: gb18030}"
        ) from None
    return "utf-8"


def _known(wanted: str, path: Path) -> str:
    try:
        name = codecs.lookup(wanted).name
        codecs.getincrementaldecoder(name)().decode(b"", final=True)
    except (LookupError, ValueError, AttributeError):
        raise InvalidInput(
            f"data.encoding: {wanted!r} (for {path.name}) is not a text encoding that Python knows; "
            "usual ones are utf-8, gb18030, big5, utf-16, cp1252"
        ) from None
    if not isinstance(codecs.getincrementaldecoder(name)().decode(b"", final=True), str):
        raise InvalidInput(f"data.encoding: {wanted!r} is not a text encoding; usual ones are utf-8, gb18030, cp1252")
    # A byte order mark is no text, whoever names the encoding.
    return "utf-8-sig" if name == "utf-8" and path.open("rb").read(3) == codecs.BOM_UTF8 else name


def _proved(path: Path, encoding: str, max_line: int) -> str:
    try:
        _prove(path, encoding, max_line)
    except _Broken as broken:
        raise InvalidInput(
            f"{path.name}, line {broken.line}, byte {broken.offset}: not valid {encoding} ({broken.reason}); repair "
            "the file or correct data.encoding in the recipe"
        ) from None
    return encoding


def _prove(path: Path, encoding: str, max_line: int) -> None:
    line, length = 1, 0
    for text in _decoded(path, encoding):
        newlines = text.count("\n")
        if newlines == 0:
            length += len(text)
        else:
            length = max(length + text.index("\n"), 0)
        if length > max_line:
            raise InvalidInput(
                f"{path.name}, line {line}: longer than {max_line:,} characters; check that rows end with a newline, "
                "or shorten the value"
            )
        if newlines:
            line += newlines
            length = len(text) - text.rindex("\n") - 1


def _decoded(path: Path, encoding: str) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder(encoding)("strict")
    offset, line = 0, 1
    with path.open("rb") as file:
        while True:
            chunk = file.read(_CHUNK)
            pending = decoder.getstate()[0]
            try:
                text = decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError as error:
                line += _lines_before(error, encoding)
                raise _Broken(offset - len(pending) + error.start, line, error.reason) from None
            except UnicodeError as error:
                raise _Broken(offset, line, str(error)) from None
            yield text
            if not chunk:
                return
            line += text.count("\n")
            offset += len(chunk)


def _lines_before(error: UnicodeDecodeError, encoding: str) -> int:
    good = error.object[: error.start]
    # The generic names look for a byte order mark, which is only at the very beginning.
    return good.decode(encoding, errors="ignore").count("\n")


def _guesses(path: Path, broken: _Broken) -> list[str]:
    """Encodings that the file could have instead of UTF-8, most likely first; empty when it is rather damaged UTF-8."""
    from charset_normalizer import from_bytes

    with path.open("rb") as file:
        file.seek(max(0, broken.offset - _SAMPLE // 8))
        sample = file.read(_SAMPLE)
        # Whole lines only: a character cut in two is no evidence.
        if len(sample) == _SAMPLE:
            sample = sample[: sample.rfind(b"\n") + 1] or sample
        if broken.offset > _SAMPLE // 8:
            sample = sample[sample.find(b"\n") + 1 :]
    high = sum(byte > 0x7F for byte in sample)
    as_utf8 = sample.decode("utf-8", errors="replace")
    invalid = as_utf8.count("\ufffd")
    valid = sum(char > "\x7f" for char in as_utf8) - invalid
    if valid > invalid or high < _LEAST_EVIDENCE["wide"]:
        return []
    matches = from_bytes(sample, cp_isolation=[*_WIDE_CJK, *_SINGLE_BYTE])
    coherence = {match.encoding: match.coherence for match in matches}
    if "gb18030" in coherence and _reads_as_chinese(sample):
        coherence["gb18030"] = 1.0
    likely = sorted(coherence, key=lambda encoding: coherence[encoding], reverse=True)
    if high < _LEAST_EVIDENCE["single"]:
        likely = [encoding for encoding in likely if encoding in _WIDE_CJK]
    tied = [encoding for encoding in likely if coherence[encoding] == coherence[likely[0]]]
    return likely if len(tied) == 1 else []


def _reads_as_chinese(sample: bytes) -> bool:
    text = sample.decode("gb18030", errors="replace")
    ideographs = [char for char in text if "\u4e00" <= char <= "\u9fff"]
    return len(ideographs) >= 4 and sum(char in _FREQUENT_HANZI for char in ideographs) >= 0.15 * len(ideographs)
