"""The passes over the rows of a shard before anything is decided: cleaned, freed of personal data, and given keys.

What a pass leaves lies under the shard's name in folders of the work directory (see ``work``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
from daft import DataFrame, DataType, Expression, lit
from daft.functions import monotonically_increasing_id

from services.preprocess.change import PART, REMOVED, ROW
from services.preprocess.duplicates import compared_column, exact_keys, near_keys
from services.preprocess.engine import Engine
from services.preprocess.frame import STAYS, Folded, begin, count, fold, removed_by
from services.preprocess.plan import Plan, Planned
from services.preprocess.privacy import TOKENS, collected, write_vault
from services.preprocess.python_calls import with_columns
from services.preprocess.shard_file import ShardFile
from services.preprocess.spec import PreprocessSpec, ShardInfo
from services.preprocess.tally import StepTally
from services.preprocess.work import Work, read_tallies, write_tallies
from tidemill.datasets import Column


def clean(plan: Plan, source: Path, shard: ShardInfo, work: Work, engine: Engine) -> None:
    """Put a shard of the ingested dataset through the cleaning steps and keep it whole, removed rows marked."""
    frame, columns, folded = _cleaned(plan, source, shard, engine)
    tallies = _tallies(plan.cleaning)
    kept = [*columns, REMOVED]
    first, file = shard.first, None
    for batch in engine.batches(frame):
        file = file or ShardFile(work.cleaned(shard), batch.select(kept).schema)
        count(batch, folded, tallies, part=shard.part, first=first, shown_as=None)
        file.write(batch.select(kept))
        first += batch.num_rows
    if file is not None:
        file.close()
    write_tallies(work.cleaned(shard), list(tallies.values()))


def key(plan: Plan, spec: PreprocessSpec, source: Path, shard: ShardInfo, work: Work, engine: Engine) -> None:
    """Take what ``clean`` left of a shard, or clean it in the same pass, and leave the rows that stay and their keys.

    ``rows`` gets the columns and ``__row``; ``keys`` those that duplicates are found by, ``__row`` and short columns.
    """
    if work.cleaned(shard).exists():
        frame, columns = engine.read(work.cleaned(shard)), plan.cleaned
        frame = _numbered(frame, shard)
        earlier = [Folded(one.number, one.step.name, one.step.says, None, {}, {}) for one in plan.cleaning]
        known = {tally.number: tally for tally in read_tallies(work.cleaned(shard))}
    else:
        frame, columns, earlier = _cleaned(plan, source, shard, engine)
        known = _tallies(plan.cleaning)
    frame, columns, folded = _fold(frame, columns, plan.personal)
    tallies = known | _tallies(plan.personal)
    keys = _keys(plan, spec, columns)
    frame = with_columns(frame, keys)
    short = plan.short_columns(spec.decided_on)
    _write(engine, frame, [*earlier, *folded], tallies, [*columns, ROW], [*keys, ROW, *short], plan, shard, work)
    write_tallies(work.keys(shard), list(tallies.values()))


def _write(
    engine: Engine, frame: DataFrame, folded: Sequence[Folded], tallies: Mapping[int, StepTally],
    columns: Sequence[str], keys: Sequence[str], plan: Plan, shard: ShardInfo, work: Work,
) -> None:  # fmt: skip
    schema = frame.schema().to_pyarrow_schema()
    kept = list(dict.fromkeys([*columns, *keys, *([TOKENS] if plan.makes_tokens else [])]))
    with (
        ShardFile(work.rows(shard), _selected(schema, columns)) as rows,
        ShardFile(work.keys(shard), _selected(schema, keys)) as own,
    ):
        first, tokens = shard.first, []
        for batch in engine.batches(frame):
            count(batch, folded, tallies, part=shard.part, first=first, shown_as=plan.shown_columns())
            first += batch.num_rows
            stays = removed_by(batch) == STAYS
            batch = batch.select(kept)
            if not stays.all():
                batch = batch.filter(pa.array(stays))
            rows.write(batch.select(columns))
            own.write(batch.select(keys))
            if plan.makes_tokens:
                tokens.append(batch.column(TOKENS).drop_null())
    if plan.makes_tokens:
        assert plan.key is not None, "tokens are made with a key"
        write_vault(collected(tokens), work.vault(shard), plan.key)


def _cleaned(
    plan: Plan, source: Path, shard: ShardInfo, engine: Engine
) -> tuple[DataFrame, Mapping[str, Column], list[Folded]]:
    frame = begin(_numbered(engine.read(source / shard.file).select(*plan.source), shard))
    return _fold(frame, plan.source, plan.cleaning)


def _numbered(frame: DataFrame, shard: ShardInfo) -> DataFrame:
    row = monotonically_increasing_id().cast(DataType.int64()) + lit(shard.first).cast(DataType.int64())
    return frame.with_columns({PART: lit(shard.part), ROW: row})


def _fold(
    frame: DataFrame, columns: Mapping[str, Column], planned: Sequence[Planned]
) -> tuple[DataFrame, Mapping[str, Column], list[Folded]]:
    steps = []
    for one in planned:
        change = one.step.change(columns)
        frame, folded = fold(frame, columns, change, number=one.number, name=one.step.name, says=one.step.says)
        columns = one.step.columns_after(columns)
        steps.append(folded)
    return frame, columns, steps


def _keys(plan: Plan, spec: PreprocessSpec, columns: Mapping[str, Column]) -> dict[str, Expression]:
    keys: dict[str, Expression] = exact_keys(columns, plan.roles, plan.task, normalised=spec.data.normalize)
    text = compared_column(plan.roles, plan.task)
    if spec.data.near_duplicates is not None and text is not None:
        keys |= near_keys(text, spec.data.near_duplicates)
    return keys


def _tallies(planned: Sequence[Planned]) -> dict[int, StepTally]:
    return {one.number: StepTally(number=one.number, name=one.step.name, says=one.step.says) for one in planned}


def _selected(schema: pa.Schema, names: Sequence[str]) -> pa.Schema:
    return pa.schema([schema.field(name) for name in names])
