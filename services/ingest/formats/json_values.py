"""JSON values without loss: numbers keep their digits, however many; everything becomes text or stays as it is.

orjson parses what a double or a 64-bit integer can hold; the rest goes to the standard library, which hands out digits.
"""

from __future__ import annotations

import json
import re
from typing import Any

import orjson

_DELICATE = re.compile(r"\d[eE][-+]?\d{3}|NaN|Infinity")
"""Exponents that a double may not have, and words that Python writes for numbers that are none."""
_LONG = re.compile(r"-?\d[\d.eE+-]{15,}")
"""What could be a number with more digits than orjson keeps."""
_HALF_PAIR = re.compile(r"\\u[dD][89a-fA-F]")
_ADVICE_DEPTH = "nested too deeply"


class Number(str):
    """A number as its digits."""

    __slots__ = ()


class JsonProblem(Exception):
    """Text is no JSON: ``reason``, at character ``column`` (from 1) where that is known."""

    def __init__(self, reason: str, column: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.column = column


def _constant(word: str) -> Number | None:
    return None if word == "NaN" else Number(word)


EXACT = json.JSONDecoder(parse_float=Number, parse_int=Number, parse_constant=_constant)
"""Gives numbers as ``Number``; ``NaN``, which Python writes for what is missing, as None."""


def decode(text: str) -> Any:
    """The value that ``text`` holds. Raises JsonProblem."""
    if _DELICATE.search(text) is None and all(map(_keeps_its_digits, _LONG.findall(text))):
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError as error:
            raise JsonProblem(error.msg, error.colno) from None
    try:
        value = EXACT.decode(text)
    except json.JSONDecodeError as error:
        raise JsonProblem(error.msg, error.colno) from None
    except RecursionError:
        raise JsonProblem(_ADVICE_DEPTH) from None
    refuse_half_pairs(text, value)
    return value


def _keeps_its_digits(number: str) -> bool:
    """Whether a number is the same after it was a double, or a 64-bit integer."""
    try:
        return repr(float(number)) == number if "." in number else -(1 << 63) <= int(number) < 1 << 63
    except ValueError:
        return False


def refuse_half_pairs(text: str, value: Any) -> None:
    """Raise JsonProblem when ``value``, decoded from ``text``, holds half of a surrogate pair."""
    if _HALF_PAIR.search(text) is None:
        return
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise JsonProblem("half of a surrogate pair (\\ud800 to \\udfff), which is no character") from None
    except RecursionError:
        raise JsonProblem(_ADVICE_DEPTH) from None


def as_text(value: Any) -> str | None:
    """A string as it is, null as None, everything else as its JSON text."""
    if value is None or isinstance(value, str):
        return value
    try:
        return orjson.dumps(value, option=orjson.OPT_PASSTHROUGH_SUBCLASS).decode()
    except TypeError:
        return _written(value)


def kind_of_value(value: Any) -> str:
    """What a value is, in words."""
    kinds = {list: "a list", dict: "an object", str: "a string", bool: "a boolean", type(None): "null"}
    return kinds.get(type(value), "a number")


def _written(value: Any) -> str:
    if isinstance(value, Number):
        return str(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{orjson.dumps(key).decode()}:{_written(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_written, value)) + "]"
    return orjson.dumps(value).decode()
