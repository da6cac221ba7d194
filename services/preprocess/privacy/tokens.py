"""The hidden column that carries the entries of the vault through the frame, encrypted already."""

from __future__ import annotations

from collections.abc import Sequence

import daft
import pyarrow as pa
from daft import DataType, Expression, Series

from services.preprocess.privacy.vault import ENTRY

TOKENS = "__tokens"
"""Lists of ``vault.ENTRY``, null where a row has none. Collected by whoever runs the frame, never written."""


@daft.func.batch(return_dtype=DataType.from_arrow_type(pa.list_(ENTRY)), use_process=False)
def _concatenated(*lists: Series) -> pa.Array:
    rows = zip(*(one.to_arrow().to_pylist() for one in lists), strict=True)
    joined = [[entry for own in row if own for entry in own] or None for row in rows]
    return pa.array(joined, pa.list_(ENTRY))


def with_tokens(lists: Sequence[Expression]) -> Expression:
    """One list of entries of several; null when all are."""
    return lists[0] if len(lists) == 1 else _concatenated(*lists)
