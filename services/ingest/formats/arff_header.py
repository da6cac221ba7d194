"""Reads the header of an ARFF file: names and types of the columns.

The format is that of Weka (https://waikato.github.io/weka-wiki/formats_and_processing/arff_stable/).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from services.ingest.formats.arff_tokens import split, unescaped
from services.ingest.tables import MAX_COLUMNS
from tidemill.errors import InvalidInput

ArffType = Literal["number", "integer", "nominal", "string", "date"]

_NAME = r"""('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[^\s{]+)"""
_ATTRIBUTE = re.compile(rf"@attribute\s+{_NAME}\s*(.*)$", re.IGNORECASE | re.DOTALL)
_TYPES: dict[str, ArffType] = {
    "numeric": "number", "real": "number", "integer": "integer", "string": "string", "date": "date",
}  # fmt: skip


@dataclass(frozen=True)
class Attribute:
    """A column; ``values`` are those of a nominal one."""

    name: str
    type: ArffType
    values: tuple[str, ...] = ()


def read_header(lines: Iterator[tuple[int, str]], path: Path) -> list[Attribute]:
    """The attributes, from the numbered lines up to ``@data``, which are taken from ``lines``.

    Raises:
        InvalidInput: there is no ``@data``, or a declaration cannot be understood.
    """
    attributes: list[Attribute] = []
    for number, line in lines:
        text = line.strip()
        word = text.partition(" ")[0].partition("\t")[0].casefold()
        if not text or text.startswith("%") or word == "@relation":
            continue
        if word == "@data":
            if not attributes:
                raise InvalidInput(f"{path.name}, line {number}: @data stands before the first @attribute")
            return attributes
        if word != "@attribute":
            raise InvalidInput(f"{path.name}, line {number}: {text[:40]!r} is neither @attribute nor @data")
        attributes.append(_attribute(text, f"{path.name}, line {number}"))
        if len(attributes) > MAX_COLUMNS:
            raise InvalidInput(f"{path.name} declares more than {MAX_COLUMNS:,} attributes")
    raise InvalidInput(f"{path.name} has no @data section; an ARFF file is a header, @data, and rows")


def _attribute(text: str, place: str) -> Attribute:
    found = _ATTRIBUTE.match(text)
    if found is None:
        raise InvalidInput(f"{place}: no name and type behind @attribute")
    name, kind = found[1], found[2].strip()
    name = unescaped(name[1:-1]) if name[0] in "'\"" else name
    if kind.startswith("{"):
        values = split(kind[1:-1]) if kind.endswith("}") else None
        if not values:
            raise InvalidInput(f"{place}: the values of {name!r} are not closed with '}}'")
        return Attribute(name, "nominal", tuple(value for value, _ in values))
    type = _TYPES.get(kind.split()[0].casefold()) if kind else None
    if type is None:
        known = ", ".join(_TYPES)
        raise InvalidInput(f"{place}: {kind[:40]!r} is no type of an attribute that can be read; {known} or {{a, b}}")
    return Attribute(name, type)
