"""International bank account numbers: ISO 13616, each country's structure and check digits MOD 97-10."""

from __future__ import annotations

import re

from services.preprocess.privacy.entities.checksums import mod_97
from services.preprocess.privacy.entities.entity import Span, StructuralEntity, written_like
from services.preprocess.privacy.entities.iban_registry import LENGTHS, PATTERNS, STRUCTURES, parts
from services.preprocess.privacy.key import Draw

_SEPARATORS = re.compile(r"[ -]")


def _check(found: re.Match[str]) -> Span | None:
    length = LENGTHS.get(found[0][:2].upper())
    if length is None:
        return None
    # What follows in groups of its own may be the next word.
    places = [at for at, character in enumerate(found[0], start=1) if character.isalnum()]
    if len(places) < length:
        return None
    end = places[length - 1]
    if found[0][end : end + 1].isalnum() or not _valid(_canonical(found[0][:end])):
        return None
    return (found.start(), found.start() + end, 2)


def _valid(value: str) -> bool:
    return bool(PATTERNS[value[:2]].fullmatch(value[4:])) and mod_97(value[4:] + value[:4]) == 1


def _canonical(value: str) -> str:
    return _SEPARATORS.sub("", value).upper()


def _generalise(value: str) -> str:
    return value[:2].upper() + "**"


def _fake(value: str, draw: Draw) -> str:
    """An account of the same country at the bank 0000 or XXXX."""
    country = _canonical(value)[:2]
    account = ""
    for length, kind in parts(STRUCTURES[country]):
        for _ in range(length):
            filler = "X" if kind == "a" else "0"
            account += filler if len(account) < 4 else draw.letters(1, _ALPHABETS[kind])
    check = 98 - mod_97(account + country + "00")
    return written_like(value, f"{country}{check:02d}{account}")


_ALPHABETS = {"n": "0123456789", "a": "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "c": "0123456789"}


def _reserved(value: str) -> bool:
    return bool(re.match(r"[A-Z]{2}[0-9]{2}[X0]{4}", _canonical(value)))


IBAN = StructuralEntity(
    name="iban",
    cue=r"(?:^|[^0-9A-Za-z])[A-Za-zＡ-Ｚａ-ｚ]{2}[0-9０-９]{2}[ -]?[0-9A-Za-z０-９Ａ-Ｚａ-ｚ]{4}",
    pattern=re.compile(r"(?<![0-9A-Za-z])[A-Za-z]{2}[0-9]{2}(?:[ -]?[0-9A-Za-z]){11,40}"),
    check=_check,
    canonical=_canonical,
    generalise=_generalise,
    fake=_fake,
    reserved=_reserved,
)
