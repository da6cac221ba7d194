"""What becomes of every row: decided once, for all shards together, on short columns.

    decide_duplicates(plan, spec, shards, work)    which rows say what others said        -> found/
    decide_parts(plan, spec, shards, work)         in which part and fold a row is        -> cut/
    decide_rest(plan, spec, shards, work)          fitted values, small groups, balance   -> decisions/, decisions.json

Each reads what the one before left, so that it can begin where an earlier preparation ended.
"""

from services.preprocess.decisions.duplicates import decide_duplicates
from services.preprocess.decisions.parts import decide_parts
from services.preprocess.decisions.rest import decide_rest

__all__ = ["decide_duplicates", "decide_parts", "decide_rest"]
