"""Tabular regression's data: columns of numbers and categories, and one with the number to predict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tidemill.contracts.data import Data
from tidemill.errors import InvalidInput
from tidemill.tasks.columns import LABEL_NAMES, named_roles
from tidemill.tasks.profile import ColumnProfile, ColumnType
from tidemill.tasks.tabular import feature_columns, resolve_label, suits_a_table

COLUMN_NAMES = LABEL_NAMES
HAS_CLASSES = False


def suits(columns: Sequence[ColumnProfile], data: Data) -> bool:
    """Whether it is a table of values whose label is named and may be a quantity."""
    return suits_a_table(columns, data, "numbers")


def resolve_columns(columns: Sequence[ColumnProfile], data: Data, where: str) -> Data:
    """``data`` with ``label`` filled in.

    Raises:
        InvalidInput: it is not known, holds something else than numbers or the same number always, or nothing is left
            to predict it from.
    """
    label = resolve_label(columns, data, "tabular-regression", where)
    if label.type not in ("integer", "number"):
        raise InvalidInput(
            f"{where}, column {label.name!r}: regression predicts a number, and this column holds other values; set "
            "data.label to a column of numbers, or task: tabular-classification"
        )
    if label.distinct == 1:
        raise InvalidInput(
            f"{where}, column {label.name!r}: every row has the same number; there is nothing to predict"
        )
    return data.model_copy(update={"label": label.name})


def roles(data: Data) -> dict[str, str]:
    """``label``."""
    return named_roles(label=data.label)


def features(columns: Mapping[str, ColumnType], data: Data) -> tuple[str, ...]:
    """All plain columns but the label and the group of the split."""
    return feature_columns(columns, data.label, data.split.group)
