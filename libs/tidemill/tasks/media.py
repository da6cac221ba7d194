"""What the tasks on images and recordings share: columns whose names are given by whoever reads media folders."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

from tidemill.errors import InvalidInput
from tidemill.tasks.columns import by_name, listed
from tidemill.tasks.profile import ColumnProfile

IMAGE: Final = "image"
AUDIO: Final = "audio"
OBJECTS: Final = "objects"
BOX_FIELDS = ("label", "xmin", "ymin", "xmax", "ymax", "difficult")
"""Fields of one of the ``objects``: corners in pixels, ``difficult`` for what evaluation leaves out."""


def has(columns: Sequence[ColumnProfile], name: Literal["image", "audio"]) -> bool:
    """Whether the column of that name holds encoded files of that kind."""
    column = by_name(columns, name)
    return column is not None and column.type == name


def has_objects(columns: Sequence[ColumnProfile]) -> bool:
    """Whether there is a column of boxes."""
    column = by_name(columns, OBJECTS)
    return column is not None and column.type == "nested" and (not column.fields or set(BOX_FIELDS) <= {*column.fields})


def require_media(columns: Sequence[ColumnProfile], name: Literal["image", "audio"], task: str, where: str) -> None:
    """Raise InvalidInput when there is no column with images, or with recordings."""
    if not has(columns, name):
        what, folder = ("images", "image-folder") if name == "image" else ("recordings", "audio-folder")
        raise InvalidInput(
            f"{where} has no column {name!r} with {what}, which {task} needs; its columns are "
            f"{listed([column.name for column in columns])}; publish a folder of files (data: {{format: {folder}}}), "
            "or set another task"
        )
