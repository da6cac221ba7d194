"""What stands in the place of a finding: one function from a value to its replacement for each kind and treatment."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from services.preprocess.privacy.entities import Entity
from services.preprocess.privacy.key import Draw, keyed_digest
from tidemill.contracts.privacy import Treatment
from tidemill.errors import InvalidInput

HASH_DIGITS = 16
KEYED: frozenset[Treatment] = frozenset({"hash", "fake", "token"})
_TRIES = 16


def mask(name: str) -> str:
    """``<EMAIL>``."""
    return f"<{name.upper()}>"


def hashed(key: bytes, domain: str, canonical: str) -> str:
    """HMAC-SHA256 of the value in its domain, cut to 16 hex digits of which one is a letter.

    A hash of decimal digits alone could pass for a card number.
    """
    attempt = 0
    while True:
        digits = keyed_digest(key, "hash", domain, canonical, *_attempt(attempt)).hex()[:HASH_DIGITS]
        if not digits.isdecimal():
            return digits
        attempt += 1


def token(key: bytes, domain: str, value: str) -> str:
    """``<EMAIL:7f3a…>`` with 16 hex digits: the name under which the vault knows the value as it was written."""
    return f"<{domain.upper()}:{keyed_digest(key, 'token', domain, value).hex()[:HASH_DIGITS]}>"


def fake(key: bytes, entity: Entity, value: str) -> str:
    """An invented value, the same wherever and however ``value`` is written; never the value itself."""
    canonical = entity.canonical(value)
    for attempt in range(_TRIES):
        invented = entity.fake(value, Draw(keyed_digest(key, "fake", entity.name, canonical, *_attempt(attempt))))
        if entity.canonical(invented) != canonical:
            return invented
    return mask(entity.name)


def replacement(entity: Entity, treatment: Treatment, key: bytes | None) -> Callable[[str], str]:
    """The function that treats values of the entity; values that repeat are worked out once.

    Raises:
        InvalidInput: the treatment needs a key and there is none.
    """
    masked = mask(entity.name)
    if treatment in ("mask", "drop"):
        return lambda value: masked
    if treatment == "keep":
        return lambda value: value
    if treatment == "generalise":
        return lru_cache(maxsize=4096)(lambda value: entity.generalise(value) or masked)
    known = needed(key)
    if treatment == "hash":
        return lru_cache(maxsize=4096)(lambda value: hashed(known, entity.name, entity.canonical(value)))
    if treatment == "token":
        return lru_cache(maxsize=4096)(lambda value: token(known, entity.name, value))
    return lru_cache(maxsize=4096)(lambda value: fake(known, entity, value))


def needed(key: bytes | None) -> bytes:
    """The key. Raises InvalidInput when there is none."""
    if key is None:
        raise InvalidInput("hash, fake and token need a key: privacy: {key: env:NAME}")
    return key


def _attempt(number: int) -> tuple[str, ...]:
    return (str(number),) if number else ()
