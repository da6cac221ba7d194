"""What means 'missing', and what happens to missing values where nothing has to be fitted for it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime

from daft import DataType, Expression, col, lit
from daft import functions as fn

from services.preprocess.change import Change, RowStep, Step
from services.preprocess.rules.columns import NUMBERS, PLAIN, WORDS, Roles, check_new, listed
from services.preprocess.rules.dates import parse_date
from tidemill.contracts.preparation import Constant, Missing, MissingRule
from tidemill.datasets import Column
from tidemill.errors import InvalidInput

Rule = MissingRule | Constant
MODAL = PLAIN - {"text"}
"""Kinds that have a most frequent value."""


def strip_spaces(roles: Roles) -> RowStep:
    """Values of text formats, without the white space around them; the task's texts are not touched."""

    def make(columns: Mapping[str, Column]) -> Change:
        stripped = {name: fn.strip(col(name)) for name in _from_text(columns, roles)}
        return Change(stripped, counts={name: value != col(name) for name, value in stripped.items()})

    return Step("strip spaces", "white space around the values of text formats is no part of them", make)


def missing_markers(rule: Missing, roles: Roles) -> RowStep:
    """Null for what means 'missing': a marker of a text format, the empty text, NaN among numbers."""

    def make(columns: Mapping[str, Column]) -> Change:
        marked = {name: fn.is_in(col(name), ["", *rule.markers]) for name in _from_text(columns, roles)}
        for name, column in columns.items():
            if column.kind == "number" and not column.strings:
                marked[name] = fn.is_nan(fn.cast(col(name), DataType.float64()))
        changed = {name: fn.when(mark, lit(None)).otherwise(col(name)) for name, mark in marked.items()}
        return Change(changed, counts=marked)

    return Step("missing markers", f"values that mean 'missing' ({', '.join(map(repr, rule.markers))}, empty)", make)


def missing_rules(rule: Missing, roles: Roles, columns: Mapping[str, Column]) -> dict[str, Rule]:
    """What happens to each feature column: its own rule, or the default where that can be applied to its kind.

    Raises InvalidInput when a column's own rule cannot be applied to its kind.
    """
    rules: dict[str, Rule] = {}
    for name in roles.features(columns):
        own, kind = rule.columns.get(name), columns[name].kind
        if own is not None:
            _check(name, kind, own)
            rules[name] = own
        elif rule.default == "median" and kind not in NUMBERS:
            rules[name] = "mode" if kind in MODAL else "keep"
        elif isinstance(rule.default, Constant):
            rules[name] = rule.default if constant_value(rule.default, kind, strict=True) is not None else "keep"
        else:
            rules[name] = "keep" if rule.default == "mode" and kind not in MODAL else rule.default
    for name in rule.columns:
        if name in roles.needed:
            raise InvalidInput(
                f"data.missing.columns names {name!r}, which is the task's own: rows without it are always dropped; "
                "take it out"
            )
    return {name: found for name, found in rules.items() if found != "keep"}


def missing_values(rule: Missing, roles: Roles) -> RowStep:
    """Rows go, flags are added, constants filled in; what has to be fitted is left for later."""

    def make(columns: Mapping[str, Column]) -> Change:
        rules = missing_rules(rule, roles, columns)
        values: dict[str, Expression] = {}
        counts: dict[str, Expression] = {}
        for name, found in rules.items():
            if found == "flag":
                check_new(flag_column(name), columns, "data.missing")
                values[flag_column(name)] = counts[name] = fn.is_null(col(name))
            elif isinstance(found, Constant):
                counts[name] = fn.is_null(col(name))
                values[name] = filled(name, columns[name], constant_value(found, columns[name].kind))
        drop = [name for name, found in rules.items() if found == "drop"]
        return Change(values, remove=any_missing(drop), counts=counts)

    def after(columns: Mapping[str, Column]) -> dict[str, Column]:
        rules = missing_rules(rule, roles, columns)
        flags = [flag_column(name) for name, found in rules.items() if found == "flag"]
        return {**columns, **{name: Column(name=name, kind="boolean") for name in flags}}

    return Step("missing values", _says(rule), make, after)


def flag_column(name: str) -> str:
    """The column that says where ``name`` had no value."""
    return f"{name}_missing"


def any_missing(names: Sequence[str]) -> Expression | None:
    """Whether any of the columns is null; None without columns."""
    found: Expression | None = None
    for name in names:
        null = fn.is_null(col(name))
        found = null if found is None else found | null
    return found


def filled(name: str, column: Column, value: object) -> Expression:
    """The column with ``value`` where it is null."""
    literal = lit(value)
    if column.kind == "date":
        literal = fn.cast(literal, DataType.timestamp("us"))
    return fn.fill_null(col(name), literal)


def constant_value(rule: Constant, kind: str, *, strict: bool = False) -> float | int | str | bool | datetime | None:
    """The constant as a value of a column of ``kind``, None when it cannot be one.

    ``strict``: only values of the kind itself, so that one default for all columns fills numbers with numbers.
    """
    value = rule.constant
    if kind == "boolean":
        return value if isinstance(value, bool) else None
    if isinstance(value, bool):
        return None if strict or kind not in WORDS else str(value).lower()
    if kind in WORDS:
        if isinstance(value, str):
            return value
        return None if strict else f"{value:.17g}"
    if kind == "date":
        return parse_date(value) if isinstance(value, str) else None
    if isinstance(value, str) or kind not in NUMBERS or not math.isfinite(value):
        return None
    if kind == "integer":
        return int(value) if value == int(value) else None
    return float(value)


def _check(name: str, kind: str, rule: Rule) -> None:
    if rule == "median" and kind not in NUMBERS:
        raise InvalidInput(
            f"data.missing.columns.{name}: a column of kind {kind} has no median; use mode or a constant"
        )
    if rule == "mode" and kind not in MODAL:
        raise InvalidInput(
            f"data.missing.columns.{name}: a column of kind {kind} has no most frequent value; use a constant, drop or "
            f"flag, or name its type: data: {{types: {{columns: {{{name}: category}}}}}}"
        )
    if isinstance(rule, Constant) and constant_value(rule, kind) is None:
        raise InvalidInput(f"data.missing.columns.{name}: {rule.constant!r} is no value of a column of kind {kind}")


def _from_text(columns: Mapping[str, Column], roles: Roles) -> list[str]:
    return [name for name, column in columns.items() if column.strings and name not in roles.texts]


def _says(rule: Missing) -> str:
    def word(found: Rule) -> str:
        return f"becomes {found.constant!r}" if isinstance(found, Constant) else found

    own = [f"{name} {word(found)}" for name, found in rule.columns.items()]
    return f"missing values: {word(rule.default)}" + (f"; {listed(own)}" if own else "")
