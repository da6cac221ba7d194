"""JSON values without loss: numbers keep their digits, however many; everything becomes text or stays as it is.

orjson parses what a double or a 64-bit integer can hold; the rest goes to the standard library, which hands out digits.
"""

from __future__ import annotations

import json
import re
from typing import Any

import orjson

_WHOLE = frozenset((str, int, bool, type(None)))
"""Types that orjson gives only to values that it keeps whole."""
_AFTER_NUMBER = frozenset((",", "}", "]", " ", "\n", "\r", "\t", ""))
_LONG = re.compile(r"-?\d[\d.eE+-]{15,}")
"""What could be a number with more digits than orjson keeps."""
_HALF_PAIR = re.compile(r"\\u[dD][89a-fA-F]")
_STRING = re.compile(r'"((?:[^"\\]|\\.)*+)"(\s*:)?')
"""A string, and whether it is a key."""
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


class RepeatedKey(dict[str, Any]):
    """An object in which a key stands twice, so that nobody can say which value is meant."""

    @property
    def reason(self) -> str:
        """Which key it is."""
        return f"key {self._key!r} stands twice in one object"

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        seen: set[str] = set()
        self._key = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]


def _constant(word: str) -> Number | None:
    return None if word == "NaN" else Number(word)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    return value if len(value) == len(pairs) else RepeatedKey(pairs)


EXACT = json.JSONDecoder(
    parse_float=Number, parse_int=Number, parse_constant=_constant, object_pairs_hook=_object
)  # fmt: skip
"""Gives numbers as ``Number``; ``NaN``, which Python writes for what is missing, as None; and see ``RepeatedKey``."""


def decode(text: str) -> Any:
    """The value that ``text`` holds. Raises JsonProblem."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        # It may be one of the things that only the standard library takes.
        return _decode_exactly(text)
    if type(value) is dict:
        delicate = [each for each in value.values() if type(each) not in _WHOLE]
        if _may_repeat_a_key(text, value, delicate):
            return _decode_exactly(text)
        if all(type(each) is float and _stands_in(text, each) for each in delicate):
            return value
    return value if all(map(_keeps_its_digits, _LONG.findall(text))) else _decode_exactly(text)


def _decode_exactly(text: str) -> Any:
    try:
        value = EXACT.decode(text)
    except json.JSONDecodeError as error:
        raise JsonProblem(error.msg, error.colno) from None
    except RecursionError:
        raise JsonProblem(_ADVICE_DEPTH) from None
    refuse_damaged(text, value)
    return value


def _may_repeat_a_key(text: str, value: dict[str, Any], delicate: list[Any]) -> bool:
    """Whether it has to be looked at; orjson keeps the last value of a key and says nothing."""
    if any(type(each) is dict or (type(each) is list and _holds_objects(each)) for each in delicate):
        return True
    if "\\" in text and any(is_key and "\\" in string for string, is_key in _STRING.findall(text)):
        return True  # a key that is written with an escape
    # Within a value a key stands behind a quote that is escaped, so that its own quotes count keys and equal values.
    return any(text.count(f'"{key}"') != 1 for key in value)


def _holds_objects(values: list[Any]) -> bool:
    return any(type(each) in (dict, list) for each in values)


def _stands_in(text: str, number: float) -> bool:
    """Whether ``number`` was written in ``text`` with just the digits that a double needs."""
    digits = repr(number)
    at = text.find(digits)
    return at >= 0 and text[at + len(digits) : at + len(digits) + 1] in _AFTER_NUMBER


def _keeps_its_digits(number: str) -> bool:
    """Whether a number is the same after it was a double, or a 64-bit integer."""
    try:
        return repr(float(number)) == number if "." in number else -(1 << 63) <= int(number) < 1 << 63
    except ValueError:
        return False


def refuse_damaged(text: str, value: Any) -> None:
    """Raise JsonProblem when ``value``, decoded by ``EXACT`` from ``text``, holds an object in which a key stands
    twice, or half of a surrogate pair."""
    try:
        _refuse_repeated_keys(value)
        if _HALF_PAIR.search(text) is None:
            return
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise JsonProblem("half of a surrogate pair (\\ud800 to \\udfff), which is no character") from None
    except RecursionError:
        raise JsonProblem(_ADVICE_DEPTH) from None


def _refuse_repeated_keys(value: Any) -> None:
    if type(value) is RepeatedKey:
        raise JsonProblem(value.reason)
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list):
        return
    for each in value:
        if isinstance(each, (dict, list)):
            _refuse_repeated_keys(each)


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
        return "{" + ",".join(f"{_written(key)}:{_written(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_written, value)) + "]"
    if isinstance(value, str):  # orjson refuses the surrogates that stand for undecodable bytes
        return json.dumps(value, ensure_ascii=False)
    return orjson.dumps(value).decode()
