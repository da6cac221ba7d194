"""Phone numbers that nobody has: the ranges that regulators keep for films and books, and fakes out of them."""

from __future__ import annotations

import re
from collections.abc import Callable

from services.preprocess.privacy.key import Draw

Identify = Callable[[str], tuple[str | None, str]]

# By country code: begin of a national number, and how many digits follow.
_RANGES: dict[str, tuple[tuple[str, int], ...]] = {
    "44": (("7700900", 3), ("2079460", 3), ("1632960", 3), ("1134960", 3), ("1614960", 3)),  # Ofcom
    "49": (("3023125", 3), ("6990009", 3), ("4066969", 3), ("2214710", 3), ("8999998", 3)),  # Bundesnetzagentur
    "33": (("19900", 4), ("26191", 4), ("35301", 4), ("46571", 4), ("53649", 4), ("63998", 4)),  # ARCEP
    "61": (("25550", 4), ("35550", 4), ("75550", 4), ("85550", 4), ("491570", 3)),  # ACMA
    "86": (("1540000", 4),),  # 154 has not been given to an operator
}
_UNASSIGNED = "86"
"""Whose range is no country's by the numbering plans, so that nobody can say which country such a number is of."""
_AREAS = ("201", "212", "213", "303", "312", "404", "415", "503", "512", "602", "617", "702", "713", "804", "916")
_NORTH_AMERICAN = re.compile(r"[2-9][0-9]{2}55501[0-9]{2}")
"""NANP: 555-0100 to 555-0199 in any area."""


def fake(value: str, draw: Draw, *, identify: Identify) -> str:
    """A number of the same country from a range for fiction; from the North American one where none is known.

    It is written internationally when the value was, else as it is dialled within the country.
    """
    code, national = identify(value)
    abroad = value.lstrip("(").startswith(("+", "00"))
    if code in _RANGES:
        begin, count = _RANGES[code][draw.below(len(_RANGES[code]))]
        number = begin + draw.digits(count)
        if abroad:
            return f"+{code} {number}"
        return number if code == "86" else f"0{number}"
    area = national[:3] if code == "1" and re.match("[2-9]", national) else _AREAS[draw.below(len(_AREAS))]
    number = f"{area}-555-01{draw.digits(2)}"
    return f"+1 {number}" if abroad or code != "1" else number


def reserved(code: str | None, national: str) -> bool:
    """Whether the number is of a range for fiction."""
    if code == "1" or (code is None and _NORTH_AMERICAN.fullmatch(national)):
        return bool(_NORTH_AMERICAN.fullmatch(national))
    own = _RANGES.get(code or _UNASSIGNED, ())
    return any(national.startswith(begin) and len(national) == len(begin) + count for begin, count in own)
