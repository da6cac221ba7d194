"""What the two tasks of plain tables share: telling a table of values from a table with a text, and its label.

Knows names and figures of columns, never their rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from tidemill.contracts.data import Data, TaskName
from tidemill.errors import InvalidInput
from tidemill.tasks.columns import (
    LABEL_NAMES,
    MEDIA_COLUMNS,
    NOT_PLAIN,
    TEXT_NAMES,
    by_name,
    could_be_label,
    folded,
    is_identifier,
    listed,
    only_named,
    require,
    require_plain,
)
from tidemill.tasks.profile import ColumnProfile, ColumnType

# fmt: off
TABLE_LABEL_NAMES = LABEL_NAMES | frozenset((
    "outcome", "response", "survived", "churn", "default", "diagnosis", "species", "income", "price", "quality",
    "结果", "目标", "价格", "目標", "價格",
))
# fmt: on
_FREE_TEXT_LENGTH = 15
_FEW_NUMBERS = 20
"""An integer label with at most so many different values is taken for classes."""
_MANY_NUMBERS = 0.05
"""One whose different values are more than this share of the rows is taken for a quantity."""


def free_texts(columns: Sequence[ColumnProfile]) -> list[ColumnProfile]:
    """Columns that read like texts: long, and hardly one like another."""
    return [
        column
        for column in columns
        if column.type == "text" and column.mean_length >= _FREE_TEXT_LENGTH and not could_be_label(column)
    ]


def looks_like_a_table(columns: Sequence[ColumnProfile]) -> bool:
    """Whether numbers and categories are most of these columns; a text among them needs clearly more of them."""
    telling = [column for column in columns if not is_identifier(column) and column.distinct != 1]
    texts = free_texts(telling)
    values = [column for column in telling if column not in texts and _is_value(column)]
    if any(folded(column.name) in TEXT_NAMES for column in columns if column.type == "text"):
        return False
    if texts:
        return len(values) >= max(3, 2 * len(texts))
    has_words = any(column.type == "text" for column in telling)
    return len(values) >= (2 if has_words else 1) and 2 * len(values) > len(telling)


def suits_a_table(columns: Sequence[ColumnProfile], data: Data, wanted: Literal["classes", "numbers"]) -> bool:
    """Whether it is a table of values, its label is known, and that label may be ``wanted``."""
    if data.text is not None or any(column.type in NOT_PLAIN for column in columns):
        return False
    label = by_name(columns, data.label) if data.label else only_named(columns, TABLE_LABEL_NAMES)
    if label is None or not looks_like_a_table([column for column in columns if column is not label]):
        return False
    return kind_of_label(label) in (wanted, "unclear")


def kind_of_label(column: ColumnProfile) -> Literal["classes", "numbers", "unclear"]:
    """What the values of a label are, by their type and how many differ."""
    if column.type not in ("integer", "number"):
        return "classes"
    if column.distinct is not None and column.distinct <= _FEW_NUMBERS:
        return "classes"
    if column.type == "number" or column.distinct is None or column.distinct > _MANY_NUMBERS * column.present:
        return "numbers"
    return "unclear"


def resolve_label(columns: Sequence[ColumnProfile], data: Data, task: TaskName, where: str) -> ColumnProfile:
    """The column to predict: named in the recipe, or by a usual name. It is never guessed from values.

    Raises:
        InvalidInput: it is not known, is no plain column, or there is no other column to predict it from.
    """
    if data.label is not None:
        label = require(columns, data.label, "data.label", where)
    else:
        found = only_named(columns, TABLE_LABEL_NAMES)
        if found is None:
            raise without_label(columns, where, task)
        label = found
    require_plain(label, "data.label", where)
    if not feature_columns({column.name: column.type for column in columns}, label.name):
        raise InvalidInput(f"{where} has no column to predict {label.name!r} from; add columns with plain values")
    return label


def feature_columns(columns: Mapping[str, ColumnType], label: str | None, group: str | None = None) -> tuple[str, ...]:
    """All plain columns but the label, the group of a split, and where a file lies."""
    return tuple(
        name
        for name, kind in columns.items()
        if name not in (label, group) and name not in MEDIA_COLUMNS | {"fold"} and kind not in NOT_PLAIN
    )


def without_label(columns: Sequence[ColumnProfile], where: str, task: TaskName | None = None) -> InvalidInput:
    """The error for a table of values of which nobody said what is to be predicted."""
    return InvalidInput(
        f"{where}: it is not clear which column is to be predicted; its columns are "
        f"{listed([column.name for column in columns])}; name it in the recipe:  "
        f"task: {task or 'tabular-classification'}, data: {{label: <column>}}"
        + ("" if task else "  (or task: tabular-regression for a number)")
    )


def _is_value(column: ColumnProfile) -> bool:
    return column.type in ("integer", "number", "boolean", "date", "category") or could_be_label(column)
