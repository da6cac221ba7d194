"""Object detection: boxes end at the borders of their image, have an area, and are there once.

Boxes are structs ``label, xmin, ymin, xmax, ymax, difficult`` in pixels, in one list per image. An image that is left
with none stays: it shows what is no object.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from daft import DataType, Expression, Series, col, func

from services.preprocess.change import Change, RowStep, Step
from services.preprocess.repairs.lists import FlatList
from tidemill.datasets import Column

_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_BOX = DataType.struct(
    {"label": DataType.string(), **dict.fromkeys(_CORNERS, DataType.float32()), "difficult": DataType.bool()}
)
_REPAIRED = DataType.struct({"objects": DataType.list(_BOX), "count": DataType.int32()})


def box_steps(objects: str) -> list[RowStep]:
    """Clip to the image (its size is in the columns ``width`` and ``height``), remove empty boxes, then duplicates."""
    return [
        Step(
            "clip boxes",
            "the corners of boxes that reach beyond their image are moved to its border",
            partial(_clipped, objects),
        ),
        Step(
            "remove empty boxes",
            "boxes without an area, or whose right or lower border comes before the other one",
            partial(_repaired, objects, "empty boxes", "empty"),
        ),
        Step(
            "remove duplicate boxes",
            "boxes that are in the same image with the same label and corners already",
            partial(_repaired, objects, "duplicate boxes", "duplicate"),
        ),
    ]


def _clipped(objects: str, columns: Mapping[str, Column]) -> Change:
    if not {objects, "width", "height"} <= columns.keys():
        return Change()
    return _change(objects, "clipped boxes", _clip(col(objects), col("width"), col("height")))


def _repaired(objects: str, counted: str, what: str, columns: Mapping[str, Column]) -> Change:
    if objects not in columns:
        return Change()
    return _change(objects, counted, _remove(col(objects), what))


def _change(objects: str, counted: str, repaired: Expression) -> Change:
    return Change(columns={objects: repaired.get("objects")}, counts={counted: repaired.get("count")})


@func.batch(return_dtype=_REPAIRED)
def _clip(objects: Series, width: Series, height: Series) -> Any:
    boxes = FlatList.of(objects.to_arrow())
    before = _corners(boxes)
    size = np.stack([_size(width)[boxes.row], _size(height)[boxes.row]] * 2, axis=1)
    after = np.clip(before, np.float32(0), size)
    clipped = (before != after).any(axis=1)
    return _result(boxes.lists(_with_corners(boxes.values, after)), boxes.counted(clipped))


@func.batch(return_dtype=_REPAIRED)
def _remove(objects: Series, what: str) -> Any:
    boxes = FlatList.of(objects.to_arrow())
    remove = _empty(boxes) if what == "empty" else _duplicate(boxes)
    kept = boxes.kept(~remove)
    return _result(kept.lists(_with_corners(kept.values, _corners(kept))), boxes.counted(remove))


def _empty(boxes: FlatList) -> npt.NDArray[np.bool_]:
    xmin, ymin, xmax, ymax = _corners(boxes).T
    # Not "<=": a corner that is no number has no area either.
    has_area: npt.NDArray[np.bool_] = (xmax > xmin) & (ymax > ymin)
    return ~has_area


def _duplicate(boxes: FlatList) -> npt.NDArray[np.bool_]:
    label = boxes.values.field("label").dictionary_encode().indices.fill_null(-1).to_numpy(zero_copy_only=False)
    keys = np.column_stack([boxes.row, label, *_corners(boxes).T.view(np.int32)])
    _, first = np.unique(keys, axis=0, return_index=True)
    repeated = np.ones(len(keys), dtype=np.bool_)
    repeated[first] = False
    return repeated


def _corners(boxes: FlatList) -> npt.NDArray[np.float32]:
    """float32, boxes x 4. Adding zero makes one zero of the two."""
    columns = [_numbers(boxes.values.field(name)) for name in _CORNERS]
    return np.ascontiguousarray(np.stack(columns, axis=1) + np.float32(0))


def _size(pixels: Series) -> npt.NDArray[np.float32]:
    known = _numbers(pixels.to_arrow())
    return np.where(known > 0, known, np.float32(np.inf))


def _numbers(values: pa.Array) -> npt.NDArray[np.float32]:
    whole = pc.fill_null(values.cast(pa.float32(), safe=False), float("nan"))
    return np.asarray(whole.to_numpy(zero_copy_only=False), dtype=np.float32)


def _with_corners(values: pa.Array, corners: npt.NDArray[np.float32]) -> pa.Array:
    names = ["label", *_CORNERS, "difficult"]
    sides = [pa.array(np.ascontiguousarray(side)) for side in corners.T]
    return pa.StructArray.from_arrays([values.field("label"), *sides, values.field("difficult")], names=names)


def _result(objects: pa.Array, count: pa.Array) -> pa.Array:
    return pa.StructArray.from_arrays([objects, count], names=["objects", "count"])
