"""The key of keyed treatments: read by reference, used through HMAC-SHA256 alone. It is never logged nor shown."""

from __future__ import annotations

import hmac
import os
from hashlib import sha256, shake_256
from pathlib import Path

from tidemill.errors import InvalidInput

MIN_KEY_BYTES = 16
_FINGERPRINT_OF = b"tidemill privacy key 1"


def read_key(reference: str) -> bytes:
    """The key that ``env:NAME`` or ``file:/path`` refers to, white space around it left out.

    Raises:
        InvalidInput: there is none, or it is shorter than 16 bytes; the message holds the reference, never the key.
    """
    kind, _, name = reference.partition(":")
    if kind == "env":
        key = os.environ.get(name, "").encode().strip()
        where = f"privacy.key: environment variable {name!r} of the preprocess service"
    elif kind == "file":
        where = f"privacy.key: file {name} on the preprocess service's machine"
        try:
            key = Path(name).read_bytes().strip()
        except OSError as error:
            raise InvalidInput(f"{where} cannot be read: {error.strerror or type(error).__name__}") from None
    else:
        raise InvalidInput("privacy.key is a reference, env:NAME or file:/path, never the key itself")
    if not key:
        raise InvalidInput(f"{where} is not set or empty; give it at least {MIN_KEY_BYTES} random bytes")
    if len(key) < MIN_KEY_BYTES:
        raise InvalidInput(f"{where} has {len(key)} bytes; a key needs at least {MIN_KEY_BYTES} random ones")
    return key


def key_fingerprint(key: bytes) -> str:
    """What may stand for the key in a job's spec: 32 hex digits that differ for another key and reveal none."""
    return hmac.digest(key, _FINGERPRINT_OF, "sha256").hex()[:32]


def keyed_digest(key: bytes, *domain: str) -> bytes:
    """HMAC-SHA256 of the parts of ``domain``; each part is preceded by its length, so that none runs into another."""
    message = b"".join(len(part.encode()).to_bytes(4, "big") + part.encode() for part in domain)
    return hmac.digest(key, message, sha256)


class Draw:
    """An endless row of choices that depends on a digest alone: what looks drawn at random is the same everywhere."""

    def __init__(self, seed: bytes) -> None:
        self._rest = int.from_bytes(shake_256(seed).digest(96), "big")

    def below(self, limit: int) -> int:
        """A number from 0 to ``limit - 1``."""
        self._rest, drawn = divmod(self._rest, limit)
        return drawn

    def digits(self, count: int) -> str:
        """``count`` decimal digits."""
        return f"{self.below(10**count):0{count}d}" if count else ""

    def letters(self, count: int, alphabet: str = "abcdefghijklmnopqrstuvwxyz") -> str:
        """``count`` letters of the alphabet."""
        return "".join(alphabet[self.below(len(alphabet))] for _ in range(count))
