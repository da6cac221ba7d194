"""What a report shows of a dataset as it came in, where the recipe protects personal data.

Figures of the ingested columns name their most frequent values, which are as they stood in the source: what is found in
them is masked, and a column that is treated as a whole shows none. The label's values are classes, and stay.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

import pyarrow as pa

from services.preprocess.privacy import masked
from tidemill.contracts.privacy import STRUCTURAL, Privacy
from tidemill.datasets.drift import ColumnDrift, Drift
from tidemill.datasets.intake import BadRowExample, BadRowKind, IntakeReport
from tidemill.datasets.profile import ColumnFigures, DatasetProfile, PartFigures, most_frequent


class Discretion:
    """What is left out. ``label`` is the column with the class; the columns of ``privacy`` are those treated as a
    whole, and ``numbers`` those of numbers that hold personal data, whose histogram would show it too."""

    def __init__(self, privacy: Privacy, label: str | None, numbers: Collection[str] = ()) -> None:
        self._privacy = privacy
        self._whole = frozenset((*privacy.columns, *numbers))
        self._label = label

    def profile(self, profile: DatasetProfile) -> DatasetProfile:
        """The figures of the ingested dataset."""
        if not self._privacy.protects:
            return profile
        changes: dict[str, object] = {"columns": [self._column(column) for column in profile.columns]}
        if self._label in self._privacy.columns:
            changes |= {"label_counts": {}}
            changes |= {"parts": {part: PartFigures(rows=one.rows) for part, one in profile.parts.items()}}
        return profile.model_copy(update=changes)

    def intake(self, intake: IntakeReport) -> IntakeReport:
        """What ingest says."""
        if not self._privacy.protects:
            return intake
        bad = intake.bad_rows.model_copy(update={"kinds": [_without_examples(kind) for kind in intake.bad_rows.kinds]})
        changes: dict[str, object] = {"bad_rows": bad}
        if intake.drift is not None:
            changes |= {"drift": self._drift(intake.drift)}
        if self._label in self._privacy.columns:
            changes |= {"warnings": []}
        return intake.model_copy(update=changes)

    def _column(self, column: ColumnFigures) -> ColumnFigures:
        if column.name in self._whole:
            return column.model_copy(update={"values": {}, "numbers": None, "markers": {}, "distinct": None})
        if column.name == self._label or not column.values:
            return column
        counts: Counter[str] = Counter()
        for shown, rows in zip(self._masked(list(column.values)), column.values.values(), strict=True):
            counts[shown] += rows
        return column.model_copy(update={"values": most_frequent(counts)})

    def _drift(self, drift: Drift) -> Drift:
        columns = [self._column_drift(column) for column in drift.columns]
        labels = drift.labels
        if labels is not None and self._label in self._privacy.columns:
            labels = labels.model_copy(update={"new": [], "vanished": []})
        return drift.model_copy(update={"columns": columns, "labels": labels})

    def _column_drift(self, column: ColumnDrift) -> ColumnDrift:
        if column.column in self._whole:
            return column.model_copy(update={"new_values": [], "vanished_values": []})
        if column.column == self._label:
            return column
        shown: Mapping[str, list[str]] = {
            side: list(dict.fromkeys(self._masked(getattr(column, side)))) for side in ("new_values", "vanished_values")
        }
        return column.model_copy(update=shown)

    def _masked(self, values: Sequence[str]) -> list[str]:
        if not self._privacy.looked_for:
            return list(values)
        by_model = [name for name in self._privacy.looked_for if name not in STRUCTURAL]
        texts = pa.array(values, pa.string())
        hidden: list[str] = masked(
            texts, self._privacy.regions, also=by_model, model=self._privacy.model if by_model else None
        ).to_pylist()
        return hidden


def _without_examples(kind: BadRowKind) -> BadRowKind:
    """Rows that cannot be read have no columns that could be told apart: none is shown."""
    bare = [BadRowExample(file=one.file, row=one.row, reason=kind.reason, content="") for one in kind.examples]
    return kind.model_copy(update={"examples": bare})
