"""Which labels a classifier can be fitted to, whatever the task. Sees counts, never rows."""

from __future__ import annotations

from collections.abc import Mapping

from tidemill.errors import InvalidInput

MAX_LABELS = 10_000
"""More classes than this are taken for free text or identifiers."""


def check_labels(counts: Mapping[str, int] | None, column: str, where: str) -> None:
    """Refuse labels that no classifier can be fitted to.

    ``counts`` holds the rows of each label, missing ones left out; None when there are more than ``MAX_LABELS``.

    Raises:
        InvalidInput: fewer than two classes, or too many.
    """
    if counts is None:
        raise InvalidInput(
            f"{where}, column {column!r}: more than {MAX_LABELS:,} distinct labels; this looks like free text or an "
            "identifier; set data.label to the column that holds the class"
        )
    if len(counts) < 2:
        only = next(iter(counts), None)
        found = f"every row has the label {only!r}" if only is not None else "no row has a label"
        raise InvalidInput(
            f"{where}, column {column!r}: {found}; a classifier needs at least two classes: "
            "add rows of another class or set data.label to another column"
        )
