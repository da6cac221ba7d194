"""Phone numbers: international (ITU-T E.164, E.123), national ones of some countries, and what is written as one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial

from services.preprocess.privacy.entities import phone_fiction
from services.preprocess.privacy.entities.entity import Span, StructuralEntity, alone, digits_of, near, words
from services.preprocess.privacy.entities.phone_plan import (
    Plan,
    dialled_within,
    plan,
    possible_international,
    split_international,
    valid_international,
)

_CANDIDATE = re.compile(
    # What must not stand before is looked at behind the first sign: so the search leaps from digit to digit.
    r"[+(0-9](?<![A-Za-z0-9_@#$€£¥%].)(?<![0-9][.,:/-].)(?:(?<=[0-9])|[ +(]{0,2}[0-9])(?:[ ./()-]{0,3}[0-9]){5,18}"
    r"(?P<extension> ?(?:x|ext\.? ?|extension |转|#) ?[0-9]{1,6})?(?![A-Za-z0-9_%])(?![.,:/-][0-9])(?! ?[$€£¥%])"
)
_WORDS = words(
    "phone", r"\bcall", r"\bt[eé]l\b", "mobile", r"\bmob\b", r"\bcell", r"\bfax", r"\bdial", r"\btext(?:ed|ing)?\b",
    r"\bsms\b", "whatsapp", r"\breach", r"\bring(?:ing)?\b", r"\bcontact", "hotline", "helpline", "voicemail",
    "answering", "messag", r"\bdesk\b", r"\boffice\b", "extension",
    "telefon", "handy", "rufnummer", "mobil", "anruf", "durchwahl", "erreich", "t[eé]l[eé]phone", "tel[eé]fono",
    "电话", "電話", "手机", "手機", "致电", "拨打", "撥打", "联系", "聯繫",
    "传真", "座机", "热线", "来电", "短信", "号码", "微信",
)  # fmt: skip
_OTHER_NUMBERS = words(r"\bisbn\b", r"\bissn\b", r"\bdoi\b")
_ADDRESS = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}")
_SSN_FORM = re.compile(r"[0-9]{3}([ -])[0-9]{2}\1[0-9]{4}")
_DATE = re.compile(
    r"(?:19|20)[0-9]{2}[-./ ](?:0?[1-9]|1[0-2])[-./ ](?:0?[1-9]|[12][0-9]|3[01])(?![0-9]|[./-][0-9])"
    r"|(?:0?[1-9]|[12][0-9]|3[01])[-./](?:0?[1-9]|[12][0-9]|3[01])[-./](?:19|20)?[0-9]{2}(?![0-9]|[./-][0-9])"
)
_YEARS = re.compile(r"(?:(?:19|20)[0-9]{2}[ /-]+)+(?:19|20)[0-9]{2}")
_AREA_IN_PARENTHESES = re.compile(r"\(0?[0-9]{2,4}\)[ -]?[0-9]{2,4}[ -][0-9]{2,4}(?:[ -][0-9]{2,4})?")
_NORTH_AMERICAN = re.compile(r"(?:1[ .-])?(?:\([0-9]{3}\) ?|[0-9]{3}([.-]))[0-9]{3}[.-][0-9]{4}")
_CHINESE_MOBILE = re.compile(r"1[3-9][0-9]{9}")
_SPACES = re.compile(r" +")


def phone(regions: Sequence[str]) -> StructuralEntity:
    """Phone numbers, with those of ``regions`` (ISO 3166-1 codes) in their national form.

    Raises:
        InvalidInput: a region is not a country.
    """
    known = tuple(regions)
    for region in known:
        plan(region)
    return StructuralEntity(
        name="phone",
        cue=(
            r"(?:[0-9０-９][^0-9A-Za-z０-９]{0,3}){6}[0-9０-９]"
            r"|[0-9０-９]{2}[^0-9A-Za-z０-９]{1,3}[0-9０-９]{2}[^0-9A-Za-z０-９]{1,3}[0-9０-９]{2}"
        ),
        pattern=_CANDIDATE,
        yields=True,
        check=partial(_check, regions=known),
        canonical=partial(_canonical, regions=known),
        generalise=partial(_generalise, regions=known),
        fake=partial(phone_fiction.fake, identify=partial(_identify, regions=known)),
        reserved=partial(_reserved, regions=known),
    )


def _check(found: re.Match[str], regions: tuple[str, ...]) -> Span | None:
    """The whole candidate, or else the longest run of its groups that is a number: words end, numbers follow."""
    value = found[0]
    # Forms that need no second look, for speed: most numbers of most datasets.
    if len(value) < 7 and value.isdecimal():
        return None
    if _NORTH_AMERICAN.fullmatch(value) or ("CN" in regions and _CHINESE_MOBILE.fullmatch(value)):
        return (found.start(), found.end(), 2)
    if near(found, _OTHER_NUMBERS, before=14, after=0):
        return None
    if (sure := _sure(value, found, regions)) is not None:
        return (found.start(), found.end(), sure)
    cuts = [gap.span() for gap in _SPACES.finditer(value)][:6]
    starts, ends = [0, *(end for _, end in cuts)], [*(start for start, _ in cuts), len(value)]
    runs = sorted(((first, last) for first in starts for last in ends if first < last), key=lambda run: run[0] - run[1])
    for first, last in runs[1:]:
        part = value[first:last]
        if 6 <= len(digits_of(part)) <= 15 and (sure := _sure(part, found, regions)) is not None:
            return (found.start() + first, found.start() + last, sure)
    return None


def _sure(value: str, found: re.Match[str], regions: tuple[str, ...]) -> int | None:
    """How sure it is that the value is a phone number; None when it is none."""
    body = _without_extension(value)
    digits = digits_of(body)
    if len(digits) > 17 or _ADDRESS.fullmatch(body) or _DATE.match(body) or _YEARS.fullmatch(body):
        return None
    if not _balanced(value):
        return None
    if (international := _international(body)) is not None:
        if valid_international(*international):
            return 3 if body.startswith(("+", "(+")) else 2
        written = any(sign in body for sign in " .-/(") or body.startswith(("+", "(+"))
        return 2 if written and possible_international(*international) else None
    if len(digits) > 15 or _SSN_FORM.fullmatch(body):
        return None
    if dialled_within(digits, regions) is not None and _dialled_form(body, digits, found, regions):
        return 2
    if _NORTH_AMERICAN.fullmatch(body) or _AREA_IN_PARENTHESES.fullmatch(body):
        return 1
    return 1 if _phone_form(body, digits) and near(found, _WORDS) else None


def _international(body: str) -> tuple[str, str] | None:
    digits = digits_of(body.replace("(0)", ""))
    if body.lstrip("(").startswith("+"):
        return split_international(digits)
    # 00 is how most countries dial out, and 0086 etc. is how such numbers are written down.
    return split_international(digits[2:]) if digits.startswith("00") and len(digits) > 9 else None


def _dialled_form(body: str, digits: str, found: re.Match[str], regions: tuple[str, ...]) -> bool:
    """Whether a number that could be somebody's is written as one, so that it is not any number of that many digits."""
    for region in regions:
        own = plan(region)
        if own.national(digits) is None:
            continue
        if own.trunk and digits.startswith(own.trunk):
            return True
        if own.country_code == "86" and own.mobile is not None and own.mobile.fullmatch(digits):
            return True
        if len(digits) == 10 and own.country_code == "1" and (body != digits or near(found, _WORDS) or alone(found)):
            return not body.count(" ") or bool(re.fullmatch(r"(?:1 )?\(?[0-9]{3}\)?[ .-][0-9]{3}[ .-][0-9]{4}", body))
    return False


