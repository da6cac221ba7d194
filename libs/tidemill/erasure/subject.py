"""The value that is to be forgotten, and every form in which people write it.

Text is compared after Unicode NFKC and case folding, without invisible characters. A value is found where it stands for
itself: ``an@x.org`` is not in ``dan@x.org``, nor a phone number in a longer one. Chinese has no spaces, so a name is
found in every text that has its characters.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from tidemill.contracts.erasures import SubjectKind
from tidemill.erasure.country_codes import split_country_code
from tidemill.errors import InvalidInput

LONGEST = 200
"""Characters of a value."""

_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u2060\ufeff]")
_SIGNS = r"\s().\-/\u2010-\u2015"
_WITHOUT_SIGNS = dict.fromkeys([*range(9, 14), *map(ord, " ().-/"), *range(0x2010, 0x2016)])
_CJK = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\U00020000-\U0003ffff"
_WORD = rf"[^\W{_CJK}]"
"""A character of a word of a script that has spaces between words."""
_MAIL = "a-z0-9\u00df-\u024f\u0370-\u03ff\u0400-\u04ff"
"""Letters of addresses; Chinese characters around one are text."""
_SUFFIXES = (
    "csv|tsv|txt|json|jsonl|xml|html?|md|log|parquet|arrow|xlsx?|pdf|eml|msg|vcf|zip|gz|tar|bak|png|jpe?g|wav|mp3"
)
_LONGER = rf"\.(?!(?:{_SUFFIXES})(?![{_MAIL}]))[{_MAIL}]"
"""What makes a host's name another one; the suffix of a file that is named after an address does not."""
_FEWEST_DIGITS = 6

Check = Callable[[str, int, int], bool]
"""Whether what stands from a place to another in a text is the value itself."""


def folded(text: str) -> str:
    """``text`` as it is compared."""
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFKC", _INVISIBLE.sub("", text)).casefold()


@dataclass(frozen=True)
class _Form:
    """One way in which the value is written: what matches, and, of that, what counts."""

    pattern: re.Pattern[str]
    cue: str
    """Stands in every folded text with this form: patterns are slow."""
    check: Check | None = None
    signs: bool = False
    """Whether signs may stand between the characters of the cue."""

    def places(self, text: str) -> Iterator[tuple[int, int]]:
        if self.cue not in (text.translate(_WITHOUT_SIGNS) if self.signs else text):
            return
        for match in self.pattern.finditer(text):
            if self.check is None or self.check(text, *match.span()):
                yield match.span()


@dataclass(frozen=True)
class Matcher:
    """Finds one value in texts."""

    kind: SubjectKind
    """What the value was taken for."""
    forms: Sequence[_Form]
    is_ascii: bool
    """Whether all forms are ASCII, so that every encoding that extends it shows them."""
    of_digits: bool
    """Whether a column of numbers may hold it."""

    def places(self, text: str) -> Iterator[tuple[int, int]]:
        """Where the value is in a text that is ``folded``."""
        for form in self.forms:
            yield from form.places(text)

    def found_in(self, text: str) -> bool:
        """Whether ``text`` holds the value."""
        return next(self.places(folded(text)), None) is not None

    def erased(self, text: str, instead: str) -> str:
        """``text`` with ``instead`` in every place of the value."""
        if not self.found_in(text):
            return text
        compared, origins = _with_origins(text)
        spans = sorted(self.places(compared))
        if not spans:  # composed of characters that only mean it together
            return instead
        written, end = [], 0
        for first, behind in spans:
            start, stop = origins[first][0], origins[behind - 1][1]
            if start >= end:
                written += [text[end:start], instead]
            end = max(end, stop)
        return "".join([*written, text[end:]])


def matcher(value: str, kind: SubjectKind = "any") -> Matcher:
    """What finds ``value``, taken as ``kind``; ``any`` goes by its form.

    Raises:
        InvalidInput: it is not of that kind, or so short that it would be found everywhere. The message does not hold
            the value.
    """
    text = folded(value).strip()
    if not text or len(text) > LONGEST:
        raise InvalidInput(f"the subject has to have from 1 to {LONGEST} characters")
    if "\x00" in text:
        raise InvalidInput("the subject holds a NUL character")
    taken = _taken_for(text) if kind == "any" else kind
    forms = list(_FORMS.get(taken, _identifier)(text))
    if kind == "any" and taken == "phone":  # digits that could be any number of theirs
        forms += _identifier(text)
    of_digits = sum(map(str.isdigit, text)) >= _FEWEST_DIGITS and not any(map(str.isalpha, text))
    return Matcher(taken, tuple(forms), all(form.cue.isascii() for form in forms), of_digits)


def _taken_for(text: str) -> SubjectKind:
    compact = re.sub(f"[{_SIGNS}]", "", text)
    if "@" in text:
        return "email"
    if _ip(text) is not None:
        return "ip_address"
    if re.fullmatch(r"[a-z]{2}[0-9]{2}[a-z0-9]{11,30}", compact):
        return "iban"
    if re.fullmatch(r"[0-9]{17}[0-9x]", compact):
        return "cn_resident_id"
    if re.fullmatch(r"\+?[0-9]+", compact):
        return "phone"
    if any(map(str.isdigit, compact)) and re.fullmatch("[a-z0-9]+", compact) and " " not in text:
        return "de_id_card"
    return "person"


