"""Exact and near duplicates: which rows say what others said before, and which must not be in different parts.

Map: hidden key columns, as Daft expressions of a shard's rows after the row steps.

    exact_keys(columns, roles, task) -> dict[str, Expression]      six columns, uint64: EXAMPLE, CONTENT, LEAKAGE (two each)
    near_keys(column, rule) -> dict[str, Expression]               near_columns(rule): uint32 bands and list<uint32> tokens

Keep each shard's keys as one Parquet file of their own, one row for every row of the shard, also for removed ones.

Decide: NumPy over all rows. "All rows" are the shards one after the other: parts in the order train, validation, test,
(or ``data``), shards in their order; a row's position in there is its number here, from 0.

    keys = KeyFiles(paths)                                         reads a column, or chosen rows of one, never everything
    found = find_duplicates(keys, part, staying, rules)            -> Duplicates
    later = rows_in_later_parts(part, found.group, staying)        rows whose group reaches a later part, for parts that
                                                                   were cut after ``find_duplicates``

``part`` is int8 [n] (0 train or data, 1 validation, 2 test), ``staying`` bool [n] (False: removed by a row step).
``Duplicates.group`` is what the splitter must keep together. Nothing depends on where shards begin and end.
"""

