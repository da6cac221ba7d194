"""The figures of a column as a task's schema sees them."""

from __future__ import annotations

import pyarrow as pa

from tidemill.datasets.kinds import fields_of
from tidemill.datasets.profile import ColumnFigures
from tidemill.tasks import ColumnProfile


def column_profile(figures: ColumnFigures, type: pa.DataType) -> ColumnProfile:
    """The figures as tasks see them; ``type`` is the column's Arrow type. Whether texts are categories they decide."""
    kind, lengths = figures.kind, figures.lengths
    return ColumnProfile(
        name=figures.name,
        type="text" if kind == "category" else kind,
        rows=figures.rows,
        missing=figures.missing,
        distinct=figures.distinct,
        min_length=int(lengths.minimum) if lengths else 0,
        mean_length=round(lengths.mean(), 2) if lengths else 0.0,
        max_length=int(lengths.maximum) if lengths else 0,
        fields=fields_of(type),
    )
