"""Makes the report of a version: what was read and how, what was bad or repaired, what changed against the last one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from services.ingest.intake.appending import Base
from services.ingest.intake.bad_rows import shortened
from services.ingest.intake.taking import Taken
from tidemill.datasets.drift import drift
from tidemill.datasets.intake import BadRowFigures, FileRead, IntakeReport, Repair, SchemaChange
from tidemill.datasets.profile import ColumnFigures, DatasetProfile, PartFigures

_UTF8 = frozenset(("utf-8", "utf_8", "ascii"))


def report_of(
    taken: Taken,
    read: DatasetProfile,
    whole: DatasetProfile,
    *,
    task: str,
    bad: BadRowFigures,
    changes: Sequence[SchemaChange],
    base: Base | None,
    append: bool,
    licence_files: Sequence[str],
) -> IntakeReport:
    """The report; ``read`` has the figures of the rows that were read, ``whole`` of all rows of the version."""
    warnings = _unknown_labels(whole.parts)
    if base is not None and base.schema.task != task:
        warnings.append(f"the dataset's last version was for {base.schema.task}, this one is for {task}")
    return IntakeReport(
        task=task, rows=read.rows, appended_to=base.profile.rows if base is not None and append else None,
        parts={part: figures.rows for part, figures in whole.parts.items()}, files=taken.files,
        licence_files=list(licence_files), bad_rows=bad, repairs=_repairs(taken.files, read.columns),
        schema_changes=list(changes), drift=drift(base.profile, read) if base is not None else None, warnings=warnings,
    )  # fmt: skip


def _repairs(files: Sequence[FileRead], columns: Sequence[ColumnFigures]) -> list[Repair]:
    repairs = [
        Repair(says=f"written in {file.encoding}; kept as UTF-8", rows=file.rows, file=file.name)
        for file in files
        if file.encoding is not None and file.encoding not in _UTF8
    ]
    for column in columns:
        if column.padded:
            repairs.append(Repair(says="white space around the value", rows=column.padded, column=column.name))
        for marker, rows in column.markers.items():
            says = f"{shortened(marker)!r} says that there is no value"
            repairs.append(Repair(says=says, rows=rows, column=column.name))
    return repairs


def _unknown_labels(parts: Mapping[str, PartFigures]) -> list[str]:
    """A warning for each part with labels that the training part does not have."""
    known = parts["train"].label_counts.keys() if "train" in parts else frozenset[str]()
    if not known:
        return []
    warnings = []
    for part, figures in parts.items():
        strange = [label for label in figures.label_counts if label not in known]
        if strange:
            shown = ", ".join(repr(shortened(label)) for label in strange[:10])
            warnings.append(f"the {part} part has labels that the training part does not have: {shown}")
    return warnings
