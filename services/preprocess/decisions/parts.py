"""In which part and in which fold a row is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from services.preprocess.decisions.columns import AllRows
from services.preprocess.duplicates import KeyFiles
from services.preprocess.duplicates.keys import LEAKAGE
from services.preprocess.plan import Plan
from services.preprocess.spec import PreprocessSpec, ShardInfo
from services.preprocess.splits import Rows, cut
from services.preprocess.splits.units import ranks
from services.preprocess.work import Work


def decide_parts(plan: Plan, spec: PreprocessSpec, shards: Sequence[ShardInfo], work: Work) -> None:
    """Leave ``cut/part.npy`` (int8 [rows]: 0 training, 1 validation, 2 test) and ``cut/fold.npy`` (int8 [rows]: from 1,
    0: in none).

    Raises:
        InvalidInput: the rows cannot be cut as the recipe says.
    """
    rows = AllRows(shards, work)
    keys = KeyFiles([work.keys(shard) for shard in shards])
    split = spec.data.split
    labels, names = rows.codes(plan.label) if plan.label is not None else (None, [])
    found = work.folder("found")
    done = cut(
        Rows(
            part=rows.parts(),
            stay=np.load(found / "removed.npy") == 0,
            group=np.load(found / "group.npy").astype(np.int32),
            rank=ranks(keys.column(LEAKAGE[0]), keys.column(LEAKAGE[1]), split.seed),
            numbers=lambda chosen: rows.row_numbers()[chosen],
            labels=labels,
            names=names,
            groups=rows.groups(split.group) if split.method == "group" and split.group is not None else None,
            times=rows.times(split.time) if split.method == "time" and split.time is not None else None,
            what="texts" if "text" in plan.roles else "rows",
        ),
        split,
        sorted({shard.part for shard in shards}),
    )
    folder = work.folder("cut")
    np.save(folder / "part.npy", done.part)
    np.save(folder / "fold.npy", done.fold)
