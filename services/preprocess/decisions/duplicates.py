"""Which rows go because others say the same, and which have to stay together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from services.preprocess.decisions.columns import AllRows
from services.preprocess.duplicates import KeyFiles, Reason, Rules, compared_column, find_duplicates, one_label
from services.preprocess.plan import CONTRADICTIONS, DUPLICATES, KEEP_APART, KEEP_NEAR_APART, NEAR_DUPLICATES, Plan
from services.preprocess.spec import PreprocessSpec, ShardInfo
from services.preprocess.work import Work, write_json
from tidemill.contracts.preparation import NearDuplicates
from tidemill.errors import InvalidInput

NUMBERS = {
    Reason.CONTRADICTION: CONTRADICTIONS,
    Reason.DUPLICATE: DUPLICATES,
    Reason.IN_LATER_PART: KEEP_APART,
    Reason.NEAR_LATER_PART: KEEP_NEAR_APART,
    Reason.NEAR_DUPLICATE: NEAR_DUPLICATES,
}
"""The step behind each reason."""


def decide_duplicates(plan: Plan, spec: PreprocessSpec, shards: Sequence[ShardInfo], work: Work) -> None:
    """Leave ``found/removed.npy`` (int16 [rows]: number of the step that removes the row, 0: it stays),
    ``found/group.npy`` (int64 [rows]: rows of one number must not be in different parts) and ``found/pairs.json``."""
    rows = AllRows(shards, work)
    part = rows.parts()
    rules = Rules(
        drop_duplicates=spec.data.drop_duplicates,
        contradictions=one_label(plan.task),
        given=all(shard.part != "data" for shard in shards),
        near=_near(plan, spec),
    )
    keys = KeyFiles([work.keys(shard) for shard in shards])
    found = find_duplicates(keys, part, np.ones(keys.rows, np.bool_), rules)
    step = np.zeros(max(Reason) + 1, np.int16)
    for reason, number in NUMBERS.items():
        step[reason] = number
    folder = work.folder("found")
    np.save(folder / "removed.npy", step[found.removed])
    np.save(folder / "group.npy", found.group)
    pairs = [
        {"step": NUMBERS[pair.reason], "row": pair.row, "of": pair.kept, "similarity": round(pair.similarity, 4)}
        for pair in found.pairs
    ]
    write_json(folder / "pairs.json", pairs)


def _near(plan: Plan, spec: PreprocessSpec) -> NearDuplicates | None:
    rule = spec.data.near_duplicates
    if rule is None or compared_column(plan.roles, plan.task) is None:
        return None
    if rule.within == "drop" and plan.task == "question-answering":
        raise InvalidInput(
            "data.near_duplicates.within: drop would leave one question of every context; say keep, so that contexts "
            "that resemble each other come into the same part"
        )
    return rule
