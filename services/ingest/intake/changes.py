"""The schema contract with the version before: which columns came, went or changed, and whether that may be.

Kinds that are told from values (``text`` or ``category``) change with the sample, so that these two count as one.
"""

from __future__ import annotations

from collections.abc import Sequence

from tidemill.contracts.data import Schema
from tidemill.datasets import DatasetSchema
from tidemill.datasets.intake import SchemaChange
from tidemill.datasets.schema import ColumnKind
from tidemill.errors import InvalidInput

_FITS_IN: dict[ColumnKind, frozenset[ColumnKind]] = {
    "number": frozenset(("integer", "empty")),
    "text": frozenset(("integer", "number", "boolean", "date", "empty")),
    "integer": frozenset(("empty",)),
    "boolean": frozenset(("empty",)),
    "date": frozenset(("empty",)),
}
"""By kind, the other kinds whose values it takes: a column that gets such a kind keeps what it promised."""


def schema_changes(before: DatasetSchema, after: DatasetSchema) -> list[SchemaChange]:
    """What differs, in the order of the columns: those before, then new ones, then roles of the task."""
    changes = []
    for column in before.columns:
        now = after.column(column.name)
        if now is None:
            changes.append(SchemaChange(column=column.name, change="removed", before=column.kind, breaking=True))
        elif (old := _plain(column.kind)) != (new := _plain(now.kind)):
            keeps = old == "empty" or new in _FITS_IN.get(old, frozenset())
            changes.append(
                SchemaChange(
                    column=column.name, change="kind", before=column.kind, after=now.kind,
                    breaking=not keeps,
                )
            )  # fmt: skip
    added = [column for column in after.columns if before.column(column.name) is None]
    changes += [SchemaChange(column=column.name, change="added", after=column.kind) for column in added]
    if before.task == after.task:
        for role in sorted(before.roles.keys() | after.roles.keys()):
            old_name, new_name = before.roles.get(role), after.roles.get(role)
            if old_name != new_name:
                name = new_name or old_name or ""
                changes.append(SchemaChange(column=name, change="role", before=old_name, after=new_name))
    return changes


def refuse_changes(changes: Sequence[SchemaChange], expected: Schema, where: str) -> None:
    """Raise InvalidInput for what ``data.expected`` does not allow: names columns and the keys to set."""
    breaking = [change for change in changes if change.breaking]
    if breaking and not expected.allow_breaking:
        raise InvalidInput(
            f"{where}: breaking change against the dataset's last version: {_listed(breaking)}; correct the dataset, "
            "or set data.expected.allow_breaking: true"
        )
    if changes and expected.on_change == "fail":
        raise InvalidInput(
            f"{where}: changed against the dataset's last version: {_listed(changes)}; correct the dataset, or set "
            "data.expected.on_change: report"
        )


def in_words(change: SchemaChange) -> str:
    """A change for a person."""
    if change.change == "added":
        return f"column {change.column!r} ({change.after}) is new"
    if change.change == "removed":
        return f"column {change.column!r} ({change.before}) is gone"
    if change.change == "kind":
        return f"column {change.column!r} was {change.before} and is {change.after}"
    return f"the task's column was {change.before!r} and is {change.after!r}"


def _plain(kind: ColumnKind) -> ColumnKind:
    return "text" if kind == "category" else kind


def _listed(changes: Sequence[SchemaChange]) -> str:
    shown = ", ".join(map(in_words, changes[:10]))
    return shown if len(changes) <= 10 else f"{shown} and {len(changes) - 10} more"
