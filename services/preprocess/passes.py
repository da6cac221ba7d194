"""The passes over the rows of a shard before anything is decided: cleaned, freed of personal data, and given keys.

What a pass leaves lies under the shard's name in folders of the work directory (see ``work``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from daft import DataFrame, DataType, Expression, lit
from daft.functions import monotonically_increasing_id

from services.preprocess.change import PART, REMOVED, ROW
from services.preprocess.duplicates import compared_column, exact_keys, near_keys
from services.preprocess.engine import Computed, Engine
from services.preprocess.frame import STAYS, Folded, begin, count, fold, removed_by
from services.preprocess.plan import Plan, Planned
from services.preprocess.privacy import TOKENS, collected, write_vault
from services.preprocess.python_calls import with_columns
from services.preprocess.shard_file import ShardFile
from services.preprocess.spec import PreprocessSpec, ShardInfo
from services.preprocess.tally import StepTally
from services.preprocess.work import Work, read_tallies, write_tallies
from tidemill.datasets import Column


@dataclass(frozen=True)
class Passed:
    """What a pass makes of a shard: the columns of its rows, those of their keys, and its steps."""

    columns: tuple[str, ...]
    keys: tuple[str, ...]
    folded: tuple[Folded, ...]


def clean(plan: Plan, source: Path, shard: ShardInfo, work: Work, engine: Engine) -> None:
    """Put a shard of the ingested dataset through the cleaning steps and keep it whole, removed rows marked."""
    tallies = _tallies(plan.cleaning)

    def build(frame: DataFrame, before: int) -> tuple[DataFrame, Passed]:
        made, columns, folded = _cleaned(plan, frame, shard, before)
        return made, Passed((*columns, REMOVED), (), tuple(folded))

    with engine.compute(source / shard.file, build) as made:
        kept, folded, first = made.about.columns, made.about.folded, shard.first
        with ShardFile(work.cleaned(shard), _selected(made.schema, kept)) as file:
            for batch in made.batches:
                count(batch, folded, tallies, part=shard.part, first=first, shown_as=None)
                file.write(batch.select(kept))
                first += batch.num_rows
    write_tallies(work.cleaned(shard), list(tallies.values()))


def key(plan: Plan, spec: PreprocessSpec, source: Path, shard: ShardInfo, work: Work, engine: Engine) -> None:
    """Take what ``clean`` left of a shard, or clean it in the same pass, and leave the rows that stay and their keys.

    ``rows`` gets the columns and ``__row``; ``keys`` those that duplicates are found by, ``__row`` and short columns.
    """
    again = work.cleaned(shard).exists()
    short = plan.short_columns(spec.decided_on)

    def build(frame: DataFrame, before: int) -> tuple[DataFrame, Passed]:
        if again:
            made, columns = _numbered(frame, shard, before), plan.cleaned
            earlier = [Folded(one.number, one.step.name, one.step.says, None, {}, {}) for one in plan.cleaning]
        else:
            made, columns, earlier = _cleaned(plan, frame, shard, before)
        made, columns, folded = _fold(made, columns, plan.personal)
        keys = _keys(plan, spec, columns)
        passed = Passed((*columns, ROW), (*keys, ROW, *short), (*earlier, *folded))
        return with_columns(made, keys), passed

    known = {tally.number: tally for tally in read_tallies(work.cleaned(shard))} if again else _tallies(plan.cleaning)
    tallies = known | _tallies(plan.personal)
    with engine.compute(work.cleaned(shard) if again else source / shard.file, build) as made:
        _write(made, tallies, plan, shard, work)
    write_tallies(work.keys(shard), list(tallies.values()))


def _write(made: Computed[Passed], tallies: Mapping[int, StepTally], plan: Plan, shard: ShardInfo, work: Work) -> None:
    columns, keys = made.about.columns, made.about.keys
    kept = list(dict.fromkeys([*columns, *keys, *([TOKENS] if plan.makes_tokens else [])]))
    with (
        ShardFile(work.rows(shard), _selected(made.schema, columns)) as rows,
        ShardFile(work.keys(shard), _selected(made.schema, keys)) as own,
    ):
        first, tokens = shard.first, []
        for batch in made.batches:
            count(batch, made.about.folded, tallies, part=shard.part, first=first, shown_as=plan.shown_columns())
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
    plan: Plan, frame: DataFrame, shard: ShardInfo, before: int
) -> tuple[DataFrame, Mapping[str, Column], list[Folded]]:
    return _fold(begin(_numbered(frame.select(*plan.source), shard, before)), plan.source, plan.cleaning)


def _numbered(frame: DataFrame, shard: ShardInfo, before: int) -> DataFrame:
    first = lit(shard.first + before).cast(DataType.int64())
    row = monotonically_increasing_id().cast(DataType.int64()) + first
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
