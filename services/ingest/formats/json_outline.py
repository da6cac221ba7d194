"""What is in a JSON document, before it is read as a table: a list of rows, parts of rows, or columns."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.ingest.formats.encoding import TextEncoding, detect_encoding
from services.ingest.formats.json_stream import open_json
from services.ingest.names import PARTS, part_in_name
from services.ingest.tables import Limits
from tidemill.contracts.data import Data
from tidemill.errors import InvalidInput

_ADVICE = (
    'a document has to be a list of objects ([{"text": …, "label": …}, …]), an object of columns '
    '({"text": [...], "label": [...]}), or an object of parts ({"train": [rows], "test": [rows]})'
)


@dataclass(frozen=True)
class Outline:
    """``lists``: by part, the keys whose lists are its rows (``()`` is the document itself, which is a list). None
    when the document is an object of columns."""

    encoding: TextEncoding
    lists: dict[str, tuple[str, ...]] | None


def outline(path: Path, data: Data, limits: Limits) -> Outline:
    """Look through the document.

    Raises:
        InvalidInput: it is no JSON, or nothing that is a table.
    """
    encoding = detect_encoding(path, data.encoding, max_line=limits.max_line)
    with open_json(path, encoding, limits.max_line) as document:
        start = document.peek()
        if start == "[":
            return Outline(encoding, {"data": ()})
        if start != "{":
            document.value()
            raise InvalidInput(f"{path.name} holds a single value; {_ADVICE}")
        rows: list[str] = []
        columns: list[str] = []
        for key in document.entries():
            kind = _rows_or_column(document)
            if key in rows or key in columns:
                raise InvalidInput(f"{path.name} has the key {key!r} twice; give every list its own key")
            if kind is not None:
                (rows if kind == "rows" else columns).append(key)
        document.end()
    if not rows and not columns:
        raise InvalidInput(f"{path.name} holds no list; {_ADVICE}")
    if not rows or (columns and not any(map(part_in_name, rows)) and _are_columns(path, encoding, limits)):
        return Outline(encoding, None)
    return Outline(encoding, _parts(path, rows))


def _are_columns(path: Path, encoding: TextEncoding, limits: Limits) -> bool:
    """Whether all lists of the object have as many values as each other, so that those of objects or lists are columns
    beside the others."""
    lengths = set()
    with open_json(path, encoding, limits.max_line) as document:
        for _ in document.entries():
            if document.peek() == "[":
                lengths.add(sum(1 for _ in document.elements()))
            else:
                document.value()
    return len(lengths) == 1


def _rows_or_column(document: Any) -> str | None:
    """What the next value is; it is stepped over."""
    if document.peek() != "[":
        return "column" if isinstance(document.value(), dict) else None
    first = next(elements := document.elements(), None)
    for _ in elements:
        pass
    return "rows" if isinstance(first, dict | list) else "column"


def _parts(path: Path, keys: list[str]) -> dict[str, tuple[str, ...]]:
    if len(keys) == 1 and part_in_name(keys[0]) is None:
        return {"data": (keys[0],)}
    nameless = [key for key in keys if part_in_name(key) is None]
    if nameless:
        raise InvalidInput(
            f"{path.name} holds lists of rows under {', '.join(keys[:10])}, and {nameless[0]!r} says no part "
            "(train, validation, test); keep one list, or name them by their parts"
        )
    parts: dict[str, tuple[str, ...]] = {
        part: tuple(key for key in keys if part_in_name(key) == part) for part in PARTS
    }
    found = {part: keys for part, keys in parts.items() if keys}
    if len(found) == 1:
        return {"data": tuple(keys)}
    if not {"train", "test"} <= found.keys():
        raise InvalidInput(f"{path.name} holds {' and '.join(found)}; a dataset in parts needs both train and test")
    return found
