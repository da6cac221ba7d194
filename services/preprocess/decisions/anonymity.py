"""Rows that single out people: measured over all rows that are written; suppressed or refused as the recipe says."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from services.preprocess.decisions.columns import AllRows
from services.preprocess.plan import ANONYMITY
from services.preprocess.privacy import anonymity, at_risk, require
from tidemill.contracts.privacy import Anonymity

SUPPRESSES = "rows whose combination of quasi-identifiers too few others share"


def suppressed(
    rows: AllRows, rule: Anonymity, removed: npt.NDArray[np.int16], written: npt.NDArray[np.bool_]
) -> npt.NDArray[np.int16]:
    """``removed`` with the rows of groups that are too small among those ``written``, where the rule suppresses them.

    Raises:
        InvalidInput: a column of the rule is not there.
    """
    if rule.action != "suppress":
        return removed
    places = np.flatnonzero(written)
    removed = removed.copy()
    removed[places[at_risk(_told(rows, rule, places), rule)]] = ANONYMITY
    return removed


def measured(rows: AllRows, rule: Anonymity, written: npt.NDArray[np.bool_]) -> dict[str, Any]:
    """What the rows that are ``written`` reach, as JSON.

    Raises:
        InvalidInput: groups are too small and the rule fails then, or a column of it is not there.
    """
    report = anonymity(_told(rows, rule, np.flatnonzero(written)), rule)
    if rule.action == "fail":
        require(report)
    return report.as_json()


def _told(rows: AllRows, rule: Anonymity, places: npt.NDArray[np.int64]) -> pa.Table:
    """The columns that the rule is about, of the rows at ``places``."""
    names = dict.fromkeys([*rule.quasi_identifiers, *([rule.sensitive] if rule.sensitive is not None else [])])
    return pa.table({name: rows.column(name) for name in names}).take(pa.array(places))
