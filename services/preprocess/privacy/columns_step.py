"""The row step that treats columns which are personal data as a whole (``privacy.columns``), as Daft expressions."""

from __future__ import annotations

from collections.abc import Mapping

import daft
import pyarrow as pa
from daft import DataType, Expression, Series, col

from services.preprocess.change import Change, Step
from services.preprocess.privacy.column_values import ColumnValues, result_kind
from services.preprocess.privacy.tokens import TOKENS, with_tokens
from tidemill.contracts.privacy import ColumnPrivacy
from tidemill.datasets import Column, DatasetSchema
from tidemill.errors import InvalidInput

NAME = "treat columns of personal data"
_PLAIN = frozenset({"text", "category", "integer", "number", "boolean", "date", "empty"})


def columns_step(
    rules: Mapping[str, ColumnPrivacy], schema: DatasetSchema, regions: tuple[str, ...], key: bytes | None, *,
    tokens_before: bool,
) -> Step:  # fmt: skip
    """The step for the columns of ``rules``; ``tokens_before``: a step before this one fills ``__tokens``."""

    def change(columns: Mapping[str, Column]) -> Change:
        _check(rules, columns, schema)
        new: dict[str, Expression] = {}
        entries = [col(TOKENS)] if tokens_before else []
        for name, rule in rules.items():
            if rule.treatment in ("keep", "drop"):
                continue
            treated = _treated(ColumnValues(columns[name], rule, regions, key), name)
            new[name] = treated["value"]
            if rule.treatment == "token":
                entries.append(treated["tokens"])
        if any(rule.treatment == "token" for rule in rules.values()):
            new[TOKENS] = with_tokens(entries)
        treated_columns = [name for name, rule in rules.items() if rule.treatment != "keep"]
        return Change(
            columns=new,
            counts={f"column {name}": col(name).not_null() for name in treated_columns},
            dropped_columns=tuple(name for name, rule in rules.items() if rule.treatment == "drop"),
        )

    def after(columns: Mapping[str, Column]) -> dict[str, Column]:
        _check(rules, columns, schema)
        kept = {name: one for name, one in columns.items() if name not in rules or rules[name].treatment != "drop"}
        return {name: result_kind(one, rules[name]) if name in rules else one for name, one in kept.items()}

    how = ", ".join(f"{name}: {rule.treatment}" for name, rule in rules.items())
    return Step(NAME, f"whatever is in them; {how}", change, after)


def _check(rules: Mapping[str, ColumnPrivacy], columns: Mapping[str, Column], schema: DatasetSchema) -> None:
    roles = {name: role for role, name in schema.roles.items()}
    for name, rule in rules.items():
        if name not in columns:
            raise InvalidInput(f"privacy.columns names {name!r}, which is not a column; there are {', '.join(columns)}")
        if rule.treatment in ("keep", "drop"):
            if rule.treatment == "drop" and name in roles:
                raise InvalidInput(
                    f"privacy.columns drops {name!r}, which the task needs as its {roles[name]}; mask, hash or "
                    "generalise it, or name another column"
                )
            continue
        if columns[name].kind not in _PLAIN:
            raise InvalidInput(
                f"privacy.columns: {name!r} holds {columns[name].kind} values, which can only be kept or dropped"
            )
        if rule.treatment == "fake" and columns[name].kind == "boolean":
            raise InvalidInput(f"privacy.columns: {name!r} is true or false, which no fake hides; mask or drop it")


def _treated(values: ColumnValues, name: str) -> Expression:
    @daft.func.batch(return_dtype=DataType.from_arrow_type(values.type), use_process=False)
    def treat_column(column: Series) -> pa.Array:
        return values(column.to_arrow())

    return treat_column(col(name))
