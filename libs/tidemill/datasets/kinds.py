"""What a column holds, told from its Arrow type or from all of its values; never from a few of them."""

from __future__ import annotations

import pyarrow as pa

from tidemill.datasets.schema import ColumnKind
from tidemill.datasets.values import BOOLEAN, DATE, INTEGER, NUMBER, NUMBER_WITH_COMMA, all_match

_MAX_CATEGORIES = 1_000
_LONGEST_CATEGORY = 100


def is_opaque(type: pa.DataType) -> bool:
    """Whether values are bytes, lists or structs, which go through as they are."""
    binary = pa.types.is_binary(type) or pa.types.is_large_binary(type) or pa.types.is_fixed_size_binary(type)
    return bool(binary or pa.types.is_nested(type) or pa.types.is_binary_view(type))


def kind_of_type(type: pa.DataType) -> ColumnKind | None:
    """The kind of a column of values that have a type; None of strings, whose values have to be looked at."""
    if pa.types.is_string(type):
        return None
    if pa.types.is_boolean(type):
        return "boolean"
    if pa.types.is_integer(type):
        return "integer"
    if pa.types.is_floating(type) or pa.types.is_decimal(type):
        return "number"
    if pa.types.is_temporal(type):
        return "date"
    return "empty" if pa.types.is_null(type) else "nested"


def fields_of(type: pa.DataType) -> tuple[str, ...]:
    """Names of the fields of structs, or of the structs in a list."""
    while pa.types.is_list(type) or pa.types.is_large_list(type) or pa.types.is_fixed_size_list(type):
        type = type.value_type
    return tuple(field.name for field in type) if pa.types.is_struct(type) else ()


class PossibleKinds:
    """Which kinds a column of strings can still have, after the values that went by."""

    def __init__(self, *, decimal_comma: bool = False) -> None:
        number = NUMBER_WITH_COMMA if decimal_comma else NUMBER
        self._patterns: dict[ColumnKind, str] = {
            "boolean": BOOLEAN, "date": DATE, "integer": INTEGER, "number": number,
        }  # fmt: skip

    def update(self, values: pa.Array) -> None:
        """Rule out what ``values`` (no nulls, no white space around them) cannot be."""
        if not len(values):
            return
        still: dict[ColumnKind, str] = {}
        for kind, pattern in self._patterns.items():
            # Every integer is a number too.
            if (kind == "number" and "integer" in still) or all_match(values, pattern):
                still[kind] = pattern
        self._patterns = still

    @property
    def numeric(self) -> bool:
        """Whether all values so far are numbers."""
        return "number" in self._patterns

    @property
    def narrowest(self) -> ColumnKind:
        """The kind that says most; ``text`` when the values have nothing in common."""
        return next(iter(self._patterns), "text")


def is_category(*, distinct: int | None, present: int, longest: int) -> bool:
    """Whether strings are rather the names of a few categories than texts."""
    few = max(2, min(_MAX_CATEGORIES, present // 2))
    return distinct is not None and distinct <= few and longest <= _LONGEST_CATEGORY
