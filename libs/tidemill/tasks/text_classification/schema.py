"""Text classification's data: a column with text and one with a label. Finds them, and says when they cannot work.

Knows names and figures of columns, never their rows; imports neither pyarrow nor torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tidemill.contracts.data import Data
from tidemill.errors import InvalidInput
from tidemill.tasks.classes import MAX_LABELS, check_labels
from tidemill.tasks.columns import (
    LABEL_NAMES,
    NOT_PLAIN,
    TEXT_NAMES,
    could_be_label,
    folded,
    is_identifier,
    known,
    listed,
    named_roles,
    require,
    require_plain,
)
from tidemill.tasks.profile import ColumnProfile, ColumnType
from tidemill.tasks.tabular import free_texts, looks_like_a_table, without_label

__all__ = ["COLUMN_NAMES", "HAS_CLASSES", "MAX_LABELS", "check_labels", "features", "resolve_columns", "roles", "suits"]

COLUMN_NAMES = LABEL_NAMES | TEXT_NAMES
HAS_CLASSES = True
_CLEARLY_LONGER = 1.5


def suits(columns: Sequence[ColumnProfile], data: Data) -> bool:
    """Whether a text column is named, or one reads like text, or the label has nothing else but a text beside it."""
    if data.text is not None or any(_named_text(column) for column in columns if column.name != data.label):
        return True
    others = [column for column in columns if column.name != data.label and not is_identifier(column)]
    words = any(column.type == "text" and folded(column.name) not in LABEL_NAMES for column in others)
    return bool(free_texts(others)) or (words and len(columns) <= 2)


def resolve_columns(columns: Sequence[ColumnProfile], data: Data, where: str) -> Data:
    """``data`` with ``text`` and ``label`` filled in.

    What the recipe names is taken as it is; the rest is found by name first, then by content: the label has few
    distinct values, the text is the longest free text.

    Raises:
        InvalidInput: a named column is not there, there are too few columns, or several would do; the message
            lists the columns and the recipe lines to write.
    """
    for key, name in (("text", data.text), ("label", data.label)):
        if name is not None:
            require(columns, name, f"data.{key}", where)
    if data.text is not None and data.text == data.label:
        raise InvalidInput(f"the recipe names column {data.text!r} for both data.text and data.label; name two columns")
    if len(columns) < 2:
        raise InvalidInput(
            f"{where} has one column, {columns[0].name!r}; text classification needs one with text and one with the "
            "label (if the file's fields are separated by something else than a comma, tab, semicolon or bar, "
            "convert it; if every line is a text to learn the language from, set task: language-modelling)"
        )
    label = data.label or _find_label(columns, data.text, where)
    text = data.text or _find_text(columns, label, where)
    for key, name in (("text", text), ("label", label)):
        require_plain(require(columns, name, f"data.{key}", where), f"data.{key}", where)
    return data.model_copy(update={"text": text, "label": label})


def roles(data: Data) -> dict[str, str]:
    """``text`` and ``label``."""
    return named_roles(text=data.text, label=data.label)


def features(columns: Mapping[str, ColumnType], data: Data) -> tuple[str, ...]:
    """The text."""
    return known(columns, data.text)


def _named_text(column: ColumnProfile) -> bool:
    return folded(column.name) in TEXT_NAMES and column.type == "text"


def _find_label(columns: Sequence[ColumnProfile], text: str | None, where: str) -> str:
    others = [column for column in columns if column.name != text]
    named = [column for column in others if folded(column.name) in LABEL_NAMES and column.type not in NOT_PLAIN]
    if len(named) == 1:
        return named[0].name
    fitting = [column for column in named or others if could_be_label(column)]
    if len(fitting) > 1 and not named:
        # An answer column beside the text is what is left when names and identifiers are put aside.
        texts = [column.name for column in others if folded(column.name) in TEXT_NAMES]
        fitting = [column for column in fitting if not is_identifier(column) and column.name not in texts]
    if len(fitting) > 1:
        fitting = [column for column in fitting if column.distinct != 1] or fitting
    if len(fitting) == 1:
        return fitting[0].name
    if text is None and looks_like_a_table(columns):
        raise without_label(columns, where)
    if fitting:
        names = [column.name for column in fitting]
        raise InvalidInput(_ambiguous(where, "several columns could be the label", columns, names))
    hint = ""
    if text is None and sum(column.type == "text" for column in columns) > 1:
        hint = "  or, for texts and their translations:  task: translation, data: {source: <column>, target: <column>}"
    raise InvalidInput(_ambiguous(where, "no column looks like a label", columns, []) + hint)


def _find_text(columns: Sequence[ColumnProfile], label: str, where: str) -> str:
    others = [column for column in columns if column.name != label]
    named = [column for column in others if _named_text(column)]
    if len(named) == 1:
        return named[0].name
    if len(others) == 1:
        return others[0].name
    fitting = named or [column for column in others if column.type == "text" and not is_identifier(column)]
    fitting = sorted(fitting, key=lambda column: column.mean_length, reverse=True)
    if not fitting:
        raise InvalidInput(_ambiguous(where, "no column looks like text", columns, []))
    if len(fitting) > 1 and fitting[0].mean_length < _CLEARLY_LONGER * fitting[1].mean_length:
        close = [column.name for column in fitting if fitting[0].mean_length < _CLEARLY_LONGER * column.mean_length]
        raise InvalidInput(_ambiguous(where, "several columns could be the text", columns, close))
    return fitting[0].name


def _ambiguous(where: str, problem: str, columns: Sequence[ColumnProfile], candidates: Sequence[str]) -> str:
    which = f" ({listed(candidates)})" if candidates else ""
    return (
        f"{where}: {problem}{which}; its columns are {listed([column.name for column in columns])}; "
        "say which in the recipe:  data: {text: <column>, label: <column>}"
    )
