"""The signers that are trusted here: a folder of public keys, looked at whenever something is verified."""

from __future__ import annotations

import contextlib
from pathlib import Path

from tidemill.contracts import PackageSignature
from tidemill.errors import NotFound, PermanentError
from tidemill.private_files import write_new
from tidemill.signing.keys import PublicKey
from tidemill.signing.statement import version_statement


class NotTrusted(PermanentError):
    """A version has no signature of a trusted signer, or one that is not of this package; it is not loaded."""


class TrustedSigners:
    """The keys in ``folder``, files that end in ``.pem``. It may not be there: then nobody is trusted.

    Read anew each time, so that a key that is added or removed counts at once.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def keys(self) -> dict[str, PublicKey]:
        """The trusted keys by their ids.

        Raises:
            PermanentError: a file in the folder holds no public key, or cannot be read; names it.
        """
        keys = {}
        for path in sorted(self.folder.glob("*.pem")):
            try:
                key = PublicKey.from_pem(path.read_bytes(), str(path))
            except OSError as error:
                raise PermanentError(f"{path} cannot be read: {error.strerror or error}") from None
            keys[key.id] = key
        return keys

    def verify(self, project: str, name: str, version: int, digest: str, signature: PackageSignature | None) -> None:
        """Return when a trusted signer says that this package is version ``version`` of ``name``.

        Raises:
            NotTrusted: nobody trusted says so; tells why, and what to do.
        """
        what = f"version {version} of model {name!r}"
        if signature is None:
            raise NotTrusted(
                f"{what} is not signed, so it is not loaded: it was registered before packages were signed, or by "
                f"nobody. `tidemill registry trust {name}` signs what is on record"
            )
        keys = self.keys()
        key = keys.get(signature.key_id)
        if key is None:
            known = ", ".join(sorted(keys)) or "none"
            raise NotTrusted(
                f"{what} is signed by key {signature.key_id}, which is not trusted here, so it is not loaded (trusted "
                f"in {self.folder}: {known}). `tidemill signing trust FILE` adds the public key of a registry that "
                f"you trust; `tidemill registry trust {name}` signs what is on record anew"
            )
        if not key.verifies(signature, version_statement(project, name, version, digest)):
            raise NotTrusted(
                f"{what} does not have the package that was signed, so it is not loaded: its project, name, number or "
                f"digest ({digest}) was changed since; restore the records from a backup"
            )

    def add(self, key: PublicKey) -> Path:
        """Trust ``key`` from now on; the file it is in. One that is trusted already stays.

        Raises:
            PermanentError: the folder cannot be written.
        """
        path = self.folder / f"{key.id}.pem"
        try:
            self.folder.mkdir(mode=0o755, parents=True, exist_ok=True)
            with contextlib.suppress(FileExistsError):
                write_new(path, key.pem, mode=0o644)
        except OSError as error:
            raise PermanentError(f"{path} cannot be written: {error.strerror or error}") from None
        return path

    def remove(self, key_id: str) -> None:
        """Trust a key no longer; what it has signed is not loaded any more.

        Raises:
            NotFound: it is not trusted.
            PermanentError: its file cannot be removed.
        """
        found = False
        for path in sorted(self.folder.glob("*.pem")):
            try:
                if PublicKey.from_pem(path.read_bytes(), str(path)).id == key_id:
                    path.unlink()
                    found = True
            except OSError as error:
                raise PermanentError(f"{path} cannot be removed: {error.strerror or error}") from None
        if not found:
            raise NotFound(f"no key {key_id} is trusted in {self.folder}; `tidemill signing keys` shows those that are")
