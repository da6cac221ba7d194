"""Makes the data report of a prepared dataset: reads what was counted, measures the rows that are left, judges, writes.

Knows files; neither the stage nor who asks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from services.preprocess.number_samples import read_number_samples
from services.preprocess.plan import FOLD, ROW
from services.preprocess.privacy import find
from services.preprocess.privacy.numbers import kinds_in, numbers_left
from services.preprocess.report.discretion import Discretion
from services.preprocess.report.document import DataReport, PreparationStatistics
from services.preprocess.report.gate import judge
from services.preprocess.report.page import render_page
from tidemill.contracts.preparation import QualityGate
from tidemill.contracts.privacy import STRUCTURAL, EntityName, Privacy
from tidemill.datasets import Column, DatasetSchema, part_shards
from tidemill.datasets.canonical import write_json
from tidemill.datasets.intake import IntakeReport
from tidemill.datasets.profile import DatasetProfile, PartFigures
from tidemill.datasets.statistics import ColumnStatistics
from tidemill.errors import CorruptArtifact, HandedBack
from tidemill.jobs.report import ProgressReport

_READ = frozenset(("text", "category", "nested"))
"""Kinds of columns whose texts are read for personal data that is left."""
_NUMBERS = frozenset(("integer", "number"))
_BATCH = 1 << 16

PersonalNumbers = Mapping[str, Collection[EntityName]]
"""Kinds of personal data by column of numbers that holds some."""


def make_report(
    *, ingested: Path, prepared: Path, intake: Path | None, gate: QualityGate, privacy: Privacy, into: Path,
    progress: ProgressReport,
) -> DataReport:  # fmt: skip
    """Write ``report.json`` and ``report.html`` into the folder ``into``; memory does not grow with the dataset.

    ``privacy`` names what is looked for, and the columns that are treated as a whole. Neither is shown as it came in.

    Raises:
        CorruptArtifact: a file of one of the datasets cannot be read.
        HandedBack: the worker wants to leave.
    """
    schema = DatasetSchema.read(prepared)
    statistics = _statistics(prepared)
    roles = DatasetSchema.read(ingested).roles
    numbers = _personal_numbers(ingested, privacy, roles.get("label"))
    after, left = _measured(prepared, schema, statistics, privacy, numbers, progress)
    discretion = Discretion(privacy, roles.get("label"), numbers)
    report = DataReport(
        task=schema.task,
        roles=roles,
        intake=discretion.intake(IntakeReport.read(intake)) if intake is not None else None,
        statistics=statistics,
        before=discretion.profile(DatasetProfile.read(ingested)),
        after=after,
        personal_left=left,
    )
    report = report.model_copy(update={"gate": judge(report, gate)})
    into.mkdir(parents=True, exist_ok=True)
    write_json(into / "report.json", report.model_dump(mode="json"))
    (into / "report.html").write_text(render_page(report), encoding="utf-8")
    return report


def _statistics(prepared: Path) -> PreparationStatistics:
    try:
        return PreparationStatistics.model_validate_json((prepared / "statistics.json").read_bytes())
    except (OSError, ValidationError) as error:
        raise CorruptArtifact(f"the prepared dataset's statistics.json cannot be read: {error}") from None


def _personal_numbers(ingested: Path, privacy: Privacy, label: str | None) -> PersonalNumbers:
    """What the columns of numbers hold, as the step that treats them has it."""
    if not privacy.looked_for:
        return {}
    samples = read_number_samples(ingested)
    columns = [column for column in DatasetSchema.read(ingested).columns if column.name != label]
    held = {
        column.name: kinds_in(column.name, samples.get(column.name), privacy.looked_for, privacy.regions)
        for column in columns
        if column.kind in _NUMBERS or column.name in samples
    }
    return {name: kinds for name, kinds in held.items() if kinds}


def _measured(
    prepared: Path,
    schema: DatasetSchema,
    statistics: PreparationStatistics,
    privacy: Privacy,
    numbers: PersonalNumbers,
    progress: ProgressReport,
) -> tuple[DatasetProfile, dict[str, int]]:
    """The figures of the rows that are left, and the personal data in them that was looked for."""
    columns = [column for column in schema.columns if column.name not in (ROW, FOLD)]
    figures = [ColumnStatistics(column.name, kind=column.kind, strings=False) for column in columns]
    looked_for = [entity for entity in privacy.looked_for if entity in STRUCTURAL]
    read = [column.name for column in columns if column.kind in _READ] if looked_for else []
    left: Counter[str] = Counter(dict.fromkeys(looked_for, 0))
    rows, done = sum(statistics.prepared.values()), 0
    for batch in _batches(prepared, columns):
        for column, running in zip(batch.columns, figures, strict=True):
            running.update(column)
        for text in chain.from_iterable(texts_in(batch.column(name)) for name in read):
            left.update(find(text, looked_for, privacy.regions, reserved=False).counts())
        for column, values in zip(columns, batch.columns, strict=True):
            if column.kind in _NUMBERS and column.name in numbers:
                left.update(numbers_left(values, column.name, numbers[column.name], privacy.regions))
        done += batch.num_rows
        progress.progress(done / max(1, rows), f"{done:,} rows measured")
        if progress.stop_requested:
            raise HandedBack("the worker is leaving in the middle of a data report")
    parts = {
        part: PartFigures(rows=number, label_counts=dict(sorted(statistics.balance.get(part, {}).items())))
        for part, number in statistics.prepared.items()
    }
    after = DatasetProfile(rows=rows, columns=[one.figures() for one in figures], parts=parts)
    return after, dict(left)


def texts_in(column: pa.Array) -> Iterator[pa.Array]:
    """The texts in a column: its own, those in its lists and structs, and whole numbers as they are written."""
    kind = column.type
    if pa.types.is_list(kind):
        yield from texts_in(column.flatten())
    elif pa.types.is_struct(kind):
        for own in column.flatten():
            yield from texts_in(own)
    elif pa.types.is_string(kind) or pa.types.is_integer(kind):
        yield column.cast(pa.string())


def _batches(prepared: Path, columns: Sequence[Column]) -> Iterator[pa.RecordBatch]:
    names = [column.name for column in columns]
    for part, shards in part_shards(prepared).items():
        for shard in shards:
            try:
                with pq.ParquetFile(shard) as file:
                    for batch in file.iter_batches(_BATCH, columns=names):
                        yield batch.select(names)
            except (OSError, pa.ArrowException) as error:
                raise CorruptArtifact(f"the prepared dataset's {part}/{shard.name} cannot be read: {error}") from None
