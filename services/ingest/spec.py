"""What an ingest job is given, and what it gives back."""

from __future__ import annotations

from pydantic import Field

from tidemill.contracts import Frozen, Recipe


class IngestSpec(Frozen):
    """``recipe`` is frozen whole, so the whole of it is what the result depends on."""

    recipe: Recipe
    max_cell: int = Field(default=1_000_000, gt=0)
    """Largest value of one field, in characters."""


class IngestResult(Frozen):
    """Rows in all and by part: ``{"data": n}``, or the given parts."""

    task: str
    rows: int
    parts: dict[str, int]
