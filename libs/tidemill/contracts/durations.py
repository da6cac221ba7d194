"""Durations as people write them: ``90`` (seconds), ``30m``, ``2h``, ``1h30m``, or ISO 8601 (``PT30M``)."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

_UNITS = {"d": "days", "h": "hours", "m": "minutes", "s": "seconds"}
_SHORT = re.compile(r"(?:(?P<d>\d+(?:\.\d+)?)d)?(?:(?P<h>\d+(?:\.\d+)?)h)?(?:(?P<m>\d+(?:\.\d+)?)m(?:in)?)?"
                    r"(?:(?P<s>\d+(?:\.\d+)?)s)?")  # fmt: skip
_ISO = re.compile(
    r"P(?:(?P<d>\d+(?:\.\d+)?)D)?(?:T(?:(?P<h>\d+(?:\.\d+)?)H)?(?:(?P<m>\d+(?:\.\d+)?)M)?(?:(?P<s>\d+(?:\.\d+)?)S)?)?"
)
_LONGEST = timedelta(days=3650)


def parse_duration(text: str) -> timedelta:
    """The duration that ``text`` says.

    Raises:
        ValueError: it is none; says how one is written.
    """
    plain = text.strip().replace(" ", "")
    if re.fullmatch(r"\d+(?:\.\d+)?", plain):
        return _bounded({"seconds": float(plain)}, text)
    found = _ISO.fullmatch(plain) or _SHORT.fullmatch(plain.lower())
    parts = {_UNITS[unit]: float(value) for unit, value in found.groupdict().items() if value} if found else {}
    if not parts:
        raise ValueError(f"{text!r} is not a duration; write seconds (90), 30m, 2h, 1h30m or PT30M")
    return _bounded(parts, text)


def _bounded(parts: dict[str, float], text: str) -> timedelta:
    seconds = sum(timedelta(**{unit: 1}).total_seconds() * value for unit, value in parts.items())
    if seconds > _LONGEST.total_seconds():
        raise ValueError(f"{text!r} is longer than ten years; write a shorter duration")
    return timedelta(seconds=seconds)


def format_duration(duration: timedelta) -> str:
    """As it is written: ``1h30m``, ``45s``, ``1.5s``."""
    seconds = duration.total_seconds()
    if seconds < 60:
        return f"{round(seconds, 2):g}s"
    hours, rest = divmod(round(seconds), 3600)
    minutes, left = divmod(rest, 60)
    return "".join(f"{value}{unit}" for value, unit in ((hours, "h"), (minutes, "m"), (left, "s")) if value)


def _read(value: Any) -> Any:
    if isinstance(value, bool) or value is None:
        raise ValueError("a duration is seconds (90), 30m, 2h, 1h30m or PT30M")
    return parse_duration(str(value)) if isinstance(value, str | int | float) else value


def _some_time(duration: timedelta) -> timedelta:
    if duration <= timedelta(0):
        raise ValueError("a limit has to be longer than nothing; leave it out for no limit")
    return duration


Duration = Annotated[
    timedelta,
    BeforeValidator(_read),
    AfterValidator(_some_time),
    WithJsonSchema(
        {
            "anyOf": [{"type": "number", "exclusiveMinimum": 0}, {"type": "string"}],
            "description": "Seconds, or 30m, 2h, 1h30m, PT30M.",
        }
    ),
]
"""A span of time longer than nothing, in a recipe, a command or a setting; ISO 8601 in JSON."""
