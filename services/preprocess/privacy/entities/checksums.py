"""Check digits of the standards. Arguments are the characters without separators."""

from __future__ import annotations

_LUHN_DOUBLED = bytes.maketrans(b"0123456789", bytes((0, 2, 4, 6, 8, 1, 3, 5, 7, 9)))


def luhn_sum(digits: str) -> int:
    """ISO/IEC 7812-1 annex B; 0 for a number with its check digit."""
    own = digits.encode()[::-1]
    single, doubled = own[::2], own[1::2].translate(_LUHN_DOUBLED)
    return (sum(single) - len(single) * ord("0") + sum(doubled)) % 10


def luhn_check_digit(digits: str) -> str:
    """The digit that has to follow."""
    return str(-luhn_sum(digits + "0") % 10)


def mod_97(characters: str) -> int:
    """ISO 7064 MOD 97-10 as ISO 13616 uses it: letters count as 10 to 35; 1 for a right one."""
    return int("".join(str(int(character, 36)) for character in characters)) % 97


def mod_11_2(digits: str) -> str:
    """ISO 7064 MOD 11-2: the check character that follows 17 digits of a Chinese resident id (GB 11643-1999)."""
    total = 0
    for character in digits:
        total = (total + ord(character) - 48) * 2 % 11
    return "X" if (12 - total) % 11 == 10 else str((12 - total) % 11)


def mod_11_10(digits: str) -> str:
    """ISO 7064 MOD 11,10: the check digit of a German tax identification number."""
    product = 10
    for character in digits:
        total = (ord(character) - 48 + product) % 10 or 10
        product = total * 2 % 11
    return str((11 - product) % 10)


def weighted_731(characters: str) -> str:
    """ICAO 9303-3: weights 7, 3, 1; letters count as 10 to 35."""
    return str(sum(int(character, 36) * (7, 3, 1)[at % 3] for at, character in enumerate(characters)) % 10)


def nhs_check(digits: str) -> int:
    """NHS Data Dictionary: the check digit for nine digits; 10 means that there is no such number."""
    return (11 - sum((10 - at) * int(digit) for at, digit in enumerate(digits))) % 11