def _email(text: str) -> list[_Form]:
    local, at, domain = text.rpartition("@")
    if not at or not local or "." not in domain or re.search(r"\s", text):
        raise InvalidInput("the subject is not an e-mail address; write it as name@host.example")
    written = {text}
    try:
        written.add(f"{local}@{domain.encode('idna').decode()}")
        written.add(f"{local}@{domain.encode().decode('idna')}")
    except UnicodeError:
        pass
    return [
        _Form(re.compile(rf"(?<![{_MAIL}_]){re.escape(one)}(?![_-]*[{_MAIL}])(?!{_LONGER})"), one, _begins_there)
        for one in sorted(written)
    ]


def _begins_there(text: str, start: int, _: int) -> bool:
    """Whether no other address ends in this one: signs that a name may have stand between two parts of one."""
    at = start
    while at and text[at - 1] in ".%+-":
        at -= 1
    return at == start or at == 0 or re.match(f"[{_MAIL}_]", text[at - 1]) is None


def _phone(text: str) -> list[_Form]:
    written = text.replace("(0)", "")
    digits = re.sub("[^0-9]", "", written)
    abroad = written.lstrip(" (").startswith(("+", "00"))
    if not re.fullmatch(rf"\+?[0-9{_SIGNS}]+", written):
        raise InvalidInput("the subject is not a phone number; write it with its country: +49 151 23456789")
    if abroad:
        code, national = split_country_code(digits if "+" in written else digits.removeprefix("00"))
    else:
        code, national = "[1-9][0-9]{0,2}", digits.removeprefix("0")
    if len(national) < _FEWEST_DIGITS:
        raise InvalidInput(f"a phone number of less than {_FEWEST_DIGITS} digits is found everywhere; write all of it")
    between = f"[{_SIGNS}]{{0,3}}"
    code = between.join(code) if code.isdigit() else code
    lead = rf"(?:(?:\+|00|011)?{between}{code}{between}(?:\(?0\)?{between})?|(?:06|0|8|1){between})?"
    return [_Form(re.compile(rf"(?<![0-9]){lead}{between.join(national)}(?![0-9])"), national, signs=True)]


def _identifier(text: str) -> list[_Form]:
    symbols = [symbol for symbol in text if symbol.isalnum()]
    if len(symbols) < _FEWEST_DIGITS:
        raise InvalidInput(f"a number of less than {_FEWEST_DIGITS} characters is found everywhere; write all of it")
    joined = f"[{_SIGNS}]?".join(map(re.escape, symbols))
    return [_Form(re.compile(f"(?<![a-z0-9]){joined}(?![a-z0-9])"), "".join(symbols), signs=True)]


def _address_of_a_machine(text: str) -> list[_Form]:
    known = _ip(text)
    if known is None:
        raise InvalidInput("the subject is not an IP address; write it as 192.0.2.7 or 2001:db8::7")
    written = sorted({text, known.compressed, known.exploded})
    if known.version == 4:
        return [_Form(re.compile(rf"(?<![0-9.]){re.escape(one)}(?![0-9]|\.[0-9])"), one) for one in written]
    return [_Form(re.compile(rf"(?<![0-9a-f:]){re.escape(one)}(?![0-9a-f:])"), one) for one in written]


def _ip(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _words(text: str) -> list[_Form]:
    words = re.findall(r"[^\s,;]+", text)
    letters = [symbol for symbol in text if symbol.isalpha()]
    ideographs = [symbol for symbol in letters if re.match(f"[{_CJK}]", symbol)]
    if len(letters) < (2 if ideographs else 3):
        raise InvalidInput("a name of so few letters is found everywhere; write all of it")
    orders = [words, *([[words[1], words[0]]] if len(words) == 2 else [])]
    return [_Form(_in_order(order), _cue(order)) for order in orders]


def _cue(words: Sequence[str]) -> str:
    """The longest piece that always stands together."""
    pieces = [piece for word in words for piece in re.split(f"(?<=[{_CJK}])|(?=[{_CJK}])", word) if piece]
    return max(pieces, key=len)


def _in_order(words: Sequence[str]) -> re.Pattern[str]:
    written = []
    for word in words:
        pieces = [piece for piece in re.split(f"(?<=[{_CJK}])|(?=[{_CJK}])", word) if piece]
        written.append(r"\s*".join(map(re.escape, pieces)))
    joined = r"[\s,;]+".join(written)
    return re.compile(rf"(?<!{_WORD}){joined}(?!{_WORD})" if not re.match(f"[{_CJK}]", words[0]) else joined)


_FORMS: dict[SubjectKind, Callable[[str], list[_Form]]] = {
    "email": _email, "phone": _phone, "ip_address": _address_of_a_machine, "person": _words, "address": _words,
}  # fmt: skip
"""All others are identifiers: letters and digits, with signs between them or not."""


def _with_origins(text: str) -> tuple[str, list[tuple[int, int]]]:
    """``text`` folded piece by piece, and for each character of that where its piece was."""
    written, origins = [], []
    for piece in re.finditer(r"[\s\S][\u0300-\u036f\u3099\u309a]*", text):
        compared = folded(piece[0])
        written.append(compared)
        origins += [piece.span()] * len(compared)
    return "".join(written), origins
