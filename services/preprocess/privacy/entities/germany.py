"""Tax identification numbers (BZSt, section 139b AO) and identity card numbers (BSI TR-03127, ICAO 9303) of Germany."""

from __future__ import annotations

import re
from collections import Counter

from services.preprocess.privacy.entities.checksums import mod_11_10, weighted_731
from services.preprocess.privacy.entities.entity import Span, StructuralEntity, digits_of, near, words, written_like
from services.preprocess.privacy.key import Draw

_SERIAL = "CFGHJKLMNPRTVWXYZ0123456789"
"""No vowels and no letters that look like others, so that no serial number is a word."""
_TAX_WORDS = words("steuer", r"\bidnr", r"\btin\b", "tax", "税")
_CARD_WORDS = words("ausweis", r"\bid[ -]?card", "identity card", r"\bperso\b", "身份证")


def _tax(found: re.Match[str]) -> Span | None:
    digits = digits_of(found[0])
    if not _frequencies(digits[:10]) or mod_11_10(digits[:10]) != digits[10]:
        return None
    return (found.start(), found.end(), 3 if near(found, _TAX_WORDS) else 0)


def _frequencies(digits: str) -> bool:
    """Of the first ten digits exactly one occurs twice or three times, three times not in a row; others once."""
    often = [(digit, times) for digit, times in Counter(digits).items() if times > 1]
    if len(often) != 1 or often[0][1] > 3:
        return False
    return often[0][0] * 3 not in digits


def _tax_fake(value: str, draw: Draw) -> str:
    # Numbers that begin with 0 are given to nobody: the BZSt keeps them for tests.
    pool = [str(digit) for digit in range(1, 10)]
    body = ["0"] + [pool.pop(draw.below(len(pool))) for _ in range(8)]
    body.insert(draw.below(8) + 2, body[draw.below(8) + 1])
    text = "".join(body)
    return written_like(value, text + mod_11_10(text))


def _tax_reserved(value: str) -> bool:
    return value.startswith("0")


TAX_ID = StructuralEntity(
    name="de_tax_id",
    cue=r"[0-9０-９]{2}[ /]?[0-9０-９]{3}[ /]?[0-9０-９]{3}[ /]?[0-9０-９]{3}",
    pattern=re.compile(
        r"(?<![0-9A-Za-z_+])(?<![0-9][ .-])[1-9][0-9](?P<sign>[ /]?)[0-9]{3}(?P=sign)[0-9]{3}(?P=sign)[0-9]{3}"
        r"(?![0-9A-Za-z_])(?![ .-][0-9])"
    ),
    check=_tax,
    canonical=digits_of,
    generalise=lambda value: None,
    fake=_tax_fake,
    reserved=_tax_reserved,
)


def _card(found: re.Match[str]) -> Span | None:
    """Nine characters and their check digit; without it, as the front of the card shows it, words have to name it."""
    value = found[0].upper()
    named = near(found, _CARD_WORDS)
    if not any(character.isdigit() for character in value[1:9]):
        return None
    if len(value) == 9:
        return (found.start(), found.end(), 2) if named else None
    if weighted_731(value[:9]) != value[9] or not (named or sum(map(str.isdigit, value)) > 3):
        return None
    return (found.start(), found.end(), 3 if named else 2)


def _card_canonical(value: str) -> str:
    return value[:9].upper()


def _card_fake(value: str, draw: Draw) -> str:
    # The authority of issue 0000 does not exist.
    serial = "LMNPRTVWXY"[draw.below(10)] + "0000" + draw.letters(4, _SERIAL)
    return written_like(value, serial + (weighted_731(serial) + value[10:].upper() if len(value) > 9 else ""))


def _card_reserved(value: str) -> bool:
    return value[1:5] == "0000"


ID_CARD = StructuralEntity(
    name="de_id_card",
    cue=r"[LMNPRTVWXYＬＭＮＰＲＴＶＷＸＹ][0-9C-HJ-NPRTV-Z０-９Ｃ-Ｚ]{8}",
    pattern=re.compile(rf"(?<![0-9A-Za-z_])(?:[LMNPRTVWXY][{_SERIAL}]{{8}}(?:[0-9]D?)?)(?![0-9A-Za-z_])"),
    check=_card,
    canonical=_card_canonical,
    generalise=lambda value: None,
    fake=_card_fake,
    reserved=_card_reserved,
)
