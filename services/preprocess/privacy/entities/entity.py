"""What is known of one kind of personal data: how it is found, and what may stand in its place."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from services.preprocess.privacy.key import Draw
from tidemill.contracts.privacy import EntityName

_EDGE = re.compile(r"^\\b(\w)")

ROW_END = "\x00"
"""Stands between the texts that are scanned as one; no pattern matches it."""


Span = tuple[int, int, int]
"""Characters from the first up to the second, and how sure it is: of findings of one length the surer stands."""


@dataclass(frozen=True, kw_only=True)
class Entity:
    """One kind of personal data. All functions take a value as it was found, full-width characters already narrow."""

    name: EntityName
    canonical: Callable[[str], str]
    """The same for every way to write the value."""
    generalise: Callable[[str], str | None]
    """The part of it that many share; None when there is none, and the value is masked."""
    fake: Callable[[str, Draw], str]
    """An invented value of the same form, in a range that nobody is given where there is one."""
    reserved: Callable[[str], bool]
    """Whether the value is of a range that is kept for documentation, tests or fiction: nobody's. Fakes are."""


@dataclass(frozen=True, kw_only=True)
class StructuralEntity(Entity):
    """A kind that is recognised by its form and its check digits."""

    cue: str
    """Regular expression (RE2 and Rust) that every text with such a value matches; others are never looked at."""
    pattern: re.Pattern[str]
    """What may be a value."""
    check: Callable[[re.Match[str]], Span | None]
    """Where the value is, or None when its check digits or its form are wrong."""
    yields: bool = False
    """Whether what another kind found needs no check: it would stand against a finding of this kind."""


def words(*alternatives: str) -> re.Pattern[str]:
    """Patterns of words in lower case, as one for ``near``.

    Those that begin at the edge of a word (``\\bcall``) are written with their first letter in front: Python's search
    leaps to letters that all alternatives begin with, six times as fast as it tries each one everywhere.
    """
    return re.compile("|".join(_EDGE.sub(r"\1(?<=\\b\1)", one) for one in alternatives))


def near(found: re.Match[str], words: re.Pattern[str], *, before: int = 50, after: int = 15) -> bool:
    """Whether one of the words, whatever its case, stands in the characters before or behind the match, in the same
    text."""
    text = found.string
    lead = text[max(0, found.start() - before) : found.start()].rpartition(ROW_END)[2]
    if words.search(lead.lower()):
        return True
    return after > 0 and bool(words.search(text[found.end() : found.end() + after].partition(ROW_END)[0].lower()))


def alone(found: re.Match[str]) -> bool:
    """Whether the match is all that the text holds, a few spaces aside."""
    text = found.string
    lead, rest = text[max(0, found.start() - 4) : found.start()], text[found.end() : found.end() + 4]
    begins = found.start() <= 4 or ROW_END in lead
    ends = found.end() + 4 >= len(text) or ROW_END in rest
    return begins and ends and not lead.rpartition(ROW_END)[2].strip() and not rest.partition(ROW_END)[0].strip()


_NO_DIGIT = re.compile("[^0-9]+")


def digits_of(value: str) -> str:
    """The decimal digits of a value, in their order."""
    return value if value.isdecimal() else _NO_DIGIT.sub("", value)


def written_like(pattern: str, symbols: str) -> str:
    """``symbols`` with the separators, and the case of the letters, of ``pattern``; as many as it has of its own."""
    rest = iter(symbols)
    written = []
    for character in pattern:
        if not character.isalnum():
            written.append(character)
            continue
        symbol = next(rest, "")
        written.append(symbol.lower() if character.islower() else symbol)
    return "".join([*written, *rest])
