"""Dates in text, where only one date can be meant.

Year first (``2024-01-05``, ``2024/1/5``, ``20240105``, ``2024年1月5日``), day first with dots (``5.1.2024``; no locale
of the CLDR writes the month first with dots), with the month's English name (``5 Jan 2024``, ``January 5, 2024``), or
with slashes or hyphens where the numbers leave one reading (``25/12/2024``, ``5/5/2024``). ``3/4/2024`` is two dates
and therefore none. A time may follow; one with an offset becomes UTC. Years have four digits.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import datetime, timedelta

_MONTHS = {name: number for number, names in enumerate((
    ("jan", "january"), ("feb", "february"), ("mar", "march"), ("apr", "april"), ("may",), ("jun", "june"),
    ("jul", "july"), ("aug", "august"), ("sep", "sept", "september"), ("oct", "october"), ("nov", "november"),
    ("dec", "december"),
), 1) for name in names}  # fmt: skip

_TIME = (
    r"(?:(?:T|,? +)(?P<hour>\d{1,2}):(?P<minute>\d\d)(?::(?P<second>\d\d)(?:[.,](?P<fraction>\d{1,9}))?)?"
    r" ?(?P<half>[AaPp][Mm])?(?: ?(?P<offset>Z|UTC|GMT|[+-]\d\d:?\d\d))?)?"
)
_DATES = tuple(
    re.compile(f"{date}{_TIME}", re.ASCII)
    for date in (
        r"(?P<year>\d{4})(?P<mark>[-/.])(?P<month>\d{1,2})(?P=mark)(?P<day>\d{1,2})",
        r"(?P<year>\d{4})(?P<month>\d\d)(?P<day>\d\d)",
        r"(?P<year>\d{4}) ?年 ?(?P<month>\d{1,2}) ?月 ?(?P<day>\d{1,2}) ?日",
        r"(?P<day>\d{1,2})\.(?P<month>\d{1,2})\.(?P<year>\d{4})",
        r"(?P<one>\d{1,2})(?P<mark>[-/])(?P<other>\d{1,2})(?P=mark)(?P<year>\d{4})",
        r"(?P<day>\d{1,2})(?:st|nd|rd|th)?[ -](?P<name>[A-Za-z]{3,9})\.?,?[ -](?P<year>\d{4})",
        r"(?P<name>[A-Za-z]{3,9})\.? (?P<day>\d{1,2})(?:st|nd|rd|th)?,? (?P<year>\d{4})",
    )
)

ISO = (
    r"^[1-9][0-9]{3}-[0-9]{2}-[0-9]{2}"
    r"(?:[T ](?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,6})?Z?)?$"
)
"""What Daft's own cast reads, and reads right."""


def parse_date(text: str) -> datetime | None:
    """The one moment that ``text`` can mean, in UTC where it has an offset; None when there is none, or several."""
    text = unicodedata.normalize("NFKC", text).strip()
    for pattern in _DATES:
        found = pattern.fullmatch(text)
        if found is not None:
            try:
                return _moment(found.groupdict())
            except (ValueError, OverflowError):
                return None
    return None


def _moment(part: dict[str, str | None]) -> datetime | None:
    day, month = _day_and_month(part)
    if day is None or month is None:
        return None
    hour = int(part["hour"] or 0)
    if part["half"]:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if part["half"].lower() == "pm" else 0)
    fraction = int((part["fraction"] or "").ljust(6, "0")[:6])
    moment = datetime(
        int(part["year"] or 0), month, day, hour, int(part["minute"] or 0), int(part["second"] or 0), fraction
    )
    return moment - _offset(part["offset"])


def _day_and_month(part: dict[str, str | None]) -> tuple[int | None, int | None]:
    if part.get("name"):
        return int(part["day"] or 0), _MONTHS.get((part["name"] or "").lower())
    if part.get("one"):
        one, other = int(part["one"] or 0), int(part["other"] or 0)
        if one == other or one > 12:
            return one, other
        return (other, one) if other > 12 else (None, None)
    return int(part["day"] or 0), int(part["month"] or 0)


def _offset(text: str | None) -> timedelta:
    if text is None or text[0] not in "+-":
        return timedelta(0)
    size = timedelta(hours=int(text[1:3]), minutes=int(text[-2:]))
    return -size if text[0] == "-" else size
