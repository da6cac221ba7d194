"""What the version's schema and profile say, made of what was taken in and of what was there before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from services.ingest.intake.taking import Taken
from tidemill.datasets import Column, DatasetSchema
from tidemill.datasets.kinds import is_category
from tidemill.datasets.profile import (
    ColumnFigures,
    DatasetProfile,
    PartFigures,
    merged_counts,
    merged_figures,
)
from tidemill.datasets.schema import ColumnKind

TEXT_ROLES = frozenset(("text", "source", "target", "question", "context"))
"""Roles of columns that hold texts, whatever they look like."""


def profile_of(taken: Taken, roles: Mapping[str, str], *, classes: bool) -> DatasetProfile:
    """The figures of the rows that were taken; those of labels if the task has ``classes``."""
    texts = {column for role, column in roles.items() if role in TEXT_ROLES}
    label = roles.get("label") if classes else None
    by_part = taken.label_counts(label) if label is not None else {}
    total: dict[str, int] = {}
    for counts in by_part.values():
        total = merged_counts(total, counts)
    return DatasetProfile(
        rows=sum(taken.rows.values()), columns=[one.figures(text=one.name in texts) for one in taken.columns],
        label_counts=total,
        parts={part: PartFigures(rows=n, label_counts=by_part.get(part, {})) for part, n in taken.rows.items()},
    )  # fmt: skip


def schema_of(profile: DatasetProfile, task: str, roles: Mapping[str, str], strings: Sequence[bool]) -> DatasetSchema:
    """The columns as ``profile`` has them; ``strings`` says of which the values are text as it stood in the file."""
    columns = [
        Column(name=figures.name, kind=figures.kind, strings=is_text)
        for figures, is_text in zip(profile.columns, strings, strict=True)
    ]
    return DatasetSchema(task=task, roles=dict(roles), columns=columns)


def with_base(base: DatasetProfile, added: DatasetProfile) -> DatasetProfile:
    """The figures of the base's rows and the added ones."""
    columns = [
        merged_figures(old, new, _kind_of_both(old, new))
        for old, new in zip(base.columns, added.columns, strict=True)
    ]  # fmt: skip
    parts = dict(base.parts)
    for part, new in added.parts.items():
        old = parts[part]
        parts[part] = PartFigures(
            rows=old.rows + new.rows, label_counts=merged_counts(old.label_counts, new.label_counts)
        )
    return DatasetProfile(
        rows=base.rows + added.rows, columns=columns, parts=parts,
        label_counts=merged_counts(base.label_counts, added.label_counts),
    )  # fmt: skip


def _kind_of_both(old: ColumnFigures, new: ColumnFigures) -> ColumnKind:
    kinds = {old.kind, new.kind} - {"empty"}
    if len(kinds) < 2 and kinds != {"category"}:
        return kinds.pop() if kinds else "empty"
    if kinds == {"integer", "number"}:
        return "number"
    together = merged_figures(old, new, "text")
    longest = int(together.lengths.maximum) if together.lengths else 0
    few = is_category(distinct=together.distinct, present=together.present, longest=longest)
    return "category" if few else "text"
