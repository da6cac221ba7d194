"""A registry's key pair on disk: the private key in a file of its owner's, its public key among the trusted ones."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tidemill.errors import PermanentError
from tidemill.private_files import replace, write_new
from tidemill.signing.keys import SigningKey
from tidemill.signing.trusted import TrustedSigners

FOLDER = "signing"
"""In a data folder."""


@dataclass(frozen=True)
class SigningFolder:
    """Where a platform's signing key and the keys that it trusts are."""

    key_file: Path
    trusted: TrustedSigners

    @classmethod
    def below(
        cls, data_dir: Path, *, key_file: Path | None = None, trusted_signers: Path | None = None
    ) -> SigningFolder:
        """The places in a platform's data folder, or those that its settings name instead."""
        folder = data_dir / FOLDER
        return cls(key_file or folder / "key.pem", TrustedSigners(trusted_signers or folder / "trusted"))

    def make(self) -> SigningKey | None:
        """Make a pair and trust it, unless there is a key already; the new key.

        Raises:
            PermanentError: the files cannot be written.
        """
        if self.key_file.exists():
            return None
        key = SigningKey.new()
        with self._written():
            self.key_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Trusted before anything is signed with it; a crash in between leaves a trusted key that nobody has.
            self.trusted.add(key.public)
            with contextlib.suppress(FileExistsError):
                write_new(self.key_file, key.pem, mode=0o600)
                return key
        return None

    def rotate(self) -> SigningKey:
        """Sign with a new key from now on. What the old one signed stays valid as long as that is trusted.

        Raises:
            PermanentError: there is no key to replace, or the files cannot be written.
        """
        SigningKey.read(self.key_file)
        key = SigningKey.new()
        with self._written():
            self.trusted.add(key.public)
            replace(self.key_file, key.pem, mode=0o600)
        return key

    @contextlib.contextmanager
    def _written(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise PermanentError(f"the signing key {self.key_file} cannot be written: {error.strerror}") from None
