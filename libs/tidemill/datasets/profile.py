"""The figures of a dataset: per column what is missing, which values, how long, how distributed. Written by ingest.

    profile.json   DatasetProfile: figures over all parts, and rows and labels of each

Figures hold no row, are bounded in size, and say the same whatever the order and the batches in which rows came. Two
of them can be merged, and be compared without the rows (see ``drift``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from pydantic import Field, ValidationError

from tidemill.contracts import Frozen
from tidemill.datasets.canonical import write_json
from tidemill.datasets.histogram import Histogram, HistogramBuilder
from tidemill.datasets.schema import ColumnKind
from tidemill.errors import CorruptArtifact

PROFILE_FILE = "profile.json"

MAX_VALUES = 1_000
"""Values of a column that are kept with their counts."""


class ColumnFigures(Frozen):
    """One column over all rows. Of text formats, white space around a value is no part of it."""

    name: str
    kind: ColumnKind
    rows: int
    missing: int = 0
    """Rows without a value: null, empty, white space alone, or a marker."""
    markers: dict[str, int] = Field(default_factory=dict)
    """Rows by the marker that says 'missing' in them (``?``); in ``missing`` too."""
    padded: int = 0
    """Rows whose value stood between white space; not counted in a task's texts."""
    distinct: int | None = None
    """Distinct values; None when there were more than are counted, or when it is not known after a merge."""
    values: dict[str, int] = Field(default_factory=dict)
    """Rows by value, the most frequent first, at most ``MAX_VALUES``; none of a column of long values."""
    lengths: Histogram | None = None
    """Characters of the values; None of a column whose values are no strings."""
    numbers: Histogram | None = None
    """Of a column of integers or numbers."""

    @property
    def present(self) -> int:
        """Rows with a value."""
        return self.rows - self.missing

    @property
    def complete(self) -> bool:
        """Whether ``values`` holds all values."""
        return self.distinct == len(self.values)

    @property
    def missing_share(self) -> float:
        """Share of the rows without a value, 0..1."""
        return self.missing / self.rows if self.rows else 0.0


class PartFigures(Frozen):
    """One part: its rows, and those of each label, sorted by label."""

    rows: int
    label_counts: dict[str, int] = Field(default_factory=dict)


class DatasetProfile(Frozen):
    """The figures of all columns in their order, and of the parts; ``label_counts`` has every label, sorted."""

    version: int = 2
    rows: int
    columns: list[ColumnFigures]
    label_counts: dict[str, int] = Field(default_factory=dict)
    parts: dict[str, PartFigures]

    def column(self, name: str) -> ColumnFigures | None:
        """The column of that name."""
        return next((column for column in self.columns if column.name == name), None)

    def write(self, dataset: Path) -> None:
        """Write it into the directory of a dataset; the same profile is always the same bytes."""
        write_json(dataset / PROFILE_FILE, self.model_dump(mode="json"))

    @classmethod
    def read(cls, dataset: Path) -> DatasetProfile:
        """The profile of the dataset in a directory. Raises CorruptArtifact when there is none that can be read."""
        try:
            return cls.model_validate_json((dataset / PROFILE_FILE).read_bytes())
        except (OSError, ValidationError) as error:
            raise CorruptArtifact(f"the dataset's {PROFILE_FILE} cannot be read: {error}") from None


def merged_figures(one: ColumnFigures, other: ColumnFigures, kind: ColumnKind) -> ColumnFigures:
    """The figures of the rows of both, as a column of ``kind``."""
    values = Counter(one.values) + Counter(other.values)
    complete = one.complete and other.complete
    return ColumnFigures(
        name=one.name, kind=kind, rows=one.rows + other.rows, missing=one.missing + other.missing,
        markers=dict(sorted((Counter(one.markers) + Counter(other.markers)).items())),
        padded=one.padded + other.padded, distinct=len(values) if complete else None, values=most_frequent(values),
        lengths=_merged(one.lengths, other.lengths),
        numbers=_merged_numbers(one, other) if kind in ("integer", "number") else None,
    )  # fmt: skip


def merged_counts(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    """Rows by label of both, sorted by label."""
    return dict(sorted((Counter(one) + Counter(other)).items()))


def most_frequent(values: Mapping[str, int]) -> dict[str, int]:
    """The most frequent ones, at most ``MAX_VALUES``; equally frequent ones in the order of their code points."""
    return dict(sorted(values.items(), key=lambda item: (-item[1], item[0]))[:MAX_VALUES])


def _merged_numbers(one: ColumnFigures, other: ColumnFigures) -> Histogram | None:
    if (one.present and one.numbers is None) or (other.present and other.numbers is None):
        return None
    return _merged(one.numbers, other.numbers)


def _merged(one: Histogram | None, other: Histogram | None) -> Histogram | None:
    if one is None or other is None:
        return one or other
    both = HistogramBuilder(one)
    both.merge(other)
    return both.histogram()
