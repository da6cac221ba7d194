"""Rows of parts, through the keys as a preparation makes them, to what was found."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import daft
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from services.preprocess.duplicates import (
    Duplicates,
    KeyFiles,
    Reason,
    Rules,
    exact_keys,
    find_duplicates,
    near_keys,
)
from tidemill.contracts.preparation import NearDuplicates
from tidemill.datasets import Column

PARTS = ("train", "validation", "test")
ROLES = {"text": "text", "label": "label"}
COLUMNS = {name: Column(name=name, kind="text", strings=True) for name in ("text", "label")}


@dataclass(frozen=True)
class Found:
    rows: list[Any]
    found: Duplicates

    def removed(self, reason: Reason) -> list[Any]:
        """The rows that went for it."""
        return [self.rows[row] for row in np.flatnonzero(self.found.removed == reason)]

    @property
    def left(self) -> list[Any]:
        return self.removed(Reason.STAYS)

    def together(self, *positions: int) -> bool:
        return len(set(self.found.group[list(positions)].tolist())) == 1


Decide = Callable[..., Found]


def write_keys(table: pa.Table, path: Path, near: NearDuplicates | None, *, row_group: int = 1000) -> Path:
    keys = exact_keys(COLUMNS, ROLES, "text-classification")
    if near is not None:
        keys |= near_keys("text", near)
    frame = daft.from_arrow(table).select(*[key.alias(name) for name, key in keys.items()])
    pq.write_table(frame.to_arrow(), path, row_group_size=row_group)
    return path


@pytest.fixture
def decide(tmp_path: Path) -> Decide:
    """Decide about (text, label) rows, or texts alone, of one part or by part."""

    def run(
        parts: Mapping[str, Sequence[Any]] | Sequence[Any], *, near: NearDuplicates | None = None,
        drop_duplicates: bool = True, shard_rows: int = 1_000_000, row_group: int = 1000,
    ) -> Found:  # fmt: skip
        given = isinstance(parts, Mapping)
        rows = [row for name in PARTS for row in parts.get(name, [])] if isinstance(parts, Mapping) else list(parts)
        part = [PARTS.index(name) for name in PARTS for _ in parts.get(name, [])] if given else [0] * len(rows)  # type: ignore[union-attr]
        pairs = [row if isinstance(row, tuple) else (row, "one") for row in rows]
        table = pa.table(
            {"text": pa.array([text for text, _ in pairs], pa.string()), "label": [label for _, label in pairs]}
        )
        paths = []
        for number, first in enumerate(range(0, len(rows), shard_rows)):
            path = tmp_path / f"{number:05d}.parquet"
            paths.append(write_keys(table.slice(first, shard_rows), path, near, row_group=row_group))
        rules = Rules(drop_duplicates=drop_duplicates, contradictions=True, given=given, near=near)
        staying = np.ones(len(rows), dtype=np.bool_)
        found = find_duplicates(KeyFiles(paths), np.array(part, np.int8), staying, rules, scratch=tmp_path)
        return Found(rows, found)

    return run
