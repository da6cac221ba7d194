"""Country codes of phone numbers: ITU-T E.164. No code is the begin of another one."""

from __future__ import annotations

from tidemill.errors import InvalidInput

_OF_TWO = frozenset(
    "20 27 30 31 32 33 34 36 39 40 41 43 44 45 46 47 48 49 51 52 53 54 55 56 57 58 60 61 62 63 64 65 66 81 82 84 86 90 "
    "91 92 93 94 95 98".split()
)


def split_country_code(digits: str) -> tuple[str, str]:
    """Country code and national number of the digits behind ``+``.

    Raises:
        InvalidInput: no country's code begins so.
    """
    if not digits or digits[0] == "0":
        raise InvalidInput("the phone number has no country code behind +; write +49 151 23456789")
    length = 1 if digits[0] in "17" else 2 if digits[:2] in _OF_TWO else 3
    return digits[:length], digits[length:]
