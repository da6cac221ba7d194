"""Opens and reads files given as bytes, as ingest does before anything is decided about their rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from services.ingest.opening import open_parts
from services.ingest.tables import Limits, TableFile
from tidemill.contracts import parse_recipe
from tidemill.errors import InvalidInput


@dataclass(frozen=True)
class BadRow:
    file: str
    row: int
    reason: str
    content: str


@dataclass
class Listed:
    """Bad rows are left out, as with ``data.on_bad_row: quarantine``."""

    rows: list[BadRow] = field(default_factory=list)

    def add(self, path: Path, row: int, reason: str, content: str) -> None:
        content.encode()
        self.rows.append(BadRow(path.name, row, reason, content))


class Refusing:
    """A bad row fails the run."""

    def add(self, path: Path, row: int, reason: str, content: str) -> None:
        content.encode()
        raise InvalidInput(f"{path.name}, {reason}")


@dataclass(frozen=True)
class Read:
    tables: dict[str, list[TableFile]]
    by_part: dict[str, list[dict[str, Any]]]
    bad: list[BadRow]

    @property
    def parts(self) -> dict[str, int]:
        return {part: len(rows) for part, rows in self.by_part.items()}

    @property
    def table(self) -> TableFile:
        return next(iter(self.tables.values()))[0]

    def rows(self, part: str = "data") -> list[dict[str, Any]]:
        return self.by_part[part]


ReadFiles = Callable[..., Read]


def read_folder(
    folder: Path, data: Mapping[str, Any] | None = None, *, max_cell: int = 1_000_000, tolerant: bool = False
) -> Read:
    """All rows of the dataset in ``folder``; ``tolerant`` leaves bad ones out and lists them."""
    tables = open_parts(folder, parse_recipe({"data": dict(data or {})}).data, Limits(max_cell))
    bad = Listed()
    by_part: dict[str, list[dict[str, Any]]] = {}
    for part, files in tables.items():
        rows = by_part[part] = []
        for table in files:
            fractions = []
            for batch in table.batches(bad if tolerant else Refusing()):
                batch.rows.validate(full=True)
                assert batch.rows.schema.names == table.columns
                rows += batch.rows.to_pylist()
                fractions.append(batch.fraction)
            assert fractions == sorted(fractions)
            assert all(0 <= fraction <= 1 for fraction in fractions)
    return Read(tables, by_part, bad.rows)


@pytest.fixture
def read_files(tmp_path: Path) -> ReadFiles:
    """Read files given as bytes by name; ``data`` is the recipe's section."""
    calls = iter(range(1_000_000))

    def run(files: Mapping[str, bytes], data: Mapping[str, Any] | None = None, **options: Any) -> Read:
        source = tmp_path / f"source-{next(calls)}"
        for name, content in files.items():
            path = source / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return read_folder(source, data, **options)

    return run
