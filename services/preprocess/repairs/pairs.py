"""Translation: both sides are there, differ, and can be translations of each other by their lengths.

Lengths are compared in bytes of UTF-8, in which a Chinese or Japanese sentence is about as long as its English
translation (median 1.04 over 32,028 English-Chinese pairs of Tatoeba); in characters it would be a third. Ten bytes are
added to both, because short sentences vary more. The bound is fixed: pairs beyond it are misaligned in any language.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from daft import DataType, Expression, col, lit
from daft.functions import length_bytes, strip

from services.preprocess.change import Change, RowStep, Step
from tidemill.datasets import Column

MAX_LENGTH_RATIO = 4.0
_ADDED_BYTES = 10


def pair_steps(source: str, target: str) -> list[RowStep]:
    """Remove pairs with an empty side, pairs of one and the same text, and pairs of very different lengths."""
    return [
        Step(
            "remove empty pairs",
            "pairs of which a side is empty or white space alone",
            partial(_without_empty, source, target),
        ),
        Step(
            "remove copies",
            "pairs with the same text on both sides: nothing was translated",
            partial(_without_copies, source, target),
        ),
        Step(
            "remove unequal lengths",
            f"pairs of which one side is more than {MAX_LENGTH_RATIO:g} times as long as the other in bytes of UTF-8, "
            f"with {_ADDED_BYTES} bytes added to both",
            partial(_without_outliers, source, target),
        ),
    ]


def _without_empty(source: str, target: str, columns: Mapping[str, Column]) -> Change:
    if not {source, target} <= columns.keys():
        return Change()
    return Change(remove=_is_empty(source) | _is_empty(target))


def _without_copies(source: str, target: str, columns: Mapping[str, Column]) -> Change:
    if not {source, target} <= columns.keys():
        return Change()
    return Change(remove=strip(col(source)).eq_null_safe(strip(col(target))))


def _without_outliers(source: str, target: str, columns: Mapping[str, Column]) -> Change:
    if not {source, target} <= columns.keys():
        return Change()
    one, other = _length(source), _length(target)
    return Change(remove=(one > other * MAX_LENGTH_RATIO) | (other > one * MAX_LENGTH_RATIO))


def _is_empty(column: str) -> Expression:
    return col(column).is_null() | (length_bytes(strip(col(column))) < lit(1))


def _length(column: str) -> Expression:
    return length_bytes(strip(col(column))).cast(DataType.float64()) + _ADDED_BYTES
