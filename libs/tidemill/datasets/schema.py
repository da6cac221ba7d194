"""What the columns of a dataset are called, hold and mean."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from tidemill.contracts import Frozen
from tidemill.datasets.canonical import write_json
from tidemill.errors import CorruptArtifact

SCHEMA_FILE = "schema.json"

ColumnKind = Literal["text", "integer", "number", "boolean", "date", "category", "image", "audio", "nested", "empty"]
"""``image`` and ``audio`` are encoded files as bytes; ``nested`` is a list or a struct."""


class Column(Frozen):
    """One column. ``strings``: its values are text as it stood in the file, whatever ``kind`` says they are."""

    name: str
    kind: ColumnKind
    strings: bool = False


class DatasetSchema(Frozen):
    """The columns in their order, and which of them the task needs."""

    version: int = 2
    task: str
    roles: dict[str, str] = Field(default_factory=dict)
    """Column by role: ``{"text": "message", "label": "class"}``."""
    columns: list[Column]

    def column(self, name: str) -> Column | None:
        """The column of that name."""
        return next((column for column in self.columns if column.name == name), None)

    def write(self, dataset: Path) -> None:
        """Write it into the directory of a dataset; the same schema is always the same bytes."""
        write_json(dataset / SCHEMA_FILE, self.model_dump(mode="json"), sort_keys=True)

    @classmethod
    def read(cls, dataset: Path) -> DatasetSchema:
        """The schema of the dataset in a directory. Raises CorruptArtifact when there is none that can be read."""
        try:
            return cls.model_validate_json((dataset / SCHEMA_FILE).read_bytes())
        except (OSError, ValidationError) as error:
            raise CorruptArtifact(f"the dataset's {SCHEMA_FILE} cannot be read: {error}") from None
