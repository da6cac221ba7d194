"""How often each label was written in each part: what tells whether two ways of writing one are the same label."""

from __future__ import annotations

from pathlib import Path

from services.preprocess.rules.labels import LabelCounts, one_spelling
from services.preprocess.work import read_json, write_json
from tidemill.datasets.profile import PROFILE_FILE, DatasetProfile
from tidemill.texts import normalize

_FILE = "label_counts.json"
_SETTLES = 1 << 40


def read_label_counts(dataset: Path) -> LabelCounts | None:
    """Rows by label by part: those that ``keep_settled`` left, or ingest's; None when there are neither."""
    if (dataset / _FILE).exists():
        settled: LabelCounts = read_json(dataset / _FILE)
        return settled
    if (dataset / PROFILE_FILE).exists():
        return {part: figures.label_counts for part, figures in DatasetProfile.read(dataset).parts.items()}
    return None


def keep_settled(counts: LabelCounts, folder: Path) -> None:
    """Leave in ``folder`` what has to be known of ``counts`` to spell labels in the same way; nothing when every label
    is written in one way.

    Counts change with every row that is appended; that a spelling wins does not, so that the winner gets a number that
    settles it and the others one row each.
    """
    spelling = one_spelling(counts)
    if not spelling:
        return
    involved = {*spelling, *spelling.values()}
    settled = {
        part: {label: _weight(label, spelling) for label in labels if normalize(label) in involved}
        for part, labels in counts.items()
    }
    write_json(folder / _FILE, settled)


def _weight(label: str, spelling: dict[str, str]) -> int:
    return _SETTLES if normalize(label) in spelling.values() else 1
