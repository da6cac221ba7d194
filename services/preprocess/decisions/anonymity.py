"""Rows that single out people: measured over all rows that stay, and suppressed or refused as the recipe says."""

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
    rows: AllRows, rule: Anonymity, removed: npt.NDArray[np.int16]
) -> tuple[npt.NDArray[np.int16], dict[str, Any]]:
    """``removed`` with the rows of groups that are too small, where the rule suppresses them, and what was measured.

    Raises:
        InvalidInput: groups are too small and the rule fails then, or a column of it is not there.
    """
    names = dict.fromkeys([*rule.quasi_identifiers, *([rule.sensitive] if rule.sensitive is not None else [])])
    table = pa.table({name: rows.column(name) for name in names})
    staying = np.flatnonzero(removed == 0)
    table = table.take(pa.array(staying))
    if rule.action == "suppress":
        gone = at_risk(table, rule)
        removed = removed.copy()
        removed[staying[gone]] = ANONYMITY
        table = table.filter(pa.array(~gone))
    report = anonymity(table, rule)
    if rule.action == "fail":
        require(report)
    return removed, report.as_json()
