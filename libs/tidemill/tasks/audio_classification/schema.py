"""Audio classification's data: a column with recordings as encoded files, and one with the label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tidemill.contracts.data import Data
from tidemill.tasks.classes import check_labels
from tidemill.tasks.columns import LABEL_NAMES, known, media_label, named_roles
from tidemill.tasks.media import AUDIO, has, require_media
from tidemill.tasks.profile import ColumnProfile, ColumnType

__all__ = ["COLUMN_NAMES", "HAS_CLASSES", "check_labels", "features", "resolve_columns", "roles", "suits"]

COLUMN_NAMES = LABEL_NAMES
HAS_CLASSES = True


def suits(columns: Sequence[ColumnProfile], data: Data) -> bool:
    """Whether there are recordings."""
    return has(columns, AUDIO)


def resolve_columns(columns: Sequence[ColumnProfile], data: Data, where: str) -> Data:
    """``data`` with ``label`` filled in. Raises InvalidInput when there are no recordings, or no one label."""
    require_media(columns, AUDIO, "audio-classification", where)
    return data.model_copy(update={"label": media_label(columns, data, "audio-classification", where)})


def roles(data: Data) -> dict[str, str]:
    """``audio`` and ``label``."""
    return named_roles(audio=AUDIO, label=data.label)


def features(columns: Mapping[str, ColumnType], data: Data) -> tuple[str, ...]:
    """The recording."""
    return known(columns, AUDIO)
