"""The column of boxes that VOC and COCO annotations become."""

from __future__ import annotations

import math
from typing import Any

import pyarrow as pa

from services.ingest.media.checks import Unusable
from tidemill.tasks.media import BOX_FIELDS

OBJECTS = pa.list_(
    pa.struct([("label", pa.string()), *((name, pa.float32()) for name in BOX_FIELDS[1:5]), ("difficult", pa.bool_())])
)
"""Corners in pixels from the upper left of the image, as the annotation gives them: nothing is repaired here."""
_LARGEST = 1e9


def box(label: str, corners: tuple[float, ...], difficult: bool) -> dict[str, Any]:
    """One object. Raises Unusable for corners that are no four finite numbers."""
    if len(corners) != 4 or not all(math.isfinite(corner) and abs(corner) < _LARGEST for corner in corners):
        raise Unusable(f"has a box of {label!r} with corners that are no four numbers; correct its annotation")
    return dict(zip(BOX_FIELDS, (label, *corners, difficult), strict=True))