def _phone_form(body: str, digits: str) -> bool:
    """Seven digits at least, in one piece or in groups as people write them down; six in three groups or more."""
    if body == digits:
        return 7 <= len(digits) <= 12
    groups = re.findall("[0-9]+", body)
    enough = len(digits) >= 7 or len(groups) >= 3
    return enough and len(digits) <= 13 and len(groups) <= 6 and all(len(group) >= 2 for group in groups[1:])


def _balanced(value: str) -> bool:
    if "(" not in value and ")" not in value:
        return True
    depth = 0
    for sign in value:
        depth += (sign == "(") - (sign == ")")
        if depth not in (0, 1):
            return False
    return depth == 0


def _without_extension(value: str) -> str:
    return re.split(r" ?(?:x|e|转|#)", value, maxsplit=1)[0]


def _identify(value: str, regions: tuple[str, ...]) -> tuple[str | None, str]:
    """Country code and national number; without a code when it could be of any country."""
    body = _without_extension(value)
    if (international := _international(body)) is not None:
        return international
    digits = digits_of(body)
    inland: tuple[Plan, str] | None = dialled_within(digits, regions)
    return (inland[0].country_code, inland[1]) if inland else (None, digits)


def _reserved(value: str, regions: tuple[str, ...]) -> bool:
    """Of fiction in any country that it could be a number of."""
    return any(phone_fiction.reserved(*_identify(value, (region,))) for region in regions) or phone_fiction.reserved(
        *_identify(value, ())
    )


def _canonical(value: str, regions: tuple[str, ...]) -> str:
    code, national = _identify(value, regions)
    return f"+{code}{national}" if code else national


def _generalise(value: str, regions: tuple[str, ...]) -> str | None:
    code, _ = _identify(value, regions)
    return f"+{code}…" if code else None
