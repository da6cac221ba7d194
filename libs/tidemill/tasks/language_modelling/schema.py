"""Language modelling's data: one column with texts to learn a language from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tidemill.contracts.data import Data
from tidemill.errors import InvalidInput
from tidemill.tasks.columns import TEXT_NAMES, folded, is_identifier, known, listed, named_roles, require
from tidemill.tasks.profile import ColumnProfile, ColumnType

COLUMN_NAMES = TEXT_NAMES
HAS_CLASSES = False


def suits(columns: Sequence[ColumnProfile], data: Data) -> bool:
    """Whether there is nothing but one column of texts: lines of text, or one that is named as such.

    Another lone column is more likely a table whose delimiter was not found.
    """
    if len(columns) != 1 or columns[0].type != "text" or data.label is not None:
        return False
    name = columns[0].name
    return data.format == "lines" or name == data.text or folded(name) in TEXT_NAMES


def resolve_columns(columns: Sequence[ColumnProfile], data: Data, where: str) -> Data:
    """``data`` with ``text`` filled in: the column that is named so, or the only one with texts.

    Raises:
        InvalidInput: there is none, or several would do.
    """
    if data.text is not None:
        column = require(columns, data.text, "data.text", where)
        if column.type != "text":
            raise InvalidInput(
                f"{where}, column {column.name!r}: data.text has to be a column of texts, not {column.type} values"
            )
        return data
    texts = [column for column in columns if column.type == "text" and not is_identifier(column)]
    fitting = [column for column in texts if folded(column.name) in TEXT_NAMES] or texts
    if len(fitting) != 1:
        problem = "several columns could be the text" if fitting else "no column holds texts"
        raise InvalidInput(
            f"{where}: {problem}; its columns are {listed([column.name for column in columns])}; "
            "say which in the recipe:  task: language-modelling, data: {text: <column>}"
        )
    return data.model_copy(update={"text": fitting[0].name})


def roles(data: Data) -> dict[str, str]:
    """``text``."""
    return named_roles(text=data.text)


def features(columns: Mapping[str, ColumnType], data: Data) -> tuple[str, ...]:
    """The text."""
    return known(columns, data.text)
