"""What the tests of repairs share: running a task's repairs on a table, locally, as the plan does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import daft
import pyarrow as pa
import pytest
from daft import DataType, col, lit
from daft.functions import fill_null

from services.preprocess.python_calls import with_columns
from services.preprocess.repairs import repairs_for
from tidemill.datasets import Column


@dataclass(frozen=True)
class Repaired:
    rows: list[dict[str, Any]]
    removed: dict[str, int]
    """Rows that each step removed, by its name; steps that removed none are left out."""
    counts: dict[str, int]
    """What the steps counted; zeros are left out."""


Repair = Callable[[str, Mapping[str, str], pa.Table], Repaired]


@pytest.fixture
def repair() -> Repair:
    """All repairs of a task, one after the other."""

    def run(task: str, roles: Mapping[str, str], table: pa.Table) -> Repaired:
        columns = {name: Column(name=name, kind="text") for name in table.column_names}
        frame = daft.from_arrow(table)
        removed: dict[str, int] = {}
        counts: dict[str, int] = {}
        for step in repairs_for(task, roles):
            change = step.change(columns)
            columns = step.columns_after(columns)
            gone = lit(False) if change.remove is None else fill_null(change.remove, lit(False))
            counted = {f"__{what}": number.cast(DataType.int64()) for what, number in change.counts.items()}
            frame = with_columns(frame, {**change.columns, **counted, "__gone": gone}).collect()
            stays = frame.where(~col("__gone")).collect()
            removed[step.name] = len(frame) - len(stays)
            sums = stays.agg(*(col(name).sum() for name in counted)).to_pydict() if counted else {}
            counts |= {name.removeprefix("__"): values[0] for name, values in sums.items()}
            frame = stays.select(*columns)
        return Repaired(
            frame.to_pylist(),
            {name: rows for name, rows in removed.items() if rows},
            {what: number for what, number in counts.items() if number},
        )

    return run
