"""Tabular classification's data: columns of numbers and categories, and one with the class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tidemill.contracts.data import Data
from tidemill.tasks.classes import check_labels
from tidemill.tasks.columns import LABEL_NAMES, named_roles
from tidemill.tasks.profile import ColumnProfile, ColumnType
from tidemill.tasks.tabular import feature_columns, resolve_label, suits_a_table

__all__ = ["COLUMN_NAMES", "HAS_CLASSES", "check_labels", "features", "resolve_columns", "roles", "suits"]

COLUMN_NAMES = LABEL_NAMES
HAS_CLASSES = True


def suits(columns: Sequence[ColumnProfile], data: Data) -> bool:
    """Whether it is a table of values whose label is named and may hold classes."""
    return suits_a_table(columns, data, "classes")


def resolve_columns(columns: Sequence[ColumnProfile], data: Data, where: str) -> Data:
    """``data`` with ``label`` filled in. Raises InvalidInput when it is not known, or nothing else is there."""
    label = resolve_label(columns, data, "tabular-classification", where)
    return data.model_copy(update={"label": label.name})


def roles(data: Data) -> dict[str, str]:
    """``label``."""
    return named_roles(label=data.label)


def features(columns: Mapping[str, ColumnType], data: Data) -> tuple[str, ...]:
    """All plain columns but the label and the group of the split."""
    return feature_columns(columns, data.label, data.split.group)
