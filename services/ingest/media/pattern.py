"""A pattern of paths whose named fields are columns: ``{label}/{_}``, ``{label}_{speaker}_{index}.wav``.

It is matched with as many last names of a path as it has names itself. A field stands for at least one character and
ends where the text behind it first occurs; ``{_}`` is left out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from tidemill.errors import InvalidInput

_FIELD = re.compile(r"\{([^{}]*)\}")
_EXAMPLE = 'e.g. "{label}/{_}" or "{label}_{speaker}_{index}.wav"'


@dataclass(frozen=True)
class _Name:
    """One name of the path: a text, and then fields, each with the text behind it."""

    start: str
    fields: tuple[tuple[str, str], ...]

    def match(self, name: str) -> dict[str, str] | None:
        if not name.startswith(self.start):
            return None
        found: dict[str, str] = {}
        at = len(self.start)
        for number, (field, behind) in enumerate(self.fields, 1):
            if number < len(self.fields):
                end = name.find(behind, at + 1)
            else:
                end = len(name) - len(behind) if name.endswith(behind) else -1
            if end <= at:
                return None
            found[field] = name[at:end]
            at = end + len(behind)
        return found if at == len(name) else None


class PathPattern:
    """A parsed ``data.path_pattern``."""

    def __init__(self, pattern: str) -> None:
        """Raises InvalidInput for a pattern that names no column, one twice, or two without a text between them."""
        self.pattern = pattern
        self._names = [_parsed(name, pattern) for name in pattern.strip("/").split("/")]
        fields = [field for name in self._names for field, _ in name.fields if field != "_"]
        self.columns: tuple[str, ...] = tuple(fields)
        """Names of the fields, in their order."""
        if not fields:
            raise InvalidInput(f"data.path_pattern {pattern!r} names no column; write one in braces, {_EXAMPLE}")
        if len(set(fields)) < len(fields):
            raise InvalidInput(f"data.path_pattern {pattern!r} names a column twice; give each field its own name")

    def match(self, path: str) -> dict[str, str] | None:
        """The value of each column in ``path`` (names with ``/`` between them); None when it does not match."""
        names = path.split("/")[-len(self._names) :]
        if len(names) < len(self._names):
            return None
        found: dict[str, str] = {}
        for pattern, name in zip(self._names, names, strict=True):
            values = pattern.match(name)
            if values is None:
                return None
            found |= values
        found.pop("_", None)
        return found


def _parsed(name: str, pattern: str) -> _Name:
    start, *rest = _FIELD.split(name)
    fields = tuple(zip(rest[::2], rest[1::2], strict=True))
    if "{" in start + "".join(rest[1::2]) or "}" in start + "".join(rest[1::2]):
        raise InvalidInput(f"data.path_pattern {pattern!r} has a brace without its other one; {_EXAMPLE}")
    if not name:
        raise InvalidInput(f"data.path_pattern {pattern!r} has an empty name; {_EXAMPLE}")
    for field, _ in fields:
        if not field.strip() or field != field.strip():
            raise InvalidInput(f"data.path_pattern {pattern!r} has a field without a name; {_EXAMPLE}, or {{_}}")
    if any(not behind for _, behind in fields[:-1]):
        raise InvalidInput(f"data.path_pattern {pattern!r} has two fields without a text between them; {_EXAMPLE}")
    return _Name(start, fields)
