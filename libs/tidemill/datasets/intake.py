"""What ingest says of a version that it took in: how it was read, what was bad, what changed. ``report.json``."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from tidemill.contracts import Frozen
from tidemill.datasets.canonical import write_json
from tidemill.datasets.drift import Drift
from tidemill.errors import CorruptArtifact

REPORT_FILE = "report.json"


class FileRead(Frozen):
    """One file, or one folder of media files, and how it turned out to be written."""

    name: str
    part: str
    rows: int
    """Good ones."""
    bad_rows: int
    format: str
    encoding: str | None = None
    delimiter: str | None = None
    quoted: bool | None = None
    header: bool | None = None


class BadRowExample(Frozen):
    """One bad row; ``content`` is cut, and empty where the recipe protects personal data."""

    file: str
    row: int
    reason: str
    content: str


class BadRowKind(Frozen):
    """Bad rows with the same reason, but for the numbers and values in it."""

    reason: str
    rows: int
    examples: list[BadRowExample]


class BadRowFigures(Frozen):
    """What could not be read, and what became of it."""

    policy: Literal["fail", "drop", "quarantine"]
    rows: int
    kinds: list[BadRowKind]
    """The most frequent first."""


class Repair(Frozen):
    """Something about the files that was put right while reading, or that preparation will put right."""

    says: str
    rows: int
    column: str | None = None
    file: str | None = None


class SchemaChange(Frozen):
    """One difference from the version before."""

    column: str
    change: Literal["added", "removed", "kind", "role"]
    before: str | None = None
    after: str | None = None
    breaking: bool = False


class IntakeReport(Frozen):
    """One version, and how it differs from the one before."""

    version: int = 1
    task: str
    rows: int
    """Good rows that were read; of an append, the new ones."""
    appended_to: int | None = None
    """Rows that were there before, of an append."""
    parts: dict[str, int]
    """All rows by part."""
    files: list[FileRead]
    licence_files: list[str] = Field(default_factory=list)
    """Files beside the data whose names say that they hold a licence; nobody has read them."""
    bad_rows: BadRowFigures
    repairs: list[Repair] = Field(default_factory=list)
    schema_changes: list[SchemaChange] = Field(default_factory=list)
    drift: Drift | None = None
    """Against the version before; of an append, of the new rows against those that were there."""
    warnings: list[str] = Field(default_factory=list)

    def write(self, folder: Path) -> None:
        """Write it into ``folder``; the same report is always the same bytes."""
        write_json(folder / REPORT_FILE, self.model_dump(mode="json"))

    @classmethod
    def read(cls, folder: Path) -> IntakeReport:
        """The report in ``folder``. Raises CorruptArtifact when there is none that can be read."""
        try:
            return cls.model_validate_json((folder / REPORT_FILE).read_bytes())
        except (OSError, ValidationError) as error:
            raise CorruptArtifact(f"the ingest report's {REPORT_FILE} cannot be read: {error}") from None
