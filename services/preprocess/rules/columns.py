"""Which columns of a dataset a rule is about, and whether the recipe's rules can be about them at all.

Knows names, kinds and roles; nothing of values.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tidemill.contracts.data import Data
from tidemill.datasets import Column, DatasetSchema
from tidemill.errors import InvalidInput

TEXT_ROLES = ("text", "source", "target", "question", "context")
_VITAL = (*TEXT_ROLES, "label", "image", "audio")
NUMBERS = frozenset(("integer", "number"))
WORDS = frozenset(("text", "category"))
PLAIN = NUMBERS | WORDS | {"boolean", "date"}
"""Kinds whose values are one value each."""


@dataclass(frozen=True)
class Roles:
    """The task's columns. ``label`` is the column with a class; the value of a regression is in ``value``."""

    texts: tuple[str, ...]
    label: str | None
    value: str | None
    needed: tuple[str, ...]
    """All columns that the task names."""
    vital: tuple[str, ...]
    """Those without which a row says nothing; a list of objects or answers may be empty."""

    @classmethod
    def of(cls, schema: DatasetSchema) -> Roles:
        """The roles that the schema gives, columns that are not plain values left out of ``label`` and ``value``."""
        label = schema.roles.get("label")
        column = schema.column(label) if label is not None else None
        plain = label if column is not None and column.kind in PLAIN else None
        regression = schema.task == "tabular-regression"
        return cls(
            texts=tuple(schema.roles[role] for role in TEXT_ROLES if role in schema.roles),
            label=None if regression else plain,
            value=plain if regression else None,
            needed=tuple(dict.fromkeys(schema.roles.values())),
            vital=tuple(dict.fromkeys(schema.roles[role] for role in _VITAL if role in schema.roles)),
        )

    def features(self, columns: Mapping[str, Column]) -> list[str]:
        """Columns that the task does not name itself; neither bookkeeping nor those that have no value at all."""
        named = set(self.needed)
        return [
            name
            for name, column in columns.items()
            if name not in named and not name.startswith("__") and column.kind != "empty"
        ]


def check_rules(data: Data, schema: DatasetSchema) -> None:
    """Raise InvalidInput when a rule names a column that is not there, or is for another kind of task."""
    named: dict[str, Iterable[str | None]] = {
        "data.missing.columns": data.missing.columns,
        "data.types.columns": data.types.columns,
        "data.bounds": data.bounds,
        "data.outliers.columns": (data.outliers.columns or ()) if data.outliers else (),
        "data.split.group": (data.split.group,),
        "data.split.time": (data.split.time,),
    }
    names = [column.name for column in schema.columns]
    for key, columns in named.items():
        for column in columns:
            if column is not None and column not in names:
                raise InvalidInput(f"{key} names the column {column!r}, which is not there; {_hint(column, names)}")
    features = data.features
    if (features.scale, features.categories, features.dates) != ("none",) * 3 and not schema.task.startswith("tabular"):
        raise InvalidInput(f"data.features is for tabular tasks, and this one is {schema.task}; take the section away")
    if data.augment.text is not None and "text" not in schema.roles:
        raise InvalidInput(f"data.augment.text needs a task with one text, and this one is {schema.task}")
    if data.augment.image is not None and not any(column.kind == "image" for column in schema.columns):
        raise InvalidInput(f"data.augment.image needs images, and this dataset ({schema.task}) has none")


def check_new(name: str, columns: Mapping[str, Column], key: str) -> None:
    """Raise InvalidInput when a column that a rule adds is there already."""
    if name in columns:
        raise InvalidInput(f"{key} adds a column {name!r}, but the dataset has one of that name; rename it")


def listed(names: Sequence[str], most: int = 8) -> str:
    """Names for a person, not too many."""
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def _hint(name: str, names: Sequence[str]) -> str:
    nearest = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"did you mean {nearest[0]!r}?" if nearest else f"its columns are {listed(names, 20)}"
