"""What a preprocess job is given, and what it gives back."""

from __future__ import annotations

from tidemill.contracts import Frozen
from tidemill.contracts.preparation import Split


class PreprocessSpec(Frozen):
    """The part of the frozen recipe that the prepared dataset depends on."""

    task: str
    text: str
    label: str
    normalize: bool
    drop_duplicates: bool
    split: Split


class PreprocessResult(Frozen):
    """Rows of the parts ``train``, ``validation`` and ``test``, and the labels, sorted."""

    parts: dict[str, int]
    labels: list[str]
