"""Values become values of their column's type: 64-bit integers and numbers, booleans, moments, texts.

Reads text as ``numbers`` and ``dates`` say; plain forms are Daft expressions, and Python sees the other ones only.
"""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
from daft import DataType, Expression, Series, col, func, lit
from daft import functions as fn

from services.preprocess.change import Change, RowStep, Step
from services.preprocess.rules.candidates import parsed
from services.preprocess.rules.columns import NUMBERS, PLAIN, WORDS, Roles, listed
from services.preprocess.rules.dates import ISO, parse_date
from services.preprocess.rules.numbers import INTEGER, NUMBER, parse_integer, parse_number
from tidemill.contracts.preparation import Types
from tidemill.datasets import Column
from tidemill.datasets.schema import ColumnKind
from tidemill.errors import InvalidInput

TRUE = ("true", "yes", "y", "t", "1", "是")
FALSE = ("false", "no", "n", "f", "0", "否")
MOMENT = DataType.timestamp("us")
_CASTS = {
    "integer": DataType.int64(), "number": DataType.float64(), "boolean": DataType.bool(), "date": MOMENT,
    "text": DataType.string(), "category": DataType.string(),
}  # fmt: skip
_NOUNS = {
    "integer": "whole number", "number": "number", "boolean": "boolean (yes or no, true or false, 1 or 0)",
    "date": "date that can be read in one way only",
}  # fmt: skip


def coerce_types(rule: Types, roles: Roles) -> RowStep:
    """Columns as the recipe or the schema types them; texts and classes are text, a regression's value is a number."""

    def make(columns: Mapping[str, Column]) -> Change:
        values: dict[str, Expression] = {}
        bad: dict[str, Expression] = {}
        for name, kind in _targets(rule, roles, columns).items():
            if kind in WORDS and (columns[name].strings or columns[name].kind in WORDS):
                continue
            values[name] = as_kind(columns[name], kind, decimal_comma=rule.decimal_comma)
            if kind not in WORDS:
                bad[name] = fn.is_null(values[name]) & ~fn.is_null(col(name))
        if rule.on_bad_value == "fail":
            fails = {_message(name, _targets(rule, roles, columns)[name]): found for name, found in bad.items()}
            return Change(values, fails=fails)
        if rule.on_bad_value == "drop":
            remove: Expression | None = None
            for found in bad.values():
                remove = found if remove is None else remove | found
            return Change(values, remove=remove)
        return Change(values, counts=bad)

    def after(columns: Mapping[str, Column]) -> dict[str, Column]:
        targets = _targets(rule, roles, columns)
        return {
            name: Column(name=name, kind=targets[name], strings=targets[name] in WORDS) if name in targets else column
            for name, column in columns.items()
        }

    named = [f"{name} {kind}" for name, kind in rule.columns.items()]
    outcome = {"missing": "becomes missing", "drop": "removes its row", "fail": "fails the run"}[rule.on_bad_value]
    says = "values become values of their columns' types" + (f" ({listed(named)})" if named else "")
    return Step("coerce types", f"{says}; what cannot be read {outcome}", make, after)


def as_kind(column: Column, kind: ColumnKind, *, decimal_comma: bool = False) -> Expression:
    """The column as values of ``kind``; null where that cannot be done."""
    value = col(column.name)
    if not column.strings and column.kind not in WORDS:
        return _converted(value, column.kind, kind, decimal_comma)
    text = fn.strip(fn.cast(value, DataType.string()))
    if kind in WORDS:
        return fn.cast(value, DataType.string())
    if kind == "boolean":
        lower = fn.lower(text)
        return fn.when(fn.is_in(lower, list(TRUE)), lit(True)).when(fn.is_in(lower, list(FALSE)), lit(False))
    return _read(text, kind, decimal_comma)


