"""Object detection's data: a column with images as encoded files, and one with a list of labelled boxes each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tidemill.contracts.data import Data
from tidemill.errors import InvalidInput
from tidemill.tasks.columns import known, listed
from tidemill.tasks.media import BOX_FIELDS, IMAGE, OBJECTS, has, has_objects, require_media
from tidemill.tasks.profile import ColumnProfile, ColumnType

COLUMN_NAMES: frozenset[str] = frozenset()
HAS_CLASSES = False
"""Classes are those of boxes; an image can have several, or none."""


def suits(columns: Sequence[ColumnProfile], data: Data) -> bool:
    """Whether there are images and boxes, and no label of the whole image is asked for."""
    return has(columns, IMAGE) and has_objects(columns) and data.label is None


def resolve_columns(columns: Sequence[ColumnProfile], data: Data, where: str) -> Data:
    """``data`` as it is: the columns have given names.

    Raises:
        InvalidInput: there are no images or no boxes, or the recipe names a label.
    """
    require_media(columns, IMAGE, "object-detection", where)
    if not has_objects(columns):
        raise InvalidInput(
            f"{where} has no column {OBJECTS!r} with a list of boxes ({', '.join(BOX_FIELDS)}), which object-detection "
            f"needs; its columns are {listed([column.name for column in columns])}; publish images with VOC or COCO "
            "annotations (data: {format: voc} or {format: coco})"
        )
    if data.label is not None:
        raise InvalidInput(
            f"object-detection takes the label of each box from the column {OBJECTS!r}; remove data.label: {data.label}"
        )
    return data


def roles(data: Data) -> dict[str, str]:
    """``image`` and ``objects``."""
    return {"image": IMAGE, "objects": OBJECTS}


def features(columns: Mapping[str, ColumnType], data: Data) -> tuple[str, ...]:
    """The image."""
    return known(columns, IMAGE)
