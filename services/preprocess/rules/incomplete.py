"""Rows that lack what the task needs: a text, a label, an image."""

from __future__ import annotations

from collections.abc import Mapping

from daft import Expression, col
from daft import functions as fn

from services.preprocess.change import Change, RowStep, Step
from services.preprocess.rules.columns import WORDS, Roles, listed
from tidemill.datasets import Column


def drop_empty_rows(roles: Roles) -> RowStep:
    """Rows go that have no value, or a text of white space alone, in any column that the task needs."""

    def make(columns: Mapping[str, Column]) -> Change:
        remove: Expression | None = None
        for name in roles.vital:
            column = columns.get(name)
            if column is None:
                continue
            empty = fn.is_null(col(name))
            if column.strings or column.kind in WORDS:
                # Not `strip`: no copy of the text is needed to see that something is in it.
                empty = empty | ~fn.regexp(col(name), r"\S")
            remove = empty if remove is None else remove | empty
        return Change(remove=remove)

    return Step("drop empty rows", f"rows without {listed(roles.vital)}", make)
