"""Arrow types as the dataset holds them: plain ones, whose kind can be named. Knows no file."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from tidemill.datasets.kinds import kind_of_type
from tidemill.datasets.schema import ColumnKind
from tidemill.errors import InvalidInput

_TEXT_ONLY = (pa.types.is_time, pa.types.is_duration)
_MAGIC: tuple[tuple[bytes, ColumnKind], ...] = (
    (b"\x89PNG\r\n\x1a\n", "image"), (b"\xff\xd8\xff", "image"), (b"GIF8", "image"), (b"BM", "image"),
    (b"RIFF", "audio"), (b"fLaC", "audio"), (b"OggS", "audio"), (b"ID3", "audio"), (b"\xff\xfb", "audio"),
)  # fmt: skip


def plain_type(kind: pa.DataType, column: str, path: Path) -> pa.DataType:
    """The type that values of ``kind`` are kept in: no dictionaries, no large or view types; times of day and
    durations as text. Raises InvalidInput when there is none."""
    if isinstance(kind, pa.BaseExtensionType):
        return plain_type(kind.storage_type, column, path)
    if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        return plain_type(kind.value_type, column, path)
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind) or pa.types.is_null(kind):
        return pa.string()
    if pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind) or pa.types.is_fixed_size_binary(kind):
        return pa.binary()
    if pa.types.is_float16(kind):
        return pa.float32()
    if any(is_kind(kind) for is_kind in _TEXT_ONLY):
        return pa.string()
    if pa.types.is_struct(kind):
        return pa.struct([(field.name, plain_type(field.type, column, path)) for field in kind])
    if pa.types.is_map(kind):
        entry = [("key", plain_type(kind.key_type, column, path)), ("value", plain_type(kind.item_type, column, path))]
        return pa.list_(pa.struct(entry))
    if pa.types.is_nested(kind) and not pa.types.is_union(kind):
        return pa.list_(plain_type(kind.value_type, column, path))
    if pa.types.is_union(kind) or pa.types.is_interval(kind):
        raise InvalidInput(f"{path.name}, column {column!r}: values of type {kind} cannot be kept; write them as text")
    return kind


def as_plain(array: pa.Array, kind: pa.DataType) -> pa.Array:
    """``array`` in the type ``kind`` that ``plain_type`` gave for it. Raises pyarrow.ArrowException."""
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pa.types.is_run_end_encoded(array.type):
        array = pc.run_end_decode(array)
    if array.type == kind:
        return array
    if pa.types.is_null(array.type):
        return pa.nulls(len(array), kind)
    if pa.types.is_duration(array.type):
        return pc.cast(array.cast(pa.int64()), pa.string())
    if pa.types.is_map(array.type):
        # A map is laid out as a list of its entries; the cast is of their names and types.
        if array.null_count:
            # Only an array that begins at its first value can be made with nulls.
            array = array.take(pa.array(range(len(array))))
        entries = pa.StructArray.from_arrays([array.keys, array.items], names=["key", "value"])
        array = pa.ListArray.from_arrays(array.offsets, entries, mask=array.is_null() if array.null_count else None)
    if pa.types.is_time(array.type):
        return pc.replace_substring_regex(array.cast(pa.string()), pattern=r"\.0+$", replacement="")
    return array.cast(kind)


def kind_of(kind: pa.DataType) -> ColumnKind | None:
    """The kind of a column of this type; None where values have to be looked at: text, and bytes."""
    return None if pa.types.is_string(kind) or pa.types.is_binary(kind) else kind_of_type(kind)


def media_kind(head: bytes) -> ColumnKind | None:
    """What a file is that begins with ``head``, if it is an image or a recording."""
    return next((kind for magic, kind in _MAGIC if head.startswith(magic)), None)


def is_media(kind: pa.DataType) -> bool:
    """Whether this is how Hugging Face's datasets keep images and recordings: bytes with the path they had."""
    if not pa.types.is_struct(kind) or {field.name for field in kind} != {"bytes", "path"}:
        return False
    content = kind.field("bytes").type
    return bool(pa.types.is_binary(content) or pa.types.is_large_binary(content))
