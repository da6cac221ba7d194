"""Numbering plans: what the metadata of ``phonenumbers`` (Google's libphonenumber) says, as compiled patterns.

The library's own parser takes 60 microseconds a number; the patterns it decides by take one or two.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import phonenumbers
from phonenumbers.phonemetadata import PhoneMetadata

from tidemill.errors import InvalidInput

_TYPES = (
    "fixed_line", "mobile", "toll_free", "premium_rate", "shared_cost", "personal_number", "voip", "pager", "uan",
    "voicemail",
)  # fmt: skip


@dataclass(frozen=True)
class Plan:
    """The numbers of one country."""

    country_code: str
    trunk: str
    """What is dialled before a national number within the country: ``0``, or nothing that has to be."""
    prefix: re.Pattern[str] | None
    transform: str | None
    valid: re.Pattern[str]
    mobile: re.Pattern[str] | None
    lengths: frozenset[int]
    """Digits that a national number may have."""

    def national(self, digits: str) -> str | None:
        """The national significant number of one that was dialled within the country; None when it is none."""
        if self.valid.fullmatch(digits):
            return digits
        if self.prefix is None or not (lead := self.prefix.match(digits)):
            return None
        if self.transform and lead.lastindex and lead[lead.lastindex]:
            rest = lead.expand(self.transform) + digits[lead.end() :]
        else:
            rest = digits[lead.end() :]
        return rest if self.valid.fullmatch(rest) else None


@cache
def plan(region: str) -> Plan:
    """The plan of a country by its ISO 3166-1 code.

    Raises:
        InvalidInput: there is no such country.
    """
    if region not in phonenumbers.SUPPORTED_REGIONS:
        hint = "; the United Kingdom is GB" if region.upper() == "UK" else ""
        raise InvalidInput(f"privacy.regions: {region!r} is not a country's code of two capitals, such as DE{hint}")
    return _plan(PhoneMetadata.metadata_for_region(region))


@cache
def plans_of(country_code: str) -> tuple[Plan, ...]:
    """The plans of all countries that share an international code; none when nobody has it."""
    regions = phonenumbers.COUNTRY_CODE_TO_REGION_CODE.get(int(country_code), ())
    if regions == ("001",):
        return (_plan(PhoneMetadata.metadata_for_nongeo_region(int(country_code))),)
    return tuple(plan(region) for region in regions)


def split_international(digits: str) -> tuple[str, str] | None:
    """Country code and national number of the digits behind ``+``; None when no country has such a code."""
    for length in (1, 2, 3):
        if not digits.startswith("0") and plans_of(digits[:length]):
            return digits[:length], digits[length:]
    return None


def valid_international(code: str, national: str) -> bool:
    """Whether somebody may have the number."""
    return any(own.valid.fullmatch(national) for own in plans_of(code))


def possible_international(code: str, national: str) -> bool:
    """Whether it has as many digits as numbers there have."""
    return any(len(national) in own.lengths for own in plans_of(code))


def dialled_within(digits: str, regions: Sequence[str]) -> tuple[Plan, str] | None:
    """The first of the countries where the digits are a valid national number, and that number."""
    for region in regions:
        own = plan(region)
        if (national := own.national(digits)) is not None:
            return own, national
    return None


def _plan(metadata: Any) -> Plan:
    described = [getattr(metadata, name) for name in _TYPES]
    patterns = [one.national_number_pattern for one in described if one is not None and one.national_number_pattern]
    general = metadata.general_desc
    mobile = metadata.mobile.national_number_pattern if metadata.mobile is not None else None
    prefix = metadata.national_prefix_for_parsing
    return Plan(
        country_code=str(metadata.country_code),
        trunk="0" if metadata.national_prefix == "0" else "",
        prefix=re.compile(prefix) if prefix else None,
        transform=metadata.national_prefix_transform_rule,
        valid=re.compile(f"(?={general.national_number_pattern}$)(?:{'|'.join(dict.fromkeys(patterns))})"),
        mobile=re.compile(mobile) if mobile else None,
        lengths=frozenset(general.possible_length),
    )
