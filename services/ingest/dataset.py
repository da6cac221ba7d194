"""The work of ingest: the data files of a source become an immutable Parquet version with its profile and recipe.

Knows the order of things; each thing itself is in ``archives``, ``opening``, ``intake``. Knows files, not where they
came from, and neither bus nor store.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from services.ingest.archives import UnpackLimits, unpack
from services.ingest.intake.appending import Base
from services.ingest.intake.arrow_types import OneSchema
from services.ingest.intake.bad_rows import BadRowKeeper
from services.ingest.intake.changes import refuse_changes, schema_changes
from services.ingest.intake.describing import TEXT_ROLES, profile_of, schema_of, with_base
from services.ingest.intake.expected import ExpectedColumns
from services.ingest.intake.licences import licence_files
from services.ingest.intake.report import report_of
from services.ingest.intake.taking import Tables, Taken, Taking
from services.ingest.opening import open_parts
from services.ingest.profile import column_profile
from services.ingest.spec import IngestResult, IngestSpec
from services.ingest.tables import Limits
from tidemill.contracts import Recipe
from tidemill.contracts.data import Data, TaskName
from tidemill.datasets.canonical import write_json
from tidemill.datasets.profile import DatasetProfile
from tidemill.datasets.schema import ColumnKind
from tidemill.datasets.statistics import ColumnStatistics
from tidemill.jobs.report import Inputs, ProgressReport
from tidemill.tasks import check_labels, check_until, resolve_task, task_schema
from tidemill.tasks.classes import MAX_LABELS
from tidemill.telemetry import span


def ingest(
    spec: IngestSpec, inputs: Inputs, output: Path, report: ProgressReport, *, unpacking: UnpackLimits
) -> IngestResult:
    """Read the data files in ``inputs["source"]`` into ``output/dataset`` and freeze the recipe in ``output/recipe``.

    ``dataset`` gets ``<part>/00000.parquet`` and on (``data``, or the given parts), ``schema.json`` and
    ``profile.json``; the columns of text formats are strings. ``recipe`` gets ``recipe.json``: the whole recipe, what
    was detected filled in. ``report`` gets ``report.json``, the only place where ``inputs["previous"]``, the version
    before, shows; unless rows are appended to it. ``quarantine`` gets ``rows.parquet`` if rows are put aside.

    Raises:
        InvalidInput: the files are no dataset for the task, or not what the recipe or the version before promise;
            names file, line and column.
        HandedBack: the worker wants to leave.
    """
    base = Base.read(inputs["previous"]) if "previous" in inputs.paths else None
    grown = base if spec.append else None
    recipe = grown.filled_in(spec.recipe) if grown is not None else spec.recipe
    with span("unpack"):
        folder = unpack(inputs["source"], output / "unpacked", unpacking, report)
    with span("open"):
        tables = open_parts(folder, recipe.data, Limits(spec.max_cell))
    where = " and ".join(table.path.name for part in tables.values() for table in part[:3])
    policy, discreet = recipe.data.on_bad_row, recipe.privacy.protects
    with span("read and write"), BadRowKeeper(policy, output / "quarantine", discreet=discreet) as bad:
        taken = _take(tables, recipe, output / "dataset", bad, report, where, grown)
        bad.check(sum(taken.rows.values()), where)
    recipe = _with_writing(recipe, tables)
    task, recipe = _resolved(recipe, taken, where, grown)
    check_until(task, recipe)
    roles = task_schema(task).roles(recipe.data)
    added = profile_of(taken, roles, classes=task_schema(task).HAS_CLASSES)
    profile = with_base(grown.profile, added) if grown is not None else added
    _check_labels(task, taken, profile, roles, where)
    schema = schema_of(profile, task, roles, [column.strings for column in taken.columns])
    changes = schema_changes(base.schema, schema) if base is not None else []
    refuse_changes(changes, recipe.data.expected, where)
    profile.write(output / "dataset")
    schema.write(output / "dataset")
    (output / "recipe").mkdir(parents=True, exist_ok=True)
    write_json(output / "recipe" / "recipe.json", recipe.model_dump(mode="json", exclude={"economics"}))
    told = report_of(
        taken, added, profile, task=task, bad=bad.figures(), changes=changes, base=base, append=spec.append,
        licence_files=licence_files(inputs["source"]),
    )  # fmt: skip
    (output / "report").mkdir(parents=True, exist_ok=True)
    told.write(output / "report")
    parts = {part: figures.rows for part, figures in profile.parts.items()}
    return IngestResult(task=task, rows=profile.rows, parts=parts, bad_rows=bad.rows)


def _take(
    tables: Tables, recipe: Recipe, dataset: Path, bad: BadRowKeeper, report: ProgressReport, where: str,
    grown: Base | None,
) -> Taken:  # fmt: skip
    data, discreet = recipe.data, recipe.privacy.protects
    first = next(iter(tables.values()))[0]
    expected = ExpectedColumns(data, typed=list(first.kinds))
    expected.check_present(first.columns, where)
    if grown is None:
        following: Mapping[str, int] = {}
        schema = OneSchema(first.columns, discreet=discreet)
        columns = [_statistics(name, data, first.kinds.get(name), name not in first.kinds) for name in first.columns]
    else:
        grown.check_fits(first.columns, list(tables), where)
        following = grown.place(dataset)
        schema = OneSchema(grown.columns, grown.arrow_schema(), whose="the dataset's last version", discreet=discreet)
        columns = [_statistics(one.name, data, one.kind, one.strings) for one in grown.schema.columns]
    taking = Taking(dataset, columns, schema=schema, expected=expected, bad=bad, report=report)
    return taking.take(tables, shard_rows=data.shard_rows, first=following)


def _statistics(name: str, data: Data, kind: ColumnKind | None, strings: bool) -> ColumnStatistics:
    declared = data.expected.columns.get(name)
    known: ColumnKind | None = "text" if kind == "category" else kind
    return ColumnStatistics(
        name, kind=declared or (None if strings else known), declared=declared is not None, strings=strings,
        markers=data.missing.markers, decimal_comma=data.types.decimal_comma, most_counted=MAX_LABELS,
    )  # fmt: skip


def _resolved(recipe: Recipe, taken: Taken, where: str, grown: Base | None) -> tuple[TaskName, Recipe]:
    """The task, and ``recipe`` with it and its columns filled in, judged by all rows."""
    named = {role: name for role in TEXT_ROLES if (name := getattr(recipe.data, role)) is not None}
    profile = profile_of(taken, named, classes=False)
    if grown is not None:
        grown.check_task(recipe.task, where)
        profile = with_base(grown.profile, profile)
    columns = [column_profile(figures, taken.schema.field(figures.name).type) for figures in profile.columns]
    task, data = resolve_task(recipe.task, columns, recipe.data, where)
    return task, recipe.model_copy(update={"task": task, "data": data})


def _check_labels(task: TaskName, taken: Taken, profile: DatasetProfile, roles: Mapping[str, str], where: str) -> None:
    label = roles.get("label")
    if label is None:
        return
    too_many = any(column.name == label and column.values is None for column in taken.columns)
    check_labels(task, None if too_many else profile.label_counts, label, where)


def _with_writing(recipe: Recipe, tables: Tables) -> Recipe:
    """``recipe`` with what was found out about the files, as far as it is true of all of them."""
    files = [table for part in tables.values() for table in part]
    writings = [table.writing for table in files]
    found: dict[str, Any] = {}
    if len({writing.format for writing in writings}) == 1:
        found["format"] = writings[0].format
    if len({writing.encoding for writing in writings}) == 1 and writings[0].encoding is not None:
        found["encoding"] = writings[0].encoding
    headers = {writing.header for writing in writings}
    if headers == {True}:
        found["header"] = True
    elif headers == {False}:
        found |= {"header": False, "columns": files[0].columns}
    return recipe.model_copy(update={"data": recipe.data.model_copy(update=found)})
