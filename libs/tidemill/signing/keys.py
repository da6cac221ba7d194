"""Ed25519 keys (RFC 8032) in PEM files: the private one that signs (PKCS #8), public ones that verify (RFC 8410)."""

from __future__ import annotations

import base64
import binascii
import hashlib
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from tidemill.contracts import PackageSignature
from tidemill.errors import PermanentError

_ID_DIGITS = 16
_UNREADABLE = (ValueError, TypeError, UnsupportedAlgorithm)


class PublicKey:
    """A key that verifies. ``id`` is the beginning of the sha256 of its 32 bytes, in hex."""

    def __init__(self, key: Ed25519PublicKey) -> None:
        self._key = key
        self.id = hashlib.sha256(key.public_bytes_raw()).hexdigest()[:_ID_DIGITS]

    @classmethod
    def from_pem(cls, data: bytes, where: str) -> PublicKey:
        """The key in a PEM document.

        Raises:
            PermanentError: it holds something else; says what, and never its content.
        """
        if b"PRIVATE KEY" in data:
            raise PermanentError(f"{where} holds a private key; give the public one: `tidemill signing keys` shows it")
        try:
            key = load_pem_public_key(data)
        except _UNREADABLE:
            raise PermanentError(f"{where} holds no public key in PEM form (BEGIN PUBLIC KEY)") from None
        if not isinstance(key, Ed25519PublicKey):
            raise PermanentError(f"{where} holds a key of another kind; signers have Ed25519 keys")
        return cls(key)

    @property
    def pem(self) -> bytes:
        """As a PEM document."""
        return self._key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def verifies(self, signature: PackageSignature, statement: bytes) -> bool:
        """Whether ``signature`` was made by this key over ``statement``."""
        try:
            self._key.verify(base64.b64decode(signature.value, validate=True), statement)
        except (InvalidSignature, binascii.Error, ValueError):
            return False
        return True


class SigningKey:
    """A key that signs."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public = PublicKey(key.public_key())

    @classmethod
    def new(cls) -> SigningKey:
        """One that nobody else has."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def read(cls, path: Path) -> SigningKey:
        """The key in a file.

        Raises:
            PermanentError: there is none, or it cannot be used; says what to do.
        """
        try:
            data = path.read_bytes()
        except OSError as error:
            raise PermanentError(
                f"the signing key {path} cannot be read: {error.strerror or error}; `tidemill up` makes one in its "
                "data folder, and so does `tidemill signing make`"
            ) from None
        return cls.from_pem(data, str(path))

    @classmethod
    def from_pem(cls, data: bytes, where: str) -> SigningKey:
        """The key in a PEM document.

        Raises:
            PermanentError: it holds something else; says where, and never its content.
        """
        try:
            key = load_pem_private_key(data, password=None)
        except _UNREADABLE:
            raise PermanentError(f"{where} holds no private key in PEM form without a password") from None
        if not isinstance(key, Ed25519PrivateKey):
            raise PermanentError(f"{where} holds a key of another kind; models are signed with an Ed25519 key")
        return cls(key)

    @property
    def pem(self) -> bytes:
        """As a PEM document without a password: for a file of its owner's only."""
        return self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def sign(self, statement: bytes) -> PackageSignature:
        """The signature of ``statement``."""
        value = base64.b64encode(self._key.sign(statement)).decode()
        return PackageSignature(key_id=self.public.id, value=value)
