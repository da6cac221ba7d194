"""The values that a column may have."""

from __future__ import annotations

import math
from collections.abc import Mapping

from daft import DataType, Expression, col, lit
from daft import functions as fn

from services.preprocess.change import Change, RowStep, Step
from services.preprocess.rules.coercion import FALSE, TRUE
from services.preprocess.rules.columns import NUMBERS, WORDS, listed
from services.preprocess.rules.numbers import parse_number
from tidemill.contracts.preparation import Bounds
from tidemill.datasets import Column
from tidemill.errors import InvalidInput

_LEAST, _MOST = -(2**63), 2**63 - 1


def bounds(rules: Mapping[str, Bounds]) -> RowStep:
    """Values outside of their column's bounds become missing, take the bound, or their row goes, or the run fails."""

    def make(columns: Mapping[str, Column]) -> Change:
        values: dict[str, Expression] = {}
        counts: dict[str, Expression] = {}
        fails: dict[str, Expression] = {}
        remove: Expression | None = None
        for name, rule in rules.items():
            outside = _outside(columns[name], rule)
            if rule.action == "fail":
                fails[_message(name, rule)] = outside
            elif rule.action == "drop":
                remove = outside if remove is None else remove | outside
            else:
                missing = fn.when(outside, lit(None)).otherwise(col(name))
                values[name] = _clipped(columns[name], rule) if rule.action == "clip" else missing
                counts[name] = outside
        return Change(values, remove=remove, counts=counts, fails=fails)

    says = [f"{name} {_range(rule)} ({rule.action})" for name, rule in rules.items()]
    return Step("bounds", f"values outside of their bounds: {listed(says)}", make)


def _outside(column: Column, rule: Bounds) -> Expression:
    """Whether the value is there and outside."""
    value = col(column.name)
    found: list[Expression] = []
    if rule.minimum is not None or rule.maximum is not None:
        if column.kind not in NUMBERS:
            raise InvalidInput(
                f"data.bounds.{column.name}: a column of kind {column.kind} has no minimum or maximum; use allowed, or "
                f"name its type: data: {{types: {{columns: {{{column.name}: number}}}}}}"
            )
        number = fn.cast(value, DataType.float64())
        found += [number < lit(rule.minimum)] if rule.minimum is not None else []
        found += [number > lit(rule.maximum)] if rule.maximum is not None else []
    if rule.allowed is not None:
        found.append(~fn.is_in(value, _allowed(column, rule.allowed)))
    outside = found[0]
    for other in found[1:]:
        outside = outside | other
    return outside & ~fn.is_null(value)


def _allowed(column: Column, allowed: list[str]) -> list[str] | list[float] | list[int] | list[bool]:
    """What is allowed, as values of the column's kind."""
    key = f"data.bounds.{column.name}.allowed"
    if column.kind in WORDS:
        return allowed
    if column.kind in NUMBERS:
        numbers = [parse_number(text) for text in allowed]
        if None in numbers:
            raise InvalidInput(f"{key}: {allowed[numbers.index(None)]!r} is no number, and the column holds numbers")
        found = [number for number in numbers if number is not None]
        return [int(number) for number in found if number == int(number)] if column.kind == "integer" else found
    if column.kind == "boolean":
        wrong = [text for text in allowed if text.lower() not in (*TRUE, *FALSE)]
        if wrong:
            raise InvalidInput(f"{key}: {wrong[0]!r} is neither true nor false, and the column holds nothing else")
        return [text.lower() in TRUE for text in allowed]
    raise InvalidInput(f"{key}: a column of kind {column.kind} cannot be bounded; take it out")


def _clipped(column: Column, rule: Bounds) -> Expression:
    low, high = rule.minimum, rule.maximum
    if column.kind == "number":
        return fn.clip(col(column.name), *(None if end is None else lit(end) for end in (low, high)))
    # The nearest whole numbers inside, so that an integer stays one.
    first = _LEAST if low is None else math.ceil(min(max(low, _LEAST), 2.0**63))
    last = _MOST if high is None or high > _MOST else math.floor(max(high, -(2.0**64)))
    if first > last:
        raise InvalidInput(
            f"data.bounds.{column.name}: there is no whole number of 64 bits between {first if low is None else low} "
            f"and {last if high is None else high}"
        )
    return fn.clip(col(column.name), lit(first), lit(last))


def _range(rule: Bounds) -> str:
    parts = []
    if rule.minimum is not None:
        parts.append(f"from {rule.minimum:g}")
    if rule.maximum is not None:
        parts.append(f"up to {rule.maximum:g}")
    if rule.allowed is not None:
        parts.append(f"one of {listed(rule.allowed)}")
    return " and ".join(parts)


def _message(name: str, rule: Bounds) -> str:
    return (
        f'column "{name}" has a value that is not {_range(rule)}; fix the row, or set data.bounds.{name}.action to '
        "missing, drop or clip"
    )
