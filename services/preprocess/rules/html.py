"""Texts without HTML."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
from daft import DataType, Series, col, func
from daft import functions as fn

from services.preprocess.change import Change, RowStep, Step
from services.preprocess.rules.candidates import replaced
from services.preprocess.rules.columns import Roles
from tidemill.datasets import Column
from tidemill.texts import strip_html


def remove_html(roles: Roles) -> RowStep:
    """The task's texts without HTML."""

    def make(columns: Mapping[str, Column]) -> Change:
        values = {name: _stripped(col(name), fn.regexp(col(name), "[<&]")) for name in roles.texts if name in columns}
        return Change(values)

    return Step("strip HTML", "tags removed, scripts and styles with their content, entities as characters", make)


@func.batch(return_dtype=DataType.string(), use_process=False)
def _stripped(text: Series, candidate: Series) -> pa.Array:
    return replaced(text, candidate, strip_html)
