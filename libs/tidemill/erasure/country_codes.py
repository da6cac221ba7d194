"""Country codes of phone numbers: ITU-T E.164. No code is the begin of another one."""

from __future__ import annotations

import re

from tidemill.errors import InvalidInput

_OF_TWO = re.compile("2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]")
"""Codes of two digits; 1 and 7 are codes of one, all others have three."""


def split_country_code(digits: str) -> tuple[str, str]:
    """Country code and national number of the digits behind ``+``.

    Raises:
        InvalidInput: no country's code begins so.
    """
    if not digits or digits[0] == "0":
        raise InvalidInput("the phone number has no country code behind +; write +49 151 23456789")
    length = 1 if digits[0] in "17" else 2 if _OF_TWO.match(digits) else 3
    return digits[:length], digits[length:]
