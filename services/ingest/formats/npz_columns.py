"""How an array becomes columns of a table."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from services.ingest.formats.npz_members import Member
from services.ingest.formats.typed import kind_of
from services.ingest.tables import MAX_COLUMNS, Limits, cell_too_long
from tidemill.datasets.schema import ColumnKind
from tidemill.errors import InvalidInput

Converted = tuple[list[pa.Array], dict[int, str]]
"""The columns, and by row (from 0) the reason why it is bad."""


@dataclass(frozen=True)
class NpzColumn:
    """The columns of the array ``name``, and how some rows of it become them."""

    name: str
    fields: list[pa.Field]
    kinds: dict[str, ColumnKind]
    convert: Callable[[np.ndarray[Any, Any], Limits], Converted]


def npz_column(path: Path, member: Member, name: str) -> NpzColumn:
    """The columns that ``member`` becomes. Raises InvalidInput when its values are of a type that no column has."""
    if member.dtype.fields is not None:
        raise InvalidInput(f"{path.name}: the array {member.name!r} has fields; save each as an array of its own")
    if _is_images(member):
        return NpzColumn(member.name, [pa.field(name, pa.binary())], {name: "image"}, _images)
    kind = _arrow_type(path, member)
    known = kind_of(kind)
    if len(member.shape) > 2:
        for _ in member.shape[1:]:
            kind = pa.list_(kind)
        nested: dict[str, ColumnKind] = {name: "nested"}
        return NpzColumn(member.name, [pa.field(name, kind)], nested, _nested(kind, member))
    width = member.shape[1] if len(member.shape) == 2 else 1
    if width > MAX_COLUMNS or not width:
        raise InvalidInput(
            f"{path.name}: the array {member.name!r} has {width:,} columns; 1 to {MAX_COLUMNS:,} are taken"
        )
    names = [name] if width == 1 else [f"{name}_{number}" for number in range(1, width + 1)]
    kinds = {} if known is None else dict.fromkeys(names, known)
    return NpzColumn(member.name, [pa.field(each, kind) for each in names], kinds, _values(kind, member))


def _is_images(member: Member) -> bool:
    if member.dtype != np.uint8 or len(member.shape) not in (3, 4) or 0 in member.shape:
        return False
    return len(member.shape) == 3 or member.shape[3] in (1, 3, 4)


def _arrow_type(path: Path, member: Member) -> pa.DataType:
    if member.dtype.kind in "US":
        return pa.string()
    try:
        if member.dtype.kind in "biufM":
            kind = pa.from_numpy_dtype(member.dtype.newbyteorder("="))
            return pa.float32() if pa.types.is_float16(kind) else kind
    except pa.ArrowException:
        pass
    raise InvalidInput(
        f"{path.name}: the array {member.name!r} holds values of type {member.dtype}, which no column has; "
        "save numbers, booleans, dates or text"
    )


def _values(kind: pa.DataType, member: Member) -> Callable[[np.ndarray[Any, Any], Limits], Converted]:
    def convert(array: np.ndarray[Any, Any], limits: Limits) -> Converted:
        columns, wrong = [], {}
        for column in array.reshape(len(array), -1).T:
            if member.dtype.kind in "US":
                values, bad = _text(column, member.name, limits)
                wrong.update(bad)
            else:
                values = _numbers(column, kind)
            columns.append(values)
        return columns, wrong

    return convert


def _numbers(values: np.ndarray[Any, Any], kind: pa.DataType) -> pa.Array:
    native = np.ascontiguousarray(values.astype(values.dtype.newbyteorder("="), copy=False))
    if native.dtype == np.float16:
        native = native.astype(np.float32)
    return pa.array(native, kind)


def _text(values: np.ndarray[Any, Any], name: str, limits: Limits) -> tuple[pa.Array, dict[int, str]]:
    texts: list[str | None] = []
    wrong: dict[int, str] = {}
    try:
        given = values.tolist()
    except (UnicodeDecodeError, ValueError):
        return pa.nulls(len(values), pa.string()), dict.fromkeys(range(len(values)), "holds what is no character")
    for row, value in enumerate(given):
        try:
            text = value.decode("utf-8") if isinstance(value, bytes) else value
            text.encode("utf-8")
        except (UnicodeDecodeError, UnicodeEncodeError):
            wrong[row], text = "holds what is no UTF-8; save text as an array of a string type", None
        if text is not None and len(text) > limits.max_cell:
            wrong[row] = cell_too_long(f"row {row + 1}", name, len(text), limits)
        texts.append(text)
    return pa.array(texts, pa.string()), wrong


def _nested(kind: pa.DataType, member: Member) -> Callable[[np.ndarray[Any, Any], Limits], Converted]:
    def convert(array: np.ndarray[Any, Any], limits: Limits) -> Converted:
        inner, wrong = kind, {}
        while pa.types.is_list(inner):
            inner = inner.value_type
        flat = array.reshape(-1)
        if member.dtype.kind in "US":
            values, bad = _text(flat, member.name, limits)
            per_row = max(1, len(flat) // max(1, len(array)))
            wrong = {place // per_row: reason for place, reason in bad.items()}
        else:
            values = _numbers(flat, inner)
        for length in reversed(array.shape[1:]):
            count = len(values) // length if length else 0
            values = pa.ListArray.from_arrays(pa.array(np.arange(count + 1, dtype=np.int32) * length), values)
        return [values.cast(kind)], wrong

    return convert


def _images(array: np.ndarray[Any, Any], limits: Limits) -> Converted:
    from PIL import Image

    pictures = []
    for pixels in array:
        out = io.BytesIO()
        Image.fromarray(pixels[..., 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels).save(out, "PNG")
        pictures.append(out.getvalue())
    return [pa.array(pictures, pa.binary())], {}
