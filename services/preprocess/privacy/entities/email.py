"""E-mail addresses: RFC 5321 dot-strings at host names, with letters of alphabets as RFC 6531 allows them."""

from __future__ import annotations

import re

from services.preprocess.privacy.entities.entity import Span, StructuralEntity
from services.preprocess.privacy.key import Draw

# Latin with diacritics, Greek and Cyrillic; Chinese characters around an address are text, not part of it.
_LETTERS = r"A-Za-z0-9\u00c0-\u024f\u0370-\u03ff\u0400-\u04ff"
# Of the signs that RFC 5321 allows, those that are in use; others divide an address from what stands before it.
_LOCAL_BACKWARDS = re.compile(rf"[{_LETTERS}_%+&'-](?:[{_LETTERS}_%+&'-]|\.(?=[{_LETTERS}_%+&'-]))*")
_LONGEST_LOCAL = 64
_LABEL = rf"[{_LETTERS}](?:[{_LETTERS}-]{{0,61}}[{_LETTERS}])?"
_TOP = r"(?:xn--[A-Za-z0-9-]{2,59}|[A-Za-z\u00c0-\u024f\u0370-\u03ff\u0400-\u04ff]{2,63})"
_RESERVED = re.compile(r"(?:^|[@.])(?:example(?:\.(?:com|org|net))?|test|invalid|localhost)$")


def _check(found: re.Match[str]) -> Span | None:
    """What stands before the ``@`` is read backwards from it: a pattern that begins with it would try every word."""
    at = found.start()
    local = _LOCAL_BACKWARDS.match(found.string[max(0, at - _LONGEST_LOCAL - 1) : at][::-1])
    if local is None or local.end() > _LONGEST_LOCAL:
        return None
    start = at - len(local[0].rstrip("%+&'-"))
    return (start, found.end(), 2) if start < at else None


def _generalise(value: str) -> str:
    return "*@" + value.rpartition("@")[2].lower()


def _fake(value: str, draw: Draw) -> str:
    return f"{draw.letters(8)}{draw.digits(4)}@example.com"


def _reserved(value: str) -> bool:
    return bool(_RESERVED.search(value.lower()))


EMAIL = StructuralEntity(
    name="email",
    cue=r"[@＠]",
    pattern=re.compile(rf"@(?:{_LABEL}\.){{1,8}}{_TOP}(?![{_LETTERS}@])"),
    check=_check,
    canonical=str.lower,
    generalise=_generalise,
    fake=_fake,
    reserved=_reserved,
)
