"""Writes the rows of a shard to their parts, as decided: fitted steps, balance, more training texts, and figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from daft import DataFrame, col

from services.preprocess.change import ROW as OWN_ROW
from services.preprocess.decisions.fitting import Fit, fold_fits, restore
from services.preprocess.decisions.rest import parts_of
from services.preprocess.engine import Engine
from services.preprocess.examples import SOURCE_PART_KEY
from services.preprocess.figures import PartFigures
from services.preprocess.frame import Folded, begin
from services.preprocess.plan import FOLD, ROW, Plan
from services.preprocess.shard_file import ShardFile
from services.preprocess.spec import PreprocessSpec, ShardInfo
from services.preprocess.splits import PARTS
from services.preprocess.tally import StepTally, shown
from services.preprocess.training_texts import MoreTexts, TrainingWords, more_texts
from services.preprocess.work import Work, read_json, write_json
from tidemill.datasets import Column
from tidemill.datasets.writing import ROW_GROUP


def apply(
    plan: Plan, spec: PreprocessSpec, shard: ShardInfo, work: Work, dataset: Path, engine: Engine,
    allowed_hooks: Sequence[str] = (),
) -> None:  # fmt: skip
    """Write ``dataset/<part>/<number>.parquet`` for each part that the shard has rows of, in the order of the rows, and
    ``applied``: what was written, counted, and the rows that the report shows.

    Raises:
        InvalidInput: a hook is not allowed, or failed.
    """
    known = read_json(work.decisions(shard).with_suffix(".json"))
    fits = restore(plan, known["fitted"])
    # Fitted steps scale and encode; people are shown rows as they were before.
    shown_as = {name: f"__shown_{place}" for place, name in enumerate(plan.shown_columns())}
    shown_columns = {shown_as[name]: column for name, column in plan.shown_columns().items()}
    decisions = pq.read_table(work.decisions(shard))
    more = more_texts(plan, spec, allowed_hooks)
    if more is not None:
        more.held_out = np.load(work.held_out(shard))
    words = TrainingWords(plan, known["words_every"])
    first, examples = 0, dict[str, Any]()
    with _fitted(plan, fits, work.rows(shard), shown_columns, engine) as (columns, folded, batches):
        tallies = {one.number: StepTally(number=one.number, name=one.name, says=one.says) for one in folded}
        writer = _PartFiles(plan, spec, shard, dataset, output_columns(plan, columns), more)
        for batch in batches:
            own = decisions.slice(first, batch.num_rows)
            examples |= _shown(batch, known["shown"], shown_as, shard, first)
            _count_changed(batch, own, folded, tallies)
            words.take(batch, own)
            writer.write(batch, own)
            first += batch.num_rows
        writer.close()
    document = {
        "parts": {part: one.model_dump() for part, one in writer.figures.items()},
        "tallies": [tally.model_dump() for tally in (*tallies.values(), *([more.tally()] if more else []))],
        "shown": examples,
        "words": words.count(),
    }
    write_json(work.applied(shard), document)


@contextmanager
def _fitted(
    plan: Plan, fits: Sequence[Fit], file: Path, also: Mapping[str, str], engine: Engine
) -> Iterator[tuple[Mapping[str, Column], Sequence[Folded], Iterator[pa.RecordBatch]]]:
    """The columns of the rows after the fitted steps, these steps, and the rows, with columns ``also`` as before."""
    if not fits:  # where nothing is computed, Arrow alone reads the rows
        yield plan.columns, [], _read(file, also)
        return

    def build(frame: DataFrame, _: int) -> tuple[DataFrame, tuple[Mapping[str, Column], Sequence[Folded]]]:
        frame = frame.with_columns({own: col(column) for own, column in also.items()})
        made, columns, folded = fold_fits(begin(frame), plan.columns, fits)
        return made, (columns, folded)

    with engine.compute(file, build) as made:
        yield *made.about, made.batches


def _read(file: Path, also: Mapping[str, str]) -> Iterator[pa.RecordBatch]:
    """The rows of a file row group by row group, with columns ``also`` by other names."""
    with pq.ParquetFile(file) as opened:
        for batch in opened.iter_batches(batch_size=ROW_GROUP):
            names = [*batch.schema.names, *also]
            yield pa.RecordBatch.from_arrays([*batch.columns, *map(batch.column, also.values())], names)


def output_columns(plan: Plan, columns: Mapping[str, Column]) -> dict[str, Column]:
    """The columns of the prepared dataset, by the name they have before; text classification names them by role."""
    if plan.task == "text-classification":
        return {
            plan.roles[role]: Column(name=role, kind=kind, strings=True)
            for role, kind in (("text", "text"), ("label", "category"))
        }
    return dict(columns)


class _PartFiles:
    """The files of the parts that a shard has rows of."""

    def __init__(
        self, plan: Plan, spec: PreprocessSpec, shard: ShardInfo, dataset: Path, kept: Mapping[str, Column],
        more_texts: MoreTexts | None,
    ) -> None:  # fmt: skip
        self._plan, self._spec, self._shard, self._dataset, self._kept = plan, spec, shard, dataset, kept
        self._more_texts = more_texts
        self._files: dict[str, ShardFile] = {}
        self.figures = {part: PartFigures() for part in parts_of(shard)}

    def write(self, batch: pa.RecordBatch, decisions: pa.Table) -> None:
        """Write the rows of ``batch`` that stay to the parts that ``decisions``, row for row, say."""
        columns = {name: decisions[name].to_numpy() for name in decisions.column_names}
        times = np.where(columns["removed"] == 0, columns["copies"], 0)
        for part in self.figures:
            rows = np.repeat(np.arange(len(times)), np.where(columns["part"] == PARTS.index(part), times, 0))
            if len(rows):
                self._write_part(part, batch, rows, columns["fold"])

    def close(self) -> None:
        """Write what is waiting."""
        for file in self._files.values():
            file.close()

    def _write_part(
        self, part: str, batch: pa.RecordBatch, rows: npt.NDArray[np.int64], fold: npt.NDArray[np.int8]
    ) -> None:
        taken = pa.Table.from_batches([batch.select([*self._kept, OWN_ROW]).take(pa.array(rows))])
        if self._spec.data.split.folds is not None and part != "test":
            taken = taken.append_column(FOLD, pa.array(fold[rows], pa.int8()))
        if part == "train" and self._more_texts is not None:
            taken = self._more_texts.beside(taken)
        names = {name: column.name for name, column in self._kept.items()} | {OWN_ROW: ROW}
        table = taken.rename_columns([names.get(name, name) for name in taken.column_names])
        table = table.cast(compact(table.schema)).combine_chunks()
        self.figures[part].count(table, self._label())
        for piece in table.to_batches():
            self._file(part, table.schema).write(piece)

    def _label(self) -> str | None:
        """What the column with the class is called in the prepared dataset."""
        return self._kept[self._plan.label].name if self._plan.label is not None else None

    def _file(self, part: str, schema: pa.Schema) -> ShardFile:
        if part not in self._files:
            path = self._dataset / part / f"{self._shard.number:05d}.parquet"
            metadata = {SOURCE_PART_KEY: self._shard.part.encode()}
            self._files[part] = ShardFile(path, schema, metadata=metadata, optional=True)
        return self._files[part]


def compact(schema: pa.Schema) -> pa.Schema:
    """Arrow's usual types in place of the large ones that Daft has."""
    return pa.schema([pa.field(field.name, _compact(field.type)) for field in schema])


