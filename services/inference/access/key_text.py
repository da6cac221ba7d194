"""The text of an API key, ``tm_<id>_<secret>``: made, taken apart, compared. Knows no grants."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass

PREFIX = "tm_"
_TEXT = re.compile(r"tm_([0-9a-f]{16})_([A-Za-z0-9_\-]{43})")


@dataclass(frozen=True)
class KeyText:
    """A key in two parts. ``secret`` is 32 random bytes in URL-safe base64."""

    key_id: str
    secret: str

    @classmethod
    def make(cls) -> KeyText:
        """A new one, from the system's source of randomness."""
        return cls(secrets.token_hex(8), secrets.token_urlsafe(32))

    @classmethod
    def parse(cls, text: str) -> KeyText | None:
        """The key that ``text`` is; None when it is none."""
        found = _TEXT.fullmatch(text)
        return cls(found[1], found[2]) if found is not None else None

    def __str__(self) -> str:
        return f"{PREFIX}{self.key_id}_{self.secret}"

    def __repr__(self) -> str:
        return f"KeyText({self.key_id!r}, ...)"  # it may end up in a traceback

    @property
    def digest(self) -> str:
        """sha256 of the secret, in hex: what is kept of it."""
        return hashlib.sha256(self.secret.encode()).hexdigest()

    def matches(self, digest: str) -> bool:
        """Whether ``digest`` is this secret's; takes the same time wherever they differ."""
        return hmac.compare_digest(self.digest, digest)
