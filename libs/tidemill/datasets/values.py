"""How values stand in text: which strings are integers, numbers, booleans or dates, and what number a string is.

One definition for whoever reads or converts them. The patterns mean the same to RE2 (Arrow) and to Rust (Daft, Polars);
they expect white space around the value to be gone. Knows nothing of columns.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tidemill.contracts.preparation import ValueType

_MONTH, _DAY = "(?:0?[1-9]|1[0-2])", "(?:0?[1-9]|[12][0-9]|3[01])"
_TIME = r"(?:[T ](?:[01]?[0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:\.[0-9]+)?)?(?: ?(?:Z|[+-][0-9]{2}:?[0-9]{2}))?)?"

INTEGER = r"^[+-]?[0-9]+$"
NUMBER = r"^[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?$"
NUMBER_WITH_COMMA = r"^[+-]?(?:[0-9]+,?[0-9]*|,[0-9]+)(?:[eE][+-]?[0-9]+)?$"
"""``1,5``; no thousands separators."""
BOOLEAN = r"^(?i:true|false|yes|no)$"
"""What makes a column one of booleans when nobody says that it is."""
DECLARED_BOOLEAN = r"^(?i:true|false|yes|no|t|f|y|n|1|0|是|否|真|假)$"
"""What is a boolean in a column that the recipe says holds booleans."""
DATE = f"^[0-9]{{4}}(?:-{_MONTH}-{_DAY}|/{_MONTH}/{_DAY}|年{_MONTH}月{_DAY}日){_TIME}$"
"""Year first: ISO 8601, ``2026/1/31``, ``2026年1月31日``; with a time of day or not."""

_PATTERNS: dict[ValueType, str] = {
    "integer": INTEGER,
    "number": NUMBER,
    "boolean": DECLARED_BOOLEAN,
    "date": DATE,
}


def readable(text: pa.Array, type: ValueType, *, decimal_comma: bool = False) -> pa.BooleanArray:
    """Which strings of ``text`` (white space around them gone) can be read as ``type``; null where they are null."""
    if type == "number" and decimal_comma:
        return pc.match_substring_regex(text, NUMBER_WITH_COMMA)
    pattern = _PATTERNS.get(type)
    if pattern is None:
        return pc.is_valid(text)
    return pc.match_substring_regex(text, pattern)


def as_numbers(text: pa.Array, *, decimal_comma: bool = False) -> npt.NDArray[np.float64]:
    """The numbers that strings matching ``NUMBER`` (or ``NUMBER_WITH_COMMA``) stand for; infinite beyond float64."""
    if decimal_comma:
        text = pc.replace_substring(text, ",", ".")
    return pc.cast(text, pa.float64()).to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]


def all_match(values: pa.Array, pattern: str) -> bool:
    """Whether all of ``values``, of which there is at least one, match ``pattern``."""
    # Most columns are ruled out by their first value.
    return all(pc.all(pc.match_substring_regex(some, pattern)).as_py() for some in (values.slice(0, 1), values))


def is_marker(text: pa.Array, markers: Sequence[str]) -> pa.BooleanArray:
    """Which strings are one of ``markers`` or empty, so that they say 'missing'; white space around them gone."""
    return pc.is_in(text, value_set=pa.array(["", *markers], pa.string()))
