"""Numbers in text, as people write them, where only one number can be meant.

Groups of three digits may be separated, by the comma (by the dot under ``decimal_comma``), a space of any width or an
apostrophe: ``1,234.5``, ``1 234``. ``12%`` is 0.12. Full-width digits and the minus sign of typography are read.
A currency sign is not: amounts of several currencies are no numbers of one column. Neither are infinities,
hexadecimal digits, underscores or numbers in brackets.
"""

from __future__ import annotations

import math
import re
import unicodedata
from decimal import Decimal, InvalidOperation

NUMBER = r"^[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?$"
"""What Daft's own cast reads as a number, and reads right."""
INTEGER = r"^[+-]?[0-9]{1,18}$"

_WRITTEN = re.compile(
    r"(?P<sign>[+-]?) ?(?P<whole>\d{1,3}(?:(?P<mark>[,.' ])\d{3})(?:(?P=mark)\d{3})*|\d*)"
    r"(?:(?P<point>[.,])(?P<fraction>\d*))?(?P<exponent>[eE][+-]?\d{1,4})? ?(?P<percent>%?)",
    re.ASCII,
)
_AS_WRITTEN = str.maketrans({"−": "-", "–": "-", "’": "'", "٬": "'"})


def parse_number(text: str, *, decimal_comma: bool = False) -> float | None:
    """The one finite number that ``text`` can mean, None when there is none."""
    exact = _exact(text, decimal_comma=decimal_comma)
    if exact is None:
        return None
    number = float(exact)
    return number if math.isfinite(number) else None


def parse_integer(text: str, *, decimal_comma: bool = False) -> int | None:
    """The one integer of 64 bits that ``text`` can mean, None when there is none; ``3.0`` is one, ``3.5`` is not."""
    exact = _exact(text, decimal_comma=decimal_comma)
    if exact is None or exact.adjusted() > 19 or exact != exact.to_integral_value():
        return None
    number = int(exact)
    return number if -(2**63) <= number < 2**63 else None


def _exact(text: str, *, decimal_comma: bool) -> Decimal | None:
    found = _WRITTEN.fullmatch(unicodedata.normalize("NFKC", text).translate(_AS_WRITTEN).strip())
    if found is None or not (found["whole"] or found["fraction"]):
        return None
    point, group = (",", ".") if decimal_comma else (".", ",")
    if (found["point"] not in (None, point)) or found["mark"] == point:
        return None
    whole = found["whole"].replace(found["mark"], "") if found["mark"] else found["whole"]
    if found["mark"] not in (None, group, " ", "'"):
        return None
    try:
        exact = Decimal(f"{found['sign']}{whole or 0}.{found['fraction'] or 0}{found['exponent'] or ''}")
    except InvalidOperation:
        return None
    return exact / 100 if found["percent"] else exact
