"""k-anonymity (Sweeney 2002) and distinct l-diversity (Machanavajjhala et al. 2007) of a table.

Rows with the same quasi-identifiers are a class; a missing value is a value like others. Reports hold counts, never
the values of a class: a combination that few people share is personal data itself.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tidemill.contracts.privacy import Anonymity
from tidemill.errors import InvalidInput

Codes = npt.NDArray[np.int64]
_WORST = 5


@dataclass(frozen=True)
class ClassSize:
    """A class that is too small or not diverse enough."""

    rows: int
    distinct: int | None
    """Distinct sensitive values."""


@dataclass(frozen=True)
class WithoutColumn:
    """What would be if this quasi-identifier were not told, or generalised until it said nothing."""

    column: str
    values: int
    """Distinct values that it has."""
    k: int
    rows_at_risk: int


@dataclass(frozen=True)
class AnonymityReport:
    """What a table reaches. ``k`` and ``l`` are of its worst class; 0 for a table without rows."""

    rows: int
    classes: int
    k: int
    l: int | None  # noqa: E741 - l-diversity is the term
    required_k: int
    required_l: int | None
    classes_below: int
    """Classes with fewer than ``required_k`` rows or fewer than ``required_l`` sensitive values."""
    rows_at_risk: int
    """Rows in those classes."""
    diversity: dict[str, int]
    """Classes by how many sensitive values they have; empty without a sensitive column."""
    worst: list[ClassSize]
    without: list[WithoutColumn]
    """The quasi-identifier first that leaves the fewest rows at risk when it is not told."""

    @property
    def reached(self) -> bool:
        """Whether every class is large and diverse enough."""
        return self.classes_below == 0

    def as_json(self) -> dict[str, Any]:
        """The report for ``report.json``."""
        return asdict(self) | {"reached": self.reached}


def anonymity(table: pa.Table, rule: Anonymity) -> AnonymityReport:
    """Measure ``table`` (the quasi-identifiers and the sensitive column of all rows that stay, as they will be told).

    Raises:
        InvalidInput: a column of the rule is not there.
    """
    codes = [_codes(table, name) for name in rule.quasi_identifiers]
    classes = _combined(codes, table.num_rows)
    sizes = np.bincount(classes) if len(classes) else np.zeros(0, np.int64)
    distinct = _distinct(classes, table, rule, len(sizes))
    below = _below(sizes, distinct, rule)
    # The least diverse first where that is asked for, else the smallest.
    order = np.argsort(sizes, kind="stable") if distinct is None or rule.l is None else np.lexsort((sizes, distinct))
    worst = [one for one in order.tolist() if below[one]][:_WORST]
    return AnonymityReport(
        rows=table.num_rows,
        classes=len(sizes),
        k=int(sizes.min(initial=table.num_rows)),
        l=None if distinct is None else int(distinct.min(initial=table.num_rows)),
        required_k=rule.k,
        required_l=rule.l,
        classes_below=int(below.sum()),
        rows_at_risk=int(sizes[below].sum()),
        diversity={} if distinct is None else _frequencies(distinct),
        worst=[ClassSize(int(sizes[one]), None if distinct is None else int(distinct[one])) for one in worst],
        without=_without(codes, table, rule),
    )


def at_risk(table: pa.Table, rule: Anonymity) -> npt.NDArray[np.bool_]:
    """Of every row, whether its class is too small or not diverse enough: what ``suppress`` drops.

    What is left reaches the rule, for no other class changes.

    Raises:
        InvalidInput: a column of the rule is not there.
    """
    classes = _combined([_codes(table, name) for name in rule.quasi_identifiers], table.num_rows)
    if not len(classes):
        return np.zeros(0, np.bool_)
    sizes = np.bincount(classes)
    return _below(sizes, _distinct(classes, table, rule, len(sizes)), rule)[classes]


def require(report: AnonymityReport) -> None:
    """Raise InvalidInput when the report does not reach what its rule asks for (``action: fail``)."""
    if report.reached:
        return
    wanted = f"k = {report.required_k}" + ("" if report.required_l is None else f", l = {report.required_l}")
    first = report.without[0]
    raise InvalidInput(
        f"privacy.anonymity: {report.rows_at_risk:,} of {report.rows:,} rows are in {report.classes_below:,} classes "
        f"that do not reach {wanted}; generalise or drop columns in privacy.columns (without {first.column!r}, which "
        f"has {first.values:,} values, {first.rows_at_risk:,} rows would be left), or set action: suppress"
    )


def _codes(table: pa.Table, name: str) -> Codes:
    if name not in table.column_names:
        known = ", ".join(table.column_names)
        raise InvalidInput(f"privacy.anonymity names the column {name!r}, which is not there; there are {known}")
    encoded = table[name].combine_chunks().dictionary_encode(null_encoding="encode")
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    return np.asarray(encoded.indices.to_numpy(zero_copy_only=False), np.int64)


def _frequencies(values: Codes) -> dict[str, int]:
    found, counts = np.unique(values, return_counts=True)
    return {str(value): count for value, count in zip(found.tolist(), counts.tolist(), strict=True)}


def _combined(codes: list[Codes], rows: int) -> Codes:
    """A number from 0 for each combination, however many columns there are."""
    combined = np.zeros(rows, np.int64)
    for own in codes:
        pairs = combined * (int(own.max(initial=0)) + 1) + own
        combined = np.unique(pairs, return_inverse=True)[1].astype(np.int64)
    return combined


def _distinct(classes: Codes, table: pa.Table, rule: Anonymity, count: int) -> Codes | None:
    if rule.sensitive is None:
        return None
    sensitive = _codes(table, rule.sensitive)
    width = int(sensitive.max(initial=0)) + 1
    return np.bincount(np.unique(classes * width + sensitive) // width, minlength=count)


def _below(sizes: Codes, distinct: Codes | None, rule: Anonymity) -> npt.NDArray[np.bool_]:
    below = sizes < rule.k
    return below | (distinct < rule.l) if distinct is not None and rule.l is not None else below


def _without(codes: list[Codes], table: pa.Table, rule: Anonymity) -> list[WithoutColumn]:
    found = []
    for at, name in enumerate(rule.quasi_identifiers):
        classes = _combined(codes[:at] + codes[at + 1 :], table.num_rows)
        sizes = np.bincount(classes) if len(classes) else np.zeros(0, np.int64)
        below = _below(sizes, _distinct(classes, table, rule, len(sizes)), rule)
        values = int(codes[at].max(initial=-1)) + 1
        found.append(WithoutColumn(name, values, int(sizes.min(initial=table.num_rows)), int(sizes[below].sum())))
    return sorted(found, key=lambda one: (one.rows_at_risk, one.column))