def _compact(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_large_string(kind):
        return pa.string()
    if pa.types.is_large_binary(kind):
        return pa.binary()
    if pa.types.is_large_list(kind) or pa.types.is_list(kind):
        return pa.list_(_compact(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(field.name, _compact(field.type)) for field in kind])
    return kind


def _shown(
    batch: pa.RecordBatch, wanted: Sequence[tuple[int, int]], shown_as: Mapping[str, str], shard: ShardInfo, first: int
) -> dict[str, Any]:
    """The rows of the batch that the report shows, by their number over all shards."""
    found = {}
    for number, place in wanted:
        at = place - first
        if 0 <= at < batch.num_rows:
            row = batch.column(OWN_ROW)[at].as_py()
            (found[str(number)],) = shown(batch, np.array([at]), shard.part, row - at, shown_as)
    return found


def _count_changed(
    batch: pa.RecordBatch, decisions: pa.Table, folded: Sequence[Folded], tallies: Mapping[int, StepTally]
) -> None:
    stays = pc.equal(decisions["removed"], 0).to_numpy()
    for step in folded:
        tally = tallies[step.number]
        if step.changed is not None:
            flags = pc.fill_null(batch.column(step.changed), False).to_numpy(zero_copy_only=False)
            tally.changed += int((flags & stays).sum())
        for what, column in step.counts.items():
            values = pc.fill_null(batch.column(column), 0).to_numpy(zero_copy_only=False)
            tally.counts[what] = tally.counts.get(what, 0) + int(values[stays].sum())
