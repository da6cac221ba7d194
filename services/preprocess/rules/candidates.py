"""Python functions of strings in a Daft frame, called for the few values that need them; the rest stays in Arrow."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc
from daft import Series


def replaced(
    values: Series, candidate: Series, function: Callable[[str], str], source: Series | None = None
) -> pa.Array:
    """``values`` (strings), with ``function`` of the value where ``candidate`` (booleans) is true.

    ``source``: what ``function`` is given, when that is not the value itself.
    """
    array, mask = values.to_arrow(), _mask(candidate)
    if not mask.true_count:
        return array
    given = array if source is None else source.to_arrow()
    changed = [function(value) for value in given.filter(mask).to_pylist()]
    return pc.replace_with_mask(array, mask, pa.array(changed, array.type))


def parsed(values: Series, candidate: Series, function: Callable[[str], object], kind: pa.DataType) -> pa.Array:
    """``function`` of the value where ``candidate`` is true, null elsewhere; each distinct value is looked at once."""
    array, mask = values.to_arrow(), _mask(candidate)
    nothing = pa.nulls(len(array), kind)
    if not mask.true_count:
        return nothing
    codes = array.filter(mask).dictionary_encode()
    distinct = pa.array([function(value) for value in codes.dictionary.to_pylist()], kind)
    return pc.replace_with_mask(nothing, mask, distinct.take(codes.indices))


def _mask(candidate: Series) -> pa.BooleanArray:
    return candidate.to_arrow().fill_null(False)
