"""Invented values for columns of which nothing is known but the form: texts, numbers, dates."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any

from services.preprocess.privacy.key import Draw

_CHINESE = re.compile(r"[\u4e00-\u9fff]")
_LONGEST = 64
_DAYS = 182
"""At most so many days a fake date is away."""


def fake_text(value: str, draw: Draw) -> str:
    """Digits for digits, letters for letters of their case, Chinese characters for such; a word for a long text."""
    return "".join(_like(one, draw) for one in value) if len(value) <= _LONGEST else draw.letters(12)


def fake_integer(value: int, draw: Draw) -> int:
    """A number of as many digits and the same sign."""
    digits = len(str(abs(value)))
    # Nineteen digits begin with 1 to 8, so that 64 bits hold them.
    first = draw.below(8 if digits > 18 else 9) + 1 if digits > 1 else draw.below(10)
    invented = int(f"{first}{draw.digits(digits - 1)}")
    return -invented if value < 0 else invented


def fake_number(value: float, draw: Draw) -> float:
    """A number of the same sign, size and decimals."""
    mantissa, mark, exponent = repr(value).partition("e")
    head, tail = re.match(r"(-?0*\.?0*)(.*)", mantissa, re.DOTALL).groups()  # type: ignore[union-attr]
    if not tail[:1].isdecimal():
        return value
    rest = "".join(draw.digits(1) if one.isdecimal() else one for one in tail[1:])
    return float(f"{head}{draw.below(9) + 1}{rest}{mark}{exponent}")


def fake_date(value: Any, draw: Draw) -> datetime:
    """Another day within half a year: what dates say in the large stays about as it was."""
    moment = value if isinstance(value, datetime) else datetime(value.year, value.month, value.day)
    return moment + timedelta(days=draw.below(2 * _DAYS + 1) - _DAYS)


def _like(character: str, draw: Draw) -> str:
    if character.isdecimal():
        return draw.digits(1)
    if _CHINESE.match(character):
        return chr(0x4E00 + draw.below(3000))
    if character.isalpha():
        letter = draw.letters(1)
        return letter.upper() if character.isupper() else letter
    return character
