"""What the tests of the rules share: folding steps over a few rows, without a plan."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import daft
import pyarrow as pa
import pytest
from daft import DataType, col, lit
from daft import functions as fn

from services.preprocess.change import REMOVED, ROW, Change
from services.preprocess.python_calls import with_columns
from services.preprocess.rules import fitted_steps, row_steps
from tidemill.contracts.data import Data
from tidemill.datasets import Column, DatasetSchema


@dataclass
class Outcome:
    """Columns of the rows that stay, the rows (from 1) that each step removed, its counts, the messages of failures."""

    columns: dict[str, list[Any]]
    kinds: dict[str, str]
    removed: dict[str, list[int]] = field(default_factory=dict)
    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    fails: dict[str, int] = field(default_factory=dict)
    steps: list[str] = field(default_factory=list)
    fitted: dict[str, Any] = field(default_factory=dict)

    def __getitem__(self, name: str) -> list[Any]:
        return self.columns[name]


def schema_of(table: pa.Table, kinds: Mapping[str, str], task: str, roles: Mapping[str, str]) -> DatasetSchema:
    def column(name: str) -> Column:
        strings = pa.types.is_string(table[name].type) or pa.types.is_null(table[name].type)
        return Column(name=name, kind=kinds.get(name, "text" if strings else "number"), strings=strings)

    return DatasetSchema(task=task, roles=dict(roles), columns=[column(name) for name in table.column_names])


class Fold:
    """Steps over a frame, one after the other."""

    def __init__(self, table: pa.Table, schema: DatasetSchema) -> None:
        numbered = table.append_column(ROW, pa.array(range(1, table.num_rows + 1), pa.int64()))
        self.frame = daft.from_arrow(numbered).with_column(REMOVED, lit(None).cast(DataType.string()))
        self.columns = {column.name: column for column in schema.columns}
        self.outcome = Outcome({}, {})

    def apply(self, name: str, change: Change, after: Mapping[str, Column]) -> None:
        new = dict(change.columns)
        for kind, expressions in (("count", change.counts), ("fail", change.fails)):
            for what, expression in expressions.items():
                new[f"__{kind}|{name}|{what}"] = expression.cast(DataType.int64())
        if change.remove is not None:
            goes = col(REMOVED).is_null() & change.remove.fill_null(False)
            new[REMOVED] = fn.when(goes, lit(name)).otherwise(col(REMOVED))
        self.frame = with_columns(self.frame, new).exclude(*change.dropped_columns)
        self.columns = dict(after)
        self.outcome.steps.append(name)

    def collect(self) -> Outcome:
        rows = self.frame.to_pydict()
        stays = [removed is None for removed in rows[REMOVED]]
        for row, removed in zip(rows[ROW], rows[REMOVED], strict=True):
            if removed is not None:
                self.outcome.removed.setdefault(removed, []).append(row)
        for name, values in rows.items():
            kind, *rest = name.split("|", 2)
            kept = [value for value, stay in zip(values, stays, strict=True) if stay]
            if kind == "__count" and any(kept):
                counts = self.outcome.counts.setdefault(rest[0], {})
                counts[rest[1]] = sum(value or 0 for value in kept)
            elif kind == "__fail" and any(values):
                first = next(row for row, value in zip(rows[ROW], values, strict=True) if value)
                self.outcome.fails[rest[1]] = first
            elif not name.startswith("__"):
                self.outcome.columns[name] = kept
        self.outcome.kinds = {name: column.kind for name, column in self.columns.items()}
        return self.outcome

    def table(self, columns: Sequence[str]) -> pa.Table:
        return self.frame.where(col(REMOVED).is_null()).select(*columns).to_arrow()


Prepare = Callable[..., Outcome]


@pytest.fixture
def prepare() -> Prepare:
    """Rows through all steps of a recipe's data section. A training table of its own is fitted on, else the rows."""

    def run(
        rows: Mapping[str, Any] | pa.Table, *, kinds: Mapping[str, str] | None = None,
        task: str = "tabular-classification", roles: Mapping[str, str] | None = None,
        labels: Mapping[str, Counter[str]] | None = None, training: Mapping[str, Any] | None = None, **data: Any,
    ) -> Outcome:  # fmt: skip
        table = rows if isinstance(rows, pa.Table) else pa.table(dict(rows))
        schema = schema_of(table, kinds or {}, task, roles or {})
        recipe = Data.model_validate(data)
        fold = Fold(table, schema)
        fit_on = fold if training is None else Fold(pa.table(dict(training)).cast(table.schema), schema)
        both = [fold] if training is None else [fold, fit_on]
        for step in row_steps(recipe, schema, labels):
            for one in both:
                one.apply(step.name, step.change(one.columns), step.columns_after(one.columns))
        for step in fitted_steps(recipe, schema):
            needs = list(step.needs(fit_on.columns))
            if not needs:
                continue
            fitted = step.fit(fit_on.table(needs))
            fold.outcome.fitted[step.name] = fitted
            for one in both:
                one.apply(step.name, step.change(one.columns, fitted), step.columns_after(one.columns, fitted))
        return fold.collect()

    return run


@pytest.fixture
def texts(prepare: Prepare) -> Prepare:
    """Texts through the steps for text classification."""

    def run(values: Sequence[str | None], **data: Any) -> Outcome:
        rows = {"text": pa.array(values, pa.string()), "label": pa.array(["a"] * len(values), pa.string())}
        roles = {"text": "text", "label": "label"}
        return prepare(rows, kinds={"label": "category"}, task="text-classification", roles=roles, **data)

    return run
