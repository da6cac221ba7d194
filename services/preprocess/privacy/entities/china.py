"""Resident identity numbers of China: GB 11643-1999 with the province codes of GB/T 2260."""

from __future__ import annotations

import re
from datetime import date

from services.preprocess.privacy.entities.checksums import mod_11_2
from services.preprocess.privacy.entities.entity import Span, StructuralEntity, written_like
from services.preprocess.privacy.key import Draw

_PROVINCES = frozenset(
    {
        *("11", "12", "13", "14", "15", "21", "22", "23", "31", "32", "33", "34", "35", "36", "37", "41", "42", "43"),
        *("44", "45", "46", "50", "51", "52", "53", "54", "61", "62", "63", "64", "65", "71", "81", "82", "83"),
    }
)


def _check(found: re.Match[str]) -> Span | None:
    value = _canonical(found[0])
    if value[:2] not in _PROVINCES or value[2:6] == "0000" or mod_11_2(value[:17]) != value[17]:
        return None
    try:
        date(int(value[6:10]), int(value[10:12]), int(value[12:14]))
    except ValueError:
        return None
    return (found.start(), found.end(), 3)


def _canonical(value: str) -> str:
    return value.replace(" ", "").replace("-", "").upper()


def _generalise(value: str) -> str:
    """Province and decade of birth."""
    own = _canonical(value)
    return f"{own[:2]}****{own[6:9]}*********"


def _fake(value: str, draw: Draw) -> str:
    # No province has the code 99.
    born = date.fromordinal(date(1950, 1, 1).toordinal() + draw.below(20000))
    body = f"99{draw.digits(4)}{born:%Y%m%d}{draw.digits(3)}"
    return written_like(value, body + mod_11_2(body))


def _reserved(value: str) -> bool:
    return value.startswith("99")


RESIDENT_ID = StructuralEntity(
    name="cn_resident_id",
    cue=r"(?:[0-9０-９][^0-9A-Za-z]?){17}[0-9Xx０-９Ｘｘ]",
    pattern=re.compile(
        r"(?<![0-9A-Za-z_])[1-8][0-9]{5}(?P<sign>[ -]?)(?:19|20)[0-9]{6}(?P=sign)[0-9]{3}[0-9Xx](?![0-9A-Za-z_])"
    ),
    check=_check,
    canonical=_canonical,
    generalise=_generalise,
    fake=_fake,
    reserved=_reserved,
)
