"""Exact and near duplicates: which rows say what others said before, and which must not be in different parts.

Map: hidden key columns, as Daft expressions of a shard's rows after the row steps.

    exact_keys(columns, roles, task) -> dict[str, Expression]      EXAMPLE, CONTENT and LEAKAGE: two uint64 columns each
    near_keys(column, rule) -> dict[str, Expression]               TEXT (two uint64), BANDS (binary), TOKENS (a list)

Keep each shard's keys as one Parquet file of their own, one row for every row of the shard, also for removed ones.

Decide: NumPy over all rows. "All rows" are the shards one after the other: parts in the order train, validation, test,
(or ``data``), shards in their order; a row's position in there is its number here, from 0.

    keys = KeyFiles(paths)                                         reads a column at a time
    found = find_duplicates(keys, part, staying, rules)            -> Duplicates
    later = rows_in_later_parts(part, found.group, staying)        rows whose group reaches a later part, for parts that
                                                                   were cut after ``find_duplicates``

``part`` is int8 [n] (0 train or data, 1 validation, 2 test), ``staying`` bool [n] (False: removed by a row step).
``Duplicates.group`` is what the splitter must keep together. Nothing depends on where shards begin and end.
"""

from services.preprocess.duplicates.decide import find_duplicates, rows_in_later_parts
from services.preprocess.duplicates.files import KeyFiles
from services.preprocess.duplicates.found import Duplicates, Pair, Reason, Rules
from services.preprocess.duplicates.keys import compared_column, content_columns, exact_keys, one_label
from services.preprocess.duplicates.minhash import near_keys

__all__ = [
    "Duplicates",
    "KeyFiles",
    "Pair",
    "Reason",
    "Rules",
    "compared_column",
    "content_columns",
    "exact_keys",
    "find_duplicates",
    "near_keys",
    "one_label",
    "rows_in_later_parts",
]
