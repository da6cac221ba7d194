"""A folder of images or recordings as a table: one row per file, the file itself in a column.

Files are checked by several threads (decoders release Python's lock), a few ahead of what is read, and come in order.
What a file is labelled with is the business of ``Annotations``.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from services.ingest.media.checks import MAX_FILE_BYTES, Media, Unusable, check_image, check_recording
from services.ingest.media.tree import Found, MediaKind, shown
from services.ingest.tables import BATCH_BYTES, BATCH_ROWS, BadRows, Batch, Writing, check_columns
from tidemill.contracts.data import FormatName
from tidemill.datasets.schema import ColumnKind

_AHEAD_FILES = 32
_AHEAD_BYTES = 1 << 25
_THREADS = 4
_CHECKS: dict[MediaKind, Callable[[bytes], Media]] = {"image": check_image, "audio": check_recording}
_MEASURES: dict[MediaKind, dict[str, pa.DataType]] = {
    "image": {"width": pa.int32(), "height": pa.int32()},
    "audio": {"sample_rate": pa.int32(), "seconds": pa.float64()},
}
_KINDS: dict[str, ColumnKind] = {
    "path": "text", "image": "image", "audio": "audio", "width": "integer", "height": "integer",
    "sample_rate": "integer", "seconds": "number", "objects": "nested",
}  # fmt: skip


class Annotations(Protocol):
    """Further columns of files: labels, boxes, what their paths say."""

    columns: Mapping[str, pa.DataType]

    def begin(self, bad: BadRows) -> None:
        """Called once before the first file of a part; bad rows that belong to no file are told to ``bad``."""

    def of(self, path: str, media: Media) -> Mapping[str, Any]:
        """The values of the columns. Raises Unusable when the file has none, or none that can be right."""


class MediaFolder:
    """The ``files`` of a part as a table: ``path``, ``image`` or ``audio``, measures, then what is said of them.

    ``files`` is called for every reading; ``count`` is how many it gives.
    """

    def __init__(
        self,
        top: Path,
        format: FormatName,
        kind: MediaKind,
        files: Callable[[], Iterator[Found]],
        count: int,
        annotations: Sequence[Annotations],
    ) -> None:
        self.path = top
        self._kind: MediaKind = kind
        self._files = files
        self._count = count
        self._annotations = annotations
        said = [(name, type) for one in annotations for name, type in one.columns.items()]
        own = {"path": pa.string(), kind: pa.binary(), **_MEASURES[kind]}
        check_columns([*own, *(name for name, _ in said)], top)
        self._schema = pa.schema({**own, **dict(said)})
        self.columns = list(self._schema.names)
        self.kinds: Mapping[str, ColumnKind] = {
            name: _KINDS[name] for name in self.columns if name in own or name == "objects"
        }
        self.writing = Writing(format)

    def batches(self, bad: BadRows) -> Iterator[Batch]:
        """All files in the order of their paths; a bad one is told to ``bad`` by its number in that order."""
        for said in self._annotations:
            said.begin(bad)
        rows: list[dict[str, Any]] = []
        size = number = 0
        for number, (found, checked) in enumerate(self._checked(), 1):
            try:
                row = self._row(found, checked)
            except Unusable as problem:
                bad.add(self.path, number, f"{shown(found.path)} {problem}", shown(found.path))
                continue
            added = len(row[self._kind]) + 64 * len(row.get("objects") or ())
            if rows and size + added > BATCH_BYTES:
                yield self._batch(rows, number - 1)
                rows, size = [], 0
            rows.append(row)
            size += added
            if len(rows) == BATCH_ROWS:
                yield self._batch(rows, number)
                rows, size = [], 0
        if rows:
            yield self._batch(rows, number)

    def _row(self, found: Found, checked: Media | Unusable) -> dict[str, Any]:
        if isinstance(checked, Unusable):
            raise checked
        row: dict[str, Any] = {"path": found.path, self._kind: checked.content, **checked.measures}
        for said in self._annotations:
            row |= said.of(found.path, checked)
        return row

    def _batch(self, rows: list[dict[str, Any]], done: int) -> Batch:
        arrays = [pa.array([row[field.name] for row in rows], field.type) for field in self._schema]
        return Batch(pa.RecordBatch.from_arrays(arrays, schema=self._schema), min(1.0, done / max(1, self._count)))

    def _checked(self) -> Iterator[tuple[Found, Media | Unusable]]:
        waiting: deque[tuple[Found, Future[Media | Unusable]]] = deque()
        ahead = 0
        with ThreadPoolExecutor(min(_THREADS, os.cpu_count() or 1), "media") as pool:
            for found in self._files():
                while waiting and (len(waiting) >= _AHEAD_FILES or ahead + found.size > _AHEAD_BYTES):
                    first, result = waiting.popleft()
                    ahead -= first.size
                    yield first, result.result()
                waiting.append((found, pool.submit(self._check, found)))
                ahead += found.size
            while waiting:
                first, result = waiting.popleft()
                yield first, result.result()

    def _check(self, found: Found) -> Media | Unusable:
        if found.problem is not None:
            return Unusable(found.problem)
        if found.size == 0:
            return Unusable("is empty; replace it")
        if found.size > MAX_FILE_BYTES:
            return Unusable(f"has {found.size:,} bytes; at most {MAX_FILE_BYTES:,} are taken; cut it into examples")
        try:
            return _CHECKS[self._kind]((self.path / found.path).read_bytes())
        except Unusable as problem:
            return problem
