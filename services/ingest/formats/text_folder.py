"""Reads folders of text files: one example in a file, its label the name of the folder, or what a pattern says."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa

from services.ingest.formats.encoding import detect_encoding, guess_utf16
from services.ingest.formats.language import likely_encodings
from services.ingest.names import PART_OF_WORD, PARTS, part_in_name
from services.ingest.tables import BATCH_BYTES, BATCH_ROWS, BadRows, Batch, Limits, Writing, cell_too_long
from tidemill.contracts.data import Data
from tidemill.datasets.schema import ColumnKind
from tidemill.errors import InvalidInput

_SUFFIXES = (".txt", ".text", "")
_NOTES = ("readme", "license", "licence", "notice", "copying")
_SAMPLE = 1 << 16


def is_text_folder(names: Sequence[str]) -> bool:
    """Whether the files ``names`` (paths with ``/``) are examples in folders of labels: nothing but text, at least two
    labels, and twice as many files."""
    examples = _examples(names)
    labels = {PurePosixPath(name).parent.name for name in examples}
    others = [name for name in names if not _may_be_text(name) and not _is_note(name)]
    return len(labels) > 1 and len(examples) >= 2 * len(labels) and len(others) < 0.1 * len(examples)


def open_text_folder(folder: Path, names: Sequence[str], data: Data, limits: Limits) -> dict[str, TextFolder]:
    """The examples by part: those that folders above the labels name (``train/pos/1.txt``), or all as ``data``.

    Raises:
        InvalidInput: there are no examples, or some belong to no part while others do.
    """
    pattern = _pattern(data)
    examples = [name for name in names if _may_be_text(name) and not _is_note(name)] if pattern else _examples(names)
    if not examples:
        raise InvalidInput(
            f"folder {folder.name} holds no text files in folders that name their labels; expected label/example.txt, "
            "or set data.path_pattern"
        )
    part_of = {name: _part(name) for name in examples}
    parts = {part: [name for name in examples if part_of[name] == part] for part in PARTS}
    found = {part: chosen for part, chosen in parts.items() if chosen}
    if not {"train", "test"} <= found.keys():
        found = {"data": examples}
    else:
        nameless = [name for name in examples if part_of[name] is None]
        if nameless:
            raise InvalidInput(f"{nameless[0]} is in none of the folders of the parts {', '.join(found)}; move it")
    return {part: TextFolder(folder, chosen, pattern, data, limits) for part, chosen in found.items()}


class TextFolder:
    """Text files as rows: ``text``, and ``label`` or the columns of ``data.path_pattern``; in the order of paths."""

    def __init__(self, folder: Path, names: Sequence[str], pattern: Any, data: Data, limits: Limits) -> None:
        self.path = folder
        self._names = list(names)
        self._pattern = pattern
        self._encoding = data.encoding
        self._limits = limits
        self._guess: str | None = None
        self.columns = ["text", *(pattern.columns if pattern is not None else ("label",))]
        if len(set(self.columns)) < len(self.columns):
            raise InvalidInput(
                "data.path_pattern names a column 'text', which the file's content is; name it otherwise"
            )
        self.kinds: dict[str, ColumnKind] = {}
        self.schema = pa.schema([(name, pa.string()) for name in self.columns])
        self.writing = Writing("text-folder", data.encoding)

    def batches(self, bad: BadRows) -> Iterator[Batch]:
        """All good rows in order; files are numbered, and reasons begin with their names."""
        rows: list[tuple[str, ...]] = []
        held = 0
        for number, name in enumerate(self._names, 1):
            path = self.path / name
            places = self._places(name)
            text, reason = self._read(path) if places is not None else ("", self._no_match(name))
            if reason is not None or places is None:
                bad.add(self.path, number, f"{name}: {reason}", text[: self._limits.max_cell])
                continue
            rows.append((text, *places))
            held += len(text)
            if len(rows) >= BATCH_ROWS or held >= BATCH_BYTES:
                yield Batch(self._batch(rows), number / len(self._names))
                rows, held = [], 0
        if rows:
            yield Batch(self._batch(rows), 1.0)

    def _batch(self, rows: list[tuple[str, ...]]) -> pa.RecordBatch:
        arrays = [pa.array(values, pa.string()) for values in zip(*rows, strict=True)]
        return pa.RecordBatch.from_arrays(arrays, schema=self.schema)

    def _places(self, name: str) -> tuple[str, ...] | None:
        if self._pattern is None:
            return (PurePosixPath(name).parent.name,)
        found = self._pattern.match(name)
        return None if found is None else tuple(found[column] for column in self._pattern.columns)

    def _no_match(self, name: str) -> str:
        return f"the path does not match data.path_pattern {self._pattern.pattern!r}; correct the pattern, or move it"

    def _read(self, path: Path) -> tuple[str, str | None]:
        """The text, and the reason why it is bad."""
        try:
            # At most four bytes make a character.
            if path.stat().st_size > 4 * self._limits.max_cell + 4:
                return "", cell_too_long("the file", "text", path.stat().st_size, self._limits)
            content = path.read_bytes()
        except OSError as error:
            return "", f"cannot be read ({error.strerror})"
        text, reason = self._decoded(path, content)
        if reason is None and len(text) > self._limits.max_cell:
            reason = cell_too_long("the file", "text", len(text), self._limits)
        return text, reason

    def _decoded(self, path: Path, content: bytes) -> tuple[str, str | None]:
        if self._encoding is None and b"\x00" not in content:
            try:
                return content.decode("utf-8-sig"), None
            except UnicodeDecodeError:
                self._guess = self._guess or self._guessed()
        encoding = self._encoding or self._guess or None
        if b"\x00" in content and self._encoding is None and guess_utf16(content) is None and content[:2] not in (
            b"\xff\xfe", b"\xfe\xff",
        ):  # fmt: skip
            return "", "is a binary file, not text; remove it"
        found = detect_encoding(path, encoding, max_line=self._limits.max_line)
        text = content.decode(found.name, errors="replace")
        return text, "holds bytes that do not decode; repair it, or set data.encoding" if found.damaged else None

    def _guessed(self) -> str:
        """The encoding of the files that are not UTF-8, judged by the first of them together; empty if not clear."""
        sample = b""
        for name in self._names:
            try:
                with (self.path / name).open("rb") as file:
                    content = file.read(_SAMPLE)
                content.decode("utf-8")
            except UnicodeDecodeError:
                sample += content + b"\n"
            except OSError:
                continue
            if len(sample) >= _SAMPLE:
                break
        return next(iter(likely_encodings(sample)), "")


def _pattern(data: Data) -> Any:
    if data.path_pattern is None:
        return None
    from services.ingest.media.pattern import PathPattern

    return PathPattern(data.path_pattern)


def _examples(names: Sequence[str]) -> list[str]:
    """The files in folders of labels: below the one that all text files share, not straight in that of a part."""
    texts = [name for name in names if _may_be_text(name) and not _is_note(name)]
    if not texts:
        return []
    base = os.path.commonpath([os.path.dirname(name) or "." for name in texts]) if len(texts) > 1 else ""  # noqa: PTH120
    depth = 0 if base in ("", ".") else len(PurePosixPath(base).parts)
    return [
        name
        for name in texts
        if len(folders := PurePosixPath(name).parts[depth:-1]) and PART_OF_WORD.get(folders[-1].casefold()) is None
    ]


def _part(name: str) -> str | None:
    """What the folders above that of the label say, the innermost first."""
    folders = PurePosixPath(name).parts[:-2]
    return next((part for folder in reversed(folders) if (part := part_in_name(folder))), None)


def _may_be_text(name: str) -> bool:
    suffix = PurePosixPath(name).suffix.casefold()
    return suffix in _SUFFIXES or suffix[1:].isdigit()


def _is_note(name: str) -> bool:
    return PurePosixPath(name).name.casefold().startswith(_NOTES)
