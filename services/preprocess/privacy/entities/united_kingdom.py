"""National insurance numbers (HMRC, NIM39110) and NHS numbers (NHS Data Dictionary) of the United Kingdom."""

from __future__ import annotations

import re

from services.preprocess.privacy.entities.checksums import nhs_check
from services.preprocess.privacy.entities.entity import (
    Span,
    StructuralEntity,
    alone,
    digits_of,
    near,
    words,
    written_like,
)
from services.preprocess.privacy.key import Draw

_NHS_WORDS = words(r"\bnhs\b", "national health", "health service", "patient")


def _nino_check(found: re.Match[str]) -> Span:
    return (found.start(), found.end(), 2)


def _nino_canonical(value: str) -> str:
    return value.replace(" ", "").replace("-", "").upper()


def _nino_fake(value: str, draw: Draw) -> str:
    # QQ is the prefix of HMRC's own examples: no number begins with Q.
    return written_like(value, f"QQ{draw.digits(6)}{'ABCD'[draw.below(4)]}")


def _nino_reserved(value: str) -> bool:
    return value[:2].upper() == "QQ"


NINO = StructuralEntity(
    name="uk_nino",
    cue=r"[A-Za-zＡ-Ｚａ-ｚ]{2}[ -]?[0-9０-９]{2}[ -]?[0-9０-９]{2}[ -]?[0-9０-９]{2}[ -]?[A-Da-dＡ-Ｄａ-ｄ]",
    pattern=re.compile(
        r"(?i)(?<![0-9A-Z_])(?!BG|GB|KN|NK|NT|TN|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z]"
        r"(?P<sign>[ -]?)[0-9]{2}(?P=sign)[0-9]{2}(?P=sign)[0-9]{2}(?P=sign)[A-D](?![0-9A-Z_])"
        r"|(?<![0-9A-Z_])(?!BG|GB|KN|NK|NT|TN|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] [0-9]{6} [A-D](?![0-9A-Z_])"
    ),
    check=_nino_check,
    canonical=_nino_canonical,
    generalise=lambda value: None,
    fake=_nino_fake,
    reserved=_nino_reserved,
)


def _nhs(found: re.Match[str]) -> Span | None:
    digits = digits_of(found[0])
    if nhs_check(digits[:9]) != int(digits[9]) or len(set(digits)) == 1:
        return None
    named = near(found, _NHS_WORDS)
    # One in eleven numbers of ten digits has the right check digit: the form or the words have to say what it is.
    if not named and not (found["sign"] == " " and digits[0] in "4679") and not alone(found):
        return None
    return (found.start(), found.end(), 3 if named else 0)


def _nhs_fake(value: str, draw: Draw) -> str:
    # Numbers that begin with 999 are kept for tests.
    while (check := nhs_check(body := "999" + draw.digits(6))) == 10:
        pass
    return written_like(value, body + str(check))


def _nhs_reserved(value: str) -> bool:
    return value.startswith("999")


NHS_NUMBER = StructuralEntity(
    name="uk_nhs",
    cue=(
        r"(?i:\bnhs\b|national health|health service|patient)"
        r"|[0-9０-９]{3}[ \x{A0}　][0-9０-９]{3}[ \x{A0}　][0-9０-９]{4}"
        r"|^\s{0,4}[0-9０-９]{3}[^0-9A-Za-z]?[0-9０-９]{3}[^0-9A-Za-z]?[0-9０-９]{4}\s{0,4}$"
    ),
    pattern=re.compile(
        r"(?<![0-9A-Za-z_+])(?<![0-9][ .-])[0-9]{3}(?P<sign>[ -]?)[0-9]{3}(?P=sign)[0-9]{4}"
        r"(?![0-9A-Za-z_])(?![ .-][0-9])"
    ),
    check=_nhs,
    canonical=digits_of,
    generalise=lambda value: None,
    fake=_nhs_fake,
    reserved=_nhs_reserved,
)
