"""What an ingest job is given, and what it gives back."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_serializer

from tidemill.contracts import Frozen, Recipe


class IngestSpec(Frozen):
    """``recipe`` is frozen, so all of it is what the result depends on; but for ``economics``, which no result does.

    Licence and owner are not here: the licence is judged before anything is read, neither changes what is written.
    """

    recipe: Recipe
    append: bool = False
    """The rows are added to the dataset in ``inputs["previous"]``."""
    max_cell: int = Field(default=1_000_000, gt=0)
    """Largest value of one field, in characters."""

    @field_serializer("recipe")
    def _without_economics(self, recipe: Recipe) -> dict[str, Any]:
        return recipe.model_dump(mode="json", exclude={"economics"})


class IngestResult(Frozen):
    """Rows in all and by part: ``{"data": n}``, or the given parts. Of an append, with those that were there."""

    task: str
    rows: int
    parts: dict[str, int]
    bad_rows: int = 0
    """Rows that could not be read and were left out."""
