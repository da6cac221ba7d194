"""Payment card numbers: ISO/IEC 7812 with the issuer ranges and lengths that the networks publish."""

from __future__ import annotations

import re

from services.preprocess.privacy.entities.checksums import luhn_check_digit, luhn_sum
from services.preprocess.privacy.entities.entity import Span, StructuralEntity, digits_of, near, words, written_like
from services.preprocess.privacy.key import Draw

# First and last prefix of each range, and the lengths of the numbers in it.
_ISSUERS: tuple[tuple[str, str, frozenset[int]], ...] = (
    ("4", "4", frozenset({13, 16, 18, 19})),  # Visa
    ("51", "55", frozenset({16})), ("2221", "2720", frozenset({16})),  # Mastercard
    ("34", "34", frozenset({15})), ("37", "37", frozenset({15})),  # American Express
    ("300", "305", frozenset(range(14, 20))), ("3095", "3095", frozenset(range(14, 20))),  # Diners Club
    ("36", "36", frozenset(range(14, 20))), ("38", "39", frozenset(range(14, 20))),
    ("6011", "6011", frozenset(range(16, 20))), ("644", "649", frozenset(range(16, 20))),  # Discover
    ("65", "65", frozenset(range(16, 20))), ("60", "60", frozenset({16})),  # RuPay
    ("3528", "3589", frozenset(range(16, 20))), ("2131", "2131", frozenset({15})),  # JCB
    ("1800", "1800", frozenset({15})),
    ("62", "62", frozenset(range(16, 20))), ("81", "82", frozenset({16})),  # UnionPay
    ("50", "50", frozenset(range(12, 20))), ("56", "58", frozenset(range(12, 20))),  # Maestro
    ("6304", "6304", frozenset(range(12, 20))), ("6390", "6390", frozenset(range(12, 20))),
    ("67", "67", frozenset(range(12, 20))),
    ("2200", "2204", frozenset(range(16, 20))),  # Mir
    ("9792", "9792", frozenset({16})),  # Troy
)  # fmt: skip
_KINDS = ("credit", "debit", "bank", "payment", "visa", "master", "maestro", "charge", "gift")
_NAMES = ("card", "cc", "pan", "visa", "mastercard", "maestro", "amex", "jcb", "unionpay", "discover")
_WORDS = words(
    *(rf"\b{kind}[ -]?cards?\b" for kind in _KINDS), *(rf"\b{name}\b" for name in _NAMES),
    "karte", "卡号", "银行卡", "信用卡", "借记卡",
)  # fmt: skip
_TEST_RANGES = {14: "305693", 15: "378282"}
"""First six digits of the numbers that networks and processors publish for tests, by length."""
_TEST_RANGE = "400000"


def _check(found: re.Match[str]) -> Span | None:
    digits = digits_of(found[0])
    if luhn_sum(digits) or len(set(digits)) == 1 or not _grouped(found[0]):
        return None
    # Networks are given new ranges: where the text speaks of a card, the check digit is enough.
    if _issued(digits):
        return (found.start(), found.end(), 2)
    return (found.start(), found.end(), 2) if near(found, _WORDS) else None


def _issued(digits: str) -> bool:
    return any(low <= digits[: len(low)] <= high and len(digits) in lengths for low, high, lengths in _ISSUERS)


def _grouped(value: str) -> bool:
    """Digits in one piece, or groups as cards print them: of two digits at least, divided by one kind of sign."""
    signs = {sign for sign in value if not sign.isdigit()}
    if not signs:
        return True
    groups = re.split(r"[ .-]", value)
    return len(signs) == 1 and len(groups) <= 6 and all(2 <= len(group) <= 8 for group in groups)


def _generalise(value: str) -> str:
    return "****" + digits_of(value)[-4:]


def _fake(value: str, draw: Draw) -> str:
    length = len(digits_of(value))
    issuer = _TEST_RANGES.get(length, _TEST_RANGE)
    body = issuer + draw.digits(length - len(issuer) - 1)
    return written_like(value, body + luhn_check_digit(body))


def _reserved(value: str) -> bool:
    digits = digits_of(value)
    return digits.startswith(_TEST_RANGES.get(len(digits), _TEST_RANGE))


PAYMENT_CARD = StructuralEntity(
    name="payment_card",
    cue=r"(?:[0-9０-９][^0-9A-Za-z]?){11}[0-9０-９]",
    pattern=re.compile(r"[0-9](?<![0-9A-Za-z_].)(?<![0-9][.,].)(?:[ .-]?[0-9]){11,18}(?![0-9A-Za-z_])(?![.,-][0-9])"),
    check=_check,
    canonical=digits_of,
    generalise=_generalise,
    fake=_fake,
    reserved=_reserved,
)
