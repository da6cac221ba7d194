"""Social security numbers of the United States, by the rules of the SSA since randomisation in 2011."""

from __future__ import annotations

import re

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

_NEVER_VALID = frozenset({"078051120", "219099999", "457555462"})
"""Printed in advertisements and withdrawn by the SSA."""
_WORDS = words(r"\bssns?\b", "social[ -]?security", "社会安全号", "社安号", "sozialversicherung")


def _check(found: re.Match[str]) -> Span | None:
    digits = digits_of(found[0])
    area, group, serial = digits[:3], digits[3:5], digits[5:]
    if area in ("000", "666") or area[0] == "9" or group == "00" or serial == "0000" or digits in _NEVER_VALID:
        return None
    named = near(found, _WORDS)
    if found["sign"] != "-" and not (named or (found["sign"] and alone(found))):
        return None
    return (found.start(), found.end(), 3 if named else 2)


def _generalise(value: str) -> str:
    return digits_of(value)[:3] + "-**-****"


def _fake(value: str, draw: Draw) -> str:
    # Areas from 900 are never issued; the groups 01 to 49 are not those of taxpayer numbers (ITIN) either.
    return written_like(value, f"9{draw.digits(2)}{draw.below(49) + 1:02d}{draw.below(9999) + 1:04d}")


def _reserved(value: str) -> bool:
    return value.startswith("9")


SSN = StructuralEntity(
    name="us_ssn",
    cue=r"[0-9０-９]{3}[^0-9A-Za-z]?[0-9０-９]{2}[^0-9A-Za-z]?[0-9０-９]{4}",
    pattern=re.compile(
        r"(?<![0-9A-Za-z_])(?<![0-9][.-])[0-9]{3}(?P<sign>[ .-]?)[0-9]{2}(?P=sign)[0-9]{4}(?![0-9A-Za-z_])(?![.-][0-9])"
    ),
    check=_check,
    canonical=digits_of,
    generalise=_generalise,
    fake=_fake,
    reserved=_reserved,
)