def _read(text: Expression, kind: ColumnKind, decimal_comma: bool) -> Expression:
    pattern = {"integer": INTEGER, "number": NUMBER.replace(r"\.", ",") if decimal_comma else NUMBER, "date": ISO}[kind]
    plain = fn.regexp(text, pattern)
    simple = fn.replace(text, ",", ".") if decimal_comma and kind == "number" else text
    cast = fn.when(plain, fn.try_cast(simple, _CASTS[kind]))
    if kind == "date":
        return fn.coalesce(cast, _dates(text, ~plain))
    if kind == "integer":
        return fn.coalesce(cast, _integers(text, ~plain, decimal_comma))
    return _finite(fn.coalesce(cast, _numbers(text, ~plain, decimal_comma)))


def _converted(value: Expression, was: ColumnKind, kind: ColumnKind, decimal_comma: bool) -> Expression:
    """From one type of Arrow's to another; what the two do not share goes the way of text."""
    if kind == was or (was == "integer" and kind == "number"):
        return _finite(fn.cast(value, _CASTS[kind])) if kind == "number" else fn.cast(value, _CASTS[kind])
    if was == "number" and kind == "integer":
        number = fn.cast(value, DataType.float64())
        whole = (fn.floor(number) == number) & (fn.abs(number) < lit(2.0**63))
        return fn.when(whole, fn.cast(number, DataType.int64()))
    if was in NUMBERS and kind == "boolean":
        return fn.when(value == 1, lit(True)).when(value == 0, lit(False))
    if was == "boolean" and kind in NUMBERS:
        return fn.cast(fn.cast(value, DataType.int8()), _CASTS[kind])
    text = as_text(value, was)
    return text if kind in WORDS else _read(text, kind, decimal_comma)


def as_text(value: Expression, kind: ColumnKind) -> Expression:
    """A value of Arrow's as text: whole numbers without a point, moments as ISO 8601."""
    if kind == "date":
        return fn.cast(fn.cast(value, MOMENT), DataType.string())
    text = fn.cast(value, DataType.string())
    return fn.regexp_replace(text, r"^(-?[0-9]+)\.0$", "${1}") if kind == "number" else text


def _targets(rule: Types, roles: Roles, columns: Mapping[str, Column]) -> dict[str, ColumnKind]:
    """The kind that each column of plain values has to have."""
    targets: dict[str, ColumnKind] = {}
    for name, column in columns.items():
        own = rule.columns.get(name)
        if column.kind not in PLAIN and not (column.kind == "empty" and own is not None):
            if own is not None:
                raise InvalidInput(f"data.types.columns.{name}: a column of kind {column.kind} cannot become {own}")
            continue
        kind: ColumnKind = own or column.kind
        if name in roles.texts or name == roles.label:
            if own is not None and own not in WORDS:
                raise InvalidInput(f"data.types.columns.{name}: the task's text and classes are text, not {own}")
            kind = "text" if name in roles.texts else "category"
        elif name == roles.value and kind not in NUMBERS:
            kind = "number"
        targets[name] = kind
    return targets


def _message(name: str, kind: ColumnKind) -> str:
    return (
        f'column "{name}" has a value that is no {_NOUNS[kind]}; fix the row, name another type in '
        f"data.types.columns, or set data.types.on_bad_value to missing or drop"
    )


def _finite(number: Expression) -> Expression:
    return fn.when(fn.is_inf(number) | fn.is_nan(number), lit(None)).otherwise(number)


@func.batch(return_dtype=DataType.float64(), use_process=False)
def _numbers(text: Series, candidate: Series, decimal_comma: bool) -> pa.Array:
    return parsed(text, candidate, lambda value: parse_number(value, decimal_comma=decimal_comma), pa.float64())


@func.batch(return_dtype=DataType.int64(), use_process=False)
def _integers(text: Series, candidate: Series, decimal_comma: bool) -> pa.Array:
    return parsed(text, candidate, lambda value: parse_integer(value, decimal_comma=decimal_comma), pa.int64())


@func.batch(return_dtype=MOMENT, use_process=False)
def _dates(text: Series, candidate: Series) -> pa.Array:
    return parsed(text, candidate, parse_date, pa.timestamp("us"))
