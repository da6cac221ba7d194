"""Splits the lines of ARFF into values: commas, both kinds of quotes, backslashes."""

from __future__ import annotations

import re

_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}
_QUOTED = r"""'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)\""""
_DENSE = re.compile(rf"""\s*(?:{_QUOTED}|([^,'"]*?))\s*(,|$)""", re.DOTALL)
_SPARSE = re.compile(rf"""\s*(\d{{1,9}})\s+(?:{_QUOTED}|([^,'"]+?))\s*(,|$)""", re.ASCII | re.DOTALL)


def split(text: str) -> list[tuple[str, bool]] | None:
    """The values of a comma separated line, and whether each was in quotes; None when the quotes are out of place."""
    if "'" not in text and '"' not in text:
        return [(value.strip(), False) for value in text.split(",")]
    values: list[tuple[str, bool]] = []
    at = 0
    while True:
        token = _DENSE.match(text, at)
        if token is None:
            return None
        values.append(_value(*token.groups()[:3]))
        if not token[4]:
            return values
        at = token.end()


def split_sparse(text: str) -> dict[int, tuple[str, bool]] | None:
    """The values of ``{index value, …}`` by index; None when it is not written so, or an index stands there twice."""
    if not text.endswith("}"):
        return None
    inner = text[1:-1].strip()
    values: dict[int, tuple[str, bool]] = {}
    at = 0
    while at < len(inner):
        token = _SPARSE.match(inner, at)
        if token is None or int(token[1]) in values:
            return None
        values[int(token[1])] = _value(token[2], token[3], token[4])
        at = token.end()
        if token[5] and at == len(inner):
            return None
    return values


def unescaped(text: str) -> str:
    """``text`` between quotes with its backslashes resolved."""
    return re.sub(r"\\(.)", lambda found: _ESCAPES.get(found[1], found[1]), text, flags=re.DOTALL)


def _value(single: str | None, double: str | None, plain: str | None) -> tuple[str, bool]:
    quoted = single if single is not None else double
    return (unescaped(quoted), True) if quoted is not None else (plain or "", False)
