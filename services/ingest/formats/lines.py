"""Reads plain text as a table of one column: a row for each paragraph, or for each line where there are none."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice, pairwise
from pathlib import Path

import pyarrow as pa

from services.ingest.formats.encoding import detect_encoding
from services.ingest.formats.text import bounded_lines, open_text
from services.ingest.formats.undecodable import first_undecodable, shown, undecodable
from services.ingest.tables import BATCH_BYTES, BATCH_ROWS, BadRows, Batch, Limits, Writing, cell_too_long
from tidemill.contracts.data import Data
from tidemill.datasets.schema import ColumnKind
from tidemill.errors import InvalidInput

_SAMPLE = 10_000
_STEP = 256


class LinesFile:
    """A text file, column ``text`` (or the one name in ``data.columns``).

    Paragraphs are parted by blank lines, and keep their line breaks; they count as rows when among the first 10,000
    lines one has several lines. Otherwise every line that is not blank is a row.
    """

    def __init__(self, path: Path, data: Data, limits: Limits) -> None:
        if data.columns is not None and len(data.columns) != 1:
            raise InvalidInput(f"{path.name} is read as lines of text, one column; data.columns names more")
        self.path = path
        self._limits = limits
        self._encoding = detect_encoding(path, data.encoding, max_line=limits.max_line)
        self.columns = list(data.columns or ["text"])
        self.kinds: dict[str, ColumnKind] = {}
        self.schema = pa.schema([(self.columns[0], pa.string())])
        self.writing = Writing("lines", self._encoding.name)
        self._by_paragraph = self._has_paragraphs()

    def batches(self, bad: BadRows) -> Iterator[Batch]:
        """All good rows in order."""
        size = self.path.stat().st_size
        texts: list[str] = []
        begun = number = 0
        with open_text(self.path, self._encoding) as (file, raw):
            lines = bounded_lines(file, self._encoding, self._limits.max_line)
            for number, (line, text, length) in enumerate(self._texts(lines), 1):
                reason = self._wrong(line, text, length)
                if reason is not None:
                    bad.add(self.path, number, reason, shown(text[: self._limits.max_cell]))
                    continue
                texts.append(text)
                if len(texts) >= BATCH_ROWS or (len(texts) % _STEP == 0 and raw.tell() - begun >= BATCH_BYTES):
                    begun = raw.tell()
                    yield Batch(self._batch(texts), begun / size)
                    texts = []
        if texts:
            yield Batch(self._batch(texts), 1.0)

    def _batch(self, texts: list[str]) -> pa.RecordBatch:
        return pa.RecordBatch.from_arrays([pa.array(texts, pa.string())], schema=self.schema)

    def _texts(self, lines: Iterator[str]) -> Iterator[tuple[int, str, int]]:
        """Number of its first line, text and length of every row; what is too long is cut."""
        if not self._by_paragraph:
            for number, line in enumerate(lines, 1):
                if not line.isspace():
                    yield number, line.rstrip("\r\n"), len(line.rstrip("\r\n"))
            return
        held: list[str] = []
        begins, length = 1, 0
        for number, line in enumerate(lines, 1):
            if not line.isspace():
                begins = begins if held else number
                if length <= self._limits.max_cell:
                    held.append(line)
                length += len(line)
            elif held:
                yield begins, "".join(held).rstrip("\r\n"), length - 1
                held, length = [], 0
        if held:
            yield begins, "".join(held).rstrip("\r\n"), length - 1

    def _wrong(self, line: int, text: str, length: int) -> str | None:
        if length > self._limits.max_cell:
            return cell_too_long(f"line {line}", self.columns[0], length, self._limits)
        if self._encoding.damaged and (byte := first_undecodable(text)) is not None:
            return undecodable(f"line {line}", byte, self._encoding.name)
        return None

    def _has_paragraphs(self) -> bool:
        with open_text(self.path, self._encoding) as (file, _):
            lines = islice(bounded_lines(file, self._encoding, self._limits.max_line), _SAMPLE)
            blank = [line.isspace() for line in lines]
        if not any(blank[:-1]):
            return False
        return any(not one and not other for one, other in pairwise(blank))
