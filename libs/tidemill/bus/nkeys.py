"""nkeys: a NATS user's Ed25519 key pair. The seed is the secret, in a file; the public key goes to the server."""

from __future__ import annotations

import secrets
from contextlib import suppress
from pathlib import Path

import nkeys

from tidemill.errors import PermanentError
from tidemill.private_files import replace


def read_seed(path: Path) -> bytes:
    """The seed of a user that a file holds.

    Raises:
        PermanentError: it cannot be read, or holds no seed of a user; never shows what it holds.
    """
    try:
        seed = path.read_bytes().strip()
    except OSError as error:
        raise PermanentError(
            f"the nkey file {path} cannot be read ({error.strerror}); `tidemill nats accounts --into DIR` makes them"
        ) from error
    public_key(seed, path)
    return seed


def public_key(seed: bytes, path: Path) -> str:
    """The public key of a seed; ``path`` is where it came from.

    Raises:
        PermanentError: it is not the seed of a user.
    """
    public = ""
    with suppress(Exception):  # of many kinds; their words could show the seed
        pair = nkeys.from_seed(bytearray(seed))
        public = str(pair.public_key.decode())
        pair.wipe()
    if not public.startswith("U"):
        raise PermanentError(f"{path} holds no nkey seed of a user: one line that begins with SU")
    return public


def fresh_seed() -> bytes:
    """A new seed of a user."""
    seed: bytes = nkeys.encode_seed(secrets.token_bytes(32), nkeys.PREFIX_BYTE_USER)
    return seed


def new_seed(path: Path) -> bytes:
    """A new seed, written for its owner's eyes only."""
    seed = fresh_seed()
    replace(path, seed + b"\n", mode=0o600)
    return seed
